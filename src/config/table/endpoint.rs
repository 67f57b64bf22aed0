//! The settings of `[[endpoint]]`. Their defaults are those of [`crate::resource::Endpoint::new`];
//! a test compares the two.

use std::time::Duration;

use super::super::setting::{Fallback, Kind, Setting};
use super::{optional, required};

const SPAN: Kind = Kind::Span {
    min: Duration::from_millis(1),
    max: Duration::from_secs(86_400),
};
const STALE: Kind = Kind::Span {
    min: Duration::ZERO,
    max: Duration::from_secs(86_400),
};
const TEXTS: Kind = Kind::List(&Kind::Text);
const VERBS: Kind = Kind::List(&Kind::Choice(&[
    "index", "show", "create", "update", "delete",
]));

/// A key of an endpoint: a reload puts a new value in force.
const fn key(
    key: &'static str,
    kind: Kind,
    default: Option<&'static str>,
    about: &'static str,
) -> Setting {
    Setting {
        key,
        kind,
        default: match default {
            Some(default) => Fallback::Value(default),
            None => Fallback::Unset,
        },
        live: true,
        about,
    }
}

pub(super) const SETTINGS: &[Setting] = &[
    required(
        "endpoint[].name",
        Kind::Text,
        "The endpoint's name: letters, digits, `-`, `_` and `.`",
    )
    .live(),
    optional(
        "endpoint[].item",
        Kind::Text,
        "Template of an item's uri, like `/posts/{id}`: a parameter stands for one whole segment",
    )
    .live(),
    optional(
        "endpoint[].collection",
        Kind::Text,
        "Template of the collection's uri, like `/posts`. One of the two is needed",
    )
    .live(),
    optional("endpoint[].methods", VERBS, "The verbs that are allowed")
        .computed("all that have a template")
        .live(),
    required(
        "endpoint[].upstream.bases",
        Kind::List(&Kind::Url),
        "Base URLs of the API's instances: a uri is asked for below one of them",
    )
    .live(),
    key(
        "endpoint[].upstream.update",
        Kind::Choice(&["PATCH", "PUT"]),
        Some("PATCH"),
        "The method of update",
    ),
    key(
        "endpoint[].upstream.connect_timeout",
        SPAN,
        Some("1s"),
        "Longest wait for a connection",
    ),
    key(
        "endpoint[].upstream.timeout",
        SPAN,
        Some("10s"),
        "Longest wait for the whole answer",
    ),
    key(
        "endpoint[].upstream.retries",
        Kind::Count { min: 0, max: 5 },
        Some("1"),
        "How often a read is tried again; a write is made once",
    ),
    key(
        "endpoint[].upstream.breaker.requests",
        Kind::Count {
            min: 1,
            max: 1_000_000,
        },
        Some("20"),
        "Fewest requests within the window before the breaker may open",
    ),
    key(
        "endpoint[].upstream.breaker.window",
        SPAN,
        Some("10s"),
        "What it looks back on",
    ),
    key(
        "endpoint[].upstream.breaker.ratio",
        Kind::Part,
        Some("0.5"),
        "The part of them that must fail: 5xx, no answer, a broken one",
    ),
    key(
        "endpoint[].upstream.breaker.open",
        SPAN,
        Some("5s"),
        "How long it stays open before one request tries again",
    ),
    key(
        "endpoint[].upstream.concurrency",
        Kind::Count {
            min: 1,
            max: 65_536,
        },
        Some("128"),
        "Most requests to the upstream at a time; further ones wait a moment, then are refused \
         with unavailable",
    ),
    key(
        "endpoint[].upstream.forward",
        TEXTS,
        None,
        "Clients' headers that go on to the upstream, beside Accept, Accept-Language, \
         Content-Type, Idempotency-Key, Prefer, Range and the conditional ones",
    ),
    key(
        "endpoint[].auth.mode",
        Kind::Choice(&["bearer", "mint", "claims", "none"]),
        Some("bearer"),
        "How the upstream learns who asks: the caller's own token, a short one made for the \
         upstream (HS256), the headers X-Pogo-Sub and X-Pogo-Claims, or not at all",
    ),
    key(
        "endpoint[].auth.secret",
        Kind::Secret,
        None,
        "What `mint` signs with, at least 32 bytes",
    ),
    key(
        "endpoint[].auth.audience",
        Kind::Text,
        None,
        "`aud` of tokens that are minted; unset: the first base",
    ),
    key(
        "endpoint[].auth.ttl",
        SPAN,
        Some("60s"),
        "How long a minted token lives",
    ),
    key(
        "endpoint[].auth.token",
        Kind::Secret,
        None,
        "The bearer token of `fetch_as = \"service\"`; unset: it sends none",
    ),
    key(
        "endpoint[].access",
        Kind::Text,
        None,
        "The same as `access.rule`, in short",
    ),
    key(
        "endpoint[].access.rule",
        Kind::Text,
        Some("upstream"),
        "Who may read and bind: `public`, `upstream` (to whom the upstream shows it) or \
         `claims:` with tests joined by commas: `name`, `name=value`, `name={parameter}`",
    ),
    key(
        "endpoint[].access.ttl",
        SPAN,
        Some("30s"),
        "How long an answer to that holds",
    ),
    key(
        "endpoint[].audience",
        Kind::Text,
        Some("user"),
        "Whose an answer is: `user` (the subject's alone), `claims:[tenant]` (of all whose claims \
         of these names are equal) or `shared` (of everyone who may read it). Only shared data is \
         passed on",
    ),
    key(
        "endpoint[].fetch_as",
        Kind::Choice(&["caller", "service"]),
        Some("caller"),
        "Whose credentials fetch; `service` needs a shared audience",
    ),
    key(
        "endpoint[].id",
        Kind::Text,
        Some("/id"),
        "Where an item's id is in a body: a JSON pointer",
    ),
    key(
        "endpoint[].version",
        Kind::Text,
        Some("none"),
        "Where a resource's version is, a whole number that strictly grows: `body:/version`, \
         `header:X-Version` or `none`",
    ),
    key(
        "endpoint[].ordered",
        Kind::Flag,
        Some("false"),
        "Whether publishers keep the order of each uri's events, so that data without a version \
         may be used",
    ),
    key(
        "endpoint[].write_returns",
        Kind::Choice(&["unknown", "representation"]),
        Some("unknown"),
        "What a write's answer holds: anything, or the item as it is now",
    ),
    key(
        "endpoint[].query.allow",
        TEXTS,
        None,
        "The keys of a query that are taken; others are refused",
    ),
    key(
        "endpoint[].query.realtime",
        Kind::Choice(&["refetch", "none"]),
        Some("refetch"),
        "What an event does to a bound query: it is fetched again and compared, or nothing",
    ),
    key(
        "endpoint[].affects",
        TEXTS,
        None,
        "Templates of other uris that a write changes, like `/users/{body:/author_id}/posts`",
    ),
    key(
        "endpoint[].publish",
        Kind::Choice(&["gateway", "service", "both"]),
        Some("gateway"),
        "Who tells of writes through the gateway: it, the service behind it, or both",
    ),
    key(
        "endpoint[].autobind",
        Kind::Flag,
        Some("true"),
        "Whether a verb that succeeds binds the session",
    ),
    key(
        "endpoint[].cache",
        Kind::Flag,
        Some("true"),
        "`false`: the upstream is asked for every answer",
    ),
    key(
        "endpoint[].cache.max_ttl",
        Kind::Span {
            min: Duration::ZERO,
            max: Duration::from_secs(30 * 86_400),
        },
        None,
        "Longest time that an answer is fresh, whatever the upstream says; unset: as it says",
    ),
    key(
        "endpoint[].cache.swr",
        STALE,
        Some("0ms"),
        "How long after that it may still be used while it is fetched again",
    ),
    key(
        "endpoint[].cache.sie",
        STALE,
        Some("0ms"),
        "How long after that it may still be used while the upstream fails",
    ),
    key(
        "endpoint[].revalidate_every",
        Kind::seconds(1, 86_400),
        None,
        "How often what is bound is fetched again, for upstreams that tell of nothing",
    ),
];
