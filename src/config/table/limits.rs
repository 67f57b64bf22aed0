//! The settings of `[limits]` and `[[channel]]`.

use super::super::setting::{Kind, Setting};
use super::{optional, required, setting};
use std::time::Duration;

const DAY: u64 = 86_400;
const MANY: Kind = Kind::Count {
    min: 1,
    max: 100_000_000,
};
const WHO: Kind = Kind::Choice(&["anyone", "token", "capability", "nobody"]);

pub(super) const SETTINGS: &[Setting] = &[
    setting(
        "limits.connects.per_second",
        MANY,
        "20",
        "New connections of an address: in the long run",
    )
    .live(),
    setting(
        "limits.connects.burst",
        MANY,
        "100",
        "New connections of an address: at once, after a quiet time",
    )
    .live(),
    setting(
        "limits.commands.per_second",
        MANY,
        "100",
        "Commands of all an address's sessions: in the long run",
    )
    .live(),
    setting(
        "limits.commands.burst",
        MANY,
        "500",
        "Commands of all an address's sessions: at once, after a quiet time",
    )
    .live(),
    setting(
        "limits.failed_tokens.per_second",
        MANY,
        "1",
        "Refused tokens of an address: in the long run",
    )
    .live(),
    setting(
        "limits.failed_tokens.burst",
        MANY,
        "20",
        "Refused tokens of an address: at once, after a quiet time",
    )
    .live(),
    setting(
        "limits.requests.per_second",
        MANY,
        "50",
        "Plain HTTP requests of an address: in the long run",
    )
    .live(),
    setting(
        "limits.requests.burst",
        MANY,
        "200",
        "Plain HTTP requests of an address: at once, after a quiet time",
    )
    .live(),
    setting(
        "limits.connections",
        MANY,
        "1000",
        "Connections of an address, open at a time",
    )
    .live(),
    setting(
        "limits.channels",
        Kind::Count {
            min: 1,
            max: 1_000_000,
        },
        "1000",
        "Most channels that one session may be on",
    )
    .live(),
    setting(
        "limits.deny",
        Kind::List(&Kind::Network),
        "",
        "Addresses that are refused before the upgrade (403)",
    )
    .live(),
    setting(
        "limits.allow",
        Kind::List(&Kind::Network),
        "",
        "Addresses that are exempt from limits and from every denial",
    )
    .live(),
    setting(
        "limits.max_refusals",
        MANY,
        "100",
        "So many commands of a session over the rate, without a pause, close it with 4102",
    )
    .live(),
    setting(
        "limits.refusal_pause",
        Kind::Span {
            min: Duration::from_millis(10),
            max: Duration::from_secs(DAY),
        },
        "10s",
        "Without a refusal for so long, counting begins anew",
    )
    .live(),
    setting(
        "limits.max_tracked_addresses",
        MANY,
        "100000",
        "Most addresses that each rate remembers; those beyond share one allowance",
    )
    .live(),
    setting(
        "limits.sweep_interval",
        Kind::Span {
            min: Duration::from_millis(10),
            max: Duration::from_secs(DAY),
        },
        "10s",
        "How often addresses that have their whole allowance again are forgotten",
    )
    .live(),
    required(
        "channel[].pattern",
        Kind::Pattern,
        "The names it governs; the first match counts",
    )
    .live(),
    optional("channel[].subscribe", WHO, "Who may subscribe without more")
        .computed("token; capability for names starting private- or presence-")
        .live(),
    optional("channel[].publish", WHO, "Which sessions may publish")
        .computed("capability")
        .live(),
    setting(
        "channel[].presence",
        Kind::Flag,
        "false",
        "Whether members are kept and join and leave are told; names starting presence- always do",
    )
    .live(),
    optional(
        "channel[].history.size",
        Kind::Count {
            min: 1,
            max: 1_000_000,
        },
        "Most publications that are retained",
    )
    .computed("100, where history is given")
    .live(),
    optional(
        "channel[].history.ttl",
        Kind::Span {
            min: Duration::from_millis(10),
            max: Duration::from_secs(365 * DAY),
        },
        "Longest age of what is retained",
    )
    .computed("5m, where history is given")
    .live(),
    setting(
        "channel[].slow",
        Kind::Choice(&["disconnect", "drop_oldest"]),
        "disconnect",
        "What happens to a session whose mailbox is full: closed with 4101, or its oldest \
         publications of the channel are dropped and pogo:gap says so (they fill half of it at \
         most, so that replies find room)",
    )
    .live(),
];
