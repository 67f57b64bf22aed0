//! Between the page of a join and the deliveries after it nothing is lost, doubled or reordered:
//! as a property over scripts, and in a race.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use proptest::prelude::*;

use super::scripted::{Action, Scripted};
use super::*;
use crate::publication::Position;

const SESSIONS: u8 = 4;

/// Something that happens to a channel.
#[derive(Debug, Clone)]
enum Op {
    Publish(Kind),
    /// A session joins; meanwhile, before each step of its join, things are published.
    Join {
        session: u8,
        recover: bool,
        meanwhile: [Vec<Kind>; 3],
    },
    Leave(u8),
    Pass(u64),
    Sweep,
    Purge,
}

/// What is published.
#[derive(Debug, Clone, Copy)]
struct Kind {
    ttl: Option<u64>,
    skip_history: bool,
}

fn kind() -> impl Strategy<Value = Kind> {
    let ttl = prop_oneof![4 => Just(None), 1 => (1u64..30).prop_map(Some)];
    let fields = (ttl, prop::bool::weighted(0.1));
    fields.prop_map(|(ttl, skip_history)| Kind { ttl, skip_history })
}

fn op() -> impl Strategy<Value = Op> {
    let some = || prop::collection::vec(kind(), 0..4);
    let join = (0..SESSIONS, any::<bool>(), some(), some(), some());
    prop_oneof![
        6 => kind().prop_map(Op::Publish),
        4 => join.prop_map(|(session, recover, a, b, c)| {
            Op::Join { session, recover, meanwhile: [a, b, c] }
        }),
        3 => (0..SESSIONS).prop_map(Op::Leave),
        2 => (1u64..40).prop_map(Op::Pass),
        1 => Just(Op::Sweep),
        1 => Just(Op::Purge),
    ]
}

/// What was published, as simply as it can be said.
#[derive(Default)]
struct Model {
    ahead: Duration,
    all: Vec<Published>,
    /// Up to here something is lost that nobody may call expired.
    lost: u64,
}

struct Published {
    kind: Kind,
    at: Duration,
    retained: bool,
}

impl Published {
    fn is_expired(&self, now: Duration) -> bool {
        let ttl = self.kind.ttl.map(Duration::from_millis);
        ttl.is_some_and(|ttl| self.at + ttl <= now)
    }
}

impl Model {
    fn publish(&mut self, kind: Kind) {
        let at = self.ahead;
        let retained = !kind.skip_history;
        self.all.push(Published { kind, at, retained });
        let now = self.ahead;
        let mut alive: Vec<_> = (1..=self.all.len() as u64)
            .filter(|offset| self.is_retained(*offset, now))
            .collect();
        while alive.len() > SIZE {
            self.lost = alive.remove(0);
            self.all[self.lost as usize - 1].retained = false;
        }
    }

    fn is_retained(&self, offset: u64, now: Duration) -> bool {
        let one = &self.all[offset as usize - 1];
        one.retained && !one.is_expired(now)
    }

    fn purge(&mut self) {
        for offset in 1..=self.all.len() as u64 {
            if self.is_retained(offset, self.ahead) {
                self.lost = offset;
            }
            self.all[offset as usize - 1].retained = false;
        }
    }

    /// What a reader beyond `from` must find now.
    fn expected(&self, from: u64) -> Vec<u64> {
        let offsets = from + 1..=self.all.len() as u64;
        offsets
            .filter(|offset| self.is_retained(*offset, self.ahead))
            .collect()
    }
}

/// The system under test beside its model.
struct World {
    node: Arc<Node>,
    broker: Arc<Scripted>,
    workers: Vec<Arc<Recorder>>,
    model: Arc<Mutex<Model>>,
    start: Now,
    /// For each session on the channel the last offset that it has.
    joined: BTreeMap<u8, u64>,
    /// The last position that each session saw.
    seen: BTreeMap<u8, Position>,
}

