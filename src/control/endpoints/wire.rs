//! An endpoint and its message, both ways. An empty text or a field that is not set is the default.

use std::time::Duration;

use super::super::check::Check;
use super::super::proto;
use crate::resource::{
    AccessRule, Audience, CacheSettings, Credentials, Endpoint, EndpointError, FetchAs, Publisher,
    Realtime, UpdateMethod, Upstream, Verb, VersionAt, WriteReturns,
};

/// The endpoint that a message says; what it cannot mean goes to `check`. Whether it makes sense
/// as a whole is for the table to say.
pub(super) fn read(message: &proto::Endpoint, check: &mut Check) -> Endpoint {
    let given = |text: &str| (!text.is_empty()).then(|| Box::from(text));
    let (item, collection) = (given(&message.item), given(&message.collection));
    let mut endpoint = Endpoint::new(
        &message.name,
        item.as_deref(),
        collection.as_deref(),
        vec![],
    );
    if !message.methods.is_empty() {
        let verbs = message.methods.iter().enumerate();
        let verbs = verbs.filter_map(|(index, word)| {
            let verb = Verb::of_word(word).ok_or("index, show, create, update or delete");
            check.take(format_args!("endpoint.methods[{index}]"), verb)
        });
        endpoint.methods = verbs.collect();
    }
    upstream(message.upstream.as_ref(), &mut endpoint.upstream, check);
    identity(message, &mut endpoint, check);
    access(message, &mut endpoint, check);
    resources(message, &mut endpoint, check);
    endpoint.autobind = message.autobind.unwrap_or(true);
    if let Some(cache) = &message.cache {
        let (swr, sie) = (cache.swr.as_ref(), cache.sie.as_ref());
        endpoint.cache = CacheSettings {
            max_ttl: span("cache.max_ttl", cache.max_ttl.as_ref(), check),
            stale_while_revalidate: span("cache.swr", swr, check).unwrap_or_default(),
            stale_if_error: span("cache.sie", sie, check).unwrap_or_default(),
        };
    }
    let every = message.revalidate_every.as_ref();
    endpoint.revalidate_every = span("revalidate_every", every, check);
    endpoint
}

/// What bodies hold, what is asked for, and what follows from writes.
fn resources(message: &proto::Endpoint, endpoint: &mut Endpoint, check: &mut Check) {
    if !message.id.is_empty() {
        endpoint.id = message.id.as_str().into();
    }
    let forms = "none, body:<JSON pointer> or header:<name>";
    let mut word = Words(check);
    let version = word.read(("version", forms), &message.version, VersionAt::parse);
    set(&mut endpoint.version, version);
    endpoint.ordered = message.ordered;
    let (field, text) = (
        ("write_returns", "unknown or representation"),
        &message.write_returns,
    );
    let returns = word.read(field, text, WriteReturns::of_word);
    set(&mut endpoint.write_returns, returns);
    if let Some(query) = &message.query {
        endpoint.query = query.allow.iter().map(|key| key.as_str().into()).collect();
        endpoint.query.sort();
        let field = ("query.realtime", "refetch or none");
        let realtime = word.read(field, &query.realtime, Realtime::of_word);
        set(&mut endpoint.realtime, realtime);
    }
    let affects = message.affects.iter();
    endpoint.affects = affects.map(|text| text.as_str().into()).collect();
    let field = ("publish", "gateway, service or both");
    let publish = word.read(field, &message.publish, Publisher::of_word);
    set(&mut endpoint.publish, publish);
}

/// The fields of the request that an endpoint's errors mean.
pub(super) fn refuse(errors: &[EndpointError], name: &str, check: &mut Check) {
    for error in errors {
        if *error.endpoint == *name {
            check.refuse(format_args!("endpoint.{}", error.field), &error.reason);
        } else {
            check.refuse("endpoint", error);
        }
    }
}

fn set<T>(place: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *place = value;
    }
}

/// Reads texts that are one of some forms; an empty one is not given.
struct Words<'a>(&'a mut Check);

impl Words<'_> {
    fn read<T>(
        &mut self,
        (field, forms): (&str, &str),
        text: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Option<T> {
        if text.is_empty() {
            return None;
        }
        let value = parse(text).ok_or_else(|| format!("`{text}` is not {forms}"));
        self.0.take(format_args!("endpoint.{field}"), value)
    }
}

