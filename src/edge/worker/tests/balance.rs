//! Sessions are spread evenly over the workers, whoever comes and goes. Real workers, on threads.

use std::time::{Duration, Instant};

use super::rig::{connection, services};
use super::*;
use crate::edge::connection::{Connection, Credential, Sessions};
use crate::edge::worker::inbox::Input;
use crate::edge::{Config, Workers};
use crate::metrics::WorkerLabel;

const WORKERS: usize = 4;

struct Pool {
    rig: Rig,
    workers: Workers,
}

impl Pool {
    fn start(max_sessions: Option<usize>) -> Self {
        let rig = Rig::with(&Setup {
            workers: 0,
            ..Setup::default()
        });
        let services = services(
            rig.node.clone(),
            std::sync::Arc::default(),
            &rig.shared,
            rig.gateway.clone(),
        );
        let config = Config {
            workers: WORKERS,
            max_sessions,
            ..Config::default()
        };
        let entered = rig.runtime.enter();
        let workers = Workers::start(&config, &services).unwrap();
        drop(entered);
        Self { rig, workers }
    }

    /// A client and what the front half would hand over for it.
    fn handshake(&self) -> (Client, Connection) {
        let (ours, theirs) = self.rig.pair(false);
        theirs.set_nonblocking(true).unwrap();
        let connection = connection(theirs, Credential::None);
        (Client::new(ours, None), connection)
    }

    /// A client and the number of its worker.
    fn join(&self) -> (Client, usize) {
        let before = self.counts();
        let (client, connection) = self.handshake();
        self.workers.adopt(connection).unwrap();
        let after = self.counts();
        let more = |worker: &usize| after[*worker] > before[*worker];
        (client, (0..WORKERS).find(more).unwrap())
    }

    /// Each worker's sessions, as an operator sees them.
    fn counts(&self) -> Vec<i64> {
        let _ = self.rig.metrics.encode();
        let of = |worker| {
            let label = WorkerLabel { worker };
            self.rig.metrics.worker_sessions.get_or_create(&label).get()
        };
        (0..WORKERS).map(of).collect()
    }

    fn assert_even(&self, sessions: i64) {
        let counts = self.counts();
        assert_eq!(counts.iter().sum::<i64>(), sessions);
        let (least, most) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
        assert!(most - least <= 1, "{counts:?}");
    }

    fn until(&self, what: &str, done: impl Fn(&[i64]) -> bool) {
        let since = Instant::now();
        while !done(&self.counts()) {
            assert!(since.elapsed() < Duration::from_secs(20), "{what}");
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

#[test]
fn one_after_another_they_fill_the_workers_evenly() {
    let pool = Pool::start(None);
    let mut clients = Vec::new();
    for n in 1..=50 {
        clients.push(pool.join());
        pool.assert_even(n);
    }
}

#[test]
fn many_at_once_fill_the_workers_evenly() {
    let pool = Pool::start(None);
    let (clients, mut connections): (Vec<_>, Vec<_>) = (0..401).map(|_| pool.handshake()).unzip();
    let barrier = std::sync::Barrier::new(8);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            let part = connections.split_off(connections.len().saturating_sub(51));
            let (barrier, workers) = (&barrier, &pool.workers);
            scope.spawn(move || {
                barrier.wait();
                for connection in part {
                    workers.adopt(connection).unwrap();
                }
            });
        }
    });
    pool.assert_even(clients.len() as i64);
}

#[test]
fn who_comes_fills_the_worker_whose_sessions_have_gone() {
    let pool = Pool::start(None);
    let mut clients: Vec<_> = (0..80).map(|_| pool.join()).collect();
    clients.retain(|(_, worker)| *worker != 2);
    pool.until("they go", |counts| counts[2] == 0);
    assert_eq!(pool.counts(), [20, 20, 0, 20]);
    for n in 1..=20 {
        let (client, worker) = pool.join();
        assert_eq!(worker, 2, "number {n}");
        clients.push((client, worker));
    }
    pool.assert_even(80);
}

#[test]
fn a_bound_holds_where_there_is_one() {
    let pool = Pool::start(Some(10));
    let clients: Vec<_> = (0..10).map(|_| pool.join()).collect();
    let (_, connection) = pool.handshake();
    assert!(pool.workers.adopt(connection).is_err());
    pool.assert_even(10);
    drop(clients);
    pool.until("they go", |counts| counts.iter().all(|count| *count == 0));
    pool.join();
}

#[test]
fn a_worker_that_has_ended_is_given_nobody() {
    let pool = Pool::start(None);
    let (ended, _) = &pool.workers.peers.0[2];
    ended.put(Input::Stop);
    pool.until("it ends", |_| ended.is_closed());
    let mut clients = Vec::new();
    for n in 0..9 {
        clients.push(pool.join());
        assert_ne!(clients[n].1, 2, "number {n}");
    }
    assert_eq!(pool.counts(), [3, 3, 0, 3]);
}
