//! The settings that bound `[pusher]`'s webhooks.

use std::time::Duration;

use super::super::setting::{Kind, Setting};
use super::{optional, setting};

const COUNT: Kind = Kind::Count {
    min: 1,
    max: 10_000_000,
};
const BYTES: Kind = Kind::Bytes {
    min: 256 << 10,
    max: 1 << 30,
};
const WAIT: Kind = Kind::Span {
    min: Duration::ZERO,
    max: Duration::from_secs(60),
};

pub(super) const SETTINGS: &[Setting] = &[
    optional(
        "pusher.webhook_allow",
        Kind::List(&Kind::Network),
        "Addresses that webhooks may be sent to although they are private: without this none that \
         is not public; --dev allows this machine's own",
    )
    .live(),
    setting(
        "pusher.webhook_notices",
        COUNT,
        "16384",
        "Most events that wait to be sorted by webhook; further ones are dropped",
    ),
    setting(
        "pusher.webhook_notice_bytes",
        BYTES,
        "8388608",
        "Most bytes of them",
    ),
    setting(
        "pusher.webhook_delay",
        WAIT,
        "3s",
        "How long channel_vacated and member_removed are held back: who is back within it has \
         never left",
    )
    .live(),
    setting(
        "pusher.webhook_delayed",
        COUNT,
        "65536",
        "Most events held back so; further ones are sent at once",
    )
    .live(),
    setting(
        "pusher.webhook_batch_wait",
        WAIT,
        "100ms",
        "How long an event waits for others to go in the same request",
    )
    .live(),
    setting(
        "pusher.webhook_batch_events",
        COUNT,
        "100",
        "Most events in a request",
    )
    .live(),
    setting(
        "pusher.webhook_batch_bytes",
        BYTES,
        "262144",
        "Most bytes of events in a request",
    )
    .live(),
    setting(
        "pusher.webhook_queue_events",
        COUNT,
        "10000",
        "Most events that wait for one webhook; the oldest make room",
    )
    .live(),
    setting(
        "pusher.webhook_queue_bytes",
        BYTES,
        "8388608",
        "Most bytes of them",
    )
    .live(),
    setting(
        "pusher.webhook_timeout",
        Kind::seconds(1, 300),
        "10s",
        "How long a request may take",
    )
    .live(),
    setting(
        "pusher.webhook_retry_min",
        Kind::Span {
            min: Duration::from_millis(10),
            max: Duration::from_secs(3_600),
        },
        "1s",
        "The pause after the first failure; each further one is twice the one before, less up to a \
         half by chance",
    )
    .live(),
    setting(
        "pusher.webhook_retry_max",
        Kind::seconds(1, 3_600),
        "1m",
        "The longest pause",
    )
    .live(),
    setting(
        "pusher.webhook_retry_for",
        Kind::seconds(1, 86_400),
        "5m",
        "How long a request is tried, and how long an event waits behind others that are; then it \
         is dropped",
    )
    .live(),
    setting(
        "pusher.webhook_response_bytes",
        Kind::Bytes {
            min: 0,
            max: 16 << 20,
        },
        "65536",
        "How much of an answer's body is read, and thrown away; a longer one ends the connection",
    )
    .live(),
    setting(
        "pusher.webhook_drain",
        WAIT,
        "5s",
        "How long what waits may still be sent when the server stops",
    )
    .live(),
];
