//! What an address may do: rates, connections, lists.

use pogo::control::proto::{AllowRequest, DenyRequest, ListDeniedRequest};
use serde_json::json;

use crate::support::{Client, Connect, TestServer, Token, eventually};

/// The settings of a server that counts its local clients too.
async fn counting(settings: &str) -> TestServer {
    TestServer::builder()
        .without("limits", "allow")
        .config(settings)
        .start()
        .await
}

#[tokio::test]
async fn connects_beyond_the_rate_are_told_when_to_come_back() {
    let server = counting("[limits]\nconnects = { per_second = 1, burst = 3 }").await;
    let mut open = vec![];
    for _ in 0..3 {
        open.push(Connect::new().open(&server).await);
    }
    let refused = Connect::new()
        .try_open(&server)
        .await
        .err()
        .expect("one too many");
    assert_eq!(refused.status(), 429);
    let after: u64 = refused.headers()["retry-after"]
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    assert!((1..=60).contains(&after), "{after}");
    assert!(
        server
            .metric("pogo_rate_limited_total{what=\"connects\"}")
            .await
            >= 1.0
    );
}

#[tokio::test]
async fn an_address_holds_so_many_connections() {
    let server = counting("[limits]\nconnections = 2").await;
    let first = Connect::new().open(&server).await;
    let _second = Connect::new().open(&server).await;
    assert_eq!(Connect::new().refused(&server).await, 429);
    first.close().await;
    eventually("a place is free again", || async {
        Connect::new().try_open(&server).await.ok()
    })
    .await;
}

#[tokio::test]
async fn commands_beyond_the_rate_are_refused_then_closed() {
    let server = counting("[limits]\ncommands = { per_second = 1, burst = 5 }").await;
    let mut client = Client::with(&server, &Token::of("a").sign()).await;
    let mut limited = None;
    for _ in 0..20 {
        let reply = client.command(json!({"event": "ping"})).await;
        if reply["status"] == "error" {
            limited = Some(reply);
            break;
        }
    }
    let limited = limited.expect("the rate is kept");
    assert_eq!(limited["error"]["code"], "rate_limited");
    assert!(
        limited["error"]["retry_after_ms"].as_u64().unwrap() > 0,
        "{limited}"
    );
    let flood = tokio_tungstenite::tungstenite::Message::text(r#"{"event":"ping"}"#);
    for _ in 0..5_000 {
        if !client.try_send(flood.clone()).await {
            break;
        }
    }
    assert_eq!(client.closed().await, (4102, "rate_limited".into()));
}

#[tokio::test]
async fn failed_tokens_are_counted_for_their_address() {
    let server = counting("[limits]\nfailed_tokens = { per_second = 1, burst = 3 }").await;
    let bad = Connect::new().bearer("no.such.token");
    let mut seen = vec![];
    for _ in 0..5 {
        seen.push(bad.refused(&server).await);
    }
    assert_eq!(seen[..3], [401, 401, 401]);
    assert!(seen.contains(&429), "{seen:?}");
}

#[tokio::test]
async fn a_denied_address_is_closed_and_refused_until_it_is_allowed() {
    let server = counting("").await;
    let mut control = server.control().await;
    let mut client = Client::with(&server, &Token::of("a").sign()).await;
    let addresses = vec!["127.0.0.0/8".to_owned()];
    let deny = DenyRequest {
        addresses: addresses.clone(),
        reason: "test".into(),
        ..Default::default()
    };
    control.firewall.deny(deny).await.unwrap();
    assert_eq!(client.closed().await, (4003, "forbidden".into()));
    assert_eq!(Connect::new().refused(&server).await, 403);
    let listed = control
        .firewall
        .list_denied(ListDeniedRequest::default())
        .await
        .unwrap()
        .into_inner();
    let [denied] = &listed.denied[..] else {
        panic!("{listed:?}")
    };
    assert_eq!((&*denied.address, &*denied.reason), ("127.0.0.0/8", "test"));
    control
        .firewall
        .allow(AllowRequest { addresses })
        .await
        .unwrap();
    Client::with(&server, &Token::of("a").sign()).await;
}

#[tokio::test]
async fn a_denial_ends_with_its_ttl() {
    let server = counting("").await;
    let mut control = server.control().await;
    let ttl = Some(prost_types::Duration {
        seconds: 1,
        nanos: 0,
    });
    let addresses = vec!["127.0.0.1".to_owned()];
    control
        .firewall
        .deny(DenyRequest {
            addresses,
            ttl,
            ..Default::default()
        })
        .await
        .unwrap();
    assert_eq!(Connect::new().refused(&server).await, 403);
    eventually("the ttl ends it", || async {
        Connect::new().try_open(&server).await.ok()
    })
    .await;
}

#[tokio::test]
async fn a_configured_denial_holds_and_an_exemption_beats_it() {
    let denied = counting("[limits]\ndeny = [\"127.0.0.0/8\"]").await;
    assert_eq!(Connect::new().refused(&denied).await, 403);
    let settings = "[limits]\ndeny = [\"127.0.0.0/8\"]\nallow = [\"127.0.0.1/32\"]";
    Connect::new().open(&counting(settings).await).await;
}