impl World {
    fn new() -> Self {
        let hub = a_hub();
        let workers: Vec<_> = (0..SESSIONS).map(|_| Recorder::new()).collect();
        for worker in &workers {
            hub.attach(worker.clone()).unwrap();
        }
        let model = Arc::new(Mutex::new(Model::default()));
        // Far ahead of the real clock, by which the hub judges: there nothing expires.
        let begin = at(Now::read(), AGE * 60);
        let clock = {
            let model = model.clone();
            Arc::new(move || at(begin, model.lock().unwrap().ahead))
        };
        let broker = Scripted::new(memory(&hub).with_clock(clock));
        Self {
            node: start(hub, broker.clone()),
            broker,
            workers,
            model,
            start: begin,
            joined: BTreeMap::new(),
            seen: BTreeMap::new(),
        }
    }

    fn publish(&self, kind: Kind) -> Action {
        let (model, start) = (self.model.clone(), self.start);
        Box::new(move |broker: &MemoryBroker| {
            let ahead = {
                let mut model = model.lock().unwrap();
                model.publish(kind);
                model.ahead
            };
            let draft = Draft {
                channel: name("kept"),
                event: "e".into(),
                data: "1".into(),
                ttl: kind.ttl.map(Duration::from_millis),
                accepted: start.instant + ahead,
                exclude: None,
                form: crate::publication::Form::Json,
                user: None,
                skip_history: kind.skip_history,
                change: None,
                idempotency: None,
                admission: None,
            };
            broker.publish(draft).now_or_never().unwrap().unwrap();
        })
    }

    fn run(&mut self, op: Op) {
        match op {
            Op::Publish(kind) => self.publish(kind)(&self.broker.inner),
            Op::Join {
                session,
                recover,
                meanwhile,
            } => self.join(session, recover, meanwhile),
            Op::Leave(session) => {
                if self.joined.remove(&session).is_some() {
                    let leave = self.node.leave(session, name("kept"), None);
                    leave.now_or_never().unwrap();
                    self.workers[session as usize].take();
                }
            }
            Op::Pass(millis) => self.model.lock().unwrap().ahead += Duration::from_millis(millis),
            Op::Sweep => {
                let ahead = self.model.lock().unwrap().ahead;
                self.broker.sweep(at(self.start, ahead));
                // Whoever has left, has left for long enough.
                let (hub, broker) = (self.node.hub(), self.node.broker());
                let later = Instant::now() + AGE;
                let swept = self.node.own.interests.sweep(hub, broker, later);
                swept.now_or_never().unwrap();
            }
            Op::Purge => {
                self.model.lock().unwrap().purge();
                let purged = self.broker.inner.purge(&name("kept")).now_or_never();
                purged.unwrap().unwrap();
            }
        }
        self.check_deliveries();
    }

    fn join(&mut self, session: u8, recover: bool, meanwhile: [Vec<Kind>; 3]) {
        let fresh = !self.joined.contains_key(&session);
        let from = self.seen.get(&session).filter(|_| recover).cloned();
        let found = Arc::new(Mutex::new((vec![], 0)));
        let mut script: Vec<Action> = meanwhile
            .into_iter()
            .map(|kinds| {
                let publishes: Vec<_> = kinds.into_iter().map(|kind| self.publish(kind)).collect();
                let all =
                    move |broker: &MemoryBroker| publishes.into_iter().for_each(|one| one(broker));
                Box::new(all) as Action
            })
            .collect();
        if self.node.own.interests.is_live(&name("kept")) {
            // There is no subscribing before which it could happen.
            drop(script.remove(0));
        }
        let after = script.pop().unwrap();
        let before = script.pop().unwrap();
        let look = {
            let (model, found) = (self.model.clone(), found.clone());
            let from = from.as_ref().map_or(0, |from| from.offset);
            move |broker: &MemoryBroker| {
                before(broker);
                let model = model.lock().unwrap();
                *found.lock().unwrap() = (model.expected(from), model.lost);
            }
        };
        script.push(Box::new(look));
        script.push(after);
        *self.broker.actions.lock().unwrap() = script.into();

        let mut join = join("kept", session);
        join.fresh = fresh;
        join.query.from = from.clone();
        let page = self.node.join(join).now_or_never().unwrap().unwrap();
        let (expected, lost) = std::mem::take(&mut *found.lock().unwrap());
        let offsets: Vec<_> = page.publications.iter().map(|one| one.offset).collect();
        assert_eq!(offsets, expected);
        if let Some(from) = from {
            assert_eq!(
                page.complete,
                from.offset >= lost,
                "from {from:?}, lost {lost}"
            );
        }
        // The worker drops deliveries up to the page's sequence, whenever they came.
        self.joined.insert(session, page.sequence);
        self.seen.insert(session, page.position.unwrap());
    }