fn span(field: &str, span: Option<&prost_types::Duration>, check: &mut Check) -> Option<Duration> {
    let value = Duration::try_from(*span?).map_err(|_| "not a span of time");
    check.take(format_args!("endpoint.{field}"), value)
}

fn upstream(message: Option<&proto::Upstream>, upstream: &mut Upstream, check: &mut Check) {
    let Some(message) = message else {
        return;
    };
    for (index, base) in message.bases.iter().enumerate() {
        let field = format_args!("endpoint.upstream.bases[{index}]");
        upstream.bases.extend(check.take(field, base.parse()));
    }
    let field = ("upstream.update", "PATCH or PUT");
    let update = Words(check).read(field, &message.update, UpdateMethod::of_word);
    set(&mut upstream.update, update);
    let connect = span(
        "upstream.connect_timeout",
        message.connect_timeout.as_ref(),
        check,
    );
    set(&mut upstream.connect_timeout, connect);
    let timeout = span("upstream.timeout", message.timeout.as_ref(), check);
    set(&mut upstream.timeout, timeout);
    set(&mut upstream.retries, message.retries);
    if let Some(breaker) = &message.breaker {
        let own = &mut upstream.breaker;
        set(&mut own.requests, breaker.requests);
        set(&mut own.ratio, breaker.ratio);
        let window = span("upstream.breaker.window", breaker.window.as_ref(), check);
        set(&mut own.window, window);
        set(
            &mut own.open,
            span("upstream.breaker.open", breaker.open.as_ref(), check),
        );
    }
    for (index, name) in message.forward.iter().enumerate() {
        let field = format_args!("endpoint.upstream.forward[{index}]");
        let name = name.parse().map_err(|_| "no header's name");
        upstream.forward.extend(check.take(field, name));
    }
    let concurrency = message.concurrency.map(|count| count as usize);
    set(&mut upstream.concurrency, concurrency);
}

/// How long a minted token lives, where nothing else is said.
const MINTED: Duration = Duration::from_secs(60);

fn identity(message: &proto::Endpoint, endpoint: &mut Endpoint, check: &mut Check) {
    let auth = message.auth.clone().unwrap_or_default();
    let given = |text: &str| (!text.is_empty()).then(|| Box::from(text));
    let mint = auth.mode == "mint";
    let ttl = span("auth.ttl", auth.ttl.as_ref(), check);
    endpoint.auth = match auth.mode.as_str() {
        "" | "bearer" => Credentials::Bearer,
        "mint" => Credentials::Mint {
            secret: auth.secret.as_str().into(),
            audience: given(&auth.audience),
            ttl: ttl.unwrap_or(MINTED),
        },
        "claims" => Credentials::Claims,
        "none" => Credentials::None,
        other => {
            let why = format_args!("`{other}` is not bearer, mint, claims or none");
            check.refuse("endpoint.auth.mode", why);
            Credentials::Bearer
        }
    };
    let service = message.fetch_as == "service";
    for (field, given, used, owner) in [
        ("secret", !auth.secret.is_empty(), mint, "mode mint"),
        ("audience", !auth.audience.is_empty(), mint, "mode mint"),
        ("ttl", auth.ttl.is_some(), mint, "mode mint"),
        ("token", !auth.token.is_empty(), service, "fetch_as service"),
    ] {
        if given && !used {
            let why = format_args!("only {owner} takes it");
            check.refuse(format_args!("endpoint.auth.{field}"), why);
        }
    }
    match message.fetch_as.as_str() {
        "" | "caller" => {}
        "service" => endpoint.fetch_as = FetchAs::Service(given(&auth.token)),
        other => {
            let why = format_args!("`{other}` is not caller or service");
            check.refuse("endpoint.fetch_as", why);
        }
    }
}

fn access(message: &proto::Endpoint, endpoint: &mut Endpoint, check: &mut Check) {
    if let Some(access) = &message.access {
        let field = ("access.rule", "public, upstream or claims:<expression>");
        let rule = Words(check).read(field, &access.rule, AccessRule::parse);
        set(&mut endpoint.access, rule);
        let ttl = span("access.ttl", access.ttl.as_ref(), check);
        set(&mut endpoint.access_ttl, ttl);
    }
    let field = ("audience", "user, shared or claims:[name, …]");
    let audience = Words(check).read(field, &message.audience, Audience::parse);
    set(&mut endpoint.audience, audience);
}

