//! Channel rules: what any session may do on a channel and what the channel keeps. The first
//! matching rule counts; without one the defaults do.

use std::time::Duration;

use super::{ChannelKind, Pattern, is_own};

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

/// What a cache channel of Pusher's keeps where its rule keeps nothing.
const CACHE: HistoryRule = HistoryRule {
    size: 1,
    ttl: Duration::from_secs(30 * 60),
};

/// The rules in force, in order, with the defaults at the end.
#[derive(Debug, Clone)]
pub struct Rules {
    rules: Vec<Forms>,
    /// For names of our own, which no rule governs.
    own: ChannelRule,
}

/// A rule as it reads for plain names, for `private-` and for `presence-`: one that only adds
/// history to `**` must not open guarded names. Each of them as it is, and for a cache channel.
#[derive(Debug, Clone)]
struct Forms {
    plain: [ChannelRule; 2],
    private: [ChannelRule; 2],
    presence: [ChannelRule; 2],
    /// Whether it says who may subscribe.
    says_who: bool,
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
        let both = |rule: ChannelRule| {
            let cache = ChannelRule {
                history: rule.history.or(Some(CACHE)),
                ..rule.clone()
            };
            [rule, cache]
        };
        let resolve = |rule: ChannelRule| {
            let says_who = rule.subscribe != Access::Default;
            let plain = rule.clone().with_defaults(subscribe, publish);
            let private = rule.with_defaults(guarded, guarded);
            let presence = ChannelRule {
                presence: true,
                ..private.clone()
            };
            Forms {
                plain: both(plain),
                private: both(private),
                presence: both(presence),
                says_who,
            }
        };
        Self {
            own: ChannelRule {
                pattern: fixed("#**"),
                subscribe: Access::Nobody,
                publish: Access::Nobody,
                presence: false,
                history: None,
                slow: SlowPolicy::Disconnect,
            },
            rules: rules.into_iter().map(resolve).collect(),
        }
    }

    /// The rule for `name`. Names starting `presence-` always keep presence, Pusher's cache
    /// channels always an event.
    pub fn of(&self, name: &str) -> &ChannelRule {
        if is_own(name) {
            return &self.own;
        }
        let forms = self.forms(name);
        let [rule, cache] = match ChannelKind::of(name) {
            ChannelKind::Private | ChannelKind::Encrypted => &forms.private,
            ChannelKind::Presence => &forms.presence,
            ChannelKind::Public | ChannelKind::ServerToUser => &forms.plain,
        };
        if ChannelKind::is_cache(name) {
            cache
        } else {
            rule
        }
    }

    /// Whether Pusher's clients may subscribe to `name`, a public one, whoever they are: no rule
    /// says who may, and it is no uri.
    pub fn is_open_to_pusher(&self, name: &str) -> bool {
        !name.contains('/') && !self.forms(name).says_who
    }

    fn forms(&self, name: &str) -> &Forms {
        let last = self.rules.len() - 1;
        self.rules[..last]
            .iter()
            .find(|forms| forms.plain[0].pattern.matches(name))
            .unwrap_or(&self.rules[last])
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
    fn cache_channels_keep_their_last_event_unless_the_rule_keeps_more() {
        let kept = ChannelRule {
            pattern: fixed("**kept**"),
            history: Some(HistoryRule {
                size: 10,
                ttl: Duration::from_secs(60),
            }),
            ..Rules::new(vec![], false).of("news").clone()
        };
        let rules = Rules::new(vec![kept], false);
        for name in ["cache-a", "private-cache-a", "presence-cache-a"] {
            assert_eq!(rules.of(name).history, Some(CACHE), "{name}");
        }
        assert_eq!(rules.of("cache-kept").history.unwrap().size, 10);
        assert_eq!(rules.of("private-a").history, None);
        assert!(rules.of("presence-cache-a").presence);
        assert_eq!(rules.of("#user-7").subscribe, Access::Nobody);
        assert_eq!(rules.of("#server-to-user-cache-7").history, None);
    }

    #[test]
    fn what_no_rule_names_is_open_to_pusher() {
        let rule = |pattern, subscribe| ChannelRule {
            pattern: fixed(pattern),
            subscribe,
            ..Rules::new(vec![], false).of("news").clone()
        };
        let rules = vec![
            rule("staff-*", Access::Token),
            rule("log-*", Access::Default),
        ];
        let rules = Rules::new(rules, false);
        assert!(rules.is_open_to_pusher("news") && rules.is_open_to_pusher("log-1"));
        assert!(!rules.is_open_to_pusher("staff-1"));
        assert!(!rules.is_open_to_pusher("/posts/1") && !rules.is_open_to_pusher("a/b"));
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
