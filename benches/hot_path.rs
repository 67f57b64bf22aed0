//! What the process itself does for a publication and for a command, piece by piece: the kernel's
//! part is measured by `pogo bench`. Run it with `cargo bench --bench hot_path`.

#![allow(
    clippy::unwrap_used,
    missing_docs,
    reason = "a benchmark ends where its premises do not hold"
)]

/// The worker's own file: nobody outside the worker has a use for it, and it needs nothing of it.
#[allow(
    dead_code,
    unused_imports,
    reason = "neither its tests nor all of it is measured"
)]
#[path = "../src/edge/worker/mailbox.rs"]
mod mailbox;

#[path = "hot_path/cache.rs"]
mod cache;

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use futures_util::FutureExt;
use mailbox::{Entry, Kind, Mailbox, SpareRings};
use pogo::auth::{Authenticator, Config, IssuerConfig, KeySource, SigningKey, sign};
use pogo::channel::{Access, ChannelName, ChannelRule, Pattern, Rules, SlowPolicy};
use pogo::clock::Now;
use pogo::hub::{self, Delivery, Hub, Worker, WorkerMessage};
use pogo::metrics::Metrics;
use pogo::protocol::deflate::{Deflater, Inflater};
use pogo::protocol::frame::{self, FrameReader, Limits};
use pogo::protocol::{self, Encoding, Event, Message, Reply, RequestId, Spelling, Wire};
use pogo::publication::{Deliver, Publication};
use prometheus_client::metrics::counter::Counter;
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256};

const WIRE: Wire = Wire {
    encoding: Encoding::Json,
    spelling: Spelling::Channel,
    deflate: false,
};
/// Subscribers that share an encoding.
const SHARERS: u64 = 1_000;

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
        form: pogo::publication::Form::Json,
        user: None,
        revision: 0,
        change: None,
    }
}

fn encode(c: &mut Criterion) {
    let mut group = c.benchmark_group("encode a publication");
    let channel = ChannelName::parse("room-1").unwrap();
    for size in [128, 1024, 16 * 1024] {
        let publication = publication(&channel, size);
        group.throughput(Throughput::Bytes(size as u64));
        group.bench_function(format!("{size} B"), |b| {
            b.iter(|| protocol::encode_publication(WIRE, black_box(&publication)));
        });
    }
    group.finish();

    let publication = publication(&channel, 128);
    let deflater = Arc::new(Deflater::new(256, &Metrics::new()));
    let mut group = c.benchmark_group("encode once, for each of 1,000 subscribers");
    group.throughput(Throughput::Elements(SHARERS));
    group.bench_function("128 B", |b| {
        b.iter_batched(
            || {
                let (deflater, encodings) = (Arc::clone(&deflater), Counter::default());
                Delivery::new(publication.clone(), None, deflater, encodings)
            },
            |delivery| {
                for _ in 0..SHARERS {
                    black_box(delivery.frame(WIRE).clone());
                }
            },
            BatchSize::SmallInput,
        );
    });
    group.finish();

    let id = RequestId::Number("7".into());
    c.bench_function("encode a reply", |b| {
        b.iter(|| {
            let (id, reply) = (black_box(&id), Reply::Done);
            protocol::encode(Encoding::Json, &Event::Reply { id, reply })
        });
    });
}

/// What the flush does to a mailbox, the socket taking everything.
fn mailboxes(c: &mut Criterion) {
    let frame = protocol::encode_publication(
        WIRE,
        &publication(&ChannelName::parse("room-1").unwrap(), 128),
    );
    let accepted = Instant::now();
    let entry = || Entry {
        frame: frame.clone(),
        kind: Kind::Publication {
            subscription: 1,
            sequence: 1,
            expires: None,
            accepted,
        },
    };
    let mut group = c.benchmark_group("a mailbox takes and gives");
    let (mut mailbox, mut spare) = (Mailbox::default(), SpareRings::new());
    let mut cork = Vec::new();
    for count in [1, 16] {
        group.throughput(Throughput::Elements(count));
        group.bench_function(format!("{count} at once"), |b| {
            b.iter(|| {
                for _ in 0..count {
                    mailbox.push(entry(), &mut spare);
                }
                cork.clear();
                for chunk in mailbox.chunks() {
                    cork.extend_from_slice(chunk);
                }
                mailbox.advance(cork.len(), |kind| {
                    black_box(kind);
                });
                mailbox.release(&mut spare, 1);
            });
        });
    }
    group.finish();
}

