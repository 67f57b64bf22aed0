//! Names of channels, the patterns that match them and the rules that govern them.

mod kind;
mod page;
mod pattern;
mod rule;

pub use kind::{ChannelKind, SERVER_TO_USER, SIGNED_IN};
pub use page::Page;
pub use pattern::{Pattern, PatternError};
pub use rule::{Access, ChannelRule, HistoryRule, Rules, SlowPolicy};

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

/// Longest channel name in bytes.
pub const MAX_CHANNEL_BYTES: usize = 200;
/// Longest uri in bytes; a uri is a channel whose name starts with `/`.
pub const MAX_URI_BYTES: usize = 1024;
/// Longest event name in bytes.
pub const MAX_EVENT_BYTES: usize = 200;
/// The native protocol's commands: their names are never those of a client's publication.
pub const COMMANDS: [&str; 13] = [
    "auth",
    "bind",
    "unbind",
    "channel:subscribe",
    "channel:unsubscribe",
    "channel:presence",
    "channel:history",
    "index",
    "show",
    "create",
    "update",
    "delete",
    "ping",
];
/// Event names starting with one of these belong to a protocol; no publisher may use them.
const RESERVED_EVENTS: [&str; 4] = ["pogo:", "channel:", "pusher:", "pusher_internal:"];

/// The checked name of a channel. Cloning it shares the text.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChannelName(Arc<str>);

/// Why a text is not a channel or event name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing there.
    #[error("the name is empty")]
    Empty,
    /// Over the byte limit for its kind.
    #[error("the name is longer than {limit} bytes")]
    TooLong {
        /// The limit in bytes.
        limit: usize,
    },
    /// White space, a control character or `*`.
    #[error("the name holds white space, a control character or `*`")]
    Character,
    /// A prefix that only the server uses.
    #[error("names starting with this prefix are the server's own")]
    Reserved,
}

impl ChannelName {
    /// Checks `name` against the rules of a channel (or, starting with `/`, a uri).
    ///
    /// # Errors
    /// [`NameError`] says which rule the text breaks.
    pub fn parse(name: &str) -> Result<Self, NameError> {
        if name.is_empty() {
            return Err(NameError::Empty);
        }
        let limit = if name.starts_with('/') {
            MAX_URI_BYTES
        } else {
            MAX_CHANNEL_BYTES
        };
        if name.len() > limit {
            return Err(NameError::TooLong { limit });
        }
        check_characters(name)?;
        if name.starts_with("pogo:") || is_own(name) {
            return Err(NameError::Reserved);
        }
        Ok(Self(name.into()))
    }

    /// Checks `name` as [`Self::parse`] does, but takes `#server-to-user-…` too, which Pusher's
    /// clients subscribe to after sign-in and its API publishes on.
    ///
    /// # Errors
    /// [`NameError`] says which rule the text breaks.
    pub fn parse_pusher(name: &str) -> Result<Self, NameError> {
        match name.strip_prefix(SERVER_TO_USER) {
            Some(user) => Self::of_user(SERVER_TO_USER, user),
            None => Self::parse(name),
        }
    }

    /// Where the sessions that are signed in as `user` are present.
    ///
    /// # Errors
    /// [`NameError`]: no channel can be named after this user.
    pub fn signed_in(user: &str) -> Result<Self, NameError> {
        Self::of_user(SIGNED_IN, user)
    }

    fn of_user(prefix: &str, user: &str) -> Result<Self, NameError> {
        if user.is_empty() {
            return Err(NameError::Empty);
        }
        let limit = MAX_URI_BYTES;
        if prefix.len() + user.len() > limit {
            return Err(NameError::TooLong { limit });
        }
        check_characters(user)?;
        Ok(Self(format!("{prefix}{user}").into()))
    }

    /// Whether it is the server's own: not a name that clients and services choose.
    pub fn is_own(&self) -> bool {
        is_own(&self.0)
    }

    /// Whether nobody is shown it, of the server's own names.
    pub fn is_internal(&self) -> bool {
        self.0.starts_with(SIGNED_IN)
    }

    /// The name's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the name is a uri (an absolute path).
    pub fn is_uri(&self) -> bool {
        self.0.starts_with('/')
    }
}

fn is_own(name: &str) -> bool {
    name.starts_with('#')
}

fn check_characters(name: &str) -> Result<(), NameError> {
    let refused = |c: char| c == '*' || c.is_whitespace() || c.is_control();
    if name.chars().any(refused) {
        return Err(NameError::Character);
    }
    Ok(())
}

impl Borrow<str> for ChannelName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ChannelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for ChannelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Checks the name of an event that a publisher gave.
///
/// # Errors
/// [`NameError`] when it is empty, too long, holds control characters or is reserved.
pub fn check_event(event: &str) -> Result<(), NameError> {
    if event.is_empty() {
        return Err(NameError::Empty);
    }
    if event.len() > MAX_EVENT_BYTES {
        return Err(NameError::TooLong {
            limit: MAX_EVENT_BYTES,
        });
    }
    if event.chars().any(char::is_control) {
        return Err(NameError::Character);
    }
    if RESERVED_EVENTS
        .iter()
        .any(|prefix| event.starts_with(prefix))
    {
        return Err(NameError::Reserved);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_contract() {
        for good in [
            "a",
            "room.1",
            "private-items_1",
            "/posts/1234?page=2",
            "日本",
            &"x".repeat(200),
        ] {
            assert!(ChannelName::parse(good).is_ok(), "{good}");
        }
        let long_uri = format!("/{}", "x".repeat(1024));
        for (bad, why) in [
            ("", NameError::Empty),
            ("a b", NameError::Character),
            ("a\u{a0}b", NameError::Character),
            ("a\n", NameError::Character),
            ("a\0", NameError::Character),
            ("a*", NameError::Character),
            ("pogo:x", NameError::Reserved),
            ("#x", NameError::Reserved),
            (&"x".repeat(201), NameError::TooLong { limit: 200 }),
            (&long_uri, NameError::TooLong { limit: 1024 }),
        ] {
            assert_eq!(ChannelName::parse(bad), Err(why), "{bad}");
        }
    }

    #[test]
    fn only_one_name_of_the_servers_own_can_be_asked_for() {
        let name = ChannelName::parse_pusher("#server-to-user-auth0|7").unwrap();
        assert_eq!(name.as_str(), "#server-to-user-auth0|7");
        assert!(ChannelName::parse_pusher("private-a").is_ok());
        for (bad, why) in [
            ("#server-to-user-", NameError::Empty),
            ("#server-to-user-a b", NameError::Character),
            ("#user-7", NameError::Reserved),
            ("#x", NameError::Reserved),
        ] {
            assert_eq!(ChannelName::parse_pusher(bad), Err(why), "{bad}");
        }
        assert_eq!(ChannelName::signed_in("7").unwrap().as_str(), "#user-7");
        assert!(ChannelName::signed_in(&"x".repeat(1024)).is_err());
    }

    #[test]
    fn reserved_events_are_refused() {
        for bad in [
            "",
            "pogo:x",
            "channel:x",
            "pusher:x",
            "pusher_internal:x",
            "a\nb",
        ] {
            assert!(check_event(bad).is_err(), "{bad}");
        }
        assert!(check_event("client-typing").is_ok());
    }
}
