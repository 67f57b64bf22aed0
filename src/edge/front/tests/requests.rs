//! Requests and their answers.

use std::io::Write;

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_is_handed_over_with_what_came_early() {
    let mut edge = Edge::start(Config::default()).await;
    for target in ["/", "/ws", "/ws?x=y"] {
        let mut stream = edge.connect().await;
        let request = upgrade_at(target, "Sec-WebSocket-Protocol: pogo.v1.json\r\n");
        stream
            .write_all(&[request.as_bytes(), b"early bytes"].concat())
            .await
            .unwrap();
        let answer = read_answer(&mut stream).await;
        assert_eq!(status(&answer), 101);
        assert_eq!(
            header(&answer, "sec-websocket-accept"),
            Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
        );
        assert_eq!(
            header(&answer, "sec-websocket-protocol"),
            Some("pogo.v1.json")
        );
        assert_eq!(header(&answer, "upgrade"), Some("websocket"));
        assert_eq!(header(&answer, "connection"), Some("Upgrade"));

        let connection = edge.next().await;
        assert_eq!(&connection.early[..], b"early bytes");
        assert_eq!(connection.address, std::net::Ipv4Addr::LOCALHOST);
        assert!(matches!(connection.credential, Credential::None));
        let mut plain = plain(connection.stream);
        let mut byte = [0];
        let read = std::io::Read::read(&mut plain, &mut byte).unwrap_err();
        assert_eq!(
            read.kind(),
            std::io::ErrorKind::WouldBlock,
            "the socket does not block"
        );
        plain.write_all(b"frame").unwrap();
        let mut frame = [0; 5];
        stream.read_exact(&mut frame).await.unwrap();
        assert_eq!(&frame, b"frame");
    }
}

