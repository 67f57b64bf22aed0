//! The settings of `[auth]`.

use super::super::setting::{Kind, Setting};
use super::{optional, setting};
use std::time::Duration;

const ALGORITHMS: Kind = Kind::List(&Kind::Choice(&crate::auth::ALGORITHM_NAMES));
const DAY: u64 = 86_400;
const SHORT: Kind = Kind::Span {
    min: Duration::from_millis(10),
    max: Duration::from_secs(600),
};
const MANY: Kind = Kind::Count {
    min: 1,
    max: 100_000_000,
};

pub(super) const SETTINGS: &[Setting] = &[
    setting(
        "auth.required",
        Kind::Flag,
        "true",
        "Whether a session must hold a token within edge.auth_deadline",
    )
    .live(),
    optional(
        "auth.algorithms",
        ALGORITHMS,
        "Algorithms that tokens may use. Unset: every one that fits the configured keys",
    )
    .live(),
    optional(
        "auth.secret",
        Kind::Secret,
        "Shared secret for HS256, HS384 and HS512: 32, 48 and 64 bytes are good (RFC 7518, 3.2); fewer \
         than 32 are refused where the edge listens beyond this machine",
    )
    .live(),
    optional(
        "auth.public_key_file",
        Kind::Path,
        "PEM file with a public key",
    )
    .live(),
    optional(
        "auth.jwks_url",
        Kind::Url,
        "Where a key set (JWKS, RFC 7517) is fetched",
    )
    .live(),
    optional(
        "auth.audience",
        Kind::List(&Kind::Text),
        "A token's aud must be or contain one of these. Unset: a token with aud is refused",
    )
    .live(),
    optional(
        "auth.issuer",
        Kind::Text,
        "The exact iss of tokens by the keys above. Unset: any, or none",
    )
    .live(),
    optional(
        "auth.issuer[].issuer",
        Kind::Text,
        "The exact iss of its tokens",
    )
    .live(),
    optional(
        "auth.issuer[].algorithms",
        ALGORITHMS,
        "As auth.algorithms, for this entry",
    )
    .live(),
    optional(
        "auth.issuer[].secret",
        Kind::Secret,
        "As auth.secret, for this entry",
    )
    .live(),
    optional(
        "auth.issuer[].public_key_file",
        Kind::Path,
        "As auth.public_key_file, for this entry",
    )
    .live(),
    optional(
        "auth.issuer[].jwks_url",
        Kind::Url,
        "As auth.jwks_url, for this entry",
    )
    .live(),
    optional(
        "auth.cookie",
        Kind::Text,
        "Cookie that holds a token, for /pusher/auth; it counts only from pages of \
         edge.allowed_origins by name, or of the same origin",
    ),
    setting(
        "auth.leeway",
        Kind::seconds(0, 300),
        "5s",
        "How far clocks may differ",
    )
    .live(),
    setting(
        "auth.expiry_warning",
        Kind::seconds(0, DAY),
        "30s",
        "How long before its token ends a client is told (pogo:expiring)",
    )
    .live(),
    setting(
        "auth.max_token_lifetime",
        Kind::seconds(1, 3_660 * DAY),
        "30d",
        "Longest time from a token's iat (or from now) to its exp; revocations are kept as long",
    )
    .live(),
    setting(
        "auth.jwks.timeout",
        SHORT,
        "5s",
        "For a whole fetch of a key set",
    )
    .live(),
    setting(
        "auth.jwks.max_body_bytes",
        Kind::Bytes {
            min: 1_024,
            max: 64 << 20,
        },
        "1048576",
        "Longest key set",
    )
    .live(),
    setting("auth.jwks.max_keys", MANY, "100", "Most keys in a set").live(),
    setting(
        "auth.jwks.refresh_interval",
        Kind::seconds(1, DAY),
        "10m",
        "How often a key set is fetched in the background",
    )
    .live(),
    setting(
        "auth.jwks.min_refetch_interval",
        Kind::Span {
            min: Duration::from_millis(10),
            max: Duration::from_secs(DAY),
        },
        "30s",
        "Unknown kids cause at most one fetch in this time; a failed one is tried again as late",
    )
    .live(),
    setting(
        "auth.jwks.max_age",
        Kind::seconds(1, 30 * DAY),
        "1h",
        "An older set, because its source is down, counts no more",
    )
    .live(),
    setting(
        "auth.jwks.max_waiting",
        MANY,
        "1024",
        "Most tokens that wait for a fetch",
    )
    .live(),
];
