//! What goes into a replica and what comes out of it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::channel::ChannelName;
use crate::publication::{Change, Position, Publication, Writer};
use crate::resource::{Answer, Caller, Failure, Origin, Since, Success};
use crate::session_id::SessionId;

/// How a replica behaves; what it is of.
#[derive(Clone)]
pub struct Settings {
    /// A collection (or a query of one); otherwise an item.
    pub collection: bool,
    /// It has a query: at least [`Bounds::spacing`] between two fetches.
    pub query: bool,
    /// Everyone who is bound sees the same, so that the data of events may be used.
    pub shared: bool,
    /// Publishers keep the order of each uri's events.
    pub ordered: bool,
    /// What happens is told (otherwise it only follows what it fetches by itself).
    pub realtime: bool,
    /// It is also asked for on its own, every so often, since not every change is told.
    pub revalidate: Option<Duration>,
    /// Where an item of a collection has its id: a JSON pointer.
    pub id: Box<str>,
    /// Where an item of a collection has its version: a JSON pointer.
    pub version: Option<Box<str>>,
    /// The canonical uri of the item with this id.
    pub item: Option<ItemUri>,
    /// The bounds.
    pub bounds: Bounds,
}

/// From an id to the canonical uri of the item.
pub type ItemUri = Arc<dyn Fn(&str) -> Option<ChannelName> + Send + Sync>;

/// Spans and bounds of replicas.
#[derive(Debug, Clone)]
pub struct Bounds {
    /// From an event that says too little to the fetch that follows.
    pub debounce: Duration,
    /// Between two fetches of a query.
    pub spacing: Duration,
    /// Before an upstream that answered with an older version is asked again.
    pub settle: Duration,
    /// How often it is, before continuity is given up.
    pub settles: u32,
    /// How often a joiner's fetch is repeated while events come in.
    pub refetches: u32,
    /// The wait after the first failed fetch; it doubles up to [`Self::retry_most`].
    pub retry: Duration,
    /// The longest such wait.
    pub retry_most: Duration,
    /// How many fetches may fail in a row before the bound are told of a gap.
    pub retries: u32,
    /// Most pushes that are kept for recovery.
    pub ring: usize,
    /// Most bytes of them.
    pub ring_bytes: usize,
    /// How long they are kept, and a replica that nobody is bound to.
    pub ring_ttl: Duration,
    /// Most changes that one fetch of a collection may bring; more are a gap.
    pub changes: usize,
    /// Most bytes of a body that is kept to compare; a larger one is a gap.
    pub body: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            debounce: Duration::from_millis(50),
            spacing: Duration::from_millis(100),
            settle: Duration::from_millis(200),
            settles: 5,
            refetches: 2,
            retry: Duration::from_millis(250),
            retry_most: Duration::from_secs(4),
            retries: 5,
            ring: 128,
            ring_bytes: 1 << 20,
            ring_ttl: Duration::from_secs(60),
            changes: 128,
            body: 1 << 20,
        }
    }
}

/// When something happens.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    /// Now.
    pub at: Instant,
    /// Now, Unix milliseconds.
    pub unix_ms: u64,
    /// The uri's generation in the cache, which every write and every event has raised before the
    /// replica hears of it.
    pub generation: u64,
}

/// A session wants to be bound.
#[derive(Debug, Clone)]
pub struct Attach {
    /// Whose call it is.
    pub origin: Origin,
    /// Its number.
    pub call: u32,
    /// Who asks: checked, it may be bound.
    pub caller: Arc<Caller>,
    /// What for.
    pub ask: Ask,
    /// Where the stream stood when the node had joined it for this session.
    pub position: Option<Position>,
    /// The node was joined for this call. Either its worker learns so, by
    /// [`crate::resource::Bound`], or it is undone.
    pub fresh: bool,
}

/// What the answer is to hold.
#[derive(Debug, Clone, Default)]
pub struct Ask {
    /// The resource.
    pub data: bool,
    /// What was missed since.
    pub recover: Option<Since>,
    /// The last so many events.
    pub rewind: usize,
    /// The answer to a write, which is answered with just this.
    pub given: Option<Success>,
}

