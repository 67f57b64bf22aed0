//! The two machines behind one face, so that the worker does not tell them apart.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::{Binding, Effect, Opening, Outcome, Shared, Slot, native, pusher};
use crate::channel::ChannelName;
use crate::clock::Now;
use crate::code::CloseCode;
use crate::hub::{SessionFilter, SessionInfo};
use crate::protocol::Message;
use crate::publication::Position;
use crate::resource::Answer;
use crate::session_id::SessionId;

/// One client's session.
#[derive(Debug)]
pub enum Session {
    /// Of the native protocol.
    Native(native::Session),
    /// Of Pusher's; boxed, as most servers have few.
    Pusher(Box<pusher::Session>),
}

/// Calls a method that both machines have.
macro_rules! of_each {
    ($session:expr, $inner:ident => $call:expr) => {
        match $session {
            Session::Native($inner) => $call,
            Session::Pusher($inner) => $call,
        }
    };
}

impl Session {
    /// Begins a session. The worker has registered it, so that from now on a revocation finds it.
    pub fn open(shared: Arc<Shared>, opening: Opening, now: Now, out: &mut Vec<Effect>) -> Self {
        match opening {
            Opening::Native(opening) => {
                Self::Native(native::Session::open(shared, opening, now, out))
            }
            Opening::Pusher(opening) => {
                Self::Pusher(Box::new(pusher::Session::open(shared, opening, now, out)))
            }
        }
    }

    /// Takes one message. `admitted`: the address's command rate, or how long to wait. Not while
    /// busy (it is dropped then).
    pub fn handle(
        &mut self,
        message: Message<'_>,
        admitted: Result<(), Duration>,
        now: Now,
        out: &mut Vec<Effect>,
    ) {
        of_each!(self, session => session.handle(message, admitted, now, out));
    }

    /// Goes on after an operation. After [`Self::end`] too, if it was under way then: channels
    /// that it joined are left again.
    pub fn resume(&mut self, outcome: Outcome, now: Now, out: &mut Vec<Effect>) {
        of_each!(self, session => session.resume(outcome, now, out));
    }

    /// How the session would be bound by an answer of the gateway; none: it is not, and what the
    /// gateway has done for it must be undone.
    pub fn binding(&self, answer: &Answer) -> Option<Binding> {
        match self {
            Self::Native(session) => session.binding(answer),
            // They make no calls.
            Self::Pusher(_) => None,
        }
    }

    /// Takes the answer to a call. `slot`: where the subscription lies that it makes or renews, as
    /// [`Self::binding`] has allowed. While an operation is under way, too.
    pub fn answered(&mut self, answer: Answer, slot: Option<Slot>, out: &mut Vec<Effect>) {
        match self {
            Self::Native(session) => session.answered(answer, slot, out),
            Self::Pusher(_) => {}
        }
    }

    /// Where its subscription to `channel` lies.
    pub fn slot(&self, channel: &str) -> Option<Slot> {
        of_each!(self, session => session.slot(channel))
    }

    /// Whether a list that is under way is still to join `channel`.
    pub fn is_to_join(&self, channel: &str) -> bool {
        match self {
            Self::Native(session) => session.is_to_join(channel),
            // What it joins is asked for at once.
            Self::Pusher(_) => false,
        }
    }

    /// The ordinary channels that it is on, or a list is still to join, and that lie where endpoints
    /// are now.
    pub fn newly_covered(&self) -> Vec<ChannelName> {
        of_each!(self, session => session.newly_covered())
    }

    /// Whether an operation is under way: feed it nothing else then (deadlines excepted).
    pub fn is_busy(&self) -> bool {
        of_each!(self, session => session.is_busy())
    }

    /// Anything came from the client, pongs included.
    pub fn heard(&mut self, now: Now) {
        of_each!(self, session => session.heard(now));
    }

    /// When [`Self::on_deadline`] wants to be called next.
    pub fn deadline(&self) -> Instant {
        of_each!(self, session => session.deadline())
    }

    /// A deadline has passed.
    pub fn on_deadline(&mut self, now: Now, out: &mut Vec<Effect>) {
        of_each!(self, session => session.on_deadline(now, out));
    }

    /// Whether `filter` matches.
    pub fn matches(&self, filter: &SessionFilter) -> bool {
        of_each!(self, session => session.matches(filter))
    }

    /// For lists; `mailbox_bytes` is the worker's to fill in.
    pub fn info(&self) -> SessionInfo {
        of_each!(self, session => session.info())
    }

    /// Its id.
    pub fn id(&self) -> SessionId {
        of_each!(self, session => session.id())
    }

    /// Whether it is told how many subscribers its channels have.
    pub fn counts(&self) -> bool {
        match self {
            Self::Native(_) => false,
            Self::Pusher(session) => session.counts(),
        }
    }

    /// Subscribes it as the server's decision, whatever rules and token say, and tells it. False:
    /// it is there already, may hold no more channels, or is closing. Not while busy (false too).
    pub fn server_subscribe(
        &mut self,
        channel: ChannelName,
        now: Now,
        out: &mut Vec<Effect>,
    ) -> bool {
        of_each!(self, session => session.server_subscribe(channel, now, out))
    }

    /// Unsubscribes it and tells it why. False: it was not there. While busy, too.
    pub fn server_unsubscribe(
        &mut self,
        channel: &str,
        reason: &str,
        out: &mut Vec<Effect>,
    ) -> bool {
        of_each!(self, session => session.server_unsubscribe(channel, reason, out))
    }

    /// An event of its own, from the server.
    pub fn server_send(&mut self, event: &str, data: &[u8], out: &mut Vec<Effect>) {
        of_each!(self, session => session.server_send(event, data, out));
    }

    /// Publications of a channel were dropped, after this position.
    pub fn gap(&mut self, channel: &str, before: Option<Position>, out: &mut Vec<Effect>) {
        match self {
            Self::Native(session) => session.gap(channel, before, out),
            // Pusher has no word for it.
            Self::Pusher(_) => {}
        }
    }

    /// The server goes away.
    pub fn drain(&mut self, reconnect_after: Duration, out: &mut Vec<Effect>) {
        match self {
            Self::Native(session) => session.drain(reconnect_after, out),
            // Its clients come back when they are closed.
            Self::Pusher(_) => {}
        }
    }

    /// What is said before a close frame with `code`.
    pub fn farewell(&self, code: CloseCode) -> Option<Bytes> {
        match self {
            Self::Native(_) => None,
            Self::Pusher(session) => session.farewell(code),
        }
    }

    /// The session ends, for whatever reason: leaves every channel. Only [`Self::resume`] may
    /// follow, where an operation is under way.
    pub fn end(&mut self, out: &mut Vec<Effect>) {
        of_each!(self, session => session.end(out));
    }
}
