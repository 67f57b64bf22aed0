//! SockJS 0.3, as pusher-js of old speaks it: the app is named by the first message.

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use super::server;
use crate::support::TestServer;
use crate::support::fallback::Response;
use crate::support::http::{APP_KEY, ask};

fn introduction() -> String {
    let path = format!("/app/{APP_KEY}?protocol=5&client=js&version=1.12.0");
    json!({ "path": path }).to_string()
}

fn subscribe() -> String {
    json!({ "event": "pusher:subscribe", "data": { "channel": "news" } }).to_string()
}

async fn poll(server: &TestServer, path: &str) -> String {
    let response = Response::of(server.edge(), "POST", path, "").await;
    assert_eq!(response.status, 200);
    response.rest().await
}

/// The events in an `a` frame.
fn events(frame: &str) -> Vec<Value> {
    let texts: Vec<String> = serde_json::from_str(frame.strip_prefix('a').unwrap()).unwrap();
    let messages = texts.iter().map(|text| serde_json::from_str(text).unwrap());
    messages
        .map(|message: Value| message["event"].clone())
        .collect()
}

#[tokio::test]
async fn it_says_that_it_is_here() {
    let server = server("").await;
    let hello = ask(&server, "GET", "/pusher", &[], "").await;
    assert_eq!(hello.body, "Welcome to SockJS!\n");
    let info = ask(
        &server,
        "GET",
        "/pusher/info",
        &["origin: http://x.test"],
        "",
    )
    .await;
    assert_eq!(info.json()["websocket"], true);
    assert_eq!(info.json()["cookie_needed"], false);
    assert_eq!(
        info.header("access-control-allow-origin"),
        Some("http://x.test")
    );
    assert_eq!(
        info.header("access-control-allow-credentials"),
        Some("true")
    );
}

#[tokio::test]
async fn a_session_by_xhr() {
    let server = server("").await;
    let mut control = server.control().await;
    let base = "/pusher/000/session1";
    assert_eq!(poll(&server, &format!("{base}/xhr")).await, "o\n");
    let send = format!("{base}/xhr_send");
    let body = json!([introduction(), subscribe()]).to_string();
    assert_eq!(ask(&server, "POST", &send, &[], &body).await.status, 204);
    let mut seen = vec![];
    while !seen.contains(&json!("pusher_internal:subscription_succeeded")) {
        seen.extend(events(poll(&server, &format!("{base}/xhr")).await.trim()));
    }
    assert_eq!(seen[0], "pusher:connection_established");
    let streaming = format!("{base}/xhr_streaming");
    let mut stream = Response::of(server.edge(), "POST", &streaming, "").await;
    control.publish("news", "e", &json!(1)).await;
    let prelude = stream.line().await.unwrap();
    assert_eq!(prelude.len(), 2_048);
    assert_eq!(events(&stream.line().await.unwrap()), ["e"]);
    let busy = ask(&server, "POST", &format!("{base}/xhr"), &[], "").await;
    assert_eq!(busy.body, "c[2010,\"Another connection still open\"]\n");
}

#[tokio::test]
async fn a_session_by_scripts() {
    let server = server("").await;
    let base = "/pusher/000/session2";
    let get = |callback: &'static str| {
        let target = format!("{base}/jsonp?c={callback}");
        let edge = server.edge();
        async move { Response::of(edge, "GET", &target, "").await }
    };
    assert_eq!(get("alert(1)").await.status, 400);
    let first = get("_jp.a1").await;
    assert!(first.head.contains("application/javascript"));
    assert!(first.head.contains("nosniff"));
    assert_eq!(first.rest().await, "/**/_jp.a1(\"o\");\r\n");
    let form = |message: &str| {
        let json = json!([message]).to_string();
        let escaped = json.bytes().map(|byte| format!("%{byte:02X}"));
        format!("d={}", escaped.collect::<String>())
    };
    let send = format!("{base}/jsonp_send");
    let answer = ask(&server, "POST", &send, &[], &form(&introduction())).await;
    assert_eq!((answer.status, &*answer.body), (200, "ok"));
    let script = get("_jp.a2").await.rest().await;
    let argument = script.strip_prefix("/**/_jp.a2(").unwrap();
    let frame: String = serde_json::from_str(argument.strip_suffix(");\r\n").unwrap()).unwrap();
    assert_eq!(events(&frame), ["pusher:connection_established"]);
}

