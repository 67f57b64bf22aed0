//! What one client says and understands, without its socket: bytes come in, bytes go out. It
//! upgrades, subscribes to its channel, answers pings and counts publications.

use std::sync::Arc;

use serde_json::json;

use super::tally::Tally;
use super::token::Tokens;
use super::wire::{self, CLOSE, Finder, Frame, PING, PONG, TEXT};
use crate::metrics::Metrics;
use crate::protocol::Message;
use crate::protocol::deflate::Inflater;

/// The protocol that a server speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub(super) enum Protocol {
    /// Pogo's own, JSON
    #[default]
    Native,
    /// Pusher's, protocol 7
    Pusher,
}

/// Which channel a client subscribes to.
#[derive(Debug, Clone)]
pub(super) enum Subscription {
    /// All to this one.
    Shared(String),
    /// Each to one of its own with this prefix.
    Own(String),
}

/// What all clients of a swarm do.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) protocol: Protocol,
    pub(super) host: String,
    pub(super) path: String,
    pub(super) tokens: Tokens,
    pub(super) subscription: Subscription,
    /// Whether permessage-deflate is offered.
    pub(super) compress: bool,
}

impl Plan {
    /// The request to upgrade of client `index`.
    pub(super) fn request(&self, index: usize) -> String {
        let mut request = format!(
            "GET {} HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: cG9nbyBiZW5jaG1hcmtzIQ==\r\n",
            self.path, self.host
        );
        if self.protocol == Protocol::Native {
            request += "Sec-WebSocket-Protocol: pogo.v1.json\r\n";
        }
        if self.compress {
            request += "Sec-WebSocket-Extensions: permessage-deflate\r\n";
        }
        if let Some(token) = self.tokens.of(index) {
            request = request + "Authorization: Bearer " + &token + "\r\n";
        }
        request + "\r\n"
    }

    fn subscribe(&self, index: usize) -> Vec<u8> {
        let channel = match &self.subscription {
            Subscription::Shared(name) => name.clone(),
            Subscription::Own(prefix) => format!("{prefix}{index}"),
        };
        let command = match self.protocol {
            Protocol::Native => json!({"id": 1, "event": "channel:subscribe", "channel": channel}),
            Protocol::Pusher => json!({"event": "pusher:subscribe", "data": {"channel": channel}}),
        };
        command.to_string().into_bytes()
    }
}

/// How far a client is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Upgrading,
    Subscribing,
    Ready,
}

/// A client's own state.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) state: State,
    /// Number of the last publication.
    pub(super) last: u64,
    index: usize,
}

/// What the clients of a swarm share while they read.
#[derive(Debug)]
pub(super) struct Context {
    /// Reads what is compressed.
    pub(super) inflater: Option<Inflater>,
    pub(super) plan: Arc<Plan>,
    pub(super) tally: Tally,
    pub(super) finder: Finder,
    /// Now, in nanoseconds of the publications' clock.
    pub(super) now: u64,
}

/// Why a client has ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refused(pub(super) String);

impl Context {
    /// Has the clients to come offer permessage-deflate.
    pub(super) fn offer_compression(&mut self) {
        const MAX_BYTES: usize = 16 << 20;
        self.inflater = Some(Inflater::new(MAX_BYTES, &Metrics::new()));
        Arc::make_mut(&mut self.plan).compress = true;
    }
}

impl Client {
    pub(super) fn new(index: usize) -> Self {
        Self {
            state: State::Upgrading,
            last: 0,
            index,
        }
    }

    /// Takes what was read: how much of it is used up; the rest belongs before the next bytes.
    pub(super) fn feed(
        &mut self,
        bytes: &[u8],
        context: &mut Context,
        out: &mut Vec<u8>,
    ) -> Result<usize, Refused> {
        let mut used = 0;
        if self.state == State::Upgrading {
            let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
                return Ok(0);
            };
            if !bytes.starts_with(b"HTTP/1.1 101") {
                let line = bytes.split(|byte| *byte == b'\r').next().unwrap_or(bytes);
                return Err(Refused(String::from_utf8_lossy(line).into_owned()));
            }
            used = end + 4;
            self.state = State::Subscribing;
            if context.plan.protocol == Protocol::Native {
                wire::put_frame(out, TEXT, &context.plan.subscribe(self.index));
            }
        }
        while let Some(frame) = wire::frame(&bytes[used..]) {
            used += frame.length;
            match frame.opcode {
                TEXT if frame.compressed => self.compressed(&frame, context, out)?,
                TEXT => self.message(frame.payload, frame.length, context, out)?,
                PING => wire::put_frame(out, PONG, frame.payload),
                CLOSE => {
                    let payload = frame.payload;
                    let reason = String::from_utf8_lossy(payload.get(2..).unwrap_or_default());
                    let code = payload
                        .first_chunk()
                        .map_or(0, |code| u16::from_be_bytes(*code));
                    return Err(Refused(format!("closed with {code} {reason}")));
                }
                _ => {}
            }
        }
        Ok(used)
    }

    fn compressed(
        &mut self,
        frame: &Frame<'_>,
        context: &mut Context,
        out: &mut Vec<u8>,
    ) -> Result<(), Refused> {
        let refused = || Refused("a compressed message that cannot be read".to_owned());
        let mut inflater = context.inflater.take().ok_or_else(refused)?;
        let read = match inflater.message(false, frame.payload) {
            Ok(Message::Binary(payload)) => self.message(payload, frame.length, context, out),
            _ => Err(refused()),
        };
        context.inflater = Some(inflater);
        read
    }

    fn message(
        &mut self,
        payload: &[u8],
        length: usize,
        context: &mut Context,
        out: &mut Vec<u8>,
    ) -> Result<(), Refused> {
        if self.state == State::Ready
            && let Some((number, sent)) = context.finder.find(payload)
        {
            context.tally.publication(self.last, number, length);
            context.tally.latency(context.now.saturating_sub(sent));
            self.last = self.last.max(number);
            return Ok(());
        }
        let has = |text: &str| {
            payload
                .windows(text.len())
                .any(|some| some == text.as_bytes())
        };
        let refused = || Err(Refused(String::from_utf8_lossy(payload).into_owned()));
        match context.plan.protocol {
            Protocol::Native if self.state == State::Subscribing => {
                if has("\"status\":\"ok\"") {
                    self.state = State::Ready;
                } else if has("\"status\":\"error\"") {
                    return refused();
                }
            }
            Protocol::Native => {}
            Protocol::Pusher => {
                if has("\"pusher:ping\"") {
                    wire::put_frame(out, TEXT, br#"{"event":"pusher:pong","data":{}}"#);
                } else if has("pusher:connection_established") {
                    wire::put_frame(out, TEXT, &context.plan.subscribe(self.index));
                } else if has("subscription_succeeded") {
                    self.state = State::Ready;
                } else if has("pusher:error") || has("subscription_error") {
                    return refused();
                }
            }
        }
        Ok(())
    }
}
