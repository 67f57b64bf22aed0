//! What the process itself does for a publication and for a command, piece by piece: the kernel's
//! part is measured by `pogo bench`. Run it with `cargo bench --bench hot_path`.

#![allow(
    clippy::unwrap_used,
    missing_docs,
    reason = "a benchmark ends where its premises do not hold"
)]

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use futures_util::FutureExt;
use pogo::auth::{Authenticator, Config, IssuerConfig, KeySource, SigningKey, sign};
use pogo::channel::{ChannelName, Pattern, Rules};
use pogo::clock::Now;
use pogo::hub::{self, Hub, Worker, WorkerMessage};
use pogo::metrics::Metrics;
use pogo::protocol::frame::{FrameReader, Limits};
use pogo::protocol::{self, Encoding, Message, Spelling, Wire};
use pogo::publication::{Deliver, Publication};

fn publication(channel: &ChannelName, size: usize) -> Publication {
    Publication {
        channel: channel.clone(),
        event: "message".into(),
        data: Bytes::from(format!("\"{}\"", "x".repeat(size - 2))),
        sequence: 0,
        epoch: None,
        time: 1_700_000_000_000,
        accepted: Instant::now(),
        expires: None,
        exclude: None,
    }
}

fn encode(c: &mut Criterion) {
    let mut group = c.benchmark_group("encode a publication");
    let channel = ChannelName::parse("room-1").unwrap();
    let wire = Wire {
        encoding: Encoding::Json,
        spelling: Spelling::Channel,
        deflate: false,
    };
    for size in [128, 1024, 16 * 1024] {
        let publication = publication(&channel, size);
        group.throughput(Throughput::Bytes(size as u64));
        group.bench_function(format!("{size} B"), |b| {
            b.iter(|| protocol::encode_publication(wire, black_box(&publication)));
        });
    }
    group.finish();
}

fn decode(c: &mut Criterion) {
    let subscribe = r#"{"id":7,"event":"channel:subscribe","channel":"room-1","options":{}}"#;
    let publish = r#"{"id":8,"event":"message","channel":"room-1","data":{"text":"hello","n":1}}"#;
    let mut group = c.benchmark_group("decode a command");
    for (name, text) in [("subscribe", subscribe), ("publish", publish)] {
        group.bench_function(name, |b| {
            b.iter(|| protocol::decode(Encoding::Json, Message::Text(black_box(text))).is_ok());
        });
    }
    group.finish();

    let mut masked = vec![
        0x81,
        0x80 | u8::try_from(subscribe.len()).unwrap(),
        1,
        2,
        3,
        4,
    ];
    let mask = [1, 2, 3, 4].into_iter().cycle();
    masked.extend(subscribe.bytes().zip(mask).map(|(byte, mask)| byte ^ mask));
    let mut reader = FrameReader::new(Arc::new(Limits::default()));
    let now = Instant::now();
    c.bench_function("read a frame", |b| {
        b.iter_batched_ref(
            || masked.clone(),
            |bytes| {
                let mut input = bytes.as_mut_slice();
                reader.next(&mut input, now).unwrap().is_some()
            },
            BatchSize::SmallInput,
        );
    });
}

/// A worker that drops what it gets.
struct Nobody;

impl Worker for Nobody {
    fn post(&self, message: WorkerMessage) {
        black_box(message);
    }
}

fn deliver(c: &mut Criterion) {
    let mut group = c.benchmark_group("hand a publication to 2 workers");
    for channels in [1_usize, 10_000, 100_000] {
        let hub = Hub::new(hub::Config::default(), Metrics::new());
        let workers = [0; 2].map(|_| hub.attach(Arc::new(Nobody)).unwrap());
        let names: Vec<ChannelName> = (0..channels)
            .map(|index| ChannelName::parse(&format!("room-{index}")).unwrap())
            .collect();
        for name in &names {
            for worker in workers {
                hub.join(name, worker);
            }
        }
        let mut at = 0;
        group.bench_function(format!("{channels} channels"), |b| {
            b.iter_batched(
                || {
                    at = (at + 7_919) % channels;
                    publication(&names[at], 128)
                },
                |publication| hub.deliver(publication, None),
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

fn channels(c: &mut Criterion) {
    let mut group = c.benchmark_group("channel names");
    group.bench_function("check a name", |b| {
        b.iter(|| ChannelName::parse(black_box("private-room-123456")).unwrap());
    });
    let cases = [
        ("a literal", "private-room-123456"),
        ("one star", "private-*"),
        ("many stars", "/a/*/b/*/c/**"),
    ];
    for (name, pattern) in cases {
        let pattern = Pattern::parse(pattern).unwrap();
        let channel = if name == "many stars" {
            "/a/1234/b/5678/c/9/10/11"
        } else {
            "private-room-123456"
        };
        assert!(pattern.matches(channel));
        group.bench_function(format!("match {name}"), |b| {
            b.iter(|| pattern.matches(black_box(channel)));
        });
    }
    let rules = Rules::new(Vec::new(), false);
    group.bench_function("find the rule", |b| {
        b.iter(|| rules.of(black_box("presence-room-1")).history.is_some());
    });
    group.finish();
}

fn tokens(c: &mut Criterion) {
    let secret = b"a secret of more than thirty-two bytes".to_vec();
    let now = Now::read();
    let exp = now.unix.as_secs() + 3_600;
    let claims = format!(
        r#"{{"sub":"42","jti":"7f","iat":{},"exp":{exp},"caps":{{"room-*":["subscribe"]}}}}"#,
        now.unix.as_secs()
    );
    let token = sign(&claims, SigningKey::Secret(&secret), None, None).unwrap();
    let config = Config {
        issuers: vec![IssuerConfig {
            issuer: None,
            algorithms: Vec::new(),
            keys: KeySource::Secret(secret),
        }],
        ..Config::default()
    };
    let authenticator = Authenticator::new(config).unwrap();
    let check = || authenticator.authenticate(black_box(&token), now);
    assert!(check().now_or_never().is_some_and(|grant| grant.is_ok()));
    c.bench_function("check a token (HS256)", |b| {
        b.iter(|| check().now_or_never().is_some());
    });
}

fn quick() -> Criterion {
    Criterion::default()
        .without_plots()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
}

criterion_group! {
    name = hot_path;
    config = quick();
    targets = encode, decode, deliver, channels, tokens
}
criterion_main!(hot_path);
