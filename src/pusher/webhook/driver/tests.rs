//! The driver with answers made up, and with spans so short or so long that no test asks how long
//! something took.

use std::collections::VecDeque;
use std::sync::Mutex;

use http::StatusCode;
use serde_json::Value;
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;

use super::*;
use crate::auth::pusher::App;
use crate::channel::ChannelName;
use crate::metrics::Metrics;
use crate::notice::{News, NoticeKind, Notices};
use crate::pusher::webhook::{Hook, Target};

/// How a receiver takes a request.
#[derive(Debug, Clone, Copy)]
enum Take {
    Ok,
    Fail,
    /// It never answers.
    Hang,
}

/// A receiver that takes requests as it was told to, and then well.
#[derive(Debug, Clone, Default)]
struct Receiver(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    takes: Mutex<VecDeque<Take>>,
    seen: Mutex<Vec<Vec<String>>>,
    came: Notify,
}

impl Post for Receiver {
    async fn post(&self, attempt: Attempt) -> Result<(), SendError> {
        let body: Value = serde_json::from_slice(&attempt.body).unwrap();
        let events = body["events"].as_array().unwrap();
        let names = events
            .iter()
            .map(|event| format!("{} {}", event["name"], event["channel"]).replace('"', ""));
        self.0.seen.lock().unwrap().push(names.collect());
        self.0.came.notify_one();
        let take = self.0.takes.lock().unwrap().pop_front();
        match take.unwrap_or(Take::Ok) {
            Take::Ok => Ok(()),
            Take::Fail => Err(SendError::Status(StatusCode::INTERNAL_SERVER_ERROR)),
            Take::Hang => std::future::pending().await,
        }
    }
}

impl Receiver {
    /// Waits until so many requests have come.
    async fn seen(&self, count: usize) -> Vec<Vec<String>> {
        loop {
            let seen = self.0.seen.lock().unwrap().clone();
            if seen.len() >= count {
                return seen;
            }
            self.0.came.notified().await;
        }
    }
}

struct Rig {
    notices: Arc<Notices>,
    metrics: Metrics,
    receiver: Receiver,
    plan: watch::Sender<Plan<Receiver>>,
    stop: Option<oneshot::Sender<()>>,
    driver: JoinHandle<()>,
}

const LONG: Duration = Duration::from_secs(3_600);
const SHORT: Duration = Duration::from_millis(20);

/// One webhook whose events go one by one, as soon as they are due.
fn config(url: &str) -> Config {
    Config {
        hooks: vec![Hook {
            app: Arc::new(App::new("1", "key", "secret")),
            target: Target::parse(url).unwrap(),
            kinds: vec![],
        }],
        batch_events: 1,
        delay: SHORT,
        retry_min: SHORT,
        retry_max: SHORT,
        ..Config::default()
    }
}

impl Rig {
    fn new(config: Config, takes: &[Take]) -> Self {
        let metrics = Metrics::new();
        let notices = Arc::new(Notices::new(100, 100_000, &metrics));
        notices.want(NoticeKind::ALL);
        let receiver = Receiver::default();
        receiver.0.takes.lock().unwrap().extend(takes);
        let plan = watch::Sender::new(Plan {
            config: Arc::new(config),
            client: receiver.clone(),
        });
        let (stop, stopped) = oneshot::channel();
        let driver = Driver::new(
            plan.subscribe(),
            notices.reader().unwrap(),
            metrics.webhooks.clone(),
        );
        let driver = tokio::spawn(driver.run(async {
            let _ = stopped.await;
        }));
        Self {
            notices,
            metrics,
            receiver,
            plan,
            stop: Some(stop),
            driver,
        }
    }

    fn tell(&self, channel: &str, news: News) {
        let channel = ChannelName::parse(channel).unwrap();
        self.notices.tell(&channel, news);
    }

    fn stop(&mut self) {
        self.stop.take().unwrap().send(()).unwrap();
    }

