//! What Pusher reads from a channel's name.

/// How a Pusher client comes onto a channel, and what it is shown there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChannelKind {
    /// Without a signature, as far as the rules allow.
    Public,
    /// `private-`: with a signature.
    Private,
    /// `private-encrypted-`: with a signature; the server cannot read what is published.
    Encrypted,
    /// `presence-`: with a signature, and members are shown.
    Presence,
    /// `#server-to-user-`: after sign-in, one's own.
    ServerToUser,
}

/// Before the user's id in the name of the channel that only this user is on.
pub const SERVER_TO_USER: &str = "#server-to-user-";
/// Before the user's id in the name of the channel where the sessions that are signed in as this
/// user are present. No client and no service can name it.
pub const SIGNED_IN: &str = "#user-";

impl ChannelKind {
    /// The kind of the channel `name`.
    pub fn of(name: &str) -> Self {
        if name.starts_with("presence-") {
            Self::Presence
        } else if name.starts_with("private-encrypted-") {
            Self::Encrypted
        } else if name.starts_with("private-") {
            Self::Private
        } else if name.starts_with(SERVER_TO_USER) {
            Self::ServerToUser
        } else {
            Self::Public
        }
    }

    /// Whether the channel `name` keeps its last event for those who come later.
    pub fn is_cache(name: &str) -> bool {
        let guarded = ["private-encrypted-", "private-", "presence-"];
        let rest = guarded
            .iter()
            .find_map(|prefix| name.strip_prefix(prefix))
            .unwrap_or(name);
        rest.starts_with("cache-")
    }

    /// Whether a client needs a signature.
    pub fn is_guarded(self) -> bool {
        matches!(self, Self::Private | Self::Encrypted | Self::Presence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_their_kind() {
        for (name, kind, cache) in [
            ("news", ChannelKind::Public, false),
            ("cache-news", ChannelKind::Public, true),
            ("private-x", ChannelKind::Private, false),
            ("private-cache-x", ChannelKind::Private, true),
            ("private-encrypted-x", ChannelKind::Encrypted, false),
            ("private-encrypted-cache-x", ChannelKind::Encrypted, true),
            ("presence-x", ChannelKind::Presence, false),
            ("presence-cache-x", ChannelKind::Presence, true),
            ("#server-to-user-7", ChannelKind::ServerToUser, false),
            ("xcache-", ChannelKind::Public, false),
        ] {
            assert_eq!(ChannelKind::of(name), kind, "{name}");
            assert_eq!(ChannelKind::is_cache(name), cache, "{name}");
        }
    }
}