/// JSON records of `size` bytes, without rhyme or reason but for their keys.
fn records(size: usize) -> Bytes {
    let mut text = String::from("[");
    let mut dice = 0x9e37_79b9_7f4a_7c15_u64;
    while text.len() < size - 4 {
        dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let (id, price) = (dice >> 40, dice >> 20 & 0xffff);
        text += &format!(r#"{{"id":{id},"symbol":"TSLA","price":{price}.25,"side":"buy"}},"#);
    }
    text.truncate(size - 4);
    // What is cut off in the middle is no JSON any more, which is nothing to the codec.
    text.into()
}

/// Once a publication and spelling, and once a command: the codecs of permessage-deflate.
fn deflate(c: &mut Criterion) {
    let mut group = c.benchmark_group("deflate");
    let metrics = Metrics::new();
    let deflater = Deflater::new(0, &metrics);
    let mut inflater = Inflater::new(65_536, &metrics);
    let channel = ChannelName::parse("room-1").unwrap();
    let wire = Wire {
        encoding: Encoding::Json,
        spelling: Spelling::Channel,
        deflate: false,
    };
    for size in [128, 1024, 16 * 1024] {
        let publication = Publication {
            data: records(size),
            ..publication(&channel, size)
        };
        let plain = protocol::encode_publication(wire, &publication);
        let twin = deflater.frame(&plain);
        assert!(twin.len() < plain.len());
        group.throughput(Throughput::Bytes(size as u64));
        group.bench_function(format!("compress {size} B to {} B", twin.len()), |b| {
            b.iter(|| deflater.frame(black_box(&plain)));
        });
        let payload = frame::payload(&twin);
        group.bench_function(format!("inflate {size} B"), |b| {
            b.iter(|| inflater.message(true, black_box(payload)).is_ok());
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
            b.iter(|| {
                protocol::decode(
                    Encoding::Json,
                    Message::Text(black_box(text)),
                    &mut String::new(),
                )
                .is_ok()
            });
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
    for channels in [1_usize, 1_000, 100_000] {
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
    for count in [0, 20] {
        let rules = Rules::new((0..count).map(rule).collect(), false);
        group.bench_function(format!("find the rule, the last of {}", count + 1), |b| {
            b.iter(|| rules.of(black_box("presence-room-1")).history.is_some());
        });
    }
    group.finish();
}

fn rule(number: usize) -> ChannelRule {
    ChannelRule {
        pattern: Pattern::parse(&format!("team-{number}-*")).unwrap(),
        subscribe: Access::Token,
        publish: Access::Nobody,
        presence: false,
        history: None,
        slow: SlowPolicy::Disconnect,
    }
}

fn tokens(c: &mut Criterion) {
    let secret = b"a secret of more than thirty-two bytes".to_vec();
    let ec = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    let rsa = KeyPair::generate_for(&PKCS_RSA_SHA256).unwrap();
    let (ec_pem, rsa_pem) = (ec.serialize_pem(), rsa.serialize_pem());
    let now = Now::read();
    let exp = now.unix.as_secs() + 3_600;
    let claims = format!(
        r#"{{"sub":"42","jti":"7f","iat":{},"exp":{exp},"caps":{{"room-*":["subscribe"]}}}}"#,
        now.unix.as_secs()
    );
    let mut group = c.benchmark_group("check a token");
    for (name, signing, keys) in [
        (
            "HS256",
            SigningKey::Secret(&secret),
            KeySource::Secret(secret.clone()),
        ),
        (
            "ES256",
            SigningKey::Pem(&ec_pem),
            KeySource::Pem(ec.public_key_pem()),
        ),
        (
            "RS256, 2,048 bits",
            SigningKey::Pem(&rsa_pem),
            KeySource::Pem(rsa.public_key_pem()),
        ),
    ] {
        let token = sign(&claims, signing, None, None).unwrap();
        let config = Config {
            issuers: vec![IssuerConfig {
                issuer: None,
                algorithms: Vec::new(),
                keys,
            }],
            ..Config::default()
        };
        let authenticator = Authenticator::new(config).unwrap();
        let check = || authenticator.authenticate(black_box(&token), now);
        assert!(check().now_or_never().is_some_and(|grant| grant.is_ok()));
        group.bench_function(name, |b| b.iter(|| check().now_or_never().is_some()));
    }
    group.finish();
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
    targets = encode, deflate, decode, mailboxes, deliver, channels, tokens, cache::cache
}
criterion_main!(hot_path);
