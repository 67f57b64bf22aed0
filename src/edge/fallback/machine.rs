//! One fallback session between its worker and its client, without I/O and without a clock: what
//! the worker writes, what requests bring and the time go in; frames for whoever receives and
//! bytes for the worker come out.
//!
//! Whoever stops receiving makes the queue here full, then the socket pair, then the session's
//! mailbox, and so meets the same slow policy as behind a WebSocket. What was handed out has left:
//! a response that is cut loses it as a cut TCP connection would.

use std::collections::VecDeque;
use std::task::Waker;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::receiver::{Cap, Family, Receiver};
use super::wire;
use crate::protocol::frame::{Opcode, Outgoing, ServerFrames, put_client_frame};

/// Most bytes of messages in one frame, but for a longer message.
const BATCH_BYTES: usize = 64 * 1024;
/// How long a session outlives a response that its client cut: the client has gone, unless its
/// next request is on its way already.
const CUT_GRACE: Duration = Duration::from_secs(2);

/// What bounds a session.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// Messages that wait here, in bytes, for the client and for the worker each.
    pub(super) buffer_bytes: usize,
    /// How often a response that is silent gets a heartbeat.
    pub(super) heartbeat: Duration,
    /// How long nobody may receive.
    pub(super) abandoned_after: Duration,
}

/// A session's machine.
#[derive(Debug)]
pub(super) struct Machine {
    family: Family,
    bounds: Bounds,
    frames: ServerFrames,
    queue: VecDeque<Bytes>,
    queued: usize,
    to_worker: Vec<u8>,
    current: Option<Current>,
    last: u64,
    /// `o` was sent.
    opened: bool,
    /// The worker's end of it: code and reason.
    end: Option<End>,
    /// The client knows the end, or is not there.
    over: bool,
    heartbeat_due: bool,
    /// The client has pinged.
    answer_due: bool,
    /// The worker waits for a sign of life.
    sign_owed: bool,
    /// The last response ended as it should, with something in it.
    earned: bool,
    /// When it is over if nobody comes to receive.
    gone_at: Instant,
}

/// The worker's end of a session.
#[derive(Debug)]
struct End {
    code: u16,
    reason: Box<str>,
    /// The client is told until then.
    until: Instant,
}

/// The request that receives.
#[derive(Debug)]
struct Current {
    id: u64,
    receiver: Receiver,
    /// In UTF-16 units, as the client counts.
    sent: usize,
    /// It is as long as it may get, and the client is about to ask anew.
    paused: bool,
    heartbeat_at: Instant,
    waker: Option<Waker>,
}

/// What a receiver gets next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Pull {
    /// This.
    Chunk(Bytes),
    /// Nothing yet.
    Wait,
    /// The end of the response.
    End,
}

/// Why messages were not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum SendError {
    /// Others wait for the worker; again when they have gone.
    #[error("the session has not taken what was sent before")]
    Full,
    /// The session has ended.
    #[error("the session has ended")]
    Ended,
}

impl Machine {
    pub(super) fn new(family: Family, bounds: Bounds, now: Instant) -> Self {
        Self {
            family,
            bounds,
            frames: ServerFrames::default(),
            queue: VecDeque::new(),
            queued: 0,
            to_worker: Vec::new(),
            current: None,
            last: 0,
            opened: false,
            end: None,
            over: false,
            heartbeat_due: false,
            answer_due: false,
            sign_owed: false,
            earned: true,
            gone_at: now + bounds.abandoned_after,
        }
    }

    /// Whether there is nothing left to do for it.
    pub(super) const fn is_over(&self) -> bool {
        self.over
    }

    /// Whether the receiver `id` is still the one.
    pub(super) fn is_current(&self, id: u64) -> bool {
        !self.over && self.current.as_ref().is_some_and(|it| it.id == id)
    }

    /// Whether a request that receives now follows a response that brought something, so that
    /// there are no more of them than of messages.
    pub(super) const fn is_earned(&self) -> bool {
        match &self.current {
            Some(current) => current.paused,
            None => self.earned,
        }
    }

