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
    rules: Vec<ChannelRule>,
}

impl Rules {
    /// `rules` as configured; the contract's defaults (or, with `dev`, those of `--dev`) follow.
    pub fn new(mut rules: Vec<ChannelRule>, dev: bool) -> Self {
        let guarded = |pattern: &str, presence| ChannelRule {
            pattern: fixed(pattern),
            subscribe: Access::Capability,
            publish: Access::Capability,
            presence,
            history: None,
            slow: SlowPolicy::Disconnect,
        };
        rules.push(guarded("private-**", false));
        rules.push(guarded("presence-**", true));
        rules.push(ChannelRule {
            subscribe: if dev { Access::Anyone } else { Access::Token },
            publish: if dev { Access::Anyone } else { Access::Capability },
            ..guarded("**", false)
        });
        Self { rules }
    }

    /// The rule for `name`.
    pub fn of(&self, name: &str) -> &ChannelRule {
        let last = self.rules.len() - 1;
        self.rules[..last].iter().find(|rule| rule.pattern.matches(name)).unwrap_or(&self.rules[last])
    }
}

/// A pattern from our own source.
#[allow(clippy::expect_used, reason = "the three patterns above are literals under test")]
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
        assert_eq!(Rules::new(vec![], true).of("private-x").publish, Access::Capability);
    }
}
