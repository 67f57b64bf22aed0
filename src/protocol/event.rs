//! What a session is told, whatever the encoding: pushes, replies and the server's own events.
//! Data is raw JSON text, everything else is typed.

mod write;

use std::time::Duration;

use bytes::Bytes;
use serde_json::value::RawValue;

use super::{Encoding, RequestId, Spelling};
use crate::channel::ChannelName;
use crate::code::ErrorCode;
use crate::publication::Position;
use crate::session_id::SessionId;

/// One frame to a client.
#[derive(Debug, Clone)]
pub enum Event<'a> {
    /// A publication, or what the server sends to one session.
    Push {
        /// The event's name.
        event: &'a str,
        /// The channel; none for what concerns the session alone.
        name: Option<Name<'a>>,
        /// JSON text.
        data: &'a [u8],
        /// On channels that keep history.
        offset: Option<u64>,
        /// On a covered collection: the uri of the item that it tells of.
        item: Option<&'a str>,
        /// In the writer's own copy: the command's id, JSON text.
        re: Option<&'a [u8]>,
    },
    /// `pogo:welcome`, the first frame.
    Welcome(Welcome<'a>),
    /// `pogo:expiring`: the token ends.
    Expiring {
        /// Unix seconds.
        expires: u64,
    },
    /// `pogo:subscribed`: done by the server.
    Subscribed {
        /// The channel.
        name: Name<'a>,
        /// Where it stands, if it keeps history.
        position: Option<&'a Position>,
    },
    /// `pogo:unsubscribed`: done by the server.
    Unsubscribed {
        /// The channel.
        name: Name<'a>,
        /// Why, as a code.
        reason: &'a str,
    },
    /// `pogo:gap`: publications were lost.
    Gap {
        /// The channel.
        name: Name<'a>,
        /// The position before the loss, if the channel keeps history.
        before: Option<&'a Position>,
    },
    /// `pogo:drain`: the node goes away.
    Drain {
        /// How long to wait before connecting again.
        reconnect_after: Duration,
    },
    /// The reply to a command.
    Reply {
        /// The command's id.
        id: &'a RequestId<'a>,
        /// What it says.
        reply: Reply<'a>,
    },
}

/// A channel's name as the session spelled it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Name<'a> {
    /// Which key.
    pub spelling: Spelling,
    /// The name.
    pub text: &'a str,
}

/// The data of `pogo:welcome`.
#[derive(Debug, Clone)]
pub struct Welcome<'a> {
    /// The session.
    pub session: SessionId,
    /// Its encoding; its subprotocol is shown.
    pub protocol: Encoding,
    /// How often the server pings.
    pub ping_interval: Duration,
    /// The server's version.
    pub version: &'a str,
    /// The token's subject.
    pub subject: Option<&'a str>,
    /// The token's end, Unix seconds.
    pub expires: Option<u64>,
    /// Subscribed by the token.
    pub channels: &'a [ChannelName],
}

/// What a reply says.
#[derive(Debug, Clone)]
pub enum Reply<'a> {
    /// Refused.
    Error(Failure<'a>),
    /// Done; nothing to say.
    Done,
    /// To `auth`.
    Authenticated {
        /// The token's end, Unix seconds.
        expires: u64,
        /// The session.
        session: SessionId,
        /// The token's subject, else `null`.
        subject: Option<&'a str>,
        /// Subscribed by the token.
        channels: &'a [ChannelName],
    },
    /// To subscribe and bind; to unsubscribe and unbind with a name alone.
    Subscribed(Subscribed<'a>),
    /// To subscribe and unsubscribe with `channels`, in their order.
    Results(&'a [SubscribeResult<'a>]),
    /// To a publication.
    Published(Option<&'a Position>),
    /// To `channel:presence`.
    Presence {
        /// A row a session.
        members: &'a [Member<'a>],
        /// Distinct members.
        total: usize,
    },
    /// To `channel:history`.
    History {
        /// Where the channel stands.
        position: Option<&'a Position>,
        /// In the order asked for.
        publications: &'a [Past<'a>],
    },
    /// To `index`, `show`, `create`, `update` and `delete`, and to a `bind` that brings the
    /// resource.
    Resource(Resource<'a>),
    /// To `ping`.
    Time {
        /// Unix milliseconds.
        time: u64,
    },
}

/// Why a command was refused.
#[derive(Debug, Clone, Copy)]
pub struct Failure<'a> {
    /// For programs.
    pub code: ErrorCode,
    /// For people.
    pub message: &'a str,
    /// When it may work, where waiting helps.
    pub retry_after: Option<Duration>,
    /// The upstream's status.
    pub http: Option<u16>,
    /// The upstream's body: JSON text.
    pub details: Option<&'a [u8]>,
    /// A write of which nobody knows whether it was done.
    pub outcome_unknown: bool,
}

impl<'a> Failure<'a> {
    /// One that says no more than this.
    pub const fn new(code: ErrorCode, message: &'a str) -> Self {
        Self {
            code,
            message,
            retry_after: None,
            http: None,
            details: None,
            outcome_unknown: false,
        }
    }
}

/// What the gateway answers. Of it only `data` stands in the reply's `data`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Resource<'a> {
    /// The upstream's status.
    pub code: Option<u16>,
    /// JSON text, else `null`.
    pub data: Option<&'a [u8]>,
    /// The entity tag, quotes and all.
    pub etag: Option<&'a str>,
    /// The canonical uri that the session is bound to, else `false`.
    pub bound: Option<&'a str>,
    /// Where that stands.
    pub position: Option<&'a Position>,
    /// Whether all that was missed is there, if that was asked.
    pub recovered: Option<bool>,
    /// What was missed or rewound, oldest first; `None` leaves the key out.
    pub publications: Option<&'a [Past<'a>]>,
}

/// One channel joined.
#[derive(Debug, Clone)]
pub struct Subscribed<'a> {
    /// The channel.
    pub name: Name<'a>,
    /// Where it stands, if it keeps history.
    pub position: Option<&'a Position>,
    /// Whether all that was missed is there, if that was asked.
    pub recovered: Option<bool>,
    /// What was missed or rewound, oldest first; `None` leaves the key out.
    pub publications: Option<&'a [Past<'a>]>,
}

/// One of several channels: joined, or why not.
#[derive(Debug, Clone)]
pub enum SubscribeResult<'a> {
    /// Joined (or left).
    Ok(Subscribed<'a>),
    /// Refused.
    Failed {
        /// The channel's name as it was sent.
        channel: &'a str,
        /// Why.
        failure: Failure<'a>,
    },
}

/// A row of presence.
#[derive(Debug, Clone, Copy)]
pub struct Member<'a> {
    /// What counts as one member.
    pub subject: &'a str,
    /// The session.
    pub session: SessionId,
    /// What the token shows, else `null`.
    pub info: Option<&'a RawValue>,
}

/// A publication of the past.
#[derive(Debug, Clone, Copy)]
pub struct Past<'a> {
    /// The event's name.
    pub event: &'a str,
    /// On a covered collection: the uri of the item that it tells of.
    pub item: Option<&'a str>,
    /// JSON text.
    pub data: &'a [u8],
    /// Its offset.
    pub offset: u64,
    /// When it was accepted, Unix milliseconds.
    pub time: u64,
}

/// The data of `pogo:join` and `pogo:leave`, which are publications: JSON text.
pub fn member_data(member: Member<'_>) -> Bytes {
    super::json::member_data(member)
}
