//! The settings of `[broker]`, `[state]`, `[drain]` and `[log]`.

use super::super::setting::{Kind, Setting};
use super::{optional, setting};
use std::time::Duration;

pub(super) const SETTINGS: &[Setting] = &[
    setting(
        "broker.kind",
        Kind::Choice(&["memory", "redis", "nats"]),
        "memory",
        "What keeps order, history and presence. This version has memory: one node",
    ),
    optional(
        "state.path",
        Kind::Path,
        "File in which revocations and the deny list survive a restart. Unset: they do not",
    ),
    setting(
        "drain.period",
        Kind::Span { min: Duration::ZERO, max: Duration::from_secs(3_600) },
        "30s",
        "How long the closing of sessions is spread over when the server stops",
    )
    .live(),
    setting(
        "log.level",
        Kind::Text,
        "info",
        "error, warn, info, debug or trace; or by module, like \"info,pogo::edge=debug\"",
    ),
    setting("log.format", Kind::Choice(&["text", "json"]), "text", "How log lines are written"),
];