/// An event of the stream.
#[derive(Debug, Clone)]
pub struct Event {
    /// Its name.
    pub name: Arc<str>,
    /// JSON text; empty or `null`: none.
    pub data: Bytes,
    /// Where it stands.
    pub position: Option<Position>,
    /// When it was published, Unix milliseconds.
    pub time: u64,
    /// When it may reach nobody any more.
    pub expires: Option<Instant>,
    /// What it says beside.
    pub change: Option<Arc<Change>>,
}

impl Event {
    /// What has been published. Whom it excludes counts as a writer who wants no copy.
    pub fn of(publication: Publication) -> Self {
        let position = publication.position();
        let mut change = publication.change;
        if let Some(session) = publication.exclude {
            let change = Arc::make_mut(change.get_or_insert_default());
            change.writer.get_or_insert(Writer {
                session,
                call: 0,
                re: None,
                echo: false,
            });
        }
        Self {
            name: publication.event,
            data: publication.data,
            position,
            time: publication.time,
            expires: publication.expires,
            change,
        }
    }

    /// For how long it may be told.
    pub fn terms(&self) -> Terms {
        Terms {
            expires: self.expires,
            unkept: self.change.as_deref().is_some_and(|change| change.unkept),
        }
    }
}

/// For how long something may be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Terms {
    /// To nobody any more from then on.
    pub expires: Option<Instant>,
    /// To nobody who is not there.
    pub unkept: bool,
}

impl Terms {
    /// Whether its time has passed.
    pub fn is_over(&self, now: Instant) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }
}

/// How fresh the answer to a fetch must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// A kept answer does, if it was asked for in the present generation.
    Current,
    /// The upstream is asked.
    Upstream,
}

/// What became of a fetch.
#[derive(Debug, Clone)]
pub enum Fetched {
    /// The resource.
    Snapshot(Snapshot),
    /// 404 or 410.
    Gone(Failure),
    /// 401 or 403: not for this caller.
    Denied(Failure),
    /// Anything else.
    Failed(Failure),
}

/// A resource as it was at some time after the fetch was begun.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// The HTTP status.
    pub code: u16,
    /// JSON text.
    pub body: Bytes,
    /// The entity tag.
    pub etag: Option<Box<str>>,
    /// The version, where the endpoint says where to find one. Of an item.
    pub version: Option<u64>,
    /// Until then whoever asks may be given the same; none: it is this answer's only.
    pub until: Option<Instant>,
}

/// What the replica wants done, in this order.
#[derive(Debug)]
pub enum Output {
    /// Ask for the resource; the result comes back with the ticket.
    Fetch {
        /// Names it.
        ticket: u64,
        /// With whose credentials.
        caller: Arc<Caller>,
        /// How fresh.
        need: Need,
        /// Something has happened to it.
        again: bool,
    },
    /// Answer a call.
    Answer {
        /// Whose.
        origin: Origin,
        /// With what.
        answer: Box<Answer>,
    },
    /// Tell of a change.
    Push(Box<Push>),
    /// The session is bound no longer.
    Unsubscribe {
        /// Whose.
        origin: Origin,
        /// Why: `gone`, `forbidden`, `unauthenticated`.
        reason: &'static str,
    },
    /// Something was missed: fetch again.
    Gap {
        /// Who.
        to: Vec<Origin>,
        /// The position before the loss.
        before: Option<Position>,
        /// Why, for the metrics.
        why: &'static str,
    },
    /// The node was joined for a call that did not bind its session, or not anew.
    Undo {
        /// Whose.
        origin: Origin,
    },
}

/// An event for the bound.
#[derive(Debug, Clone)]
pub struct Push {
    /// To whom.
    pub to: To,
    /// The event's name.
    pub event: Arc<str>,
    /// JSON text.
    pub data: Bytes,
    /// On collections: the item.
    pub item: Option<ChannelName>,
    /// The position that is shown with it, if one is.
    pub position: Option<Position>,
    /// In the writer's own copy: the command's id, JSON text.
    pub re: Option<Bytes>,
    /// When it happened, Unix milliseconds.
    pub time: u64,
    /// When it may reach nobody any more.
    pub expires: Option<Instant>,
}

/// Who gets a push.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum To {
    /// Everyone who is bound to the uri on this node (only with a shared audience) but this one.
    All(Option<SessionId>),
    /// These.
    These(Vec<Origin>),
}

// By hand: a closure has no text.
impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Settings")
            .field("collection", &self.collection)
            .field("shared", &self.shared)
            .finish_non_exhaustive()
    }
}
