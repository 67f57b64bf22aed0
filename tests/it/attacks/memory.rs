//! Memory follows what has come, not what is announced, and goes back to where it was.

use std::time::Duration;

use serde_json::json;

use crate::support::process::Process;
use crate::support::raw::{CONTINUATION, PING, Raw, TEXT, frame, whole};
use crate::support::{Client, Token};

/// What the process may grow by without any reason that a test could name, in KiB.
const SLACK: u64 = 12 << 10;

async fn grown(process: &Process, before: u64) -> u64 {
    // Everything sent has been looked at once a new session has had its answer.
    let mut client = Client::with(process.edge, &Token::of("probe").sign()).await;
    client.ok(json!({"event": "ping"})).await;
    process.memory().saturating_sub(before)
}

#[tokio::test]
async fn declared_sizes_cost_nothing() {
    let process = Process::start("", None).await;
    let mut held = vec![];
    for _ in 0..200 {
        held.push(Raw::upgraded(process.edge).await);
    }
    let before = process.memory();
    let (large, huge) = held.split_at_mut(100);
    for raw in large {
        raw.write(&[whole(TEXT), 0x80 | 126, 0xff, 0xff, 0, 0, 0, 0])
            .await;
    }
    for raw in huge {
        let head = [
            &[whole(TEXT), 0x80 | 127][..],
            &30_000_000_u64.to_be_bytes(),
            &[0; 4],
        ];
        raw.write(&head.concat()).await;
        assert_eq!(raw.closed().await, Some(1009));
    }
    let grown = grown(&process, before).await;
    assert!(grown < SLACK / 2, "{grown} KiB for 200 headers");
}

#[tokio::test]
async fn half_a_million_fragments_or_pings_are_cut_and_cost_nothing() {
    let process = Process::start("", None).await;
    let before = process.memory();
    for (first, flood) in [
        (frame(TEXT, b"{"), frame(CONTINUATION, b"")),
        (frame(TEXT, b"{"), frame(CONTINUATION, b" ")),
        (vec![], frame(whole(PING), b"")),
        (vec![], frame(whole(10), b"")),
    ] {
        let mut raw = Raw::upgraded(process.edge).await;
        raw.write(&first).await;
        let flood = flood.repeat(1_000);
        for _ in 0..500 {
            if !raw.write(&flood).await {
                break;
            }
        }
        let code = raw.closed().await;
        assert!(matches!(code, Some(1008) | None), "{code:?}");
    }
    let grown = grown(&process, before).await;
    assert!(grown < SLACK, "{grown} KiB");
}

#[tokio::test]
async fn half_open_things_cost_what_they_sent_and_are_forgotten() {
    let process = Process::start("", None).await;
    let before = process.memory();
    let mut growth = vec![];
    for _ in 0..3 {
        let mut held = vec![];
        for n in 0..150 {
            let mut raw = Raw::connect(process.edge).await;
            match n % 3 {
                0 => {
                    raw.write(format!("GET / HTTP/1.1\r\nX: {}", "x".repeat(15_000)).as_bytes())
                        .await
                }
                1 => raw.write(b"G").await,
                _ => true,
            };
            held.push(raw);
        }
        for _ in 0..150 {
            let mut raw = Raw::upgraded(process.edge).await;
            raw.write(&frame(whole(TEXT), &[b' '; 60_000])[..50_000])
                .await;
            held.push(raw);
        }
        growth.push(grown(&process, before).await);
        drop(held);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert!(
        growth[2] < growth[0] + SLACK,
        "it grows by the round: {growth:?} KiB"
    );
    assert!(growth[2] < 40 << 10, "{growth:?} KiB");
}

/// Fresh names again and again: channels that nobody is on are let go of.
#[tokio::test]
async fn channels_that_come_and_go_are_forgotten() {
    let process = Process::start(
        "[node]\nleave_delay = \"50ms\"\nsweep_interval = \"20ms\"",
        None,
    )
    .await;
    let mut client = Client::with(process.edge, &Token::of("a").sign()).await;
    let mut memory = vec![];
    for round in 0..6 {
        for part in 0..8 {
            let names: Vec<_> = (0..1_000).map(|n| format!("{round}-{part}-{n}")).collect();
            client
                .ok(json!({"event": "channel:subscribe", "channels": names}))
                .await;
            client
                .ok(json!({"event": "channel:unsubscribe", "channels": names}))
                .await;
        }
        tokio::time::sleep(Duration::from_millis(150)).await;
        memory.push(process.memory());
    }
    assert!(memory[5] < memory[2] + SLACK, "{memory:?} KiB");
}
