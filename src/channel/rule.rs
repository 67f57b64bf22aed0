//! Channel rules: what any session may do on a channel and what the channel keeps. The first
//! matching rule counts; without one the defaults do.

use std::time::Duration;

use super::Pattern;

/// Who may do an operation without asking for more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Every session, also an anonymous one.
    Anyone,
    /// Every session with a token.
    Token,
    /// Only a session whose token has the capability (on Pusher: a valid signature).
    Capability,
    /// Nobody, whatever the token says.
    Nobody,
    /// As the rule does not say: [`Rules::of`] puts the default for the name in its place.
    Default,
}

/// What happens to a session whose mailbox is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SlowPolicy {
    /// It is closed with 4101.
    #[default]
    Disconnect,
    /// The oldest publications of the channel are dropped, and `pogo:gap` says so.
    DropOldest,
}

/// How much a channel retains.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HistoryRule {
    /// Most publications.
    pub size: usize,
    /// Longest age.
    pub ttl: Duration,
}

/// One rule.
#[derive(Debug, Clone)]
pub struct ChannelRule {
    /// The names it governs.
    pub pattern: Pattern,
    /// Who may subscribe.
    pub subscribe: Access,
    /// Who may publish from a session.
    pub publish: Access,
    /// Whether members are kept and join and leave are told.
    pub presence: bool,
    /// What is retained; `None`: nothing, and the channel has no positions.
    pub history: Option<HistoryRule>,
    /// What happens to a slow session.
    pub slow: SlowPolicy,
}

/// The rules in force, in order, with the defaults at the end.
#[derive(Debug, Clone)]
pub struct Rules {
    /// Each as it reads for plain names, for `private-` and for `presence-`: a rule that only
    /// adds history to `**` must not open guarded names.
    rules: Vec<[ChannelRule; 3]>,
}

impl Rules {
    /// `rules` as configured; the contract's defaults (or, with `dev`, those of `--dev`) follow.
    pub fn new(mut rules: Vec<ChannelRule>, dev: bool) -> Self {
        rules.push(ChannelRule {
            pattern: fixed("**"),
            subscribe: Access::Default,
            publish: Access::Default,
            presence: false,
            history: None,
            slow: SlowPolicy::Disconnect,
        });
        let (subscribe, publish) = if dev {
            (Access::Anyone, Access::Anyone)
        } else {
            (Access::Token, Access::Capability)
        };
        let guarded = Access::Capability;
        let resolve = |rule: ChannelRule| {
            let plain = rule.clone().with_defaults(subscribe, publish);
            let private = rule.with_defaults(guarded, guarded);
            let presence = ChannelRule {
                presence: true,
                ..private.clone()
            };
            [plain, private, presence]
        };
        Self {
            rules: rules.into_iter().map(resolve).collect(),
        }
    }

    /// The rule for `name`. Names starting `presence-` always keep presence.
    pub fn of(&self, name: &str) -> &ChannelRule {
        let last = self.rules.len() - 1;
        let forms = self.rules[..last]
            .iter()
            .find(|[rule, ..]| rule.pattern.matches(name))
            .unwrap_or(&self.rules[last]);
        let [plain, private, presence] = forms;
        if name.starts_with("private-") {
            private
        } else if name.starts_with("presence-") {
            presence
        } else {
            plain
        }
    }
}

impl ChannelRule {
    /// The rule with these in the place of [`Access::Default`].
    fn with_defaults(mut self, subscribe: Access, publish: Access) -> Self {
        if self.subscribe == Access::Default {
            self.subscribe = subscribe;
        }
        if self.publish == Access::Default {
            self.publish = publish;
        }
        self
    }
}

/// A pattern from our own source.
#[allow(
    clippy::expect_used,
    reason = "the pattern above is a literal under test"
)]
fn fixed(pattern: &str) -> Pattern {
    Pattern::parse(pattern).expect("a literal pattern")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_match_counts_and_defaults_follow() {
        let open = ChannelRule {
            pattern: fixed("private-open-*"),
            subscribe: Access::Anyone,
            publish: Access::Nobody,
            presence: true,
            history: None,
            slow: SlowPolicy::DropOldest,
        };
        let rules = Rules::new(vec![open], false);
        assert_eq!(rules.of("private-open-1").subscribe, Access::Anyone);
        assert_eq!(rules.of("private-x").subscribe, Access::Capability);
        assert!(rules.of("presence-x").presence);
        assert_eq!(rules.of("news").subscribe, Access::Token);
        assert_eq!(rules.of("news").publish, Access::Capability);
        assert_eq!(Rules::new(vec![], true).of("news").publish, Access::Anyone);
        assert_eq!(
            Rules::new(vec![], true).of("private-x").publish,
            Access::Capability
        );
    }

    #[test]
    fn a_rule_that_does_not_say_who_keeps_guarded_names_guarded() {
        let kept = ChannelRule {
            pattern: fixed("**"),
            subscribe: Access::Default,
            publish: Access::Default,
            presence: false,
            history: Some(HistoryRule {
                size: 10,
                ttl: Duration::from_secs(60),
            }),
            slow: SlowPolicy::Disconnect,
        };
        for (dev, subscribe, publish) in [
            (false, Access::Token, Access::Capability),
            (true, Access::Anyone, Access::Anyone),
        ] {
            let rules = Rules::new(vec![kept.clone()], dev);
            let plain = rules.of("news");
            assert_eq!((plain.subscribe, plain.publish), (subscribe, publish));
            assert!(plain.history.is_some() && !plain.presence);
            for name in ["private-x", "presence-x"] {
                let rule = rules.of(name);
                assert_eq!(
                    (rule.subscribe, rule.publish),
                    (Access::Capability, Access::Capability)
                );
                assert_eq!(rule.presence, name == "presence-x");
            }
        }
    }
}
