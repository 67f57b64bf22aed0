//! `[limits]`, `[[channel]]` and what governs a session: who may do what, and how much.

use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

use super::super::reader::Reader;
use crate::channel::{Access, ChannelRule, HistoryRule, Pattern, SlowPolicy};
use crate::limits::{self, RateConfig};
use crate::session;

pub(super) fn session(root: &Reader<'_>) -> session::Settings {
    let (auth, edge, limits) = (root.table("auth"), root.table("edge"), root.table("limits"));
    session::Settings {
        auth_required: auth.flag("required"),
        auth_deadline: edge.span("auth_deadline"),
        leeway: auth.span("leeway"),
        expiry_warning: auth.span("expiry_warning"),
        ping_interval: edge.span("ping_interval"),
        max_channels: limits.count("channels"),
        max_calls: root.table("gateway").count("max_calls"),
        mailbox_bytes: edge.count("mailbox_bytes"),
        max_refusals: u32::try_from(limits.count("max_refusals")).unwrap_or(u32::MAX),
        refusal_pause: limits.span("refusal_pause"),
        pusher: super::pusher::settings(root),
    }
}

pub(super) fn limits(root: &Reader<'_>) -> limits::Config {
    let section = root.table("limits");
    let narrow = |count| u32::try_from(count).unwrap_or(u32::MAX);
    let rate = |name| {
        let rate = section.table(name);
        RateConfig::new(
            narrow(rate.count("per_second")),
            narrow(rate.count("burst")),
        )
    };
    limits::Config {
        connects: rate("connects"),
        commands: rate("commands"),
        failed_tokens: rate("failed_tokens"),
        requests: rate("requests"),
        connections: NonZeroU32::new(narrow(section.count("connections")))
            .unwrap_or(NonZeroU32::MIN),
        deny: section.networks("deny"),
        allow: section.networks("allow"),
        max_tracked_addresses: NonZeroUsize::new(section.count("max_tracked_addresses"))
            .unwrap_or(NonZeroUsize::MIN),
        sweep_interval: section.span("sweep_interval"),
    }
}

pub(super) fn rules(root: &Reader<'_>) -> Vec<ChannelRule> {
    let rules = root.items("channel");
    rules.iter().filter_map(rule).collect()
}

fn rule(entry: &Reader<'_>) -> Option<ChannelRule> {
    let access = |name| match entry.text(name).as_deref() {
        Some("anyone") => Access::Anyone,
        Some("token") => Access::Token,
        Some("capability") => Access::Capability,
        Some("nobody") => Access::Nobody,
        _ => Access::Default,
    };
    let history = entry.table("history");
    let history = HistoryRule {
        size: history.count_if_set("size").unwrap_or(100),
        ttl: history
            .span_if_set("ttl")
            .unwrap_or(Duration::from_secs(300)),
    };
    let rule = ChannelRule {
        subscribe: access("subscribe"),
        publish: access("publish"),
        presence: entry.flag("presence"),
        history: entry.has("history").then_some(history),
        slow: match entry.text("slow").as_deref() {
            Some("drop_oldest") => SlowPolicy::DropOldest,
            _ => SlowPolicy::Disconnect,
        },
        // The last of all, so that the others are read where it is wrong.
        pattern: Pattern::parse(&entry.text("pattern")?).ok()?,
    };
    Some(rule)
}
