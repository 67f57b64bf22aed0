//! The one decision: channel rule and token together.

use super::{Grant, Op};
use crate::channel::{Access, ChannelRule};

/// Whether a session with `grant` (none: anonymous) may do `op` on `channel` under `rule`.
/// Presence and history follow the right to subscribe, or their own capability.
pub fn may(op: Op, channel: &str, rule: &ChannelRule, grant: Option<&Grant>) -> bool {
    let capable = |op| grant.is_some_and(|grant| grant.capabilities.allow(op, channel));
    let by_rule = |access, op| match access {
        Access::Anyone => true,
        Access::Token => grant.is_some(),
        // Rules resolve the default; left over, it is the strict one.
        Access::Capability | Access::Default => capable(op),
        Access::Nobody => false,
    };
    match op {
        Op::Subscribe => by_rule(rule.subscribe, op),
        Op::Publish => by_rule(rule.publish, op),
        Op::Presence | Op::History => {
            rule.subscribe != Access::Nobody && capable(op)
                || by_rule(rule.subscribe, Op::Subscribe)
        }
    }
}
