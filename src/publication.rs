//! What is published, and where it stands in its channel.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use crate::channel::ChannelName;
use crate::session_id::SessionId;

/// Longest data of a publication in bytes.
pub const MAX_DATA_BYTES: usize = 64 * 1024;

/// A run of offsets; a new epoch means that old offsets say nothing any more.
pub type Epoch = Arc<str>;

/// A place in a channel's sequence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// The run of offsets.
    pub epoch: Epoch,
    /// The last publication's offset; 0 before the first.
    pub offset: u64,
}

/// Where a publication's data comes from, which says how a Pusher client is shown it. To native
/// clients it is JSON in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Form {
    /// JSON: a Pusher client gets a string that holds its text.
    #[default]
    Json,
    /// A text by Pusher's API that is no JSON: the data is a JSON string that holds it, and a
    /// Pusher client gets this string.
    Text,
    /// A Pusher client's event: other Pusher clients get the data as it came.
    Client,
    /// How many subscribers the channel has: for Pusher clients whose app wants it, and for nobody
    /// else.
    Count,
}

/// One accepted publication.
#[derive(Debug, Clone)]
pub struct Publication {
    /// The channel.
    pub channel: ChannelName,
    /// The event's name, checked.
    pub event: Arc<str>,
    /// The data: JSON text, checked, at most [`MAX_DATA_BYTES`].
    pub data: Bytes,
    /// The broker's number of it in its channel, from 1, without holes; 0 where the broker keeps
    /// no sequence.
    pub sequence: u64,
    /// The epoch, on channels that keep history. Only then is `sequence` shown as an offset.
    pub epoch: Option<Epoch>,
    /// When the broker accepted it, Unix milliseconds.
    pub time: u64,
    /// When this node learnt of it, for latency.
    pub accepted: Instant,
    /// When it may reach nobody any more.
    pub expires: Option<Instant>,
    /// The session that must not get it.
    pub exclude: Option<SessionId>,
    /// How Pusher clients are shown the data.
    pub form: Form,
    /// Who sent a Pusher client's event, on presence channels.
    pub user: Option<Arc<str>>,
    /// Of a push that tells of presence: the number of this change in the channel, which grows;
    /// a list of members says which changes it holds. 0 elsewhere.
    pub revision: u64,
    /// Of a covered uri: what the gateway knows beside the data.
    pub change: Option<Arc<Change>>,
}

/// What a publication on a covered uri says beside its data: the gateway reads it, and a client
/// sees `item` and `re`.
#[derive(Debug, Clone, Default)]
pub struct Change {
    /// On a collection: the canonical uri of the item that changed.
    pub item: Option<ChannelName>,
    /// The version that the item has now, where the endpoint says where to find one.
    pub version: Option<u64>,
    /// Who wrote, where it was a session.
    pub writer: Option<Writer>,
    /// It is told to whoever is there, and kept for nobody who comes later.
    pub unkept: bool,
    /// In the writer's own copy: the id of the command, JSON text.
    pub re: Option<Bytes>,
}

/// The session whose command made a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Writer {
    /// The session.
    pub session: SessionId,
    /// The command's call within it.
    pub call: u32,
    /// The command's id, JSON text; none was given.
    pub re: Option<Bytes>,
    /// Whether it wants its own copy.
    pub echo: bool,
}

impl Publication {
    /// The position, on channels that keep history.
    pub fn position(&self) -> Option<Position> {
        let epoch = self.epoch.clone()?;
        Some(Position {
            epoch,
            offset: self.sequence,
        })
    }

    /// On a covered collection: the item that it tells of.
    pub fn item(&self) -> Option<&ChannelName> {
        self.change.as_ref()?.item.as_ref()
    }

    /// Whether its ttl has passed at `now`.
    pub fn is_expired(&self, now: Instant) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }
}

/// Room in the node's budget for publications under way; given back when dropped, which is when
/// every worker has put the publication into its sessions' mailboxes.
pub type Admission = tokio::sync::OwnedSemaphorePermit;

/// Takes publications in their channel's order: the broker hands them to the hub through it.
pub trait Deliver: Send + Sync {
    /// Hands `publication` to every subscriber on this node and returns how many sessions that
    /// is. Never blocks; calls for one channel come one after another.
    fn deliver(&self, publication: Publication, admission: Option<Admission>) -> usize;
}