    /// Lets a request receive: its number. `None`: another does, which SockJS does not allow.
    pub(super) fn attach(&mut self, receiver: Receiver, now: Instant) -> Option<u64> {
        if self.current.is_some() && self.family == Family::SockJs {
            return None;
        }
        self.earned = false;
        self.wake();
        self.last += 1;
        self.current = Some(Current {
            id: self.last,
            receiver,
            sent: 0,
            paused: false,
            heartbeat_at: now + self.bounds.heartbeat,
            waker: None,
        });
        self.heard();
        Some(self.last)
    }

    /// The receiver's request has ended; `false` from [`Self::is_current`] makes it nothing.
    pub(super) fn detach(&mut self, id: u64, now: Instant) {
        let Some(current) = self.current.take_if(|it| it.id == id) else {
            return;
        };
        self.earned = current.paused;
        let grace = match current.paused {
            true => self.bounds.abandoned_after,
            false => CUT_GRACE.min(self.bounds.abandoned_after),
        };
        self.gone_at = now + grace;
    }

    /// What the receiver `id` gets next.
    pub(super) fn pull(&mut self, id: u64, now: Instant) -> Pull {
        let Some(mut current) = self.current.take_if(|it| it.id == id) else {
            return Pull::End;
        };
        let Some(frame) = self.next_frame(&current) else {
            self.current = Some(current).filter(|_| !self.over);
            return if self.over { Pull::End } else { Pull::Wait };
        };
        let bytes = current.receiver.wrap(&frame);
        let first = current.sent == 0;
        current.sent += frame.encode_utf16().count() + 1;
        current.heartbeat_at = now + self.bounds.heartbeat;
        self.heartbeat_due = false;
        let mut ends = current.receiver.is_one_shot() || self.over;
        match current.receiver.cap(self.family) {
            Some(Cap::Pause(most)) => current.paused = current.sent > most,
            Some(Cap::End(most)) => ends |= current.sent > most,
            None => {}
        }
        let bytes = match current.receiver.prelude(self.family) {
            prelude if first && !prelude.is_empty() => [prelude, bytes].concat().into(),
            _ => bytes,
        };
        if ends {
            self.earned = true;
            self.gone_at = now + self.bounds.abandoned_after;
        } else {
            self.current = Some(current);
        }
        Pull::Chunk(bytes)
    }

    fn next_frame(&mut self, current: &Current) -> Option<String> {
        if !self.opened {
            self.opened = true;
            return Some(match self.family {
                Family::Pusher => "o{}".to_owned(),
                Family::SockJs => "o".to_owned(),
            });
        }
        if current.paused {
            return None;
        }
        if !self.queue.is_empty() {
            return Some(self.batch());
        }
        if let Some(end) = &self.end {
            self.over = true;
            return Some(wire::close(end.code, &end.reason));
        }
        if std::mem::take(&mut self.answer_due) {
            return Some(wire::array([]));
        }
        if !std::mem::take(&mut self.heartbeat_due) {
            return None;
        }
        self.sign_owed = true;
        if self.family == Family::SockJs {
            // Its clients do not answer; that the response takes it must do.
            self.heard();
        }
        Some(wire::HEARTBEAT.to_owned())
    }

    fn batch(&mut self) -> String {
        let mut taken = Vec::new();
        let mut bytes = 0;
        while let Some(message) = self.queue.front()
            && (taken.is_empty() || bytes + message.len() <= BATCH_BYTES)
        {
            bytes += message.len();
            taken.extend(self.queue.pop_front());
        }
        self.queued -= bytes;
        // The server's own frames are UTF-8.
        let texts: Vec<_> = taken
            .iter()
            .map(|message| String::from_utf8_lossy(message))
            .collect();
        wire::array(texts.iter().map(|text| &**text))
    }

    /// Puts the waker of who waits for the receiver `id`.
    pub(super) fn wait(&mut self, id: u64, waker: &Waker) {
        if let Some(current) = self.current.as_mut().filter(|it| it.id == id) {
            current.waker = Some(waker.clone());
        }
    }

