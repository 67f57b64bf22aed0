//! Work that a session asks for outside itself. It is polled once on the worker, which is all
//! that it takes with the memory broker; what is not ready then goes on in the runtime and comes
//! back through the inbox.

use std::future::Future;
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::auth::Authenticator;
use crate::broker::{BrokerError, HistoryPage, HistoryQuery, Members};
use crate::channel::ChannelName;
use crate::clock::Now;
use crate::code::ErrorCode;
use crate::hub::WorkerId;
use crate::limits::Limits;
use crate::node::{Join, NewPublication, Node, PublishError};
use crate::publication::Form;
use crate::resource::Calls;
use crate::session::{JoinRequest, Joined, NoGrant, Operation, Outcome, Slot};
use crate::session_id::SessionId;

use super::inbox::{Inbox, Input};

/// How many members a presence reply lists at most.
const MAX_MEMBERS: usize = 10_000;
/// A recovery of more than 1,000 publications is refused: reading one more tells.
const MAX_RECOVERED: usize = 1_001;

/// What operations need.
pub(super) struct Services {
    /// Hub and broker.
    pub(super) node: Arc<Node>,
    /// Checks tokens.
    pub(super) authenticator: Arc<Authenticator>,
    /// Counts failed tokens and commands.
    pub(super) limits: Arc<Limits>,
    /// How long an operation may take.
    pub(super) operation_timeout: Duration,
    /// Takes the sessions' calls.
    pub(super) gateway: Arc<dyn Calls>,
}

/// A channel that is being joined: the worker's table has the subscription already.
#[derive(Debug, Clone)]
pub(super) struct Joining {
    /// The channel.
    pub(super) channel: ChannelName,
    /// Where it lies.
    pub(super) slot: Slot,
    /// Whether the session was not on it before.
    pub(super) fresh: bool,
    /// Whether it asks for nothing that it may have missed: one that is not fresh goes on where
    /// it is, whatever has been published meanwhile.
    pub(super) plain: bool,
    /// The session's presence entry, where one is made.
    pub(super) present: Option<SessionId>,
}

/// What a join has read.
#[derive(Debug)]
pub(super) struct Entered {
    pub(super) page: HistoryPage,
    pub(super) members: Option<Members>,
}

/// How a join ended.
pub(super) type Answer = (Joining, Result<Entered, ErrorCode>);

/// The end of an operation.
#[derive(Debug)]
pub(super) enum Finished {
    /// Of joins: each with its answer.
    Joined(Vec<Answer>),
    /// Of anything else.
    Other(Outcome),
}

/// An operation on its way.
pub(super) type Running = Pin<Box<dyn Future<Output = Finished> + Send>>;

/// Starts an operation that is no join.
pub(super) fn start(
    services: &Arc<Services>,
    session: SessionId,
    address: IpAddr,
    operation: Operation,
) -> Running {
    let services = services.clone();
    Box::pin(async move {
        let node = &services.node;
        Finished::Other(match operation {
            Operation::Authenticate(token) => {
                Outcome::Authenticated(authenticate(&services, address, &token).await)
            }
            Operation::Publish {
                channel,
                event,
                data,
                form,
                user,
                echo,
            } => {
                let publication = NewPublication {
                    channel,
                    event,
                    data,
                    ttl: None,
                    exclude: (!echo).then_some(session),
                    // What Pusher clients say to each other is not kept.
                    skip_history: form == Form::Client,
                    change: None,
                    form,
                    user,
                    idempotency: None,
                };
                Outcome::Published(
                    node.publish(publication)
                        .await
                        .map_err(|error| match error {
                            PublishError::Broker(error) => refused(&error),
                            PublishError::Uri(_) => ErrorCode::BadRequest,
                        }),
                )
            }
            Operation::Presence(channel) => Outcome::Members(
                node.members(&channel, None, MAX_MEMBERS)
                    .await
                    .map_err(|error| refused(&error)),
            ),
            Operation::History(channel, query) => Outcome::History(
                node.history(&channel, query)
                    .await
                    .map_err(|error| refused(&error)),
            ),
            // Joins need the table: see `start_joins`. To wait is nothing to start.
            Operation::Join(_) | Operation::Wait => Outcome::Joined(Vec::new()),
        })
    })
}

async fn authenticate(
    services: &Services,
    address: IpAddr,
    token: &str,
) -> Result<crate::auth::Grant, NoGrant> {
    if let Err(wait) = services.limits.may_present_token(address) {
        return Err(NoGrant {
            code: ErrorCode::RateLimited,
            retry_after: Some(wait),
        });
    }
    let result = services
        .authenticator
        .authenticate(token, Now::read())
        .await;
    result.map_err(|error| {
        tracing::debug!(%address, error = &error as &dyn std::error::Error, "a token was refused");
        let code = error.code();
        if code != ErrorCode::Unavailable {
            let _ = services.limits.failed_token(address);
        }
        code.into()
    })
}

/// Starts joins, all at once; each has its place in the worker's table already.
pub(super) fn start_joins(
    services: &Arc<Services>,
    worker: WorkerId,
    joins: Vec<(Joining, JoinRequest)>,
) -> Running {
    let services = services.clone();
    Box::pin(async move {
        let running = joins.into_iter().map(|(joining, request)| {
            let node = services.node.clone();
            async move {
                let result = join(&node, worker, &joining, request).await;
                (joining, result)
            }
        });
        Finished::Joined(futures_util::future::join_all(running).await)
    })
}