#[tokio::test]
async fn a_session_by_event_source() {
    let server = server("").await;
    let target = "/pusher/000/session3/eventsource";
    let mut stream = Response::of(server.edge(), "GET", target, "").await;
    assert!(stream.head.contains("text/event-stream"));
    assert_eq!(stream.line().await.as_deref(), Some("\r"));
    assert_eq!(stream.line().await.as_deref(), Some("data: o\r"));
}

#[tokio::test]
async fn a_session_by_websocket() {
    let server = server("").await;
    let url = format!("ws://{}/pusher/000/session4/websocket", server.edge());
    let (mut socket, _) = tokio_tungstenite::connect_async(url).await.unwrap();
    let next = async |socket: &mut tokio_tungstenite::WebSocketStream<_>| {
        let message = tokio::time::timeout(crate::support::PATIENCE, socket.next()).await;
        message.expect("in time").unwrap().unwrap()
    };
    assert_eq!(next(&mut socket).await, Message::text("o"));
    let first = json!([introduction()]).to_string();
    socket.send(Message::text(first)).await.unwrap();
    let frame = next(&mut socket).await;
    assert_eq!(
        events(frame.to_text().unwrap()),
        ["pusher:connection_established"]
    );
    socket.send(Message::Ping("hi".into())).await.unwrap();
    assert_eq!(next(&mut socket).await, Message::Pong("hi".into()));
    socket.close(None).await.unwrap();
    assert!(matches!(next(&mut socket).await, Message::Close(_)));
    crate::support::eventually("it is gone", || async {
        (server.metric("pogo_fallback_sessions").await == 0.0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn whoever_names_no_app_is_sent_away() {
    let server = server("").await;
    let base = "/pusher/000/session5";
    assert_eq!(poll(&server, &format!("{base}/xhr")).await, "o\n");
    let send = format!("{base}/xhr_send");
    let body = json!([subscribe()]).to_string();
    assert_eq!(ask(&server, "POST", &send, &[], &body).await.status, 204);
    let end = poll(&server, &format!("{base}/xhr")).await;
    assert_eq!(end, "c[4005,\"Path not found\"]\n");
}

#[tokio::test]
async fn whoever_never_names_an_app_is_sent_away_however_often_it_polls() {
    let server = server("[pusher]\nfallback_abandoned_after = '400ms'").await;
    let path = "/pusher/000/session6/xhr";
    assert_eq!(poll(&server, path).await, "o\n");
    assert_eq!(poll(&server, path).await, "c[4005,\"Path not found\"]\n");
    let url = format!("ws://{}/pusher/000/session7/websocket", server.edge());
    let (mut socket, _) = tokio_tungstenite::connect_async(url).await.unwrap();
    for expected in ["o", "c[4005,\"Path not found\"]"] {
        let message = tokio::time::timeout(crate::support::PATIENCE, socket.next()).await;
        let message = message.expect("in time").unwrap().unwrap();
        assert_eq!(message, Message::text(expected));
    }
}

#[tokio::test]
async fn a_session_that_is_sent_away_gives_its_addresss_slot_back_at_once() {
    let limits = "[limits]\nallow = []\nconnections = 1";
    let server = server(limits).await;
    let base = "/pusher/000/session8";
    assert_eq!(poll(&server, &format!("{base}/xhr")).await, "o\n");
    let other = "/pusher/000/session9/xhr";
    let full = Response::of(server.edge(), "POST", other, "").await;
    assert_eq!(full.status, 429);
    let send = format!("{base}/xhr_send");
    let body = json!([subscribe()]).to_string();
    assert_eq!(ask(&server, "POST", &send, &[], &body).await.status, 204);
    assert_eq!(poll(&server, other).await, "o\n");
}
