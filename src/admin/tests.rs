//! Over real sockets: what probes and scrapers see, and what slow peers cannot do.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

struct Running {
    address: SocketAddr,
    readiness: Readiness,
    broker: Arc<AtomicBool>,
}

async fn start(max_connections: usize, deadline: Duration) -> Running {
    let broker = Arc::new(AtomicBool::new(true));
    let up = Arc::clone(&broker);
    let readiness = Readiness::new(move || up.load(Ordering::Relaxed));
    let config = Config {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        max_connections,
        deadline,
        ..Config::default()
    };
    let admin = Admin::bind(&config, readiness.clone(), Metrics::new())
        .await
        .unwrap();
    let address = admin.local_addr().unwrap();
    tokio::spawn(admin.run(std::future::pending()));
    Running {
        address,
        readiness,
        broker,
    }
}

impl Running {
    /// Status and the whole answer.
    async fn ask(&self, request: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let text = format!("{request} HTTP/1.1\r\nhost: x\r\n\r\n");
        stream.write_all(text.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
        (status, answer)
    }
}

#[tokio::test]
async fn probes_see_health_and_readiness() {
    let running = start(8, Duration::from_secs(10)).await;
    let (status, answer) = running.ask("GET /healthz").await;
    assert_eq!(
        (status, answer.ends_with("\r\n\r\nok")),
        (200, true),
        "{answer}"
    );
    let (status, answer) = running.ask("GET /readyz").await;
    assert_eq!(
        (status, answer.ends_with("starting")),
        (503, true),
        "{answer}"
    );
    running.readiness.serving();
    assert_eq!(running.ask("GET /readyz?verbose").await.0, 200);
    running.broker.store(false, Ordering::Relaxed);
    let (status, answer) = running.ask("GET /readyz").await;
    assert_eq!(
        (status, answer.contains("the broker cannot be reached")),
        (503, true),
        "{answer}"
    );
    assert_eq!(
        running.ask("GET /healthz").await.0,
        200,
        "a lost broker is no reason to restart"
    );
    running.broker.store(true, Ordering::Relaxed);
    running.readiness.draining();
    running.readiness.serving();
    let (status, answer) = running.ask("GET /readyz").await;
    assert_eq!(
        (status, answer.ends_with("draining")),
        (503, true),
        "{answer}"
    );
}

#[tokio::test]
async fn scrapers_see_metrics_and_others_nothing() {
    let running = start(8, Duration::from_secs(10)).await;
    let (status, answer) = running.ask("GET /metrics").await;
    assert_eq!(status, 200);
    assert!(answer.contains("content-type: text/plain; version=0.0.4"));
    assert!(
        answer.contains("pogo_build_info{") && !answer.contains("# EOF"),
        "{answer}"
    );
    let accept = "application/openmetrics-text;version=1.0.0;q=0.6,text/plain;q=0.3";
    let asked = format!("GET /metrics HTTP/1.1\r\naccept: {accept}\r\nx: ");
    let (_, answer) = running.ask(&asked).await;
    assert!(answer.contains("content-type: application/openmetrics-text; version=1.0.0"));
    assert!(answer.ends_with("# EOF\n"), "{answer}");
    let (status, answer) = running.ask("HEAD /metrics").await;
    assert_eq!(
        (status, answer.ends_with("\r\n\r\n")),
        (200, true),
        "{answer}"
    );
    for path in ["/", "/metrics/", "/console/", "//healthz"] {
        assert_eq!(running.ask(&format!("GET {path}")).await.0, 404, "{path}");
    }
    assert_eq!(running.ask("POST /metrics").await.0, 405);
    let long = format!("GET /healthz?{}", "x".repeat(MAX_HEAD_BYTES));
    assert!(running.ask(&long).await.0 >= 400);
}

#[tokio::test]
async fn silent_peers_keep_no_probe_waiting_for_long() {
    let running = start(8, Duration::from_secs(60)).await;
    let mut silent = Vec::new();
    for _ in 0..16 {
        let mut peer = TcpStream::connect(running.address).await.unwrap();
        peer.write_all(b"GET /heal").await.unwrap();
        silent.push(peer);
    }
    let since = std::time::Instant::now();
    assert_eq!(running.ask("GET /healthz").await.0, 200);
    assert!(
        since.elapsed() < Duration::from_secs(10),
        "{:?}",
        since.elapsed()
    );
}

#[tokio::test]
async fn a_silent_peer_gives_its_place_back() {
    let running = start(1, Duration::from_millis(50)).await;
    let mut silent = TcpStream::connect(running.address).await.unwrap();
    silent.write_all(b"GET /heal").await.unwrap();
    // Waits in the backlog until the silent one has had its time.
    assert_eq!(running.ask("GET /healthz").await.0, 200);
    let mut rest = Vec::new();
    assert_eq!(
        silent.read_to_end(&mut rest).await.unwrap_or(0),
        0,
        "{rest:?}"
    );
}
