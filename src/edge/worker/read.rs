//! Reading: socket → scratch → frames → session. The scratch is the worker's; a connection owns
//! bytes only while a frame is unfinished or its session is busy.

use std::io;

use super::client::Phase;
use super::{SCRATCH_BYTES, Worker};
use crate::code::CloseCode;
use crate::protocol::Message;
use crate::protocol::frame::{self, Incoming};

/// A compressed command over the rate is inflated, so as to be refused by its id, only up to this
/// size: a hostile one costs much more to inflate than to send. A larger one ends the session.
const INFLATED_TO_REFUSE: usize = 1024;

impl Worker {
    /// Reads once from a socket. What is left waits for the next turn, so that no client keeps
    /// the others waiting.
    pub(super) fn read(&mut self, key: u32) {
        let Some(client) = self.clients.get_mut(key as usize) else {
            return;
        };
        let busy = client.operation.is_some() && client.phase == Phase::Open;
        if busy || client.ended || client.phase == Phase::Gone {
            // `release` comes back here once the session is free.
            return;
        }
        match client.transport.read(&mut self.scratch) {
            // Our close frame still goes out.
            Ok(0) if matches!(client.phase, Phase::Closing(_)) => client.ended = true,
            Ok(0) => self.remove(key),
            Ok(length) => {
                let drained = length < SCRATCH_BYTES && !client.transport.is_buffered();
                if !drained || client.hung_up {
                    self.read_soon(key);
                }
                let mut scratch = std::mem::take(&mut self.scratch);
                self.feed(key, &mut scratch[..length]);
                self.scratch = scratch;
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                // TLS may owe the peer an answer to what it has just read.
                self.mark_dirty(key);
            }
            Err(error) => {
                tracing::debug!(%error, "a connection was lost");
                self.remove(key);
            }
        }
    }

    /// Reads from it again in the next turn.
    pub(super) fn read_soon(&mut self, key: u32) {
        let Some(client) = self.clients.get_mut(key as usize) else {
            return;
        };
        if !std::mem::replace(&mut client.unread, true) {
            self.unread.push(key);
        }
    }

    pub(super) fn read_again(&mut self) {
        let mut unread = std::mem::take(&mut self.unread);
        for key in unread.drain(..) {
            let Some(client) = self.clients.get_mut(key as usize) else {
                continue;
            };
            if std::mem::take(&mut client.unread) {
                self.read(key);
            }
        }
        // Its room is used again, unless some must be read once more already.
        if self.unread.is_empty() {
            self.unread = unread;
        }
    }

    /// Feeds bytes to the session, frame by frame.
    pub(super) fn feed(&mut self, key: u32, mut input: &mut [u8]) {
        let now = self.now;
        loop {
            let Some(client) = self.clients.get_mut(key as usize) else {
                return;
            };
            if client.phase != Phase::Open {
                // Whatever else the peer says before it answers our close is of no interest.
                return;
            }
            if let Some(operation) = &mut client.operation {
                operation.backlog.extend_from_slice(input);
                return;
            }
            let Some(session) = &mut client.session else {
                return;
            };
            session.heard(now);
            let mut admitted = None;
            let message = match client.reader.next(&mut input, now.instant) {
                Ok(Some(Incoming::Text(text))) => Message::Text(text),
                Ok(Some(Incoming::Binary(bytes))) => Message::Binary(bytes),
                Ok(Some(Incoming::Deflated { is_text, bytes })) => {
                    let rate = self.services.limits.command(client.address);
                    if rate.is_err() && bytes.len() > INFLATED_TO_REFUSE {
                        return self.close(key, CloseCode::RateLimited);
                    }
                    admitted = Some(rate);
                    match self.inflater.message(is_text, bytes) {
                        Ok(message) => message,
                        Err(code) => return self.refuse(key, code),
                    }
                }
                Ok(Some(Incoming::Ping(payload))) => {
                    let pong = frame::pong_frame(payload);
                    self.send(key, pong);
                    continue;
                }
                Ok(Some(Incoming::Pong(_))) => continue,
                Ok(Some(Incoming::Close(code))) => return self.answer_close(key, code),
                Ok(None) => return self.arm(key),
                Err(code) => return self.refuse(key, code),
            };
            let limits = &self.services.limits;
            let admitted = admitted.unwrap_or_else(|| limits.command(client.address));
            session.handle(message, admitted, now, &mut self.effects);
            self.carry_out(key);
        }
    }

    /// The peer breaks the protocol.
    fn refuse(&mut self, key: u32, code: CloseCode) {
        tracing::debug!(?code, "a client broke the protocol");
        self.close(key, code);
    }
}
