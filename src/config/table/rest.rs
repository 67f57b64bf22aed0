//! The settings of `[broker]`, `[node]`, `[state]`, `[hub]`, `[events]`, `[drain]` and `[log]`.

use super::super::setting::{Kind, Setting};
use super::{optional, setting};
use std::time::Duration;

const MANY: Kind = Kind::Count {
    min: 1,
    max: 100_000_000,
};
const SPAN: Kind = Kind::Span {
    min: Duration::from_millis(10),
    max: Duration::from_secs(30 * 86_400),
};
const ROOM: Kind = Kind::Bytes {
    min: 131_072,
    max: 1 << 40,
};

pub(super) const SETTINGS: &[Setting] = &[
    setting(
        "broker.kind",
        Kind::Choice(&["memory", "redis", "nats"]),
        "memory",
        "What keeps order, history and presence. This version has memory: one node",
    ),
    setting(
        "broker.max_channels",
        MANY,
        "1000000",
        "Most channels that are remembered; beyond it the oldest without subscriber, member and history is forgotten",
    ),
    setting(
        "broker.idle_after",
        SPAN,
        "1h",
        "How long a channel without subscriber, member and history keeps its epoch",
    ),
    setting(
        "broker.history_bytes",
        ROOM,
        "268435456",
        "Most bytes that all histories retain; beyond it channels that were published on long ago lose theirs",
    ),
    setting(
        "broker.idempotency_window",
        SPAN,
        "5m",
        "How long an idempotency key counts",
    ),
    setting(
        "broker.max_idempotency_keys",
        MANY,
        "500000",
        "Most idempotency keys in that time",
    ),
    setting(
        "broker.max_revocations",
        MANY,
        "100000",
        "Most revocations in force; one more is refused",
    ),
    setting(
        "broker.max_denied",
        MANY,
        "100000",
        "Most denied ranges; one more is refused",
    ),
    setting(
        "node.leave_delay",
        SPAN,
        "5s",
        "How long the node stays subscribed at the broker after the last session has left a channel",
    ),
    setting(
        "node.sweep_interval",
        SPAN,
        "1s",
        "How often what has expired is let go of",
    ),
    optional(
        "state.path",
        Kind::Path,
        "Directory (or an existing file) in which revocations, the deny list and endpoints that were put live survive a restart. Unset: they do not",
    ),
    setting(
        "hub.budget_bytes",
        ROOM,
        "67108864",
        "Most bytes of publications between acceptance and the mailboxes; publishers wait",
    ),
    setting(
        "hub.budget_publications",
        MANY,
        "65536",
        "Most publications between acceptance and the mailboxes; publishers wait",
    ),
    setting(
        "hub.max_watchers",
        MANY,
        "256",
        "Most backend subscriptions at a time",
    ),
    setting(
        "hub.watcher_patterns",
        MANY,
        "100",
        "Most names and patterns of a backend subscription",
    ),
    setting(
        "hub.watcher_publications",
        MANY,
        "8192",
        "Most publications that wait for a backend subscription; beyond it there is a gap",
    ),
    setting(
        "hub.watcher_bytes",
        ROOM,
        "8388608",
        "Most bytes that wait for a backend subscription; beyond it there is a gap",
    ),
    setting(
        "hub.watcher_gaps",
        MANY,
        "1024",
        "Most channels whose loss is told to a backend subscription channel by channel",
    ),
    setting(
        "hub.answer_timeout",
        Kind::Span {
            min: Duration::from_millis(10),
            max: Duration::from_secs(3_600),
        },
        "5s",
        "How long a worker may take to answer",
    ),
    setting(
        "events.capacity",
        MANY,
        "16384",
        "Most events that are kept for those who watch",
    ),
    setting(
        "drain.period",
        Kind::Span {
            min: Duration::ZERO,
            max: Duration::from_secs(3_600),
        },
        "30s",
        "How long the closing of sessions is spread over when the server stops",
    ),
    setting(
        "log.level",
        Kind::Text,
        "info",
        "error, warn, info, debug or trace; or by module, like \"info,pogo::edge=debug\"",
    ),
    setting(
        "log.format",
        Kind::Choice(&["text", "json"]),
        "text",
        "How log lines are written",
    ),
];
