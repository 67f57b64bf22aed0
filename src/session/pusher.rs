//! A session of Pusher's protocol: what pusher-js and its like may do next.
//!
//! Held at all times: at most one operation is under way; connection_established is the first
//! frame; what a signature remembers of a Pogo token is in force before revocations are looked at,
//! so that one that comes later finds the session.

mod credentials;
mod denial;
mod events;
mod join;
mod roster;
mod server;
mod sign_in;
mod subscribe;
mod timers;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use self::credentials::Credentials;
use self::denial::Denial;
use self::events::Allowance;
use self::join::Subscribing;
use self::sign_in::SigningIn;
use self::timers::Timers;
use super::refusals::Refusals;
use super::subscriptions::{Subscription, Subscriptions};
use super::{
    Effect, JoinRequest, Joined, Message, Operation, Outcome, PusherOpening, Shared, Slot,
};
use crate::auth::pusher::App;
use crate::channel::ChannelName;
use crate::clock::Now;
use crate::code::{CloseCode, ErrorCode};
use crate::hub::{SessionFilter, SessionInfo};
use crate::protocol::Encoding;
use crate::protocol::pusher::{self, Event, Frame, Identity};
use crate::session_id::SessionId;

/// The first version that reads close codes; before it an error is said first.
const READS_CLOSE_CODES: u8 = 6;
/// The first version whose clients answer `pusher:ping`.
const ANSWERS_PINGS: u8 = 5;

/// One client's session.
#[derive(Debug)]
pub struct Session {
    shared: Arc<Shared>,
    id: SessionId,
    address: IpAddr,
    /// As it was when the session began; see [`Self::app`].
    app: Arc<App>,
    version: Option<u8>,
    closed: bool,
    subscriptions: Subscriptions,
    /// Which member it is on presence channels.
    members: BTreeMap<ChannelName, Arc<str>>,
    credentials: Credentials,
    pending: Option<Box<Pending>>,
    timers: Timers,
    /// Since the Unix epoch.
    connected_at: Duration,
    refusals: Refusals,
    allowance: Allowance,
}

/// What the operation under way is for.
#[derive(Debug)]
enum Pending {
    Subscribe(Subscribing),
    SignIn(SigningIn),
    Publish,
}

impl Session {
    /// Begins a session.
    pub fn open(
        shared: Arc<Shared>,
        opening: PusherOpening,
        now: Now,
        out: &mut Vec<Effect>,
    ) -> Self {
        let timers = Timers::new(&shared.settings.load().pusher, now);
        let session = Self {
            shared,
            id: opening.id,
            address: opening.address,
            app: opening.app,
            version: opening.version,
            closed: false,
            subscriptions: Subscriptions::default(),
            members: BTreeMap::new(),
            credentials: Credentials::default(),
            pending: None,
            timers,
            connected_at: now.unix,
            refusals: Refusals::default(),
            allowance: Allowance::default(),
        };
        let established = Event::Established {
            session: session.id,
            activity_timeout: session.timers.activity(),
        };
        send(&established, out);
        session
    }

    /// Takes one message.
    pub fn handle(
        &mut self,
        message: Message<'_>,
        admitted: Result<(), Duration>,
        now: Now,
        out: &mut Vec<Effect>,
    ) {
        if self.is_busy() || self.closed {
            return;
        }
        let text = match message {
            Message::Text(text) => text,
            Message::Binary(_) => return self.close(CloseCode::WrongKind, out),
        };
        let frame = Frame::decode(text);
        if admitted.is_err() {
            let event = frame.as_ref().map_or("other", |frame| label(&frame.event));
            self.refuse(event, &Denial::too_fast(), out);
            if self.refusals.count(&self.shared.settings.load(), now) {
                self.close(CloseCode::RateLimited, out);
            }
            return;
        }
        let frame = match frame {
            Ok(frame) => frame,
            Err(malformed) => return self.refuse("other", &malformed.into(), out),
        };
        let done = match &*frame.event {
            "pusher:ping" => {
                send(&Event::Pong, out);
                self.count("ping", None);
                Ok(())
            }
            // It was heard: that is all.
            "pusher:pong" => Ok(()),
            "pusher:subscribe" => return self.subscribe(&frame, now, out),
            "pusher:unsubscribe" => self.unsubscribe(&frame, out),
            "pusher:signin" => self.sign_in(&frame, now, out),
            event if event.starts_with("client-") => self.publish(&frame, now, out),
            _ => Err(Denial::unknown_event()),
        };
        if let Err(denial) = done {
            self.refuse(label(&frame.event), &denial, out);
        }
    }

