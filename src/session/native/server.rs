//! What the server does to a session of its own accord.

use std::time::Duration;

use super::calls::{Purpose, Wish};
use super::pending::{Pending, Target};
use super::replay::Wanted;
use super::{Effect, Joined, Operation, Session, Stage};
use crate::channel::ChannelName;
use crate::clock::Now;
use crate::code::ErrorCode;
use crate::protocol::{Event, Name, Spelling};
use crate::publication::Position;
use crate::resource::Verb;

/// How a channel is spelled that the client has not spelled itself.
pub(super) fn spelling(channel: &ChannelName) -> Spelling {
    if channel.is_uri() {
        Spelling::Uri
    } else {
        Spelling::Channel
    }
}

impl Session {
    /// Subscribes it as the server's decision, whatever rules and token say; `pogo:subscribed`
    /// follows. False: it is there already, may hold no more channels, or is closing. Not while
    /// busy (false too).
    pub fn server_subscribe(
        &mut self,
        channel: ChannelName,
        _now: Now,
        out: &mut Vec<Effect>,
    ) -> bool {
        let covered = self.canonical(channel.as_str());
        let name = covered.as_ref().unwrap_or(&channel).as_str();
        let taken = self.subscriptions.contains(name) || self.room() <= self.to_be_bound();
        if taken || self.is_busy() || self.stage == Stage::Closed {
            return false;
        }
        if let Some(uri) = covered {
            let wish = Wish::own(Verb::Bind, (uri, Spelling::Uri), Purpose::Server);
            self.call(wish, out);
            return true;
        }
        let spelling = spelling(&channel);
        let target = Target {
            by_server: true,
            ..self.target(channel, spelling, Wanted::default())
        };
        let requests = self.requests(std::slice::from_ref(&target));
        self.perform(
            Pending::ServerSubscribe(target),
            Operation::Join(requests),
            out,
        );
        true
    }

    pub(super) fn server_subscribed(
        &mut self,
        target: &Target,
        results: Vec<Result<Joined, ErrorCode>>,
        out: &mut Vec<Effect>,
    ) {
        let pages = self.absorb(std::slice::from_ref(target), results);
        if let Some(Ok(page)) = pages.first() {
            let name = Name {
                spelling: target.spelling,
                text: target.channel.as_str(),
            };
            self.send(
                &Event::Subscribed {
                    name,
                    position: page.position.as_ref(),
                },
                out,
            );
        }
    }

    /// Whether a list whose calls are under way is still to join `channel`.
    pub fn is_to_join(&self, channel: &str) -> bool {
        let Some(Pending::Gather(gather)) = self.pending.as_deref() else {
            return false;
        };
        let is_it = |target: &Target| target.channel.as_str() == channel;
        gather.targets.iter().any(is_it)
    }

    /// The ordinary channels that it is on, or a list is still to join, and that lie where endpoints
    /// are now.
    pub fn newly_covered(&self) -> Vec<ChannelName> {
        let to_join: &[Target] = match self.pending.as_deref() {
            Some(Pending::Gather(gather)) => &gather.targets,
            _ => &[],
        };
        let ordinary = self.subscriptions.ordinary();
        ordinary
            .chain(to_join.iter().map(|target| &target.channel))
            .filter(|channel| self.shared.is_covered(channel.as_str()))
            .cloned()
            .collect()
    }

    /// Unsubscribes it; `pogo:unsubscribed` with `reason` follows. False: it was not there. While
    /// busy, too.
    pub fn server_unsubscribe(
        &mut self,
        channel: &str,
        reason: &str,
        out: &mut Vec<Effect>,
    ) -> bool {
        self.stage != Stage::Closed && self.remove(channel, reason, out)
    }

    /// Takes the session off a channel and tells it why.
    pub(super) fn remove(&mut self, channel: &str, reason: &str, out: &mut Vec<Effect>) -> bool {
        let Some((channel, subscription)) = self.subscriptions.remove(channel) else {
            return false;
        };
        let name = Name {
            spelling: subscription.spelling,
            text: channel.as_str(),
        };
        self.send(&Event::Unsubscribed { name, reason }, out);
        out.push(subscription.leave(channel));
        true
    }

    /// An event of its own, from the server.
    pub fn server_send(&mut self, event: &str, data: &[u8], out: &mut Vec<Effect>) {
        if self.stage != Stage::Closed {
            self.greet(out);
            self.send(
                &Event::Push {
                    event,
                    name: None,
                    data,
                    offset: None,
                    item: None,
                    re: None,
                },
                out,
            );
        }
    }

    /// Publications of a channel were dropped: `pogo:gap` with the position before the loss.
    #[allow(
        clippy::needless_pass_by_value,
        reason = "who reports a loss has no use for the position any more"
    )]
    pub fn gap(&mut self, channel: &str, before: Option<Position>, out: &mut Vec<Effect>) {
        if self.stage == Stage::Closed {
            return;
        }
        if let Some(subscription) = self.subscriptions.get(channel) {
            let name = Name {
                spelling: subscription.spelling,
                text: channel,
            };
            self.send(
                &Event::Gap {
                    name,
                    before: before.as_ref(),
                },
                out,
            );
        }
    }

    /// `pogo:drain`.
    pub fn drain(&mut self, reconnect_after: Duration, out: &mut Vec<Effect>) {
        if self.stage != Stage::Closed {
            self.greet(out);
            self.send(&Event::Drain { reconnect_after }, out);
        }
    }

    /// The session ends, for whatever reason: leaves every channel. Only [`Self::resume`] may
    /// follow, where an operation is under way.
    pub fn end(&mut self, out: &mut Vec<Effect>) {
        self.stage = Stage::Closed;
        // What is answered now is the worker's to undo.
        self.calls = None;
        self.pending
            .take_if(|pending| matches!(**pending, Pending::Gather(_)));
        self.subscriptions.leave_all(out);
    }
}