    /// Waits until the metrics say so.
    async fn says(&self, line: &str) {
        while !self.metrics.encode().lines().any(|text| text == line) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

#[tokio::test]
async fn departures_go_out_and_short_absences_do_not() {
    let rig = Rig::new(config("http://a"), &[]);
    rig.tell("a", News::Vacated);
    rig.tell("b", News::Vacated);
    rig.tell("a", News::Occupied);
    rig.tell("c", News::CacheMiss);
    assert_eq!(
        rig.receiver.seen(2).await,
        [["cache_miss c"], ["channel_vacated b"]]
    );
    rig.says("pogo_webhook_events_total{result=\"rejoined\"} 2")
        .await;
    rig.says("pogo_webhook_queue{what=\"delayed\"} 0").await;
}

#[tokio::test]
async fn a_failure_is_tried_again_and_keeps_the_order() {
    let rig = Rig::new(config("http://a"), &[Take::Fail, Take::Fail]);
    rig.tell("a", News::CacheMiss);
    rig.tell("b", News::CacheMiss);
    let expected = [["cache_miss a"]; 3].into_iter().chain([["cache_miss b"]]);
    assert_eq!(rig.receiver.seen(4).await, expected.collect::<Vec<_>>());
    rig.says("pogo_webhooks_total{result=\"status\"} 2").await;
    rig.says("pogo_webhooks_total{result=\"ok\"} 2").await;
    rig.says("pogo_webhook_events_total{result=\"delivered\"} 2")
        .await;
    rig.says("pogo_webhook_queue{what=\"waiting\"} 0").await;
}

#[tokio::test]
async fn what_fails_for_too_long_is_dropped_and_the_next_has_its_turn() {
    let mut settings = config("http://a");
    settings.retry_for = 10 * SHORT;
    let rig = Rig::new(settings, &[Take::Fail; 100]);
    rig.tell("a", News::CacheMiss);
    rig.says("pogo_webhook_events_total{result=\"expired\"} 1")
        .await;
    rig.receiver.0.takes.lock().unwrap().clear();
    rig.tell("b", News::CacheMiss);
    rig.says("pogo_webhook_events_total{result=\"delivered\"} 1")
        .await;
    let seen = rig.receiver.seen(1).await;
    assert!(seen.len() > 2, "{seen:?}");
    assert_eq!(seen.last().unwrap(), &["cache_miss b"]);
}

#[tokio::test]
async fn a_reload_is_in_force_at_once() {
    let rig = Rig::new(config("http://a"), &[Take::Hang]);
    rig.tell("a", News::CacheMiss);
    rig.receiver.seen(1).await;
    let client = Receiver::default();
    rig.plan.send_replace(Plan {
        config: Arc::new(config("http://b")),
        client: client.clone(),
    });
    rig.says("pogo_webhook_events_total{result=\"abandoned\"} 1")
        .await;
    rig.tell("b", News::CacheMiss);
    assert_eq!(client.seen(1).await, [["cache_miss b"]]);
    assert_eq!(rig.receiver.seen(1).await.len(), 1);
}

#[tokio::test]
async fn at_the_end_all_that_was_told_is_sent_at_once() {
    let mut settings = config("http://a");
    for span in [
        &mut settings.delay,
        &mut settings.batch_wait,
        &mut settings.retry_min,
        &mut settings.drain,
    ] {
        *span = LONG;
    }
    settings.retry_for = 2 * LONG;
    let mut rig = Rig::new(settings, &[Take::Fail]);
    rig.tell("a", News::CacheMiss);
    rig.says("pogo_webhooks_total{result=\"status\"} 1").await;
    for channel in ["a", "b"] {
        rig.tell(channel, News::Vacated);
    }
    rig.stop();
    rig.driver.await.unwrap();
    let expected = [
        "cache_miss a",
        "cache_miss a",
        "channel_vacated a",
        "channel_vacated b",
    ];
    assert_eq!(
        rig.receiver.seen(4).await,
        expected.map(|event| vec![event])
    );
}

#[tokio::test]
async fn the_end_is_bounded() {
    let mut settings = config("http://a");
    settings.drain = SHORT;
    let mut rig = Rig::new(settings, &[Take::Hang]);
    rig.tell("a", News::CacheMiss);
    rig.receiver.seen(1).await;
    rig.stop();
    (&mut rig.driver).await.unwrap();
    rig.says("pogo_webhook_events_total{result=\"abandoned\"} 1")
        .await;
}
