//! What a delivery allocates: nothing. A binary of its own, because it replaces the allocator of
//! its whole process by one that counts what chosen threads ask for: here a server's workers.
//!
//! A publication may cost its encodings, once for each wire in use; they are measured apart. All
//! that comes on top must be zero, whatever the number of subscribers.

#![cfg(target_os = "linux")]
#![allow(
    unsafe_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::needless_pass_by_value,
    dead_code,
    missing_debug_implementations,
    missing_docs,
    unreachable_pub,
    unused_imports,
    reason = "a test fails by panicking, an allocator is unsafe, and not all of `support` is used"
)]

mod it {
    pub mod support;
}

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use it::support::{Client, Control, TestServer, Token, eventually, publish_request};
use pogo::channel::ChannelName;
use pogo::control::proto::PublishBatchRequest;
use pogo::protocol::{self, Encoding, Spelling, Wire};
use pogo::publication::Publication;
use serde_json::json;
use tokio::net::TcpStream;

const WORKERS: usize = 2;
/// Publications of a round.
const ROUND: u64 = 16;
/// Rounds until the counts must have settled: rings and lists grow to what the load needs.
const ROUNDS: usize = 30;
/// Rounds in a row that must be clean: rarer than once in so many deliveries is no delivery's cost.
const CLEAN: usize = 5;
/// Readers that stall, and the large publications that fill their sockets.
const STALLED: usize = 8;
const FLOOD: usize = 250;

/// Counts what the watched threads allocate.
struct Counting;

/// Thread ids; 0 is nobody's.
static WATCHED: [AtomicI32; WORKERS] = [const { AtomicI32::new(0) }; WORKERS];
static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

#[global_allocator]
static ALLOCATOR: Counting = Counting;

unsafe extern "C" {
    safe fn gettid() -> i32;
}

fn count() {
    let watched = |id: &AtomicI32| id.load(Ordering::Relaxed) != 0;
    if WATCHED.iter().any(watched) {
        let own = gettid();
        if WATCHED.iter().any(|id| id.load(Ordering::Relaxed) == own) {
            ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        }
    }
}

