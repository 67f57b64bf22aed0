//! Bytes ↔ commands and events. No I/O and no state beyond an unfinished frame.
//!
//! [`frame`] is RFC 6455, the same for every encoding. [`decode`] turns one message into a
//! [`Command`], [`encode`] turns an [`Event`] into a whole frame, ready for the socket. Neither
//! type knows the encoding; payload data stays raw JSON text on its way through.

mod command;
pub mod deflate;
mod event;
pub mod frame;
mod json;
pub mod options;

pub use command::{Command, Fault, RequestId};
pub use event::{
    Event, Failure, Member, Name, Past, Reply, SubscribeResult, Subscribed, Welcome, member_data,
};

use bytes::Bytes;

use crate::code::CloseCode;
use crate::publication::Publication;

/// How publications are spelled to a session: its encoding, `channel` or `uri`, and whether it takes
/// them compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Wire {
    /// The encoding.
    pub encoding: Encoding,
    /// Which key names the channel.
    pub spelling: Spelling,
    /// Whether permessage-deflate was negotiated.
    pub deflate: bool,
}

/// The encoding of a session, fixed by its subprotocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// `pogo.v1.json`
    Json,
}

/// Which key named the channel when the session subscribed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Spelling {
    /// `channel`
    #[default]
    Channel,
    /// `uri`
    Uri,
}

/// A whole message from the client.
#[derive(Debug, Clone, Copy)]
pub enum Message<'a> {
    /// A text message; checked UTF-8.
    Text(&'a str),
    /// A binary message.
    Binary(&'a [u8]),
}

impl Wire {
    /// How many there are.
    pub const COUNT: usize = 4;

    /// A number below [`Self::COUNT`].
    pub const fn index(self) -> usize {
        let Encoding::Json = self.encoding;
        let spelling = match self.spelling {
            Spelling::Channel => 0,
            Spelling::Uri => 1,
        };
        spelling + 2 * self.deflate as usize
    }
}

impl Encoding {
    /// Every encoding, the default first.
    pub const ALL: [Self; 1] = [Self::Json];

    /// The subprotocol that selects it.
    pub const fn subprotocol(self) -> &'static str {
        match self {
            Self::Json => "pogo.v1.json",
        }
    }

    /// The encoding that `subprotocol` selects.
    pub fn of_subprotocol(subprotocol: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|encoding| encoding.subprotocol() == subprotocol)
    }
}

impl Spelling {
    /// The key on the wire.
    pub const fn key(self) -> &'static str {
        match self {
            Self::Channel => "channel",
            Self::Uri => "uri",
        }
    }
}

/// Decodes one message of a client.
///
/// # Errors
/// The code to close with: the wrong kind of frame, or no command at all.
pub fn decode(encoding: Encoding, message: Message<'_>) -> Result<Command<'_>, CloseCode> {
    match (encoding, message) {
        (Encoding::Json, Message::Text(text)) => json::decode(text).ok_or(CloseCode::BadFrame),
        (Encoding::Json, Message::Binary(_)) => Err(CloseCode::WrongKind),
    }
}

/// The whole WebSocket frame of `event`.
pub fn encode(encoding: Encoding, event: &Event<'_>) -> Bytes {
    match encoding {
        Encoding::Json => json::encode(event),
    }
}

/// The whole WebSocket frame of a push, not compressed.
pub fn encode_publication(wire: Wire, publication: &Publication) -> Bytes {
    encode(
        wire.encoding,
        &Event::Push {
            event: &publication.event,
            name: Some(Name {
                spelling: wire.spelling,
                text: publication.channel.as_str(),
            }),
            data: &publication.data,
            offset: publication.epoch.is_some().then_some(publication.sequence),
        },
    )
}
