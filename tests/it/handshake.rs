//! The way in: HTTP before the upgrade, and who is kept waiting or kept out.

use std::time::Duration;

use crate::support::raw::{Raw, upgrade};
use crate::support::{TestServer, http_get};

async fn status(server: &TestServer, request: &str) -> u16 {
    Raw::connect(server.edge())
        .await
        .request(request)
        .await
        .status
}

#[tokio::test]
async fn the_key_is_answered_as_the_rfc_says() {
    let server = TestServer::start().await;
    let head = Raw::connect(server.edge())
        .await
        .request(&upgrade("/ws", &[]))
        .await;
    assert_eq!(head.status, 101);
    // The pair of key and answer is RFC 6455's own example.
    assert!(
        head.text
            .contains("sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo="),
        "{}",
        head.text
    );
    assert!(
        !head.text.contains("sec-websocket-extensions"),
        "{}",
        head.text
    );
}

#[tokio::test]
async fn what_is_no_upgrade_is_told_so() {
    let server = TestServer::start().await;
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: pogo.test\r\n\r\n");
    assert_eq!(
        status(&server, &get("/")).await,
        426,
        "the demo page is for --dev"
    );
    assert_eq!(status(&server, &get("/ws")).await, 426);
    assert_eq!(status(&server, &get("/elsewhere")).await, 404);
    assert_eq!(status(&server, &upgrade("/elsewhere", &[])).await, 404);
    for (request, expected) in [
        (upgrade("/ws", &["Sec-WebSocket-Version: 12"]), 426),
        (upgrade("/ws", &["Sec-WebSocket-Version: -"]), 400),
        (upgrade("/ws", &["Sec-WebSocket-Key: short"]), 400),
        (upgrade("/ws", &["Sec-WebSocket-Key: -"]), 400),
        (upgrade("/ws", &[]).replace("GET", "POST"), 405),
    ] {
        let seen = status(&server, &request).await;
        let near = seen == expected || (expected != 426 && [400, 405, 426].contains(&seen));
        assert!(near, "{seen} for {request}");
    }
    let mut raw = Raw::connect(server.edge()).await;
    let head = raw
        .request(&upgrade("/ws", &["Sec-WebSocket-Version: 12"]))
        .await;
    assert!(
        head.text.contains("sec-websocket-version: 13"),
        "{}",
        head.text
    );
}

#[tokio::test]
async fn only_allowed_origins_come_in() {
    let settings = "[edge]\nallowed_origins = [\"https://good.example\"]";
    let server = TestServer::with(settings).await;
    for (expected, lines) in [
        (101, vec!["Origin: https://good.example"]),
        (101, vec![]),
        (403, vec!["Origin: https://good.example.evil"]),
        (403, vec!["Origin: https://evilgood.example"]),
        (403, vec!["Origin: https://sub.good.example"]),
        (403, vec!["Origin: http://good.example"]),
        (403, vec!["Origin: https://good.example:444"]),
        (403, vec!["Origin: null"]),
        (403, vec!["Origin: "]),
        (
            403,
            vec![
                "Origin: https://good.example",
                "Origin: https://evil.example",
            ],
        ),
        (
            403,
            vec![
                "Origin: https://evil.example",
                "Origin: https://good.example",
            ],
        ),
    ] {
        assert_eq!(
            status(&server, &upgrade("/ws", &lines)).await,
            expected,
            "{lines:?}"
        );
    }
    let server = TestServer::start().await;
    assert_eq!(
        status(&server, &upgrade("/ws", &["Origin: http://pogo.test"])).await,
        101,
        "the same"
    );
    assert_eq!(
        status(&server, &upgrade("/ws", &["Origin: http://evil.test"])).await,
        403
    );
}

#[tokio::test]
async fn large_heads_are_refused() {
    let server = TestServer::start().await;
    let long = format!("X-Long: {}", "x".repeat(20_000));
    assert_eq!(status(&server, &upgrade("/ws", &[&long])).await, 431);
    let many: Vec<String> = (0..2_000).map(|n| format!("X-{n}: 1")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    assert_eq!(status(&server, &upgrade("/ws", &many)).await, 431);
}

#[tokio::test]
async fn who_dribbles_or_says_nothing_is_cut() {
    let server = TestServer::start().await;
    let mut silent = Raw::connect(server.edge()).await;
    let mut dribbling = Raw::connect(server.edge()).await;
    let dribble = async {
        let begun = std::time::Instant::now();
        let request = upgrade("/ws", &[&format!("X-Long: {}", "x".repeat(200))]);
        for byte in request.bytes() {
            if !dribbling.write(&[byte]).await {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        begun.elapsed()
    };
    let (silent, dribbling) = tokio::join!(silent.ended(), dribble);
    let (least, most) = (Duration::from_secs(4), Duration::from_secs(9));
    assert!((least..most).contains(&silent), "silent for {silent:?}");
    assert!(dribbling < most, "dribbling for {dribbling:?}");
}

#[tokio::test]
async fn the_demo_page_is_there_in_dev() {
    let server = TestServer::builder().dev().start().await;
    let (status_code, page) = http_get(server.edge(), "/").await;
    assert_eq!(status_code, 200);
    assert!(page.starts_with("<!doctype html>") && page.ends_with("</html>\n"));
    assert!(page.contains("Content-Security-Policy\" content=\"default-src 'none';"));
    assert!(
        !page.contains("http://") && !page.contains("https://"),
        "it fetches nothing"
    );
    assert!(page.len() < 25_000, "{} bytes", page.len());
    assert_eq!(
        status(&server, &upgrade("/", &[])).await,
        101,
        "and it is still a door"
    );
}
