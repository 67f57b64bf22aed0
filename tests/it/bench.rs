//! `pogo bench` against a server that it starts itself: it measures what it says, and loses
//! nothing. No figure is checked but that it is there; a test machine has no speed to speak of.

use std::process::{Command, Stdio};

use serde_json::Value;

/// Runs `pogo --json bench` with `words`: the lines that it wrote.
fn bench(words: &str) -> Vec<Value> {
    let output = Command::new(env!("CARGO_BIN_EXE_pogo"))
        .args(["--json", "bench"])
        .args(words.split(' '))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{words}: {errors}");
    let text = String::from_utf8(output.stdout).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
    lines.collect()
}

#[test]
fn fanout_delivers_all_beside_the_bare_limit() {
    let lines = bench("fanout --spawn --raw -n 20 --burst 4 --rounds 5");
    let [figures] = lines.as_slice() else {
        panic!("{lines:?}");
    };
    // Rounds to warm up, those that count, and those for latencies.
    assert_eq!(figures["deliveries"], 20 * 4 * (5 + 5 + 10), "{figures}");
    for none in ["lost", "reordered", "ended"] {
        assert_eq!(figures[none], 0, "{figures}");
    }
    assert_eq!(figures["latency_us"]["count"], 20 * 4 * 10, "{figures}");
    assert!(figures["ratio"].as_f64().unwrap() > 0.0, "{figures}");
}

#[test]
fn sessions_come_back_after_a_cut() {
    let lines = bench("connections --spawn -n 50 --settle 10ms --reconnect");
    let figures = &lines[0];
    assert_eq!(figures["ended"], 0, "{figures}");
    assert_eq!(figures["reconnect"]["back"], 150, "{figures}");
    assert_eq!(figures["reconnect"]["errors"], 0, "{figures}");
    assert!(figures["resident_bytes"].as_u64().unwrap() > 1 << 20);
}

#[test]
fn publications_are_taken_by_stream_and_by_call() {
    let lines = bench("publish --spawn --raw --count 200 --channels 7");
    let calls: Vec<_> = lines.iter().map(|line| &line["call"]).collect();
    assert_eq!(calls, ["stream", "unary"]);
    for side in lines
        .iter()
        .flat_map(|line| [&line["server"], &line["raw"]])
    {
        assert!(side["cpu_us"].as_f64().unwrap() > 0.0, "{side}");
    }
}

#[test]
fn latencies_are_measured_beside_each_disturbance() {
    let lines = bench(
        "latency --spawn -n 10 --rate 20 --seconds 1 --idle 5 --big 20 --big-rate 5 --stalled 10",
    );
    let parts = lines[0]["parts"].as_array().unwrap();
    let names: Vec<_> = parts.iter().map(|part| &part["part"]).collect();
    assert_eq!(names, ["alone", "big channel", "stalled"]);
    for part in parts {
        assert_eq!(part["lost"], 0, "{part}");
        assert!(part["latency_us"]["count"].as_u64().unwrap() >= 9 * 20);
    }
}