fn plain(stream: Stream) -> std::net::TcpStream {
    match stream {
        Stream::Plain(stream) => stream,
        other => panic!("not plain: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_client_is_content() {
    use futures_util::SinkExt;
    use tokio_tungstenite::tungstenite::Message;
    use tokio_tungstenite::tungstenite::client::IntoClientRequest;

    let mut edge = Edge::start(Config::default()).await;
    let mut request = "ws://server.test/ws".into_client_request().unwrap();
    let offer = format!("pogo.v1.json, pogo.bearer.{}", token("ann", 60));
    let name = http::header::SEC_WEBSOCKET_PROTOCOL;
    request.headers_mut().insert(name, offer.parse().unwrap());
    let client = tokio_tungstenite::client_async(request, edge.connect().await);
    let (mut client, answer) = client.await.unwrap();
    assert_eq!(answer.headers()["sec-websocket-protocol"], "pogo.v1.json");
    let connection = edge.next().await;
    assert!(matches!(connection.credential, Credential::Granted(_)));
    client.send(Message::text("hello")).await.unwrap();
    let mut stream = TcpStream::from_std(plain(connection.stream)).unwrap();
    let mut frame = [0; 11];
    stream.read_exact(&mut frame).await.unwrap();
    assert_eq!(
        frame[..2],
        [0x81, 0x85],
        "a masked text frame of five bytes"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_request_may_come_in_pieces() {
    let mut edge = Edge::start(Config::default()).await;
    let mut stream = edge.connect().await;
    for piece in upgrade("").as_bytes().chunks(7) {
        stream.write_all(piece).await.unwrap();
        tokio::task::yield_now().await;
    }
    assert_eq!(status(&read_answer(&mut stream).await), 101);
    edge.next().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_upgrade_is_told_so() {
    let edge = Edge::start(Config::default()).await;
    let get = |target| format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n");
    for (request, expected) in [
        (get("/"), 426),
        (get("/ws"), 426),
        (get("/nothing"), 404),
        (upgrade_at("/nothing", ""), 404),
        (
            "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n".to_owned(),
            405,
        ),
        (upgrade("").replace("GET", "POST"), 405),
        (upgrade("").replace("HTTP/1.1", "HTTP/1.0"), 400),
        (upgrade("").replace("Version: 13", "Version: 12"), 426),
        (
            upgrade("").replace("dGhlIHNhbXBsZSBub25jZQ==", "short"),
            400,
        ),
        (upgrade("Sec-WebSocket-Protocol: soap\r\n"), 400),
        (upgrade("Origin: http://evil.test\r\n"), 403),
        (upgrade("Origin: http://server.test.evil.test\r\n"), 403),
        (upgrade("Origin: null\r\n"), 403),
        (
            upgrade("Origin: http://server.test\r\nOrigin: http://server.test\r\n"),
            403,
        ),
        ("nonsense\r\n\r\n".to_owned(), 400),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(), 400),
    ] {
        let answer = edge.ask(&request).await;
        if request.starts_with("PRI") && answer.is_empty() {
            continue; // hyper closes without a word; there is no HTTP/1 client to read one.
        }
        assert_eq!(status(&answer), expected, "{request}");
        assert_eq!(header(&answer, "allow"), (expected == 405).then_some("GET"));
        let version = (expected == 426).then_some("13");
        assert_eq!(
            header(&answer, "sec-websocket-version"),
            version,
            "{request}"
        );
        assert_eq!(header(&answer, "upgrade"), version.map(|_| "websocket"));
        assert!(header(&answer, "connection").is_some_and(|value| value.ends_with("close")));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_page_is_there_when_configured() {
    let config = Config {
        demo_page: Some("<!doctype html>".into()),
        ..Config::default()
    };
    let mut edge = Edge::start(config).await;
    let answer = edge.ask("GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert_eq!(status(&answer), 200);
    assert_eq!(
        header(&answer, "content-type"),
        Some("text/html; charset=utf-8")
    );
    assert_eq!(header(&answer, "connection"), Some("close"));
    assert!(answer.ends_with("<!doctype html>"));
    assert_eq!(
        status(&edge.ask("GET /ws HTTP/1.1\r\nHost: x\r\n\r\n").await),
        426
    );
    let head = edge.ask("HEAD / HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(status(&head) == 200 && head.ends_with("\r\n\r\n"));
    edge.open(&upgrade("")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn long_heads_are_431() {
    let edge = Edge::start(Config::default()).await;
    let many = "X-Header: y\r\n".repeat(2_000);
    assert_eq!(status(&edge.ask(upgrade(&many)).await), 431);
    let few_but_many = "X: y\r\n".repeat(200);
    assert_eq!(status(&edge.ask(upgrade(&few_but_many)).await), 431);
    let long = format!("X-Header: {}\r\n", "y".repeat(5 << 20));
    assert_eq!(status(&edge.ask(upgrade(&long)).await), 431);
    let fits = format!("X-Header: {}\r\n", "y".repeat(15 << 10));
    assert_eq!(status(&edge.ask(upgrade(&fits)).await), 101);
}

#[tokio::test(flavor = "multi_thread")]
async fn configured_origins() {
    let rules = ["https://app.test", "https://*.apps.test"];
    let allowed_origins = Origins::Listed(rules.iter().map(|rule| rule.parse().unwrap()).collect());
    let edge = Edge::start(Config {
        allowed_origins,
        ..Config::default()
    })
    .await;
    for (origin, expected) in [
        ("https://app.test", 101),
        ("https://one.apps.test", 101),
        ("https://apps.test", 403),
        ("https://app.test.evil", 403),
        ("http://server.test", 403),
        ("null", 403),
    ] {
        let answer = edge.ask(upgrade(&format!("Origin: {origin}\r\n"))).await;
        assert_eq!(status(&answer), expected, "{origin}");
    }
    assert_eq!(
        status(&edge.ask(upgrade("")).await),
        101,
        "no browser, no origin"
    );
    edge.front.set_origins(Origins::Same);
    let same = upgrade("Origin: http://server.test\r\n");
    assert_eq!(status(&edge.ask(same).await), 101);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_ends_accepting_and_waits_for_what_is_in_flight() {
    let edge = Edge::start(Config::default()).await;
    edge.serving.abort();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let shutdown = async {
        let _ = stopped.await;
    };
    let serving = tokio::spawn(Arc::clone(&edge.front).serve(listener, shutdown));
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
    let metrics = &edge.front.services.metrics;
    while metrics.handshakes.get() == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    stop.send(()).unwrap();
    while TcpStream::connect(address).await.is_ok() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(!serving.is_finished());
    stream.write_all(b"Host: x\r\n\r\n").await.unwrap();
    assert_eq!(status(&read_answer(&mut stream).await), 426);
    drop(stream);
    tokio::time::timeout(PATIENCE, serving)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(metrics.handshakes.get(), 0);
}