    /// Each session on the channel has got every publication since its page, and no other.
    fn check_deliveries(&mut self) {
        let last = self.model.lock().unwrap().all.len() as u64;
        for (session, worker) in (0..).zip(&self.workers) {
            let delivered = worker.publications();
            let Some(has) = self.joined.get_mut(&session) else {
                assert!(delivered.is_empty(), "it is not there");
                continue;
            };
            let new: Vec<_> = delivered
                .iter()
                .map(|one| one.sequence)
                .filter(|sequence| sequence > has)
                .collect();
            assert_eq!(new, (*has + 1..=last).collect::<Vec<_>>());
            *has = last;
            let seen = self.seen.get_mut(&session).unwrap();
            seen.offset = last;
        }
    }
}

fn at(now: Now, ahead: Duration) -> Now {
    Now {
        instant: now.instant + ahead,
        unix: now.unix + ahead,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn no_script_finds_a_gap(ops in prop::collection::vec(op(), 1..80)) {
        let mut world = World::new();
        for op in ops {
            world.run(op);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn joins_race_a_publisher_at_full_speed() {
    const JOINS: usize = 150;
    for channel in ["kept", "plain"] {
        let (node, workers) = node(2);
        let published = Arc::new(AtomicU64::new(0));
        let publisher = tokio::spawn({
            let (node, published) = (node.clone(), published.clone());
            async move {
                while published.load(Ordering::Relaxed) != u64::MAX {
                    node.publish(publication(channel, "1")).await.unwrap();
                }
            }
        });
        let joiners: Vec<_> = (0..)
            .zip(workers)
            .map(|(worker, recorder)| {
                let node = node.clone();
                tokio::spawn(async move {
                    for _ in 0..JOINS {
                        join_once(&node, channel, worker, &recorder).await;
                    }
                })
            })
            .collect();
        for joiner in joiners {
            joiner.await.unwrap();
        }
        published.store(u64::MAX, Ordering::Relaxed);
        publisher.await.unwrap();
    }
}

async fn join_once(node: &Arc<Node>, channel: &'static str, worker: WorkerId, recorder: &Recorder) {
    recorder.take();
    let page = node.join(join(channel, worker)).await.unwrap();
    if let Some(last) = page.publications.last() {
        assert_eq!(last.offset, page.sequence);
        let offsets = page.publications.iter().map(|one| one.offset);
        let expected = page.sequence + 1 - page.publications.len() as u64..=page.sequence;
        assert!(offsets.eq(expected));
    }
    let mut next = page.sequence + 1;
    let patience = Instant::now() + Duration::from_secs(20);
    while next < page.sequence + 20 {
        assert!(Instant::now() < patience, "nothing comes");
        for publication in recorder.publications() {
            if publication.sequence > page.sequence {
                assert_eq!(publication.sequence, next, "after {}", page.sequence);
                next += 1;
            }
        }
        tokio::task::yield_now().await;
    }
    node.leave(worker, name(channel), None).await;
    recorder.take();
}