    /// Goes on after an operation.
    pub fn resume(&mut self, outcome: Outcome, now: Now, out: &mut Vec<Effect>) {
        let Some(pending) = self.pending.take() else {
            return;
        };
        match (*pending, outcome) {
            (Pending::Subscribe(wanted), Outcome::Joined(results)) => {
                let result = results.into_iter().next();
                let result = result.unwrap_or(Err(ErrorCode::Internal));
                if self.closed {
                    return wanted.give_back(result, out);
                }
                self.subscribed(wanted, result, now, out);
            }
            (Pending::SignIn(wanted), Outcome::Joined(results)) => {
                if self.closed {
                    return wanted.give_back(results, out);
                }
                self.signed_in(wanted, results, out);
            }
            (Pending::Publish, Outcome::Published(Ok(_))) => self.count("publish", None),
            (Pending::Publish, Outcome::Published(Err(code))) if !self.closed => {
                self.refuse("publish", &Denial::of(code), out);
            }
            _ => {}
        }
    }

    /// Whether an operation is under way: feed it nothing else then (deadlines excepted).
    pub fn is_busy(&self) -> bool {
        self.pending.is_some()
    }

    /// Whether `filter` matches.
    pub fn matches(&self, filter: &SessionFilter) -> bool {
        let on = |channel: &ChannelName| self.subscriptions.contains(channel.as_str());
        let from = |range: &ipnet::IpNet| range.contains(&self.address);
        filter.session.is_none_or(|id| id == self.id)
            && self.credentials.match_filter(filter)
            && filter.channel.as_ref().is_none_or(on)
            && (filter.addresses.is_empty() || filter.addresses.iter().any(from))
    }

    /// For lists; `mailbox_bytes` is the worker's to fill in.
    pub fn info(&self) -> SessionInfo {
        let memos = self.credentials.memos();
        let channels = self.subscriptions.iter().map(|(channel, _)| channel);
        SessionInfo {
            id: self.id,
            subject: self.credentials.subject(),
            address: self.address,
            protocol: Encoding::Pusher.subprotocol(),
            channels: channels
                .filter(|channel| !channel.is_internal())
                .cloned()
                .collect(),
            connected_at: self.connected_at,
            expires_at: self.credentials.expires_at(),
            token_id: memos.first().and_then(|memo| memo.token_id.clone()),
            tokens: memos.iter().map(|memo| memo.fingerprint).collect(),
            mailbox_bytes: 0,
        }
    }

    /// Where its subscription to `channel` lies.
    pub fn slot(&self, channel: &str) -> Option<Slot> {
        Some(self.subscriptions.get(channel)?.slot)
    }

    /// Its id.
    pub fn id(&self) -> SessionId {
        self.id
    }

    /// Whether it is told how many subscribers its channels have.
    pub fn counts(&self) -> bool {
        self.app.subscription_count
    }

    /// The app as it is now; `None`: it is configured no more.
    fn app(&self) -> Option<Arc<App>> {
        self.shared.apps.load().by_key(&self.app.key).cloned()
    }

    /// What is said before a close frame with `code`, to those who do not read it.
    pub fn farewell(&self, code: CloseCode) -> Option<Bytes> {
        let reads = self
            .version
            .is_some_and(|version| version >= READS_CLOSE_CODES);
        (!reads).then(|| pusher::encode_close(code)).flatten()
    }

    /// Starts work outside; nothing else is under way.
    fn perform(&mut self, pending: Pending, operation: Operation, out: &mut Vec<Effect>) {
        self.pending = Some(Box::new(pending));
        out.push(Effect::Perform(operation));
    }

    /// The last thing that is said.
    fn close(&mut self, code: CloseCode, out: &mut Vec<Effect>) {
        self.closed = true;
        out.push(Effect::Close(code));
    }

    /// Says why not, and counts it.
    fn refuse(&self, label: &'static str, denial: &Denial, out: &mut Vec<Effect>) {
        self.count(label, Some(denial.code));
        send(&denial.event(), out);
    }

    fn count(&self, label: &'static str, error: Option<ErrorCode>) {
        self.shared.metrics.count_command(label, error);
    }
}

fn send(event: &Event<'_>, out: &mut Vec<Effect>) {
    out.push(Effect::Send(pusher::encode(event)));
}

/// The metric's label: the native command that it comes nearest to.
fn label(event: &str) -> &'static str {
    match event {
        "pusher:ping" => "ping",
        "pusher:subscribe" => "channel:subscribe",
        "pusher:unsubscribe" => "channel:unsubscribe",
        "pusher:signin" => "auth",
        event if event.starts_with("client-") => "publish",
        _ => "other",
    }
}