/// The message that says `endpoint`, secrets included: for a request, and to be changed by one.
pub fn message(endpoint: &Endpoint) -> proto::Endpoint {
    let verbs = endpoint.methods.iter().filter_map(|verb| verb.word());
    proto::Endpoint {
        name: endpoint.name.to_string(),
        item: endpoint.item.as_deref().unwrap_or_default().into(),
        collection: endpoint.collection.as_deref().unwrap_or_default().into(),
        methods: verbs.map(ToOwned::to_owned).collect(),
        upstream: Some(upstream_message(&endpoint.upstream)),
        auth: Some(auth_message(endpoint)),
        access: Some(proto::EndpointAccess {
            rule: endpoint.access.to_string(),
            ttl: Some(duration(endpoint.access_ttl)),
        }),
        audience: endpoint.audience.to_string(),
        fetch_as: match &endpoint.fetch_as {
            FetchAs::Caller => "caller".into(),
            FetchAs::Service(_) => "service".into(),
        },
        id: endpoint.id.to_string(),
        version: endpoint.version.to_string(),
        ordered: endpoint.ordered,
        write_returns: endpoint.write_returns.word().into(),
        query: Some(proto::EndpointQuery {
            allow: endpoint.query.iter().map(ToString::to_string).collect(),
            realtime: endpoint.realtime.word().into(),
        }),
        affects: endpoint.affects.iter().map(ToString::to_string).collect(),
        publish: endpoint.publish.word().into(),
        autobind: Some(endpoint.autobind),
        cache: Some(proto::EndpointCache {
            max_ttl: endpoint.cache.max_ttl.map(duration),
            swr: Some(duration(endpoint.cache.stale_while_revalidate)),
            sie: Some(duration(endpoint.cache.stale_if_error)),
        }),
        revalidate_every: endpoint.revalidate_every.map(duration),
        source: String::new(),
    }
}

/// The same as it is shown: without secrets.
pub(super) fn shown(endpoint: &Endpoint, live: bool) -> proto::Endpoint {
    let mut message = message(endpoint);
    if let Some(auth) = &mut message.auth {
        auth.secret.clear();
        auth.token.clear();
    }
    message.source = if live { "live" } else { "file" }.into();
    message
}

fn upstream_message(upstream: &Upstream) -> proto::Upstream {
    let breaker = &upstream.breaker;
    proto::Upstream {
        bases: upstream.bases.iter().map(ToString::to_string).collect(),
        update: upstream.update.word().into(),
        connect_timeout: Some(duration(upstream.connect_timeout)),
        timeout: Some(duration(upstream.timeout)),
        retries: Some(upstream.retries),
        breaker: Some(proto::Breaker {
            requests: Some(breaker.requests),
            window: Some(duration(breaker.window)),
            ratio: Some(breaker.ratio),
            open: Some(duration(breaker.open)),
        }),
        forward: upstream.forward.iter().map(ToString::to_string).collect(),
        concurrency: Some(u32::try_from(upstream.concurrency).unwrap_or(u32::MAX)),
    }
}

fn auth_message(endpoint: &Endpoint) -> proto::EndpointAuth {
    let mut auth = proto::EndpointAuth::default();
    auth.mode = match &endpoint.auth {
        Credentials::Bearer => "bearer",
        Credentials::Mint {
            secret,
            audience,
            ttl,
        } => {
            auth.secret = secret.to_string();
            auth.audience = audience.as_deref().unwrap_or_default().into();
            auth.ttl = Some(duration(*ttl));
            "mint"
        }
        Credentials::Claims => "claims",
        Credentials::None => "none",
    }
    .into();
    if let FetchAs::Service(Some(token)) = &endpoint.fetch_as {
        auth.token = token.to_string();
    }
    auth
}

fn duration(span: Duration) -> prost_types::Duration {
    prost_types::Duration {
        seconds: i64::try_from(span.as_secs()).unwrap_or(i64::MAX),
        // Less than a thousand million, so it fits.
        nanos: span.subsec_nanos().cast_signed(),
    }
}
