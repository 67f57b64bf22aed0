//! `[gateway]` and `[[endpoint]]`.

use std::time::Duration;

use http::Uri;

use super::super::reader::Reader;
use crate::gateway;
use crate::gateway::upstream;
use crate::resource::{
    AccessRule, Audience, Breaker, CacheSettings, Credentials, Endpoint, FetchAs, Publisher,
    Realtime, Routes, UpdateMethod, Upstream, Verb, VersionAt, WriteReturns,
};

pub(super) fn gateway(root: &Reader<'_>, dev: bool) -> gateway::Config {
    let section = root.table("gateway");
    gateway::Config {
        upstream: upstream::Config {
            allow: section.networks("allow"),
            loopback: dev,
            upload_time: section.span("upload_time"),
        },
        max_waiting: section.count("max_waiting"),
        max_access: section.count("max_access"),
        body_bytes: section.count("body_bytes"),
        index_bytes: section.count("index_bytes"),
        cache_bytes: section.count("cache_bytes"),
        cache_entry_bytes: section.count("cache_entry_bytes"),
        max_replicas: section.count("max_replicas"),
        history_size: section.count("history_size"),
        history_ttl: section.span("history_ttl"),
        history_bytes: section.count("history_bytes"),
        refetch_debounce: section.span("refetch_debounce"),
        refetch_spacing: section.span("refetch_spacing"),
        max_endpoints: section.count("max_endpoints"),
    }
}

/// The endpoints of the settings file: an address that is written there is meant.
pub(super) fn written(root: &Reader<'_>) -> Vec<Endpoint> {
    let mut endpoints = endpoints(root);
    for endpoint in &mut endpoints {
        endpoint.upstream.literal = true;
    }
    endpoints
}

/// The endpoints, which agree with each other.
pub(super) fn endpoints(root: &Reader<'_>) -> Vec<Endpoint> {
    let entries = root.items("endpoint");
    let limit = root.table("gateway").count("max_endpoints");
    if entries.len() > limit {
        let message = format!(
            "{} are too many: gateway.max_endpoints is {limit}",
            entries.len()
        );
        root.refuse("endpoint", message);
    }
    let read = entries
        .iter()
        .filter_map(|entry| Some((entry, endpoint(entry)?)));
    let (entries, endpoints): (Vec<_>, Vec<_>) = read.unzip();
    if let Err(errors) = Routes::new(endpoints.clone()) {
        for error in errors {
            // The error names an endpoint by its place in the list.
            if let Some(entry) = entries.get(error.number) {
                entry.refuse_at(error.field, error.reason);
            }
        }
    }
    endpoints
}

/// None: it has no name, which is reported. What else is wrong is reported and read as if it were
/// right, so that the rest is judged too.
fn endpoint(entry: &Reader<'_>) -> Option<Endpoint> {
    let (item, collection) = (entry.text("item"), entry.text("collection"));
    let (item, collection) = (item.as_deref(), collection.as_deref());
    let name = entry.text("name");
    let named = name.as_deref().unwrap_or_default();
    let mut endpoint = Endpoint::new(named, item, collection, bases(entry));
    let words = entry.texts("methods");
    if entry.has("methods") {
        endpoint.methods = words
            .iter()
            .filter_map(|word| Verb::of_word(word))
            .collect();
    }
    upstream(entry, &mut endpoint.upstream);
    identity(entry, &mut endpoint);
    access(entry, &mut endpoint);
    let query = entry.table("query");
    set(&mut endpoint.id, entry.text("id").map(Into::into));
    if let Some(text) = entry.text("version") {
        let version = VersionAt::parse(&text);
        if version.is_none() {
            let forms = "none, body:<JSON pointer> and header:<name>";
            entry.refuse("version", format!("`{text}` is none of {forms}"));
        }
        set(&mut endpoint.version, version);
    }
    endpoint.ordered = entry.flag("ordered");
    let returns = entry.text("write_returns");
    set(
        &mut endpoint.write_returns,
        word(returns, WriteReturns::of_word),
    );
    endpoint.query = query.texts("allow").into_iter().map(Into::into).collect();
    endpoint.query.sort();
    set(
        &mut endpoint.realtime,
        word(query.text("realtime"), Realtime::of_word),
    );
    endpoint.affects = entry.texts("affects").into_iter().map(Into::into).collect();
    set(
        &mut endpoint.publish,
        word(entry.text("publish"), Publisher::of_word),
    );
    endpoint.autobind = entry.flag("autobind");
    endpoint.cache = cache(entry);
    endpoint.revalidate_every = entry.span_if_set("revalidate_every");
    name.map(|_| endpoint)
}

