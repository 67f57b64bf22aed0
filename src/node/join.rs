//! Joining and leaving. A join that fails, or whose future is dropped, has not happened.

use std::sync::Arc;
use std::time::Instant;

use futures_util::FutureExt;
use tokio::runtime::Handle;

use super::{Join, Node};
use crate::broker::{BrokerError, HistoryPage, Member};
use crate::channel::ChannelName;
use crate::clock::Now;
use crate::hub::WorkerId;
use crate::session_id::SessionId;

/// Bytes that a presence push takes in the budget beside the member's info.
const PUSH_BYTES: usize = 256;

impl Node {
    /// Joins without a gap: subscribes the node if it must, enters presence, reads the history.
    /// Publications with a sequence beyond the page's reach the worker; those up to it may, too,
    /// and are duplicates. What is outside the sequence (0) is never one.
    ///
    /// # Errors
    /// The broker refused; everything is undone.
    pub async fn join(&self, join: Join) -> Result<HistoryPage, BrokerError> {
        let Join {
            channel,
            worker,
            fresh,
            member,
            max_members,
            query,
        } = join;
        let mut undo = Undo {
            node: self,
            channel: &channel,
            worker: fresh.then_some(worker),
            entered: None,
        };
        let query_of = self.stream_of(&channel);
        if fresh {
            // Before the broker is read: what it accepts from now on comes to the worker.
            self.hub.join(&channel, worker);
            if let Some(stream) = &query_of {
                self.own.interests.streams.join(&channel, stream);
            }
            self.own.counts.changed(&self.hub, &channel, Now::read());
        }
        let stream = query_of.as_ref().unwrap_or(&channel);
        self.own.interests.subscribe(stream, &*self.broker).await?;
        if let Some(member) = member {
            let admission = self.hub.admit(push_bytes(&member)).await;
            if fresh {
                undo.entered = Some(member.session);
            }
            let entering = self.broker.enter(&channel, member, max_members, admission);
            entering.await?;
        }
        let page = self.broker.history(stream, query).await?;
        undo.disarm();
        Ok(page)
    }

    /// A session left a channel. `member`: it had a presence entry there.
    pub async fn leave(&self, worker: WorkerId, channel: ChannelName, member: Option<SessionId>) {
        self.depart(&channel, worker);
        let Some(session) = member else { return };
        let admission = self.hub.admit(PUSH_BYTES).await;
        note(self.broker.exit(&channel, session, admission).await);
    }

    fn depart(&self, channel: &ChannelName, worker: WorkerId) {
        let last = self.hub.leave(channel, worker);
        match self.own.interests.streams.leave(channel) {
            Some((stream, true)) => self.own.interests.left(&stream, Instant::now()),
            Some((_, false)) => {}
            None if last => self.own.interests.left(channel, Instant::now()),
            None => {}
        }
        self.own.counts.changed(&self.hub, channel, Now::read());
    }
}

/// Takes back what a join has done so far.
struct Undo<'a> {
    node: &'a Node,
    channel: &'a ChannelName,
    worker: Option<WorkerId>,
    entered: Option<SessionId>,
}

impl Undo<'_> {
    fn disarm(&mut self) {
        self.worker = None;
        self.entered = None;
    }
}

impl Drop for Undo<'_> {
    fn drop(&mut self) {
        if let Some(worker) = self.worker {
            self.node.depart(self.channel, worker);
        }
        let Some(session) = self.entered else { return };
        let (broker, channel) = (Arc::clone(&self.node.broker), self.channel.clone());
        let exit = async move { note(broker.exit(&channel, session, None).await) };
        let mut exit = Box::pin(exit);
        // Nobody can wait here: what is not done at once goes on without us.
        if exit.as_mut().now_or_never().is_none()
            && let Ok(runtime) = Handle::try_current()
        {
            runtime.spawn(exit);
        }
    }
}

fn push_bytes(member: &Member) -> usize {
    PUSH_BYTES + member.info.as_ref().map_or(0, |info| info.get().len())
}

/// Whoever leaves cannot be refused: a broker that fails forgets the member by itself.
fn note(exit: Result<Option<Member>, BrokerError>) {
    if let Err(error) = exit {
        let error = &error as &dyn std::error::Error;
        tracing::warn!(error, "leaving presence failed");
    }
}
