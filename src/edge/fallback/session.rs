//! A fallback session at work: its machine, the task that moves bytes between it and the worker,
//! and the response body that takes frames out of it.
//!
//! The machine's lock is held for no I/O and over no wait. The task ends when the machine is over;
//! its end of the pair goes with it, and to the worker that is a client that has gone.

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use futures_util::FutureExt;
use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio::sync::Notify;

use super::machine::{Bounds, Machine, Pull, SendError};
use super::receiver::{Family, Receiver};
use crate::limits::ConnectionPermit;

/// What one read from the worker takes at most.
const READ_BYTES: usize = 8 * 1024;
/// A browser asks before each send and each receiving, and more than one of both may be under way.
const FREE_PREFLIGHTS: u32 = 4;
/// Pusher's code for a path that is none.
const NO_PATH: u16 = 4005;

/// For whom a session is that no worker has yet.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) address: IpAddr,
    /// The address's slot.
    pub(super) permit: ConnectionPermit,
}

/// A fallback session.
#[derive(Debug)]
pub(super) struct Session {
    machine: Mutex<Machine>,
    /// Who opened it.
    address: IpAddr,
    /// The machine has something for the task.
    changed: Notify,
    /// The task has made room for what clients send.
    room: Notify,
    /// The way to the worker, until the task takes it.
    line: Mutex<Option<std::os::unix::net::UnixStream>>,
    /// Until a worker has it, or it is too late for that.
    pending: Mutex<Option<Pending>>,
    /// When that is: a client that names no app must not keep its slot by asking on and on.
    named_by: Instant,
    /// Browsers' questions whether they may ask, since the client last did.
    preflights: AtomicU32,
}

impl Session {
    pub(super) fn new(family: Family, bounds: Bounds, pending: Pending) -> Self {
        let now = Instant::now();
        Self {
            machine: Mutex::new(Machine::new(family, bounds, now)),
            address: pending.address,
            changed: Notify::new(),
            room: Notify::new(),
            line: Mutex::default(),
            pending: Mutex::new(Some(pending)),
            named_by: now + bounds.abandoned_after,
            preflights: AtomicU32::new(0),
        }
    }

    fn machine(&self) -> MutexGuard<'_, Machine> {
        self.machine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pending(&self) -> MutexGuard<'_, Option<Pending>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The address of who opened it.
    pub(super) const fn address(&self) -> IpAddr {
        self.address
    }

    /// Whether no worker has it yet.
    pub(super) fn is_pending(&self) -> bool {
        self.pending().is_some()
    }

    /// Takes it for a worker.
    pub(super) fn take_pending(&self) -> Option<Pending> {
        self.pending().take()
    }

    /// Whether a request that receives now follows a response that brought something.
    pub(super) fn is_earned(&self) -> bool {
        self.machine().is_earned()
    }

    /// Counts a browser's question whether it may ask: whether it is one of those that go with
    /// what the client does.
    pub(super) fn may_preflight(&self) -> bool {
        self.preflights.fetch_add(1, Ordering::Relaxed) < FREE_PREFLIGHTS
    }

    /// The client did what it had asked for.
    pub(super) fn came(&self) {
        self.preflights.store(0, Ordering::Relaxed);
    }

    /// Whether it takes no more requests.
    pub(super) fn is_over(&self) -> bool {
        self.machine().is_over()
    }

    /// Connects it to a worker's session, whose other end this is.
    pub(super) fn connect(&self, line: std::os::unix::net::UnixStream) {
        *self.line.lock().unwrap_or_else(PoisonError::into_inner) = Some(line);
        self.changed.notify_one();
    }

    /// Ends a session that no worker has, once the client has heard: it named no app. The
    /// address's slot is free at once.
    pub(super) fn send_away(&self) {
        if self.take_pending().is_some() {
            let now = Instant::now();
            self.machine().finish(NO_PATH, "Path not found", now);
            self.changed.notify_one();
        }
    }

    /// Ends it at once: the client has gone.
    pub(super) fn abandon(&self) {
        self.machine().abandon();
        self.changed.notify_one();
    }

    /// Lets a request receive. `None`: another does, and may not be displaced.
    pub(super) fn attach(self: &Arc<Self>, receiver: Receiver) -> Option<Receiving> {
        let id = self.machine().attach(receiver, Instant::now())?;
        self.changed.notify_one();
        let session = Arc::clone(self);
        Some(Receiving { session, id })
    }

    /// Takes what the client sends; waits for room.
    ///
    /// # Errors
    /// The session has ended.
    pub(super) async fn send(&self, messages: &[String]) -> Result<(), SendError> {
        loop {
            let room = self.room.notified();
            let mut room = std::pin::pin!(room);
            room.as_mut().enable();
            let sent = self.machine().send(messages);
            self.changed.notify_one();
            match sent {
                Err(SendError::Full) => room.await,
                sent => return sent,
            }
        }
    }