    fn wake(&mut self) {
        if let Some(waker) = self.current.as_mut().and_then(|it| it.waker.take()) {
            waker.wake();
        }
    }

    /// The client is there.
    fn heard(&mut self) {
        if std::mem::take(&mut self.sign_owed) {
            put_client_frame(&mut self.to_worker, Opcode::Pong, b"");
        }
    }

    /// Takes what the client sends. None at all is its way of pinging and of answering `h`.
    pub(super) fn send(&mut self, messages: &[String]) -> Result<(), SendError> {
        if self.end.is_some() || self.over {
            return Err(SendError::Ended);
        }
        let bytes: usize = messages.iter().map(String::len).sum();
        if !self.to_worker.is_empty() && self.to_worker.len() + bytes > self.bounds.buffer_bytes {
            return Err(SendError::Full);
        }
        if messages.is_empty() && !self.sign_owed {
            self.answer_due = true;
            self.wake();
        }
        self.heard();
        for message in messages {
            put_client_frame(&mut self.to_worker, Opcode::Text, message.as_bytes());
        }
        Ok(())
    }

    /// What the worker shall read; take off what was written.
    pub(super) const fn outbox(&mut self) -> &mut Vec<u8> {
        &mut self.to_worker
    }

    /// Whether more of what the worker writes has room.
    pub(super) const fn has_room(&self) -> bool {
        self.end.is_none() && self.queued < self.bounds.buffer_bytes
    }

    /// Takes what the worker wrote.
    pub(super) fn receive(&mut self, bytes: &[u8], now: Instant) {
        self.frames.push(bytes);
        while self.end.is_none() {
            match self.frames.take() {
                Ok(Some(Outgoing::Text(message))) => {
                    self.queued += message.len();
                    self.queue.push_back(message);
                }
                Ok(Some(Outgoing::Ping)) => {
                    self.sign_owed = true;
                    self.heartbeat_due = true;
                }
                Ok(Some(Outgoing::Close(code, reason))) => {
                    self.finish(code.unwrap_or(1000), &reason, now);
                }
                Ok(Some(Outgoing::Other)) => {}
                Ok(None) => break,
                Err(error) => {
                    tracing::error!(%error, "a worker wrote");
                    self.lose(now);
                }
            }
        }
        self.wake();
    }

    /// The worker has gone without a word.
    pub(super) fn lose(&mut self, now: Instant) {
        match self.family {
            Family::Pusher => self.finish(1006, "Connection lost", now),
            Family::SockJs => self.finish(3000, "Go away!", now),
        }
    }

    /// The session ends with `code`, once the client has what is queued.
    pub(super) fn finish(&mut self, code: u16, reason: &str, now: Instant) {
        let until = now + self.bounds.abandoned_after;
        self.end.get_or_insert_with(|| End {
            code,
            reason: reason.into(),
            until,
        });
        self.wake();
    }

    /// The client is done with it: nothing more is of use to anybody.
    pub(super) fn abandon(&mut self) {
        self.over = true;
        self.wake();
    }

    /// When [`Self::on_deadline`] is to be called.
    pub(super) fn deadline(&self) -> Instant {
        let next = match &self.current {
            Some(current) => current.heartbeat_at,
            None => self.gone_at,
        };
        self.end.as_ref().map_or(next, |end| next.min(end.until))
    }

    /// Looks at the time.
    pub(super) fn on_deadline(&mut self, now: Instant) {
        if self.end.as_ref().is_some_and(|end| now >= end.until) {
            // Whoever receives does not read.
            self.abandon();
        }
        match &mut self.current {
            None if now >= self.gone_at => self.over = true,
            Some(current) if now >= current.heartbeat_at => {
                current.heartbeat_at = now + self.bounds.heartbeat;
                if std::mem::take(&mut current.paused) {
                    // Not one that asks anew: it goes on.
                    current.sent = 1;
                }
                self.heartbeat_due = true;
                self.wake();
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests;
