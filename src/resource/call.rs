//! What a session asks of the gateway, and what it is answered. Each call is answered exactly
//! once; the answer reaches the session's worker before any push that follows from it.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::auth::Grant;
use crate::channel::ChannelName;
use crate::code::ErrorCode;
use crate::publication::Position;
use crate::session_id::SessionId;

/// What is to be done with a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum Verb {
    /// Receive its events; `CallOptions::snapshot` brings the resource too.
    Bind,
    /// GET a collection.
    Index,
    /// GET an item.
    Show,
    /// POST to a collection.
    Create,
    /// PATCH (or PUT) an item.
    Update,
    /// DELETE an item.
    Delete,
    /// The session has another token: may it stay bound?
    Recheck,
}

impl Verb {
    /// The REST verbs that an endpoint can have, by the templates that it has.
    pub fn of(item: bool, collection: bool) -> Vec<Self> {
        let all = [
            (Self::Index, collection),
            (Self::Show, item),
            (Self::Create, collection),
            (Self::Update, item),
            (Self::Delete, item),
        ];
        all.into_iter()
            .filter(|(_, there)| *there)
            .map(|(verb, _)| verb)
            .collect()
    }
}

/// One call. Its uri is canonical and covered when the session makes it; the gateway looks its
/// endpoint up again, since that may change meanwhile.
#[derive(Debug, Clone)]
pub struct Call {
    /// Names it within its session.
    pub id: u32,
    /// What to do.
    pub verb: Verb,
    /// To what, canonical, with its query.
    pub uri: ChannelName,
    /// JSON text; empty: none.
    pub body: Bytes,
    /// How.
    pub options: CallOptions,
    /// Who asks.
    pub caller: Arc<Caller>,
}

/// The options of a call.
#[derive(Debug, Clone, Default)]
pub struct CallOptions {
    /// Bind the session to what is answered, if the verb succeeds and the endpoint lets it.
    pub bind: bool,
    /// With [`Verb::Bind`]: bring the resource.
    pub snapshot: bool,
    /// Bring what was missed since.
    pub recover: Option<Since>,
    /// The last so many events.
    pub rewind: usize,
    /// Becomes `If-Match`.
    pub if_match: Option<Box<str>>,
    /// Becomes `Idempotency-Key`.
    pub idempotency_key: Option<Box<str>>,
    /// Whether the session gets its own copy of the event.
    pub echo: bool,
    /// The command's id, JSON text, for the writer's own copy.
    pub re: Option<Bytes>,
}

/// Where to recover from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Since {
    /// The last position that the client knows.
    pub position: Position,
    /// The session that it had then.
    pub session: Option<SessionId>,
}

/// Who asks.
#[derive(Debug, Clone)]
pub struct Caller {
    /// What its token grants; none: anonymous.
    pub grant: Option<Arc<Grant>>,
    /// The client's address.
    pub address: IpAddr,
    /// Which of its session's tokens that is: a later one has a higher number.
    pub turn: u32,
}

/// The answer to a call.
#[derive(Debug)]
pub struct Answer {
    /// The call's id.
    pub call: u32,
    /// What became of it.
    pub result: Result<Success, Failure>,
    /// From here on the session receives the events of a uri.
    pub bound: Option<Bound>,
}

/// A session has been bound by the gateway, or was already.
#[derive(Debug, Clone)]
pub struct Bound {
    /// The canonical uri.
    pub uri: ChannelName,
    /// The position that the answer stands for; pushes that follow lie beyond it.
    pub position: Option<Position>,
    /// The node was joined for it, which has to be undone when the session leaves (or has gone).
    pub fresh: bool,
}

/// The upstream agreed.
#[derive(Debug, Clone, Default)]
pub struct Success {
    /// The HTTP status; none: nothing was fetched (a bind without snapshot).
    pub code: Option<u16>,
    /// JSON text; empty: `null`.
    pub data: Bytes,
    /// The entity tag, quotes and all.
    pub etag: Option<Box<str>>,
    /// Whether everything since [`CallOptions::recover`] is in `publications`; none: not asked.
    pub recovered: Option<bool>,
    /// What was missed or rewound, oldest first.
    pub publications: Vec<Past>,
}

/// An event of the past.
#[derive(Debug, Clone)]
pub struct Past {
    /// The event's name.
    pub event: Arc<str>,
    /// The item that it tells of, on collections.
    pub item: Option<ChannelName>,
    /// JSON text.
    pub data: Bytes,
    /// Its offset.
    pub offset: u64,
    /// When it happened, Unix milliseconds.
    pub time: u64,
}

/// Why a call failed.
#[derive(Debug, Clone)]
pub struct Failure {
    /// For programs.
    pub code: ErrorCode,
    /// For people.
    pub message: Cow<'static, str>,
    /// When it may work, where waiting helps.
    pub retry_after: Option<Duration>,
    /// The upstream's status.
    pub http: Option<u16>,
    /// The upstream's body: JSON text of at most 8 KiB.
    pub details: Option<Bytes>,
    /// A write whose outcome nobody knows.
    pub outcome_unknown: bool,
}

/// A session at its worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Origin {
    /// The worker's number.
    pub worker: u8,
    /// The connection's key there; given again after the session has gone.
    pub connection: u32,
    /// The session.
    pub session: SessionId,
}

/// Takes the calls of sessions; the workers' door to the gateway.
pub trait Calls: Send + Sync {
    /// Answers `call` through the hub, exactly once, now or later. Never blocks.
    fn call(&self, call: Call, origin: Origin);

    /// The session has another token, by which `caller` asks: it is given nothing of these until
    /// its [`Verb::Recheck`] of each has been answered.
    fn hold(&self, session: SessionId, uris: &[ChannelName], caller: &Arc<Caller>);

    /// The session is no longer bound to `uri`, or has gone.
    fn left(&self, session: SessionId, uri: &ChannelName);
}
