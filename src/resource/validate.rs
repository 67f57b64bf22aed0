//! What must hold of an endpoint by itself. The templates are checked where they are read.

use std::fmt::Display;
use std::time::Duration;

use http::Uri;
use http::header::HeaderName;

use super::Verb;
use super::claims::{ClaimTest, claim_tests};
use super::endpoint::{AccessRule, Audience, Credentials, Endpoint, FetchAs, VersionAt};

const MAX_NAME_BYTES: usize = 64;
const MAX_BASES: usize = 64;
const MAX_LIST: usize = 64;
const MAX_TEXT_BYTES: usize = 1024;
const MAX_RETRIES: u32 = 5;
const MAX_CONCURRENCY: usize = 65_536;
const MAX_FORWARD: usize = 32;
const MIN_SECRET_BYTES: usize = 32;
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Why an endpoint cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("endpoint `{endpoint}`, `{field}`: {reason}")]
pub struct EndpointError {
    /// Where it stands among those that were given, from 0.
    pub number: usize,
    /// The endpoint's name.
    pub endpoint: Box<str>,
    /// The key, as the settings file has it: `upstream.bases`.
    pub field: &'static str,
    /// What is wrong with it.
    pub reason: String,
}

impl EndpointError {
    /// An error in `endpoint`; the table says which number it has.
    pub(super) fn new(endpoint: &Endpoint, field: &'static str, reason: impl Display) -> Self {
        Self {
            number: 0,
            endpoint: endpoint.name.clone(),
            field,
            reason: reason.to_string(),
        }
    }
}

/// Collects what is wrong.
struct Check<'a> {
    endpoint: &'a Endpoint,
    errors: &'a mut Vec<EndpointError>,
}

impl Check<'_> {
    fn refuse(&mut self, field: &'static str, reason: impl Display) {
        let error = EndpointError::new(self.endpoint, field, reason);
        self.errors.push(error);
    }

    fn require(&mut self, holds: bool, field: &'static str, reason: impl Display) {
        if !holds {
            self.refuse(field, reason);
        }
    }

    fn span(&mut self, field: &'static str, span: Duration) {
        let fits = !span.is_zero() && span <= DAY;
        self.require(fits, field, "lies between 1 ms and 1 day");
    }

    /// A list of different texts that are not empty.
    fn texts(&mut self, field: &'static str, list: &[Box<str>]) {
        self.require(list.len() <= MAX_LIST, field, format!("at most {MAX_LIST}"));
        for (index, text) in list.iter().enumerate() {
            let fits = !text.is_empty()
                && text.len() <= MAX_TEXT_BYTES
                && !text.chars().any(char::is_control);
            self.require(
                fits,
                field,
                "an entry is empty, too long or holds a control character",
            );
            if list[..index].contains(text) {
                self.refuse(field, format!("`{text}` stands there twice"));
            }
        }
    }

    fn pointer(&mut self, field: &'static str, pointer: &str) {
        let fits = pointer.starts_with('/') && pointer.len() <= MAX_TEXT_BYTES;
        self.require(
            fits,
            field,
            format!("`{pointer}` is no JSON pointer, which starts with `/`"),
        );
    }
}

/// Adds what is wrong with `endpoint`.
pub(super) fn validate(endpoint: &Endpoint, errors: &mut Vec<EndpointError>) {
    let mut check = Check { endpoint, errors };
    name(&mut check);
    verbs(&mut check);
    upstream(&mut check);
    credentials(&mut check);
    access(&mut check);
    data(&mut check);
}

fn name(check: &mut Check<'_>) {
    let name = &check.endpoint.name;
    let fits = !name.is_empty()
        && name.len() <= MAX_NAME_BYTES
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    let reason = format!("1 to {MAX_NAME_BYTES} letters, digits, `-`, `_` and `.`");
    check.require(fits, "name", reason);
}

fn verbs(check: &mut Check<'_>) {
    let endpoint = check.endpoint;
    let (item, collection) = (endpoint.item.is_some(), endpoint.collection.is_some());
    check.require(
        item || collection,
        "item",
        "neither `item` nor `collection` is there",
    );
    check.require(!endpoint.methods.is_empty(), "methods", "none is allowed");
    for (index, verb) in endpoint.methods.iter().enumerate() {
        let (name, needs, there) = match verb {
            Verb::Index => ("index", "collection", collection),
            Verb::Create => ("create", "collection", collection),
            Verb::Show => ("show", "item", item),
            Verb::Update => ("update", "item", item),
            Verb::Delete => ("delete", "item", item),
            Verb::Bind | Verb::Recheck => {
                check.refuse("methods", "of index, show, create, update and delete");
                continue;
            }
        };
        check.require(there, "methods", format!("`{name}` needs `{needs}`"));
        let twice = endpoint.methods[..index].contains(verb);
        check.require(!twice, "methods", format!("`{name}` stands there twice"));
    }
}

