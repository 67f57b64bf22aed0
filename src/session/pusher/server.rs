//! What the server does to a session of its own accord.

use super::join::Subscribing;
use super::{Effect, Identity, Session, send};
use crate::channel::{ChannelKind, ChannelName};
use crate::clock::Now;
use crate::protocol::pusher::Event;
use crate::publication::Form;

impl Session {
    /// Subscribes it as the server's decision, whatever rules and signatures say; the client sees
    /// subscription_succeeded. False: it is there already, may hold no more channels, is
    /// closing, or an endpoint covers it. Not while busy (false too).
    pub fn server_subscribe(
        &mut self,
        channel: ChannelName,
        _now: Now,
        out: &mut Vec<Effect>,
    ) -> bool {
        let taken = self.subscriptions.contains(channel.as_str()) || self.room() == 0;
        let closed = self.closed || self.shared.is_covered(channel.as_str());
        if taken || self.is_busy() || closed {
            return false;
        }
        let present = ChannelKind::of(channel.as_str()) == ChannelKind::Presence;
        let member = present.then(|| match self.credentials.user() {
            Some(user) => user.identity.clone(),
            None => Identity {
                id: self.id.to_string().into(),
                info: None,
            },
        });
        self.join(
            Subscribing {
                channel,
                member,
                by_server: true,
            },
            out,
        );
        true
    }

    /// The channels that it is on and that lie where endpoints are now.
    pub fn newly_covered(&self) -> Vec<ChannelName> {
        let covered = |channel: &&ChannelName| self.shared.is_covered(channel.as_str());
        let ordinary = self.subscriptions.ordinary();
        ordinary.filter(covered).cloned().collect()
    }

    /// Unsubscribes it; the client sees a `pusher:subscription_error` with the reason. False: it
    /// was not there.
    pub fn server_unsubscribe(
        &mut self,
        channel: &str,
        reason: &str,
        out: &mut Vec<Effect>,
    ) -> bool {
        if self.closed || !self.leave(channel, out) {
            return false;
        }
        let told = Event::NotSubscribed {
            channel,
            kind: "Unsubscribed",
            error: reason,
            status: 403,
        };
        send(&told, out);
        true
    }

    /// An event of its own, from the server.
    pub fn server_send(&mut self, event: &str, data: &[u8], out: &mut Vec<Effect>) {
        if self.closed {
            return;
        }
        let push = Event::Push {
            event,
            channel: None,
            data,
            form: Form::Json,
        };
        send(&push, out);
    }

    /// The session ends, for whatever reason: leaves every channel. Only [`Self::resume`] may
    /// follow, where an operation is under way.
    pub fn end(&mut self, out: &mut Vec<Effect>) {
        self.closed = true;
        self.subscriptions.leave_all(out);
    }
}
