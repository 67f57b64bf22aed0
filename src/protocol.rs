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
pub mod pusher;

pub use command::{Command, Fault, RequestId};
pub use event::{
    Event, Failure, Member, Name, Past, Reply, Resource, SubscribeResult, Subscribed, Welcome,
    member_data,
};

use bytes::Bytes;

use crate::channel::ChannelName;
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
    /// Pusher's protocol. No subprotocol selects it: sessions at `/app/…` speak it.
    Pusher,
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
    pub const COUNT: usize = 6;

    /// A number below [`Self::COUNT`].
    pub const fn index(self) -> usize {
        let form = match (self.encoding, self.spelling) {
            (Encoding::Json, Spelling::Channel) => 0,
            (Encoding::Json, Spelling::Uri) => 1,
            // Its pushes name a channel by one key only.
            (Encoding::Pusher, _) => 2,
        };
        form + 3 * self.deflate as usize
    }
}

impl Encoding {
    /// Every encoding that a subprotocol selects, the default first.
    pub const ALL: [Self; 1] = [Self::Json];

    /// The subprotocol that selects it, which is also its name in lists and metrics.
    pub const fn subprotocol(self) -> &'static str {
        match self {
            Self::Json => "pogo.v1.json",
            Self::Pusher => "pusher",
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

/// Decodes one message of a native client.
///
/// # Errors
/// The code to close with: the wrong kind of frame, or no command at all.
pub fn decode(encoding: Encoding, message: Message<'_>) -> Result<Command<'_>, CloseCode> {
    match (encoding, message) {
        (Encoding::Json, Message::Text(text)) => json::decode(text).ok_or(CloseCode::BadFrame),
        (Encoding::Json, Message::Binary(_)) => Err(CloseCode::WrongKind),
        // Its frames are no commands: see `pusher::decode`.
        (Encoding::Pusher, _) => Err(CloseCode::BadFrame),
    }
}

/// The whole WebSocket frame of an event of the native protocol.
pub fn encode(encoding: Encoding, event: &Event<'_>) -> Bytes {
    match encoding {
        // No Pusher session has native events: see `pusher::encode`.
        Encoding::Json | Encoding::Pusher => json::encode(event),
    }
}

/// The whole WebSocket frame of a push, not compressed.
pub fn encode_publication(wire: Wire, publication: &Publication) -> Bytes {
    if wire.encoding == Encoding::Pusher {
        return pusher::encode_publication(publication);
    }
    let change = publication.change.as_deref();
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
            item: publication.item().map(ChannelName::as_str),
            re: change.and_then(|change| change.re.as_deref()),
        },
    )
}
