//! The settings of `[pusher]`.

use std::time::Duration;

use super::super::setting::{Kind, Setting};
use super::{optional, required, setting};

const SPAN: Kind = Kind::Span {
    min: Duration::from_millis(10),
    max: Duration::from_secs(86_400),
};
const MANY: Kind = Kind::Count {
    min: 1,
    max: 1_000_000,
};
const SIZE: Kind = Kind::Bytes {
    min: 1,
    max: 65_536,
};
const EVENTS: Kind = Kind::List(&Kind::Choice(&crate::notice::NoticeKind::NAMES));

pub(super) const SETTINGS: &[Setting] = &[
    required(
        "pusher.apps[].id",
        Kind::Text,
        "The app's id in the paths of the HTTP API; a number, as some libraries take no other",
    )
    .live(),
    required(
        "pusher.apps[].key",
        Kind::Text,
        "The app's key, which stands in clients' URLs: letters, digits, `-` and `_`",
    )
    .live(),
    required(
        "pusher.apps[].secret",
        Kind::Secret,
        "What the app signs subscriptions and requests with, and webhooks are signed with",
    )
    .live(),
    optional(
        "pusher.apps[].encryption_master_key",
        Kind::Secret,
        "The 32 bytes in base64 that the backend's library has as its encryption master key: \
         /pusher/auth gives clients the keys of encrypted channels derived from it. Without it \
         they are derived from the secret, and a backend has to do the same",
    )
    .live(),
    setting(
        "pusher.apps[].client_events",
        Kind::Flag,
        "true",
        "Whether clients may send events of their own (`client-…`)",
    )
    .live(),
    setting(
        "pusher.apps[].subscription_count",
        Kind::Flag,
        "false",
        "Whether clients are told how many subscribers a channel has",
    )
    .live(),
    required(
        "pusher.apps[].webhooks[].url",
        Kind::Url,
        "Where events are sent",
    )
    .live(),
    setting(
        "pusher.apps[].webhooks[].events",
        EVENTS,
        "",
        "Which events are sent there; empty: all, subscription_count only with the app's setting of \
         this name",
    )
    .live(),
    setting(
        "pusher.activity_timeout",
        SPAN,
        "120s",
        "After so long without a word from a client it is pinged; also what clients are told",
    )
    .live(),
    setting(
        "pusher.pong_timeout",
        SPAN,
        "30s",
        "How long it has to answer; then 4201",
    )
    .live(),
    setting(
        "pusher.max_event_bytes",
        SIZE,
        "10240",
        "Longest data of an event by a client or by the HTTP API",
    )
    .live(),
    setting(
        "pusher.client_events_per_second",
        MANY,
        "10",
        "Events that one connection may send",
    )
    .live(),
    setting(
        "pusher.max_members",
        MANY,
        "100",
        "Most members of a presence channel; Pusher clients beyond it are refused",
    )
    .live(),
    setting(
        "pusher.max_user_info_bytes",
        SIZE,
        "1024",
        "Longest user_info of a presence channel's member",
    )
    .live(),
    setting(
        "pusher.max_listed",
        MANY,
        "10000",
        "Most channels, or users of a channel, that one answer of the HTTP API lists; a request \
         for more is refused",
    ),
    setting(
        "pusher.max_watchlist",
        MANY,
        "100",
        "Most users that a signed-in user watches",
    )
    .live(),
    setting(
        "pusher.fallback_sessions",
        MANY,
        "10000",
        "Most sessions of clients without WebSockets (xhr_streaming, xhr_polling, SockJS); each \
         takes up to three open files",
    ),
    setting(
        "pusher.fallback_buffer_bytes",
        Kind::Bytes {
            min: 1_024,
            max: 1 << 30,
        },
        "65536",
        "What waits for such a session's next response beside its mailbox, and what it may send \
         at once",
    ),
    setting(
        "pusher.fallback_heartbeat",
        SPAN,
        "25s",
        "How often a response that has nothing to say gets a heartbeat, so that no proxy cuts it",
    ),
    setting(
        "pusher.fallback_abandoned_after",
        SPAN,
        "10s",
        "How long such a session lives on after a response until its client asks for the next, and how long a SockJS client may take to name its app",
    ),
];
