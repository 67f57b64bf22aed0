//! What the schedule's tests share.

use std::time::Duration;

use serde_json::{Value, json};

use super::super::*;
use crate::auth::pusher::App;
use crate::channel::ChannelName;
use crate::metrics::Metrics;
use crate::pusher::webhook::Target;

pub(super) fn hook(url: &str, kinds: &[NoticeKind]) -> Hook {
    Hook {
        app: Arc::new(App::new("1", "key", "secret")),
        target: Target::parse(url).unwrap(),
        kinds: kinds.to_vec(),
    }
}

/// A schedule and its time.
pub(super) struct Rig {
    pub(super) schedule: Schedule,
    metrics: Metrics,
    pub(super) start: Instant,
    pub(super) now: Instant,
}

impl Rig {
    pub(super) fn new(config: Config) -> Self {
        let metrics = Metrics::new();
        let start = Instant::now();
        Self {
            schedule: Schedule::new(Arc::new(config), metrics.webhooks.clone()),
            metrics,
            start,
            now: start,
        }
    }

    /// One webhook for everything.
    pub(super) fn one() -> Self {
        Self::new(Config {
            hooks: vec![hook("http://a", &[])],
            ..Config::default()
        })
    }

    pub(super) fn at(&mut self, milliseconds: u64) {
        self.now = self.start + Duration::from_millis(milliseconds);
    }

    pub(super) fn tell(&mut self, channel: &str, news: News) {
        let channel = ChannelName::parse(channel).unwrap();
        self.schedule.notice(&Notice { channel, news }, self.now);
    }

    pub(super) fn attempt(&mut self) -> Option<Attempt> {
        self.schedule.attempt(Now {
            instant: self.now,
            unix: self.now - self.start,
        })
    }

    /// The next request's events as `name channel [user]`; it ends well.
    pub(super) fn sent(&mut self) -> Vec<String> {
        let Some(attempt) = self.attempt() else {
            return vec![];
        };
        self.finish(&attempt, true);
        names(&attempt.body)
    }

    pub(super) fn finish(&mut self, attempt: &Attempt, ok: bool) -> After {
        let ended = self.schedule.finish(attempt.lane, ok, self.now, 0);
        ended.unwrap().0
    }

    /// Milliseconds from the start to the next thing to do.
    pub(super) fn wake(&self) -> Option<u128> {
        let wake = self.schedule.wake()?;
        Some((wake - self.start).as_millis())
    }

    pub(super) fn counted(&self, result: &str) -> u64 {
        let line = format!("pogo_webhook_events_total{{result=\"{result}\"}} ");
        let text = self.metrics.encode();
        let found = text.lines().find_map(|text| text.strip_prefix(&line));
        found.unwrap().parse().unwrap()
    }
}

pub(super) fn events(body: &Bytes) -> Vec<Value> {
    let body: Value = serde_json::from_slice(body).unwrap();
    body["events"].as_array().unwrap().clone()
}

pub(super) fn names(body: &Bytes) -> Vec<String> {
    let name = |event: &Value| {
        let fields = ["name", "channel", "user_id"];
        let texts = fields.map(|field| event[field].as_str());
        texts.into_iter().flatten().collect::<Vec<_>>().join(" ")
    };
    events(body).iter().map(name).collect()
}

pub(super) fn push(subject: &str) -> Bytes {
    json!({"subject": subject, "session": "1.2", "info": null})
        .to_string()
        .into()
}
