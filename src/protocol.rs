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
mod msgpack;
pub mod options;
pub mod pairs;
pub mod pusher;
mod sink;

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
    /// `pogo.v1.cjson`: the envelope's keys and the commands are letters.
    CompactJson,
    /// `pogo.v1.msgpack`: binary messages.
    MsgPack,
    /// `pogo.v1.cmsgpack`: both.
    CompactMsgPack,
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
    pub const COUNT: usize = 2 * Self::FORMS;
    /// How many there are that are not compressed: Pusher's pushes name a channel by one key only.
    const FORMS: usize = 2 * Encoding::ALL.len() + 1;

    /// A number below [`Self::COUNT`].
    pub const fn index(self) -> usize {
        let form = match self.encoding {
            Encoding::Json => self.spelling as usize,
            Encoding::CompactJson => 2 + self.spelling as usize,
            Encoding::MsgPack => 4 + self.spelling as usize,
            Encoding::CompactMsgPack => 6 + self.spelling as usize,
            Encoding::Pusher => 8,
        };
        form + Self::FORMS * self.deflate as usize
    }
}

impl Encoding {
    /// Every encoding that a subprotocol selects, the default first.
    pub const ALL: [Self; 4] = [
        Self::Json,
        Self::CompactJson,
        Self::MsgPack,
        Self::CompactMsgPack,
    ];

    /// The subprotocol that selects it, which is also its name in lists and metrics.
    pub const fn subprotocol(self) -> &'static str {
        match self {
            Self::Json => "pogo.v1.json",
            Self::CompactJson => "pogo.v1.cjson",
            Self::MsgPack => "pogo.v1.msgpack",
            Self::CompactMsgPack => "pogo.v1.cmsgpack",
            Self::Pusher => "pusher",
        }
    }

    /// Whether the envelope is shortened.
    const fn is_compact(self) -> bool {
        matches!(self, Self::CompactJson | Self::CompactMsgPack)
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

/// Decodes one message of a native client. A binary one is written as JSON text into `scratch`
/// first, of which the command borrows then.
///
/// # Errors
/// The code to close with: the wrong kind of frame, MessagePack that is none, or no command at
/// all.
pub fn decode<'a>(
    encoding: Encoding,
    message: Message<'a>,
    scratch: &'a mut String,
) -> Result<Command<'a>, CloseCode> {
    let compact = encoding.is_compact();
    let text = match (encoding, message) {
        // Its frames are no commands: see `pusher::decode`.
        (Encoding::Pusher, _) => return Err(CloseCode::BadFrame),
        (Encoding::Json | Encoding::CompactJson, Message::Text(text)) => text,
        (Encoding::MsgPack | Encoding::CompactMsgPack, Message::Binary(bytes)) => {
            *scratch = msgpack::to_json(bytes, sink::Key::Data.text(compact))
                .ok_or(CloseCode::BadPayload)?;
            scratch
        }
        _ => return Err(CloseCode::WrongKind),
    };
    json::decode(text, compact).ok_or(CloseCode::BadFrame)
}

/// The whole WebSocket frame of an event of the native protocol.
pub fn encode(encoding: Encoding, event: &Event<'_>) -> Bytes {
    match encoding {
        // No Pusher session has native events: see `pusher::encode`.
        Encoding::Json | Encoding::Pusher => json::encode::<false>(event),
        Encoding::CompactJson => json::encode::<true>(event),
        Encoding::MsgPack => msgpack::encode(event, false),
        Encoding::CompactMsgPack => msgpack::encode(event, true),
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

#[cfg(test)]
mod tests;
