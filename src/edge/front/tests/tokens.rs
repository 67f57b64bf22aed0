//! Tokens of the handshake.

use super::*;
use crate::auth::{Revocation, RevocationTarget};
use crate::limits::RateConfig;

fn bearer(token: &str) -> String {
    upgrade(&format!("Authorization: Bearer {token}\r\n"))
}

fn offered(token: &str) -> String {
    upgrade(&format!(
        "Sec-WebSocket-Protocol: pogo.v1.json, pogo.bearer.{token}\r\n"
    ))
}

fn subject(connection: &Connection) -> Option<&str> {
    match &connection.credential {
        Credential::Granted(grant) => grant.subject.as_deref(),
        Credential::None | Credential::Refused(_) | Credential::App(..) => None,
    }
}

fn refused(connection: &Connection) -> Option<CloseCode> {
    match connection.credential {
        Credential::Refused(code) => Some(code),
        Credential::None | Credential::Granted(_) | Credential::App(..) => None,
    }
}

fn revoke(edge: &Edge, subject: &str) {
    edge.front.services.revocations.insert(&Revocation {
        id: "r1".into(),
        target: RevocationTarget::TokenId(format!("{subject}-1").into()),
        reason: "".into(),
        created_at: Now::read().unix,
        expires_at: Now::read().unix + Duration::from_secs(60),
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn good_tokens_are_taken_from_header_and_subprotocol() {
    let mut edge = Edge::start(Config::default()).await;
    let (_, connection) = edge.open(&bearer(&token("ann", 60))).await;
    assert_eq!(subject(&connection), Some("ann"));

    let mut stream = edge.connect().await;
    let token = token("bob", 60);
    stream.write_all(offered(&token).as_bytes()).await.unwrap();
    let answer = read_answer(&mut stream).await;
    assert_eq!(
        header(&answer, "sec-websocket-protocol"),
        Some("pogo.v1.json")
    );
    assert!(!answer.contains("bearer"), "never echoed");
    assert_eq!(subject(&edge.next().await), Some("bob"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_bearer_is_401_without_a_reason() {
    let edge = Edge::start(Config::default()).await;
    revoke(&edge, "eve");
    let mut answers = Vec::new();
    for token in [
        "x",
        "",
        "a.b.c",
        &token("ann", -60),
        &token("eve", 60),
        &"x".repeat(9_000),
    ] {
        let answer = edge.ask(bearer(token)).await;
        assert_eq!(status(&answer), 401);
        assert_eq!(header(&answer, "www-authenticate"), Some("Bearer"));
        answers.push(answer.split("\r\n\r\n").nth(1).unwrap().to_owned());
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "one answer for all");
    let good = token("ann", 60);
    let twice = format!("Authorization: Bearer {good}\r\n").repeat(2);
    assert_eq!(status(&edge.ask(upgrade(&twice)).await), 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_token_elsewhere_is_for_the_session_to_say() {
    let mut edge = Edge::start(Config {
        token_in_query: true,
        ..Config::default()
    })
    .await;
    revoke(&edge, "eve");
    let (expired, revoked) = (token("ann", -60), token("eve", 60));
    let two = "Sec-WebSocket-Protocol: pogo.bearer.a, pogo.bearer.b\r\n";
    for (request, code) in [
        (offered("x"), CloseCode::Unauthenticated),
        (offered(&expired), CloseCode::Unauthenticated),
        (offered(&revoked), CloseCode::Revoked),
        (upgrade(two), CloseCode::Unauthenticated),
        (upgrade_at("/?token=x", ""), CloseCode::Unauthenticated),
        (
            upgrade_at(&format!("/ws?token={revoked}"), ""),
            CloseCode::Revoked,
        ),
    ] {
        let (_, connection) = edge.open(&request).await;
        assert_eq!(refused(&connection), Some(code), "{request}");
    }
    let good = upgrade_at(&format!("/?token={}", token("ann", 60)), "");
    let (_, connection) = edge.open(&good).await;
    assert_eq!(subject(&connection), Some("ann"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_in_the_query_is_nothing_unless_configured() {
    let mut edge = Edge::start(Config::default()).await;
    let (_, connection) = edge.open(&upgrade_at("/?token=x", "")).await;
    assert!(matches!(connection.credential, Credential::None));
}

#[tokio::test(flavor = "multi_thread")]
async fn guessing_tokens_bars_the_address() {
    let limits = crate::limits::Config {
        failed_tokens: RateConfig::new(1, 3),
        ..limits::roomy()
    };
    let mut edge = Edge::limited(Config::default(), limits).await;
    assert_eq!(status(&edge.ask(bearer("x")).await), 401);
    edge.open(&offered("x")).await;
    assert_eq!(status(&edge.ask(bearer("x")).await), 401);
    for request in [bearer("x"), offered("x"), bearer(&token("ann", 60))] {
        let answer = edge.ask(request).await;
        assert_eq!(status(&answer), 429);
        assert!(header(&answer, "retry-after").is_some());
    }
    edge.open(&upgrade("")).await;
}