// SAFETY: everything is the system's allocator, and counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count();
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        unsafe { System.realloc(pointer, layout, size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// The threads of this process with this name.
fn threads(name: &str) -> Vec<i32> {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let ids = tasks.map(|task| task.unwrap().file_name().into_string().unwrap());
    let named = ids.filter(|id| {
        let comm = std::fs::read_to_string(format!("/proc/self/task/{id}/comm"));
        comm.is_ok_and(|comm| comm.trim_end().starts_with(name))
    });
    named.map(|id| id.parse().unwrap()).collect()
}

/// Watches `threads` until it is dropped.
struct Watch;

impl Watch {
    fn on(threads: &[i32]) -> Self {
        for (place, thread) in WATCHED.iter().zip(threads) {
            place.store(*thread, Ordering::SeqCst);
        }
        Self
    }

    fn count(&self) -> u64 {
        ALLOCATIONS.load(Ordering::SeqCst)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        for place in &WATCHED {
            place.store(0, Ordering::SeqCst);
        }
    }
}

/// What one encoding allocates at most: the frame, and with its second handle their count.
fn encoding() -> u64 {
    let publication = Publication {
        channel: ChannelName::parse("busy").unwrap(),
        event: "e".into(),
        data: json!([7, "x".repeat(128)]).to_string().into(),
        sequence: 0,
        epoch: None,
        time: 0,
        accepted: Instant::now(),
        expires: None,
        exclude: None,
        form: pogo::publication::Form::Json,
        user: None,
        revision: 0,
        change: None,
    };
    let wire = Wire {
        encoding: Encoding::Json,
        spelling: Spelling::Channel,
        deflate: false,
    };
    let watch = Watch::on(&[gettid()]);
    let before = watch.count();
    let frame = protocol::encode_publication(wire, &publication);
    let shared = frame.clone();
    let after = watch.count();
    drop((watch, frame, shared));
    after - before
}

/// A server, its subscribers, and what its workers have allocated.
struct Rig {
    server: TestServer,
    control: Control,
    clients: Vec<Client>,
    watch: Watch,
    encoding: u64,
    numbers: u64,
}

impl Rig {
    async fn new(subscribers: usize) -> Self {
        let encoding = encoding();
        assert!((1..=2).contains(&encoding), "the counter counts");
        // No ping and no sweep of the sessions' own comes between.
        let settings = format!(
            "[edge]\nworkers = {WORKERS}\nping_interval = \"1h\"\nmailbox_bytes = 134217728\n\
             mailbox_total_bytes = 1073741824"
        );
        let server = TestServer::with(&settings).await;
        let control = server.control().await;
        let mut clients = vec![];
        for _ in 0..subscribers {
            clients.push(subscriber(&server).await);
        }
        let workers = threads("worker-");
        assert_eq!(workers.len(), WORKERS, "the workers are known by name");
        Self {
            server,
            control,
            clients,
            watch: Watch::on(&workers),
            encoding,
            numbers: 0,
        }
    }

    /// Publishes `count` times, one by one or all at once.
    async fn publish(&mut self, count: u64, burst: bool) {
        let filler = "x".repeat(128);
        let mut requests = vec![];
        for _ in 0..count {
            self.numbers += 1;
            requests.push(publish_request("busy", "e", &json!([self.numbers, filler])));
        }
        if burst {
            let batch = PublishBatchRequest { requests };
            self.control.publisher.publish_batch(batch).await.unwrap();
            return;
        }
        for request in requests {
            self.control.send(request).await;
        }
    }

    /// Lets every client read what was published beyond `first`.
    async fn read_from(&mut self, first: u64) {
        for client in &mut self.clients {
            for number in first + 1..=self.numbers {
                assert_eq!(client.expect("e").await["data"][0], number);
            }
        }
    }

    async fn encodings(&self) -> f64 {
        self.server.metric("pogo_encodings_total").await
    }

    /// What a round has cost beyond its encodings.
    async fn round(&mut self, burst: bool) -> u64 {
        let before = self.watch.count();
        let encodings = self.encodings().await;
        if burst {
            self.publish(ROUND, true).await;
            self.read_from(self.numbers - ROUND).await;
        } else {
            for _ in 0..ROUND {
                self.publish(1, false).await;
                self.read_from(self.numbers - 1).await;
            }
        }
        let encoded = self.encodings().await - encodings;
        assert_eq!(encoded, ROUND as f64, "all are told the same way");
        // What is written straight from the frame needs no second handle: then it was less.
        (self.watch.count() - before).saturating_sub(ROUND * self.encoding)
    }

    /// Rounds until they are clean.
    async fn settle(&mut self, burst: bool, what: &str) {
        let mut counts = vec![];
        while counts.len() < ROUNDS {
            counts.push(self.round(burst).await);
            if counts.len() >= CLEAN && counts.iter().rev().take(CLEAN).all(|count| *count == 0) {
                return;
            }
        }
        let deliveries = ROUND * self.clients.len() as u64;
        panic!("{what}: rounds of {deliveries} deliveries allocated {counts:?}");
    }
}

async fn subscriber(server: &TestServer) -> Client {
    let mut client = Client::with(server, &Token::of("reader").sign()).await;
    client.subscribe("busy").await;
    client
}

async fn deliveries_allocate_nothing(subscribers: usize) {
    let mut rig = Rig::new(subscribers).await;
    rig.settle(false, "one at a time").await;
    rig.settle(true, "bursts").await;
    stall(&mut rig).await;
    rig.settle(false, "after a stall, one at a time").await;
    rig.settle(true, "after a stall, bursts").await;
}

/// Some readers stop reading until their sockets are full. Their mailboxes fill meanwhile, which
/// costs a ring's doubling now and then; nobody else's costs anything. Then they read it all.
async fn stall(rig: &mut Rig) {
    let others = rig.clients.split_off(STALLED);
    let mut stalled = std::mem::replace(&mut rig.clients, others);
    for client in &mut stalled {
        client.subscribe("flood").await;
    }
    let flood = json!("x".repeat(60_000));
    let encoded = rig.encodings().await + FLOOD as f64;
    for _ in 0..FLOOD {
        rig.control.publish("flood", "flood", &flood).await;
    }
    eventually("the flood is encoded", || async {
        (rig.encodings().await == encoded).then_some(())
    })
    .await;
    let first = rig.numbers;
    rig.settle(false, "while some stall, one at a time").await;
    rig.settle(true, "while some stall, bursts").await;
    let waiting = rig.server.metric("pogo_mailbox_bytes").await;
    assert!(waiting > 0.0, "their sockets are full");
    let readers = std::mem::replace(&mut rig.clients, stalled);
    for client in &mut rig.clients {
        for _ in 0..FLOOD {
            client.expect("flood").await;
        }
        client
            .ok(json!({"event": "channel:unsubscribe", "channel": "flood"}))
            .await;
    }
    rig.read_from(first).await;
    rig.clients.extend(readers);
}

/// One after the other: the counter is the process's.
#[tokio::test]
async fn a_delivery_allocates_nothing() {
    for subscribers in [200, 400] {
        deliveries_allocate_nothing(subscribers).await;
    }
}