fn upstream(check: &mut Check<'_>) {
    let upstream = &check.endpoint.upstream;
    check.require(
        !upstream.bases.is_empty(),
        "upstream.bases",
        "no URL is there",
    );
    let few = upstream.bases.len() <= MAX_BASES;
    check.require(few, "upstream.bases", format!("at most {MAX_BASES}"));
    for base in &upstream.bases {
        if base
            .authority()
            .is_some_and(|authority| authority.as_str().contains('@'))
        {
            // Not shown: it may hold a password.
            check.refuse("upstream.bases", "a URL holds a user");
        } else if let Err(reason) = base_url(base) {
            check.refuse("upstream.bases", format!("`{base}`: {reason}"));
        }
    }
    check.span("upstream.connect_timeout", upstream.connect_timeout);
    check.span("upstream.timeout", upstream.timeout);
    let few = upstream.retries <= MAX_RETRIES;
    check.require(few, "upstream.retries", format!("at most {MAX_RETRIES}"));
    let room = (1..=MAX_CONCURRENCY).contains(&upstream.concurrency);
    let reason = format!("lies between 1 and {MAX_CONCURRENCY}");
    check.require(room, "upstream.concurrency", reason);
    let few = upstream.forward.len() <= MAX_FORWARD;
    check.require(few, "upstream.forward", format!("at most {MAX_FORWARD}"));
    for name in &upstream.forward {
        let free = !is_ours(name.as_str());
        let reason = format!("`{name}` is Pogo's to set");
        check.require(free, "upstream.forward", reason);
    }
    let breaker = &upstream.breaker;
    check.require(
        breaker.requests > 0,
        "upstream.breaker.requests",
        "at least 1",
    );
    let part = breaker.ratio > 0.0 && breaker.ratio <= 1.0;
    check.require(part, "upstream.breaker.ratio", "over 0, at most 1");
    check.span("upstream.breaker.window", breaker.window);
    check.span("upstream.breaker.open", breaker.open);
}

/// Headers that say who asks, where, or how the message is framed: no client's word is good for
/// them.
fn is_ours(name: &str) -> bool {
    const OURS: [&str; 19] = [
        "accept-encoding",
        "authorization",
        "connection",
        "content-length",
        "cookie",
        "expect",
        "forwarded",
        "host",
        "keep-alive",
        "origin",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "user-agent",
        "via",
        "x-real-ip",
    ];
    const STARTS: [&str; 4] = [
        "x-pogo-",
        "x-forwarded-",
        "x-http-method",
        "x-method-override",
    ];
    OURS.contains(&name) || STARTS.iter().any(|start| name.starts_with(start))
}

fn base_url(base: &Uri) -> Result<(), &'static str> {
    let authority = base.authority().ok_or("no absolute URL")?;
    if !matches!(base.scheme_str(), Some("http" | "https")) {
        return Err("its scheme is neither http nor https");
    }
    if authority.host().is_empty() {
        return Err("it names no host");
    }
    if base.query().is_some() {
        return Err("it has a query");
    }
    let dots = super::uri::has_dot_segment(base.path());
    if dots || base.path().contains("//") || base.path().contains('\\') {
        return Err("its path has an empty or a dot segment");
    }
    Ok(())
}

fn credentials(check: &mut Check<'_>) {
    let endpoint = check.endpoint;
    if let Credentials::Mint {
        secret,
        ttl,
        audience,
    } = &endpoint.auth
    {
        let long = secret.len() >= MIN_SECRET_BYTES;
        check.require(
            long,
            "auth.secret",
            format!("at least {MIN_SECRET_BYTES} bytes"),
        );
        check.span("auth.ttl", *ttl);
        let fits = audience
            .as_deref()
            .is_none_or(|audience| !audience.is_empty());
        check.require(fits, "auth.audience", "is empty");
    }
    if let FetchAs::Service(token) = &endpoint.fetch_as {
        let shared = endpoint.audience == Audience::Shared;
        let reason = "`service` needs `audience = \"shared\"`: what it fetches is the same for all";
        check.require(shared, "fetch_as", reason);
        if let Some(token) = token {
            let fits = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
            check.require(fits, "auth.token", "is no bearer token");
        }
    }
}

fn access(check: &mut Check<'_>) {
    let endpoint = check.endpoint;
    check.span("access.ttl", endpoint.access_ttl);
    if let AccessRule::Claims(expression) = &endpoint.access {
        let Some(tests) = claim_tests(expression) else {
            let reason = format!(
                "`{expression}` is no list of `claim`, `claim=value` and `claim={{parameter}}`"
            );
            check.refuse("access.rule", reason);
            return;
        };
        let templates = [&endpoint.item, &endpoint.collection];
        for (_, test) in tests {
            let ClaimTest::Parameter(name) = test else {
                continue;
            };
            let written = format!("{{{name}}}");
            let everywhere = templates.iter().all(|template| {
                template
                    .as_deref()
                    .is_none_or(|template| template.contains(&written))
            });
            let reason = format!("not every template of the endpoint has `{written}`");
            check.require(everywhere, "access.rule", reason);
        }
    }
    if let Audience::Claims(names) = &endpoint.audience {
        check.require(!names.is_empty(), "audience", "names no claim");
        check.texts("audience", names);
    }
}

fn data(check: &mut Check<'_>) {
    let endpoint = check.endpoint;
    check.pointer("id", &endpoint.id);
    match &endpoint.version {
        VersionAt::Body(pointer) => check.pointer("version", pointer),
        VersionAt::Header(name) => {
            let fits = HeaderName::from_bytes(name.as_bytes()).is_ok();
            check.require(fits, "version", format!("`{name}` is no header's name"));
        }
        VersionAt::None => {}
    }
    check.texts("query.allow", &endpoint.query);
    check.texts("affects", &endpoint.affects);
    let cache = &endpoint.cache;
    if let Some(ttl) = cache.max_ttl {
        check.require(ttl <= 30 * DAY, "cache.max_ttl", "at most 30 days");
    }
    let stale = [
        ("cache.swr", cache.stale_while_revalidate),
        ("cache.sie", cache.stale_if_error),
    ];
    for (field, span) in stale {
        check.require(span <= DAY, field, "at most 1 day");
    }
    if let Some(every) = endpoint.revalidate_every {
        let fits = (Duration::from_secs(1)..=DAY).contains(&every);
        check.require(fits, "revalidate_every", "lies between 1 s and 1 day");
    }
}
