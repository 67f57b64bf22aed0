//! How much a client of the fallback transports may ask for.

use futures_util::{SinkExt, StreamExt};
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;

use super::server;
use crate::support::fallback::{Mode, Response, Xhr};
use crate::support::http::{APP_KEY, ask};
use crate::support::{PATIENCE, eventually};

/// The tests' own address under the limits.
const LIMITED: &str = "[limits]\nallow = []\n";

#[tokio::test]
async fn a_session_takes_its_addresss_slot() {
    let server = server(&format!("{LIMITED}connections = 1")).await;
    let _first = Xhr::connect(&server, Mode::Polling).await;
    let mut second = Xhr::new(&server, Mode::Polling);
    let refused = second.request().await;
    assert_eq!(refused.status, 429, "{}", refused.head);
    assert!(refused.head.contains("retry-after"), "{}", refused.head);
}

#[tokio::test]
async fn there_are_so_many_sessions_and_no_more() {
    let server = server("[pusher]\nfallback_sessions = 1").await;
    let first = Xhr::connect(&server, Mode::Polling).await;
    let mut second = Xhr::new(&server, Mode::Polling);
    assert_eq!(second.request().await.status, 503);
    assert_eq!(first.send_raw("[]").await.status, 204);
}

#[tokio::test]
async fn polls_and_messages_are_no_requests_but_idle_ones_are() {
    let settings = format!("{LIMITED}requests = {{ per_second = 1, burst = 3 }}");
    let server = server(&settings).await;
    let mut control = server.control().await;
    let mut xhr = Xhr::connect(&server, Mode::Polling).await;
    xhr.subscribe("news").await;
    for n in 0..20 {
        control.publish("news", "e", &json!(n)).await;
        assert_eq!(xhr.next().await["data"], n.to_string());
        xhr.send(&json!({ "event": "pusher:ping", "data": {} }))
            .await;
        assert_eq!(xhr.next().await["event"], "pusher:pong");
    }
    let mut statuses = vec![];
    for _ in 0..5 {
        statuses.push(xhr.send_raw("[]").await.status);
    }
    assert!(statuses.contains(&429), "{statuses:?}");
    let unknown = format!("/pusher/app/{APP_KEY}/1/unknown0/xhr_send");
    let answer = ask(&server, "POST", &unknown, &[], "[]").await;
    assert_eq!(answer.status, 429, "guessing is a request");
}

#[tokio::test]
async fn a_browsers_questions_are_free_only_beside_what_it_then_does() {
    let settings = format!("{LIMITED}requests = {{ per_second = 1, burst = 4 }}");
    let server = server(&settings).await;
    let mut xhr = Xhr::connect(&server, Mode::Polling).await;
    let target = format!("{}/xhr_send?t=1", xhr.path);
    for _ in 0..20 {
        let may = ask(&server, "OPTIONS", &target, &[], "").await;
        assert_eq!(may.status, 204);
        xhr.send(&json!({ "event": "pusher:ping", "data": {} }))
            .await;
        let may = ask(&server, "OPTIONS", &target, &[], "").await;
        assert_eq!(may.status, 204);
        assert_eq!(xhr.next().await["event"], "pusher:pong");
    }
    let mut statuses = vec![];
    for _ in 0..12 {
        let may = ask(&server, "OPTIONS", &target, &[], "").await;
        statuses.push(may.status);
    }
    assert!(statuses.contains(&429), "{statuses:?}");
}

#[tokio::test]
async fn what_is_sent_to_a_session_that_has_ended_is_a_request() {
    let settings = format!(
        "[pusher]\nfallback_abandoned_after = '5m'\n{LIMITED}requests = {{ per_second = 1, burst = 4 }}"
    );
    let server = server(&settings).await;
    let base = "/pusher/app/unknown/1/abcdefgh";
    let opened = ask(&server, "POST", &format!("{base}/xhr"), &[], "").await;
    assert!(opened.body.contains("o{}\n"), "{opened:?}");
    let send = format!("{base}/xhr_send");
    eventually("enough of it is refused", || async {
        let answer = ask(&server, "POST", &send, &[], r#"["x"]"#).await;
        (answer.status == 429).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_sockjs_websocket_that_says_nothing_over_and_over_is_closed() {
    let settings = format!("{LIMITED}requests = {{ per_second = 1, burst = 4 }}");
    let server = server(&settings).await;
    for nothing in ["", "[]"] {
        let url = format!("ws://{}/pusher/000/session1/websocket", server.edge());
        let (mut socket, _) = tokio_tungstenite::connect_async(url).await.unwrap();
        for _ in 0..12 {
            socket.send(Message::text(nothing)).await.unwrap();
        }
        let end = async {
            loop {
                match socket.next().await.unwrap().unwrap() {
                    Message::Close(why) => break why.unwrap().code,
                    Message::Text(_) => {}
                    other => panic!("{other:?}"),
                }
            }
        };
        let code = tokio::time::timeout(PATIENCE, end).await.expect("an end");
        assert_eq!(u16::from(code), 1008, "{nothing:?}");
    }
}

#[tokio::test]
async fn bodies_are_bounded_and_checked() {
    let server = server("[edge]\nmax_body_bytes = 16384").await;
    let xhr = Xhr::connect(&server, Mode::Streaming).await;
    let long = json!(["x".repeat(20_000)]).to_string();
    assert_eq!(xhr.send_raw(&long).await.status, 413);
    for bad in ["", "{}", "[1]", "[\"a\""] {
        assert_eq!(xhr.send_raw(bad).await.status, 500, "{bad}");
    }
    let get = ask(&server, "GET", &format!("{}/xhr", xhr.path), &[], "").await;
    assert_eq!(get.status, 405);
    let unknown = format!("/pusher/app/{APP_KEY}/1/unknown0/xhr_send");
    let answer = ask(&server, "POST", &unknown, &[], "[]").await;
    assert_eq!(answer.status, 404);
}

#[tokio::test]
async fn those_who_receive_take_no_slot_of_the_handshakes() {
    let server = server("[edge]\nmax_handshakes = 2").await;
    let mut open = vec![];
    for _ in 0..6 {
        open.push(Xhr::connect(&server, Mode::Streaming).await);
    }
    assert_eq!(server.metric("pogo_handshakes").await, 0.0);
    let target = format!("/pusher/app/{APP_KEY}/1/abcdefgh/xhr");
    let response = Response::of(server.edge(), "POST", &target, "").await;
    assert_eq!(response.rest().await, "o{}\n");
}