fn set<T>(place: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *place = value;
    }
}

fn word<T>(text: Option<String>, parse: fn(&str) -> Option<T>) -> Option<T> {
    parse(&text?)
}

fn bases(entry: &Reader<'_>) -> Vec<Uri> {
    let section = entry.table("upstream");
    if !entry.has("upstream") {
        entry.refuse("upstream", "is missing: where the API is, upstream.bases");
    }
    let mut urls = vec![];
    for base in section.texts("bases") {
        match base.parse() {
            Ok(url) => urls.push(url),
            Err(error) => section.refuse("bases", format!("`{base}`: {error}")),
        }
    }
    if urls.is_empty() && !section.is_empty_list("bases") {
        // What is wrong has been said.
        urls.push(Uri::from_static("http://localhost"));
    }
    urls
}

fn upstream(entry: &Reader<'_>, upstream: &mut Upstream) {
    let section = entry.table("upstream");
    let breaker = section.table("breaker");
    let narrow = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    set(
        &mut upstream.update,
        word(section.text("update"), UpdateMethod::of_word),
    );
    upstream.connect_timeout = section.span("connect_timeout");
    upstream.timeout = section.span("timeout");
    upstream.retries = narrow(section.count("retries"));
    upstream.breaker = Breaker {
        requests: narrow(breaker.count("requests")),
        window: breaker.span("window"),
        ratio: breaker.part("ratio"),
        open: breaker.span("open"),
    };
    upstream.concurrency = section.count("concurrency");
    for name in section.texts("forward") {
        match name.parse() {
            Ok(name) => upstream.forward.push(name),
            Err(_) => section.refuse("forward", format!("`{name}` is no header's name")),
        }
    }
}

/// Who asks the upstream, and as whom.
fn identity(entry: &Reader<'_>, endpoint: &mut Endpoint) {
    let auth = entry.table("auth");
    let mode = auth.text("mode").unwrap_or_default();
    let (secret, audience) = (auth.secret("secret"), auth.text("audience"));
    let (ttl, token) = (auth.span("ttl"), auth.secret("token"));
    let service = entry.text("fetch_as").is_some_and(|word| word == "service");
    for (name, file, owner, used) in [
        ("secret", "secret_file", "mode = \"mint\"", mode == "mint"),
        ("audience", "", "mode = \"mint\"", mode == "mint"),
        ("ttl", "", "mode = \"mint\"", mode == "mint"),
        ("token", "token_file", "fetch_as = \"service\"", service),
    ] {
        if !used && (auth.has(name) || auth.has(file)) {
            auth.refuse(name, format!("only `{owner}` takes it"));
        }
    }
    endpoint.auth = match mode.as_str() {
        "claims" => Credentials::Claims,
        "none" => Credentials::None,
        "mint" => match secret {
            Some(secret) => Credentials::Mint {
                secret: secret.expose().into(),
                audience: audience.map(Into::into),
                ttl,
            },
            None => {
                if !auth.has("secret_file") {
                    auth.refuse("mode", "`mint` needs a secret (or secret_file)");
                }
                Credentials::Bearer
            }
        },
        _ => Credentials::Bearer,
    };
    if service {
        endpoint.fetch_as = FetchAs::Service(token.map(|token| token.expose().into()));
    }
}

/// Who may read, and whose an answer is.
fn access(entry: &Reader<'_>, endpoint: &mut Endpoint) {
    let section = entry.table("access");
    let rule = section.text("rule");
    let rule = entry.text("access").or(rule).unwrap_or_default();
    let parsed = AccessRule::parse(&rule);
    if parsed.is_none() {
        let message = format!("`{rule}` is none of public, upstream and claims:…");
        entry.refuse_at("access.rule", message);
    }
    set(&mut endpoint.access, parsed);
    endpoint.access_ttl = section.span("ttl");
    if let Some(text) = entry.text("audience") {
        let audience = Audience::parse(&text);
        if audience.is_none() {
            let forms = "user, shared and claims:[name, …]";
            entry.refuse("audience", format!("`{text}` is none of {forms}"));
        }
        set(&mut endpoint.audience, audience);
    }
}

fn cache(entry: &Reader<'_>) -> CacheSettings {
    let section = entry.table("cache");
    let settings = CacheSettings {
        max_ttl: section.span_if_set("max_ttl"),
        stale_while_revalidate: section.span("swr"),
        stale_if_error: section.span("sie"),
    };
    if entry.flag("cache") {
        settings
    } else {
        CacheSettings {
            max_ttl: Some(Duration::ZERO),
            ..CacheSettings::default()
        }
    }
}