async fn join(
    node: &Node,
    worker: WorkerId,
    joining: &Joining,
    request: JoinRequest,
) -> Result<Entered, ErrorCode> {
    let list = request.list;
    let rewind = request.recover.is_none() && request.rewind > 0;
    let query = HistoryQuery {
        limit: match &request.recover {
            Some(_) => MAX_RECOVERED,
            None => request.rewind,
        },
        from: request.recover,
        reverse: rewind,
    };
    let join = Join {
        channel: request.channel,
        worker,
        fresh: joining.fresh,
        member: request.member,
        max_members: request.max_members,
        query,
    };
    let mut page = node.join(join).await.map_err(|error| refused(&error))?;
    if rewind {
        page.publications.reverse();
    }
    let members = if list {
        Some(list_members(node, worker, joining).await?)
    } else {
        None
    };
    Ok(Entered { page, members })
}

/// Lists the members of a channel that has just been joined. Where that fails, so has the join.
async fn list_members(
    node: &Node,
    worker: WorkerId,
    joining: &Joining,
) -> Result<Members, ErrorCode> {
    match node.members(&joining.channel, None, MAX_MEMBERS).await {
        Ok(members) => Ok(members),
        Err(error) => {
            if joining.fresh {
                node.leave(worker, joining.channel.clone(), joining.present)
                    .await;
            }
            Err(refused(&error))
        }
    }
}

/// Goes on with an operation that was not ready and puts its end into the worker's inbox; one
/// that comes too late is undone.
pub(super) fn finish_later(
    services: &Arc<Services>,
    inbox: &Arc<Inbox>,
    (session, connection): (SessionId, u32),
    mut running: Running,
) {
    let (limit, inbox) = (services.operation_timeout, inbox.clone());
    tokio::spawn(async move {
        match tokio::time::timeout(limit, &mut running).await {
            Ok(finished) => inbox.put(Input::Finished {
                connection,
                finished,
            }),
            Err(_) => {
                inbox.put(Input::TimedOut { connection });
                if let Finished::Joined(joined) = running.await {
                    // Of a fresh one that failed the node has undone everything.
                    let done = |(joining, result): (Joining, Result<_, _>)| {
                        (result.is_ok() || !joining.fresh).then_some(joining)
                    };
                    let joined = joined.into_iter().filter_map(done).collect();
                    inbox.put(Input::Late { session, joined });
                }
            }
        }
    });
}

/// Polls `running` once: its end, or itself to be spawned.
pub(super) fn poll_once(mut running: Running) -> Result<Finished, Running> {
    let mut context = Context::from_waker(Waker::noop());
    match running.as_mut().poll(&mut context) {
        Poll::Ready(finished) => Ok(finished),
        Poll::Pending => Err(running),
    }
}

/// Runs `future` to its end if it is ready now, otherwise in the runtime.
pub(super) fn detach(future: impl Future<Output = ()> + Send + 'static) {
    let mut boxed = Box::pin(future);
    if pin!(&mut boxed)
        .poll(&mut Context::from_waker(Waker::noop()))
        .is_pending()
    {
        tokio::spawn(boxed);
    }
}

/// The operation took too long: the same end that it would have had with a refusal.
pub(super) fn timed_out(kind: Kind, joining: Vec<Joining>) -> Finished {
    let code = ErrorCode::Timeout;
    match kind {
        Kind::Join | Kind::Wait => {
            Finished::Joined(joining.into_iter().map(|join| (join, Err(code))).collect())
        }
        Kind::Authenticate => Finished::Other(Outcome::Authenticated(Err(code.into()))),
        Kind::Publish => Finished::Other(Outcome::Published(Err(code))),
        Kind::Presence => Finished::Other(Outcome::Members(Err(code))),
        Kind::History => Finished::Other(Outcome::History(Err(code))),
    }
}

/// The kind of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Join,
    Authenticate,
    Publish,
    Presence,
    History,
    /// For answers of the gateway: no future ends it, the session does.
    Wait,
}

impl Kind {
    /// Whether pushes wait until it has ended, so that the reply comes first. The answer to a
    /// token says nothing about any channel.
    pub(super) fn holds(self) -> bool {
        !matches!(self, Self::Authenticate)
    }

    pub(super) fn of(operation: &Operation) -> Self {
        match operation {
            Operation::Authenticate(_) => Self::Authenticate,
            Operation::Join(_) => Self::Join,
            Operation::Publish { .. } => Self::Publish,
            Operation::Presence(_) => Self::Presence,
            Operation::History(..) => Self::History,
            Operation::Wait => Self::Wait,
        }
    }
}

/// What a client is told of a broker's refusal.
fn refused(error: &BrokerError) -> ErrorCode {
    tracing::warn!(
        error = error as &dyn std::error::Error,
        "the broker refused"
    );
    match error {
        BrokerError::Unavailable(_) => ErrorCode::Unavailable,
        BrokerError::Full { .. } => ErrorCode::LimitExceeded,
        BrokerError::State { .. } => ErrorCode::Internal,
    }
}

/// The session's view of what was joined.
pub(super) fn outcome(joined: Vec<Answer>) -> Outcome {
    let answer = |(joining, result): Answer| {
        result.map(|entered| Joined {
            slot: joining.slot,
            page: entered.page,
            members: entered.members,
        })
    };
    Outcome::Joined(joined.into_iter().map(answer).collect())
}
