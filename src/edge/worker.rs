//! A worker: one thread that owns its sockets, their sessions, its part of the subscription
//! table and its timers. Nothing of that is shared, so nothing is locked. Other threads reach it
//! through its inbox only.
//!
//! A turn: read what sockets have to say, take what came from other threads, walk the small
//! channels and flush the mailboxes that were filled, then the same with a slice of a huge channel,
//! fire deadlines. Replies and small channels so wait for no more than one slice of a huge one.

mod act;
mod adopt;
mod calls;
mod cap;
mod client;
mod direct;
mod effects;
mod end;
mod fanout;
mod flush;
mod inbox;
mod mailbox;
mod operations;
mod overflow;
mod pool;
mod read;
mod round;
mod subscribers;
mod table;
mod timers;
mod transport;
mod walks;

pub use pool::{PoolServices, WorkerError, Workers};

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use mio::{Events, Poll, Token};
use slab::Slab;

use client::{Client, Phase};
use direct::Runs;
use flush::Written;
use inbox::{Inbox, Input};
use mailbox::{Bounds, SpareRings};
use operations::Services;
use table::Table;
use timers::Timers;
use walks::{Lane, Walks};

use crate::clock::Now;
use crate::code::CloseCode;
use crate::hub::{WorkerId, WorkerMessage};
use crate::metrics::{Metrics, Recorder};
use crate::protocol::deflate::Inflater;
use crate::protocol::frame;
use crate::session::{Effect, Shared};
use crate::session_id::SessionId;

/// The token of the inbox's wake-up; connections have their keys.
const WAKE: Token = Token(usize::MAX);
/// Most socket events taken in one turn: those that read and those that are walked take turns.
const EVENTS: usize = 256;
/// An inbox that has held more gives its memory back.
const SPARE_INPUTS: usize = 1024;
/// What one read takes at most; the worker's sockets share the space.
const SCRATCH_BYTES: usize = 64 * 1024;
/// How long a peer may take to receive a close frame and to answer it.
const CLOSE_LINGER: Duration = Duration::from_secs(2);

/// What the node reads of a worker without asking it.
#[derive(Debug, Default)]
pub(super) struct Gauges {
    /// Sessions, those under way to it included.
    sessions: AtomicUsize,
    /// Publications written to sockets, ever. Each worker counts its own: they share no line.
    deliveries: AtomicU64,
    /// Bytes in its mailboxes.
    mailbox_bytes: AtomicUsize,
    /// At least the bytes in the largest of them; exact when it has just been looked for.
    largest: AtomicUsize,
}

/// What a worker is made of.
struct Worker {
    id: WorkerId,
    bounds: Bounds,
    mailbox_total_bytes: usize,
    /// What clients may send without permessage-deflate, and with it.
    frame_limits: [Arc<frame::Limits>; 2],
    inflater: Inflater,
    services: Arc<Services>,
    shared: Arc<Shared>,
    metrics: Metrics,
    latency: Recorder,
    /// What the current pass has written.
    written: Written,
    gauges: Arc<Gauges>,
    peers: Arc<pool::Peers>,
    inbox: Arc<Inbox>,
    /// Empty; kept for its room.
    inputs: Vec<Input>,
    poll: Poll,
    clients: Slab<Box<Client>>,
    by_id: BTreeMap<SessionId, u32>,
    table: Table,
    timers: Timers,
    /// Channels that are walked or wait for it.
    walks: Walks,
    /// Clients whose mailboxes have something new.
    dirty: Vec<u32>,
    /// Clients that may have more to read.
    unread: Vec<u32>,
    /// Clients that could not keep up.
    overflown: Vec<u32>,
    effects: Vec<Effect>,
    spare_effects: Vec<Effect>,
    spare_rings: SpareRings,
    scratch: Box<[u8]>,
    cork: Vec<u8>,
    runs: Runs,
    mailbox_bytes: usize,
    /// What the largest mailbox has held since it was last looked for.
    largest: usize,
    now: Now,
    stopping: bool,
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.inbox.close();
        // Those that were open still count no more.
        self.gauges.sessions.store(0, Ordering::Relaxed);
        self.gauges.mailbox_bytes.store(0, Ordering::Relaxed);
        self.gauges.largest.store(0, Ordering::Relaxed);
    }
}

impl Worker {
    /// Runs until it is told to stop and every connection is gone.
    fn run(mut self) {
        let mut events = Events::with_capacity(EVENTS);
        while !self.is_done() {
            if let Err(error) = self.turn(&mut events, self.sleep_time()) {
                tracing::error!(%error, worker = self.id, "polling failed");
                return;
            }
        }
    }

    fn is_done(&self) -> bool {
        // What is under way for those that are gone is nobody's business any more.
        let mut clients = self.clients.iter();
        self.stopping && clients.all(|(_, client)| client.phase == Phase::Gone)
    }

