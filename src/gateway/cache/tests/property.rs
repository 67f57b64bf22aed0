//! Whatever the order in which reads, writes and fetches go: nobody is told of less than the last
//! write that had completed when he asked, and nobody is told what another variant was told.

use std::time::Duration;

use proptest::prelude::*;
use tokio::task::JoinHandle;

use super::support::{Answered, Asked, Stage, settle, shown};
use crate::channel::Pattern;
use crate::gateway::cache::{Ask, Purge};

const URIS: [&str; 3] = ["/posts/1", "/posts/2", "/posts/2?full"];
const WHO: [&str; 2] = ["anna", "bert"];

#[derive(Debug, Clone)]
enum Step {
    Read {
        uri: usize,
        who: usize,
    },
    /// The upstream takes a write; nobody knows of it yet.
    Write {
        uri: usize,
    },
    /// A write that the upstream took completes.
    Complete,
    /// The upstream looks at a request that has come.
    Handle {
        which: usize,
    },
    /// Its answer arrives.
    Arrive {
        which: usize,
    },
    Purge,
    Wait,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => (0..URIS.len(), 0..WHO.len()).prop_map(|(uri, who)| Step::Read { uri, who }),
        2 => (0..URIS.len()).prop_map(|uri| Step::Write { uri }),
        2 => Just(Step::Complete),
        4 => (0..8_usize).prop_map(|which| Step::Handle { which }),
        4 => (0..8_usize).prop_map(|which| Step::Arrive { which }),
        1 => Just(Step::Purge),
        1 => Just(Step::Wait),
    ]
}

/// The part of a uri that names the resource.
fn resource(uri: &str) -> usize {
    usize::from(uri.starts_with("/posts/2"))
}

/// A request that the upstream has looked at, and what it saw.
struct Handled {
    asked: Asked,
    saw: u64,
}

struct Read {
    got: JoinHandle<Answered>,
    who: &'static str,
    at_least: u64,
}

struct World {
    stage: Stage,
    /// What the upstream has, and what of it has completed.
    state: [u64; 2],
    completed: [u64; 2],
    under_way: Vec<(usize, u64)>,
    arrived: Vec<Asked>,
    handled: Vec<Handled>,
    reads: Vec<Read>,
}

impl World {
    fn new() -> Self {
        let mut stage = Stage::new();
        stage.settings.stale_while_revalidate = Duration::from_secs(3);
        stage.settings.stale_if_error = Duration::from_secs(3);
        Self {
            stage,
            state: [1; 2],
            completed: [1; 2],
            under_way: vec![],
            arrived: vec![],
            handled: vec![],
            reads: vec![],
        }
    }

    async fn take(&mut self, step: Step) {
        match step {
            Step::Read { uri, who } => {
                let (uri, who) = (URIS[uri], WHO[who]);
                let lookup = self.stage.lookup_as(uri, who, &[]);
                self.reads.push(Read {
                    got: self.stage.begin_as(lookup, who),
                    who,
                    at_least: self.completed[resource(uri)],
                });
            }
            Step::Write { uri } => {
                let at = resource(URIS[uri]);
                self.state[at] += 1;
                self.under_way.push((uri, self.state[at]));
            }
            Step::Complete if !self.under_way.is_empty() => {
                let (uri, value) = self.under_way.remove(0);
                self.stage.cache.bump(URIS[uri]);
                self.completed[resource(URIS[uri])] = value;
            }
            Step::Handle { which } if !self.arrived.is_empty() => {
                let asked = self.arrived.remove(which % self.arrived.len());
                let saw = self.state[resource(asked.uri.as_str())];
                self.handled.push(Handled { asked, saw });
            }
            Step::Arrive { which } if !self.handled.is_empty() => {
                let answer = self.handled.remove(which % self.handled.len());
                answer.arrive();
            }
            Step::Purge => {
                let all = Pattern::parse("**").unwrap();
                self.stage.cache.purge(Purge::Uris(&all));
            }
            Step::Wait => self.stage.pass_time(Duration::from_secs(2)),
            Step::Complete | Step::Handle { .. } | Step::Arrive { .. } => {}
        }
        self.rest().await;
    }

    async fn rest(&mut self) {
        while let Some(asked) = self.stage.next_if_any().await {
            self.arrived.push(asked);
        }
        settle().await;
        let (done, pending) = std::mem::take(&mut self.reads)
            .into_iter()
            .partition(|read| read.got.is_finished());
        self.reads = pending;
        for read in done {
            read.check().await;
        }
    }

    async fn finish(mut self) {
        while !self.reads.is_empty() {
            self.take(Step::Handle { which: 0 }).await;
            self.take(Step::Arrive { which: 0 }).await;
        }
    }
}

impl Handled {
    fn arrive(self) {
        let etag = format!("\"{}-{}\"", self.asked.who, self.saw);
        let headers = [("cache-control", "max-age=3"), ("etag", etag.as_str())];
        if let Ask::Validate(conditions) = &self.asked.ask
            && conditions["if-none-match"] == etag.as_str()
        {
            return self.asked.answer(304, &headers, "");
        }
        let body = format!("{} {}", self.asked.who, self.saw);
        self.asked.answer(200, &headers, &body);
    }
}

impl Read {
    async fn check(self) {
        let (body, how) = shown(&self.got.await.unwrap());
        let (who, value) = body.split_once(' ').unwrap();
        assert_eq!(who, self.who, "another's data, {how:?}");
        let value: u64 = value.parse().unwrap();
        assert!(
            value >= self.at_least,
            "{value} < {}, {how:?}",
            self.at_least
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn reads_follow_writes_and_variants_never_meet(steps in prop::collection::vec(step(), 1..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let mut world = World::new();
            for step in steps {
                world.take(step).await;
            }
            world.finish().await;
        });
    }
}
