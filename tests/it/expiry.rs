//! The end of a token's life, on the calendar. The leeway is set to zero or so, to keep this short.

use std::time::Duration;

use serde_json::json;

use crate::support::{Client, Connect, TestServer, Token, unix_now};

const SETTINGS: &str = "[auth]\nleeway = \"1s\"\nexpiry_warning = \"2s\"";

#[tokio::test]
async fn a_session_ends_within_a_second_after_its_token() {
    let server = TestServer::with(SETTINGS).await;
    let expires = unix_now() + 3;
    let token = Token::of("a").claim("exp", json!(expires)).sign();
    let mut client = Client::with(&server, &token).await;
    let warning = client.expect("pogo:expiring").await;
    assert_eq!(warning["data"]["expires"], expires);
    assert!(
        unix_now() + 1 < expires + 1,
        "the warning comes before the end"
    );
    assert_eq!(client.closed().await, (4201, "token_expired".into()));
    let over = unix_now();
    assert!(
        (expires + 1..=expires + 2).contains(&over),
        "ended {over}, expires {expires}"
    );
    assert_eq!(Connect::new().bearer(&token).refused(&server).await, 401);
}

#[tokio::test]
async fn a_fresh_token_prevents_the_end() {
    let server = TestServer::with(SETTINGS).await;
    let mut client = Client::with(&server, &Token::of("a").expires_in(1).sign()).await;
    client.subscribe("news").await;
    let warning = client.expect("pogo:expiring").await;
    let fresh = Token::of("a").expires_in(60).sign();
    let data = client
        .ok(json!({"event": "auth", "data": {"token": fresh}}))
        .await;
    assert!(data["expires"].as_u64().unwrap() > warning["data"]["expires"].as_u64().unwrap());
    client.silent_for(Duration::from_millis(3500)).await;
    let mut control = server.control().await;
    assert_eq!(control.publish("news", "e", &json!(1)).await.receivers, 1);
    client.expect("e").await;
}
