//! Driving a rig: turns, what clients send and read, what others ask.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::client::{Client, Frame};
use super::rig::{Rig, name};
use crate::broker::Accepted;
use crate::edge::worker::Worker;
use crate::edge::worker::inbox::Input;
use crate::hub::{SessionAction, SessionFilter, WorkerMessage};
use crate::node::NewPublication;

/// Beyond it a test has failed.
const PATIENCE: Duration = Duration::from_secs(20);

impl Rig {
    /// One turn of each worker, and what waits in the runtime.
    pub(super) fn turn(&mut self) {
        for worker in &mut self.workers {
            let _entered = self.runtime.enter();
            worker.turn(&mut self.events, Some(Duration::ZERO)).unwrap();
        }
        self.runtime.block_on(async {
            for _ in 0..8 {
                tokio::task::yield_now().await;
            }
        });
    }

    /// Turns until nothing is left to do.
    pub(super) fn settle(&mut self) {
        let mut calm = 0;
        for _ in 0..100_000 {
            self.turn();
            let at_rest = |worker: &Worker| {
                !worker.walks.go_on()
                    && worker.unread.is_empty()
                    && worker.dirty.is_empty()
                    && worker.inbox.may_sleep()
            };
            let idle = self.events.is_empty() && self.workers.iter().all(at_rest);
            calm = if idle { calm + 1 } else { 0 };
            if calm == 3 {
                return;
            }
        }
        panic!("the workers never come to rest");
    }

    /// The next frame that comes to `client`.
    pub(super) fn next(&mut self, client: &mut Client) -> Frame {
        self.take(client, |_| true).pop().unwrap()
    }

    /// The next text that comes to `client`, pings aside.
    pub(super) fn text(&mut self, client: &mut Client) -> Value {
        let mut last = self.take(client, |frame| !matches!(frame, Frame::Ping));
        match last.pop() {
            Some(Frame::Text(value)) => value,
            other => panic!("{other:?} instead of a text"),
        }
    }

    /// What comes to `client` up to the first that `is_last`; what follows waits.
    pub(super) fn take(
        &mut self,
        client: &mut Client,
        is_last: impl Fn(&Frame) -> bool,
    ) -> Vec<Frame> {
        let since = Instant::now();
        let mut taken = Vec::new();
        loop {
            while let Some(frame) = client.pop() {
                let last = is_last(&frame) || matches!(frame, Frame::End | Frame::Reset);
                taken.push(frame);
                if last {
                    return taken;
                }
            }
            assert!(since.elapsed() < PATIENCE, "nothing comes after {taken:?}");
            self.settle();
        }
    }

    /// Everything that comes up to the answer to a ping.
    pub(super) fn drain(&mut self, client: &mut Client) -> Vec<Frame> {
        // Else the answer to the ping could come before what waits to be walked.
        self.settle();
        client.send(&json!({"id": "barrier", "event": "ping"}));
        let mut frames = self.take(client, |frame| match frame {
            Frame::Text(text) => text["id"] == "barrier",
            _ => false,
        });
        if matches!(frames.last(), Some(Frame::Text(_))) {
            frames.pop();
        }
        frames
    }

    /// Sends `command` and returns what comes up to its reply, and the reply.
    pub(super) fn ask(&mut self, client: &mut Client, mut command: Value) -> (Vec<Frame>, Value) {
        command["id"] = json!("asked");
        client.send(&command);
        let mut frames = self.take(client, |frame| match frame {
            Frame::Text(text) => text["id"] == "asked",
            _ => false,
        });
        match frames.pop() {
            Some(Frame::Text(reply)) => (frames, reply),
            other => panic!("{other:?} instead of a reply"),
        }
    }

    pub(super) fn subscribe(&mut self, client: &mut Client, channel: &str) -> Value {
        let command = json!({"event": "channel:subscribe", "channel": channel});
        let (_, reply) = self.ask(client, command);
        assert_eq!(reply["status"], "ok", "{reply}");
        reply["data"].clone()
    }

    pub(super) fn publish(&self, channel: &str, data: &Value) -> Accepted {
        self.publish_for(channel, data, None)
    }

    pub(super) fn publish_for(
        &self,
        channel: &str,
        data: &Value,
        ttl: Option<Duration>,
    ) -> Accepted {
        let publication = NewPublication {
            channel: name(channel),
            event: "e".into(),
            data: data.to_string().into(),
            ttl,
            exclude: None,
            form: crate::publication::Form::Json,
            user: None,
            skip_history: false,
            change: None,
            idempotency: None,
        };
        let published = self.runtime.block_on(self.node.publish(publication));
        published.unwrap()
    }

    /// Asks the first worker to act.
    pub(super) fn act(&mut self, filter: SessionFilter, action: SessionAction) -> usize {
        let (reply, mut answer) = tokio::sync::oneshot::channel();
        let message = WorkerMessage::Act {
            filter,
            action,
            reply,
        };
        self.inboxes[0].put(Input::Message(message));
        self.settle();
        answer.try_recv().unwrap()
    }

    /// Turns until `done`, in real time.
    pub(super) fn until(&mut self, what: &str, mut done: impl FnMut(&mut Self) -> bool) {
        let since = Instant::now();
        loop {
            self.settle();
            if done(self) {
                return;
            }
            assert!(since.elapsed() < PATIENCE, "{what}");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Nothing is left of any session.
    pub(super) fn assert_empty(&mut self) {
        self.until("connections stay", |rig| {
            rig.workers.iter().all(|worker| worker.clients.is_empty())
        });
        self.settle();
        for worker in &self.workers {
            assert_eq!(worker.mailbox_bytes, 0, "bytes in no mailbox");
            assert!(worker.by_id.is_empty());
            assert_eq!(worker.table.len(), 0, "channels without a session");
            assert_eq!(worker.gauges.sessions.load(Ordering::Relaxed), 0);
        }
        assert!(self.node.hub().is_empty(), "interest without a session");
    }

    pub(super) fn expired(&self) -> u64 {
        self.metrics.expired_publications.get()
    }

    pub(super) fn dropped(&self) -> u64 {
        self.metrics.dropped_publications.get()
    }
}
