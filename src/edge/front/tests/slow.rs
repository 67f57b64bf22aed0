//! Clients that are silent or slow, too many of them, and a process out of descriptors.

use std::time::Instant;

use super::*;

fn hasty() -> Config {
    Config {
        header_deadline: Duration::from_millis(400),
        ..Config::default()
    }
}

/// How long until the server closes.
async fn closed_after(mut stream: TcpStream) -> Duration {
    let since = Instant::now();
    let answer = read_answer(&mut stream).await;
    assert!(answer.is_empty() || status(&answer) == 408, "{answer}");
    since.elapsed()
}

#[tokio::test(flavor = "multi_thread")]
async fn silent_and_dribbling_clients_are_cut() {
    let edge = Edge::start(hasty()).await;
    let bounds = Duration::from_millis(300)..Duration::from_secs(5);
    assert!(
        bounds.contains(&closed_after(edge.connect().await).await),
        "silent"
    );

    let mut half = edge.connect().await;
    half.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n")
        .await
        .unwrap();
    assert!(bounds.contains(&closed_after(half).await), "half a head");

    let (read, mut write) = edge.connect().await.into_split();
    let dribble = tokio::spawn(async move {
        write.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
        while write.write_all(b"X: y\r\n").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    let since = Instant::now();
    let mut read = read;
    let _ = read_answer(&mut read).await;
    assert!(bounds.contains(&since.elapsed()), "dribbling");
    dribble.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn beyond_the_slots_connections_wait() {
    let config = Config {
        max_handshakes: 2,
        header_deadline: Duration::from_secs(60),
        ..Config::default()
    };
    let mut edge = Edge::start(config).await;
    let silent = [edge.connect().await, edge.connect().await];
    // Both hold a slot, so the next waits; but while it does, the silent ones are in a hurry.
    let since = Instant::now();
    edge.open(&upgrade("")).await;
    assert!(
        since.elapsed() >= Duration::from_millis(500),
        "it had to wait"
    );
    assert!(edge.front.services.metrics.handshakes.get() <= 2);
    for stream in silent {
        assert!(closed_after(stream).await < Duration::from_secs(30));
    }
}

/// The test proper; run by the next one in a process of its own with few descriptors.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a process with few descriptors"]
async fn out_of_descriptors() {
    let mut edge = Edge::start(Config::default()).await;
    let metrics = edge.front.services.metrics.clone();
    // Whoever is served by it knows that it runs, its reserve included.
    let _first = edge.open(&upgrade("")).await;
    let mut hoard = Vec::new();
    while let Ok(file) = std::fs::File::open("/dev/null") {
        hoard.push(file);
    }
    // One descriptor for the client, none for the server's side but the reserve, time after time.
    for n in 0..3 {
        hoard.pop();
        let mut stream = edge.connect().await;
        stream.write_all(upgrade("").as_bytes()).await.unwrap();
        assert_eq!(status(&read_answer(&mut stream).await), 503);
        assert!(metrics.accept_errors.get() > n);
        drop(stream);
        hoard.extend(std::fs::File::open("/dev/null"));
    }
    hoard.clear();
    let mut stream = edge.connect().await;
    stream.write_all(upgrade("").as_bytes()).await.unwrap();
    assert_eq!(status(&read_answer(&mut stream).await), 101);
    edge.next().await;
}

#[test]
fn running_out_of_descriptors_stops_nothing() {
    let test = std::env::current_exe().unwrap();
    let output = std::process::Command::new("sh")
        .args(["-c", "ulimit -n 64; exec \"$0\" --exact --ignored \"$1\""])
        .arg(test)
        .arg("edge::front::tests::slow::out_of_descriptors")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && said.contains("1 passed"),
        "{said}"
    );
}

/// A connection from another of this machine's addresses.
async fn from(local: &str, to: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = tokio::net::TcpSocket::new_v4()?;
    socket.bind(format!("{local}:0").parse().unwrap())?;
    socket.connect(to).await
}

#[tokio::test(flavor = "multi_thread")]
async fn one_address_full_of_silent_connections_keeps_nobody_else_out() {
    let config = Config {
        max_handshakes: 16,
        header_deadline: Duration::from_millis(500),
        ..Config::default()
    };
    let limits = crate::limits::Config {
        connects: crate::limits::RateConfig::new(10, 20),
        ..super::limits::roomy()
    };
    let mut edge = Edge::limited(config, limits).await;
    let address = edge.address;
    let attack = tokio::spawn(async move {
        let mut silent = std::collections::VecDeque::new();
        loop {
            let connecting = from("127.0.0.2", address);
            if let Ok(Ok(stream)) = tokio::time::timeout(PATIENCE, connecting).await {
                silent.push_back(stream);
            }
            if silent.len() > 200 {
                silent.pop_front();
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
    let refused = || {
        edge.front
            .services
            .limits
            .is_over("127.0.0.2".parse().unwrap())
    };
    let since = Instant::now();
    while !refused() {
        assert!(since.elapsed() < PATIENCE, "it is never over its rate");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let mut longest = Duration::ZERO;
    for _ in 0..10 {
        let since = Instant::now();
        edge.open(&upgrade("")).await;
        longest = longest.max(since.elapsed());
    }
    attack.abort();
    assert!(longest < Duration::from_millis(400), "{longest:?}");
}
