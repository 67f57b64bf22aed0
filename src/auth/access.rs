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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::fixture::{any_issuer, at_once, authenticator, claims, hs256, now, shared};
    use crate::channel::Rules;
    use serde_json::{Value, json};

    fn grant(caps: &Value) -> Grant {
        let token = hs256(&claims(json!({ "caps": caps })));
        at_once(&authenticator(vec![any_issuer(shared())]), &token, now()).unwrap()
    }

    fn rule(subscribe: Access, publish: Access) -> ChannelRule {
        let rules = Rules::new(vec![], false);
        ChannelRule {
            subscribe,
            publish,
            ..rules.of("news").clone()
        }
    }

    #[test]
    fn each_access_asks_for_what_its_name_says() {
        use Access::{Anyone, Capability, Nobody, Token};
        let (plain, capable) = (
            grant(&json!({})),
            grant(&json!({ "c": ["subscribe", "publish"] })),
        );
        for (access, anonymous, with_token, with_capability) in [
            (Anyone, true, true, true),
            (Token, false, true, true),
            (Capability, false, false, true),
            (Nobody, false, false, false),
        ] {
            for (op, rule) in [
                (Op::Subscribe, rule(access, Nobody)),
                (Op::Publish, rule(Nobody, access)),
            ] {
                assert_eq!(may(op, "c", &rule, None), anonymous, "{op:?} {access:?}");
                assert_eq!(
                    may(op, "c", &rule, Some(&plain)),
                    with_token,
                    "{op:?} {access:?}"
                );
                assert_eq!(
                    may(op, "c", &rule, Some(&capable)),
                    with_capability,
                    "{op:?} {access:?}"
                );
            }
            // A capability counts for the channels of its pattern alone.
            assert_eq!(
                may(Op::Subscribe, "d", &rule(access, Nobody), Some(&capable)),
                with_token
            );
        }
    }

    #[test]
    fn presence_and_history_follow_subscribing_or_their_own_operation() {
        use Access::{Anyone, Capability, Nobody, Token};
        let plain = grant(&json!({}));
        for (op, name) in [(Op::Presence, "presence"), (Op::History, "history")] {
            let own = grant(&json!({ "c": [name] }));
            let subscriber = grant(&json!({ "c": ["subscribe"] }));
            let publisher = grant(&json!({ "c": ["publish"] }));
            let guarded = rule(Capability, Anyone);
            assert!(may(op, "c", &guarded, Some(&own)));
            assert!(may(op, "c", &guarded, Some(&subscriber)));
            assert!(!may(op, "c", &guarded, Some(&publisher)));
            assert!(!may(op, "c", &guarded, Some(&plain)));
            assert!(!may(op, "c", &guarded, None));
            assert!(
                !may(Op::Subscribe, "c", &guarded, Some(&own)),
                "{name} is not subscribing"
            );
            assert!(may(op, "c", &rule(Token, Nobody), Some(&plain)));
            assert!(may(op, "c", &rule(Anyone, Nobody), None));
            assert!(!may(op, "c", &rule(Nobody, Anyone), Some(&own)));
        }
    }

    #[test]
    fn the_default_rules_keep_the_contract() {
        let rules = Rules::new(vec![], false);
        let all = grant(&json!({ "**": ["*"] }));
        let plain = grant(&json!({}));
        let check = |op, channel, grant| may(op, channel, rules.of(channel), grant);
        assert!(check(Op::Subscribe, "news", Some(&plain)));
        assert!(!check(Op::Subscribe, "news", None));
        assert!(!check(Op::Publish, "news", Some(&plain)));
        for guarded in ["private-a", "presence-a"] {
            assert!(!check(Op::Subscribe, guarded, Some(&plain)));
        }
        for channel in ["news", "private-a", "presence-a", "/posts/1"] {
            for op in [Op::Subscribe, Op::Publish, Op::Presence, Op::History] {
                assert!(check(op, channel, Some(&all)), "{op:?} {channel}");
            }
        }
    }
}