    /// Waits at most `sleep` (without one: until something happens), then does what there is.
    fn turn(&mut self, events: &mut Events, sleep: Option<Duration>) -> io::Result<()> {
        match self.poll.poll(events, sleep) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
            _ => self.inbox.awake(),
        }
        self.now = Now::read();
        // Before the inbox: an event must not meet who takes a key over.
        for event in &*events {
            self.on_event(event);
        }
        self.take_inbox();
        self.read_again();
        self.walk_small();
        self.walk(Lane::Huge);
        self.flush();
        self.fire_timers();
        self.report();
        Ok(())
    }

    fn take_inbox(&mut self) {
        let mut inputs = std::mem::take(&mut self.inputs);
        self.inbox.take(&mut inputs);
        for input in inputs.drain(..) {
            self.take(input);
        }
        if inputs.capacity() <= SPARE_INPUTS {
            self.inputs = inputs;
        }
    }

    /// How long the next poll may sleep.
    fn sleep_time(&self) -> Option<Duration> {
        let busy = self.walks.go_on()
            || !self.unread.is_empty()
            || !self.dirty.is_empty()
            || !self.inbox.may_sleep();
        if busy {
            return Some(Duration::ZERO);
        }
        self.timers.next().map(|at| {
            // mio rounds up to the kernel's milliseconds: no turn is early.
            at.saturating_duration_since(Instant::now())
        })
    }

    fn take(&mut self, input: Input) {
        match input {
            Input::Message(WorkerMessage::Deliver(delivery)) => self.enqueue(delivery, None),
            Input::Message(WorkerMessage::DeliverTo { delivery, targets }) => {
                self.deliver_to(delivery, targets);
            }
            Input::Message(WorkerMessage::Answer { target, answer }) => {
                self.answered(target, *answer);
            }
            Input::Message(WorkerMessage::List {
                filter,
                after,
                limit,
                reply,
            }) => {
                // Whoever asked may have given up.
                let _ = reply.send(self.list(&filter, after, limit));
            }
            Input::Message(WorkerMessage::Act {
                filter,
                action,
                reply,
            }) => {
                let _ = reply.send(self.act(&filter, &action));
            }
            Input::Message(WorkerMessage::Rerouted) => self.rerouted(),
            Input::Message(WorkerMessage::Drain { period }) => self.drain(period),
            Input::Adopt(connection) => self.adopt(*connection),
            Input::Finished {
                connection,
                finished,
            } => self.finished(connection, finished),
            Input::TimedOut { connection } => self.timed_out(connection),
            Input::Late { session, joined } => self.late(session, joined),
            Input::CutLargest => self.cut_largest(),
            Input::Stop => {
                self.stopping = true;
                for key in self.keys() {
                    self.close(key, CloseCode::Draining);
                }
            }
        }
    }

    fn on_event(&mut self, event: &mio::event::Event) {
        if event.token() == WAKE {
            return;
        }
        let key = table::key(event.token().0);
        let Some(client) = self.clients.get_mut(key as usize) else {
            return;
        };
        if event.is_writable() && client.blocked {
            client.blocked = false;
            if !std::mem::replace(&mut client.dirty, true) {
                self.dirty.push(key);
            }
        }
        client.hung_up |= event.is_read_closed() || event.is_error();
        if event.is_readable() || client.hung_up {
            self.read(key);
        }
    }

    fn fire_timers(&mut self) {
        let now = self.now.instant;
        while let Some((at, key)) = self.timers.pop(now) {
            let Some(client) = self.clients.get_mut(key as usize) else {
                continue;
            };
            if client.armed != Some(at) {
                continue;
            }
            client.armed = None;
            match client.deadline() {
                Some(deadline) if deadline <= now => self.on_deadline(key),
                _ => {}
            }
            self.arm(key);
        }
    }

    fn on_deadline(&mut self, key: u32) {
        let now = self.now;
        let due = |at: Option<Instant>| at.is_some_and(|at| at <= now.instant);
        let Some(client) = self.clients.get_mut(key as usize) else {
            return;
        };
        match client.phase {
            Phase::Closing(until) | Phase::Lingering(until) => {
                if until <= now.instant {
                    self.remove(key);
                }
            }
            Phase::Gone => {}
            Phase::Open => {
                let busy = client.operation.is_some();
                let (drain, reader) = (client.drain_at, client.reader.deadline());
                if due(drain) {
                    self.close(key, CloseCode::Draining);
                } else if !busy && due(reader) {
                    self.close(key, CloseCode::Policy);
                } else if let Some(session) = &mut client.session {
                    if busy {
                        // Nothing is read meanwhile: silence is not the peer's fault.
                        session.heard(now);
                    }
                    session.on_deadline(now, &mut self.effects);
                    self.carry_out(key);
                }
            }
        }
    }

    /// Sees to it that the worker wakes for the client's next deadline.
    fn arm(&mut self, key: u32) {
        let Some(client) = self.clients.get_mut(key as usize) else {
            return;
        };
        let Some(deadline) = client.deadline() else {
            return;
        };
        if client.armed.is_none_or(|armed| deadline < armed) {
            client.armed = Some(deadline);
            self.timers.arm(deadline, key);
        }
    }

    fn keys(&self) -> Vec<u32> {
        self.clients
            .iter()
            .map(|(key, _)| table::key(key))
            .collect()
    }
}

#[cfg(test)]
mod tests;
