//! The settings of `[gateway]`.

use std::time::Duration;

use super::super::setting::{Kind, Setting};
use super::{optional, setting};

const MANY: Kind = Kind::Count {
    min: 1,
    max: 100_000_000,
};
const BODY: Kind = Kind::Bytes {
    min: 1_024,
    max: 256 << 20,
};
const STORE: Kind = Kind::Bytes {
    min: 65_536,
    max: 1 << 40,
};
const SPAN: Kind = Kind::Span {
    min: Duration::from_millis(1),
    max: Duration::from_secs(60),
};

pub(super) const SETTINGS: &[Setting] = &[
    setting(
        "gateway.max_calls",
        Kind::Count {
            min: 1,
            max: 10_000,
        },
        "32",
        "Most calls of one session that wait for an answer; further ones are refused with \
         limit_exceeded",
    )
    .live(),
    setting(
        "gateway.max_waiting",
        MANY,
        "16384",
        "Most calls and checks of access of the node that wait for upstreams at a time; further \
         ones are refused with unavailable",
    ),
    setting(
        "gateway.max_access",
        MANY,
        "100000",
        "Most answers to who may read what that are remembered",
    ),
    setting(
        "gateway.body_bytes",
        BODY,
        "1048576",
        "Longest body of an upstream's answer that goes to a socket, but for index",
    ),
    setting(
        "gateway.index_bytes",
        BODY,
        "4194304",
        "Longest body of an index that goes to a socket",
    ),
    setting(
        "gateway.cache_bytes",
        STORE,
        "67108864",
        "Most bytes of all cached answers; beyond it those go that are used least",
    ),
    setting(
        "gateway.cache_entry_bytes",
        BODY,
        "1048576",
        "Longest body that is cached",
    ),
    setting(
        "gateway.max_replicas",
        MANY,
        "100000",
        "Most uris that sessions are bound to at a time, each variant of an audience counted; \
         beyond it binding is refused with unavailable",
    ),
    setting(
        "gateway.history_size",
        Kind::Count {
            min: 1,
            max: 10_000,
        },
        "128",
        "Events of a covered uri that are kept for recovery",
    ),
    setting(
        "gateway.history_ttl",
        Kind::Span {
            min: Duration::from_secs(1),
            max: Duration::from_secs(86_400),
        },
        "60s",
        "How long they are kept, and what is known of a uri that nobody is bound to any more",
    ),
    setting(
        "gateway.history_bytes",
        STORE,
        "1048576",
        "Most bytes of such events, for each uri and variant",
    ),
    setting(
        "gateway.refetch_debounce",
        SPAN,
        "50ms",
        "From an event that says too little to the fetch that follows, so that one fetch serves \
         many events",
    ),
    setting(
        "gateway.refetch_spacing",
        SPAN,
        "100ms",
        "Least time between two fetches of a bound query",
    ),
    setting(
        "gateway.upload_time",
        Kind::Span {
            min: Duration::from_secs(1),
            max: Duration::from_secs(3_600),
        },
        "60s",
        "What a body over plain HTTP that is sent on as it comes may take, beyond the upstream's own \
         time",
    ),
    setting(
        "gateway.max_endpoints",
        Kind::Count {
            min: 1,
            max: 100_000,
        },
        "1000",
        "Most endpoints, those below and those put live together",
    ),
    optional(
        "gateway.allow",
        Kind::List(&Kind::Network),
        "Addresses that upstreams may have beside public and private ones: loopback, link-local \
         and a cloud's metadata are refused unless they are listed here (--dev allows loopback)",
    ),
];