    /// Moves bytes and watches the time, until the session is over.
    pub(super) async fn keep(self: Arc<Self>) {
        let mut line = None;
        loop {
            line = line.or_else(|| self.take_line());
            let (interest, deadline) = {
                let mut machine = self.machine();
                if machine.is_over() {
                    break;
                }
                (interest(&mut machine), machine.deadline())
            };
            let deadline = match self.is_pending() {
                true => deadline.min(self.named_by),
                false => deadline,
            };
            tokio::select! {
                () = self.changed.notified() => {}
                () = tokio::time::sleep_until(deadline.into()) => {
                    let now = Instant::now();
                    self.machine().on_deadline(now);
                    if now >= self.named_by {
                        self.send_away();
                    }
                    // Who does not read must not hide that the worker has closed.
                    if line.as_ref().is_some_and(is_closed) {
                        self.read_rest(line.take().as_ref());
                    }
                }
                ready = ready(line.as_ref(), interest) => {
                    let moved = ready.and_then(|()| self.move_bytes(line.as_ref()));
                    if moved.is_err() {
                        self.read_rest(line.take().as_ref());
                    }
                }
            }
        }
        self.room.notify_waiters();
    }

    fn take_line(&self) -> Option<UnixStream> {
        let line = self
            .line
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()?;
        match UnixStream::from_std(line) {
            Ok(line) => Some(line),
            Err(error) => {
                tracing::error!(%error, "a fallback session cannot reach its worker");
                self.machine().lose(Instant::now());
                None
            }
        }
    }

    /// Writes and reads what goes without waiting. An error: the worker has closed.
    fn move_bytes(&self, line: Option<&UnixStream>) -> io::Result<()> {
        let Some(line) = line else { return Ok(()) };
        let mut scratch = [0; READ_BYTES];
        let mut machine = self.machine();
        while !machine.outbox().is_empty() {
            match line.try_write(machine.outbox()) {
                Ok(written) => {
                    machine.outbox().drain(..written);
                    self.room.notify_waiters();
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                // What it still has to say is read below.
                Err(_) => machine.outbox().clear(),
            }
        }
        if machine.outbox().is_empty() {
            *machine.outbox() = Vec::new();
        }
        while machine.has_room() {
            match line.try_read(&mut scratch) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(read) => machine.receive(&scratch[..read], Instant::now()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// The worker has closed: takes what it said last, whatever room there is. The kernel's room
    /// bounds it.
    fn read_rest(&self, line: Option<&UnixStream>) {
        let mut scratch = [0; READ_BYTES];
        let mut machine = self.machine();
        while let Some(Ok(read @ 1..)) = line.map(|line| line.try_read(&mut scratch)) {
            machine.receive(&scratch[..read], Instant::now());
        }
        machine.lose(Instant::now());
    }
}

/// Whether the other end is closed, as far as the runtime has heard.
fn is_closed(line: &UnixStream) -> bool {
    let ready = line.ready(Interest::READABLE | Interest::WRITABLE);
    matches!(ready.now_or_never(), Some(Ok(ready)) if ready.is_write_closed())
}

/// What the task waits for on the line.
fn interest(machine: &mut Machine) -> Option<Interest> {
    match (machine.has_room(), !machine.outbox().is_empty()) {
        (true, true) => Some(Interest::READABLE | Interest::WRITABLE),
        (true, false) => Some(Interest::READABLE),
        (false, true) => Some(Interest::WRITABLE),
        (false, false) => None,
    }
}

async fn ready(line: Option<&UnixStream>, interest: Option<Interest>) -> io::Result<()> {
    match (line, interest) {
        (Some(line), Some(interest)) => line.ready(interest).await.map(|_| ()),
        _ => std::future::pending().await,
    }
}

/// A request that receives; its drop is the request's end.
pub(in crate::edge) struct Receiving {
    session: Arc<Session>,
    id: u64,
}

impl Receiving {
    /// Who knows whether it still receives.
    pub(in crate::edge) fn watch(&self) -> Watch {
        Watch {
            session: Arc::clone(&self.session),
            id: self.id,
        }
    }

    /// The session that it receives from.
    pub(super) const fn session(&self) -> &Arc<Session> {
        &self.session
    }

    /// The next chunk; `None` is the end.
    pub(in crate::edge) fn poll_chunk(&self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let mut machine = self.session.machine();
        let pull = machine.pull(self.id, Instant::now());
        if pull == Pull::Wait {
            machine.wait(self.id, cx.waker());
            return Poll::Pending;
        }
        drop(machine);
        self.session.changed.notify_one();
        match pull {
            Pull::Chunk(bytes) => Poll::Ready(Some(bytes)),
            Pull::End | Pull::Wait => Poll::Ready(None),
        }
    }
}

impl Drop for Receiving {
    fn drop(&mut self) {
        self.session.machine().detach(self.id, Instant::now());
        self.session.changed.notify_one();
    }
}

impl fmt::Debug for Receiving {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiving")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// Knows of a request whether it still receives.
#[derive(Debug)]
pub(in crate::edge) struct Watch {
    session: Arc<Session>,
    id: u64,
}

impl Watch {
    /// Whether it does.
    pub(in crate::edge) fn is_receiving(&self) -> bool {
        self.session.machine().is_current(self.id)
    }
}
