//! Nothing that is said or logged helps an attacker.

use serde_json::json;

use crate::support::http::{APP_KEY, APP_SECRET, ask};
use crate::support::process::{Process, free_address, whole};
use crate::support::raw::{Raw, TEXT, frame, upgrade};
use crate::support::{Client, Connect, Control, SECRET, TestServer, Token};

const KEY: &str = "a key of the control plane, which no log shows";
const WRONG: &str = "Bearer-of-a-wrong-key-which-no-log-shows";

/// Brings tokens to `/pusher/auth` in every way that they can come.
async fn for_pusher(edge: std::net::SocketAddr, mut token: impl FnMut(&str) -> String) {
    let fields = "socket_id=1.2&channel_name=private-a";
    let target = format!("/pusher/auth?{fields}&token={}", token("pusher-query"));
    let cookie = format!("cookie: pogo={}", token("pusher-cookie"));
    let bearer = format!("authorization: Bearer {}", token("pusher-header"));
    let form = format!("{fields}&token={}", token("pusher-form"));
    let object = json!({"socket_id": "1.2", "channel_name": "private-a", "token": token("json")});
    let own = format!("origin: http://{edge}");
    for (method, target, header, body) in [
        ("GET", &*target, "x: y", ""),
        ("GET", &*format!("{target}&callback=f"), "x: y", ""),
        ("POST", "/pusher/auth", &cookie, fields),
        ("POST", "/pusher/auth", &bearer, fields),
        ("POST", "/pusher/user-auth", "x: y", &form),
        (
            "POST",
            "/pusher/auth",
            "content-type: application/json",
            &object.to_string(),
        ),
        ("POST", "/apps/1/events", &bearer, &form),
    ] {
        ask(edge, method, target, &[&own, header], body).await;
    }
}

/// Brings a token by every door, good and bad, and returns them all.
async fn by_every_door(edge: std::net::SocketAddr) -> Vec<String> {
    let mut shown = vec![];
    for good in [true, false] {
        let mut token = |subject: &str| {
            let token = Token::of(subject).claim("jti", json!(subject));
            let secret = if good {
                SECRET
            } else {
                "another secret that is also long enough"
            };
            shown.push(token.sign_with(secret));
            shown.last().unwrap().clone()
        };
        let header = Connect::new().bearer(&token("header"));
        let _ = header.try_open(edge).await;
        Connect::new().token(&token("subprotocol")).open(edge).await;
        Connect::new()
            .path(&format!("/ws?token={}", token("query")))
            .open(edge)
            .await;
        Connect::new()
            .path(&format!("/nowhere?token={}", token("path")))
            .refused(edge)
            .await;
        let mut client = Client::anonymous(edge).await;
        for data in [
            json!({"token": token("auth")}),
            json!(token("odd")),
            json!([token("list")]),
        ] {
            client.command(json!({"event": "auth", "data": data})).await;
        }
        client
            .command(json!({"event": token("event"), "channel": token("channel")}))
            .await;
        let mut raw = Raw::upgraded(edge).await;
        let half = format!(
            "{{\"event\":\"auth\",\"data\":{{\"token\":\"{}",
            token("half")
        );
        raw.write(&frame(TEXT, half.as_bytes())).await;
        let mut raw = Raw::connect(edge).await;
        raw.write(
            upgrade(
                "/ws",
                &[&format!("Authorization: Bearer {}", token("broken"))],
            )
            .as_bytes()
            .strip_suffix(b"\r\n")
            .unwrap(),
        )
        .await;
        raw.write(b"\0\r\n\r\n").await;
        for_pusher(edge, token).await;
    }
    shown
}

#[tokio::test]
async fn no_log_line_holds_a_token_or_secret() {
    for format in ["text", "json"] {
        let (edge, control) = (free_address(), free_address());
        let settings = format!(
            "edge.token_in_query = true\nlog.level = \"trace\"\nlog.format = \"{format}\"\n\
             control.keys = [{{ name = \"k\", secret = \"{KEY}\", scopes = [\"admin\"] }}]\n\
             auth.cookie = \"pogo\"\n\
             pusher.apps = [{{ id = \"1\", key = \"{APP_KEY}\", secret = \"{APP_SECRET}\" }}]"
        );
        let text = whole(edge, &settings).replace(
            "control.listen = \"127.0.0.1:0\"",
            &format!("control.listen = \"{control}\""),
        );
        let process = Process::run(edge, &text, None).await;
        let shown = by_every_door(edge).await;
        Control::connect(control, Some(KEY))
            .await
            .publish("x", "e", &json!(1))
            .await;
        let mut stranger = Control::connect(control, Some(WRONG)).await;
        let request = crate::support::publish_request("x", "e", &json!(1));
        let refused = stranger.publisher.publish(request).await.unwrap_err();
        assert!(!format!("{refused:?}").contains(WRONG));
        let log = process.log();
        assert!(
            log.contains("TRACE"),
            "the log tells everything: {} bytes",
            log.len()
        );
        for secret in [SECRET, KEY, WRONG, APP_SECRET] {
            assert!(!log.contains(secret), "{secret} is in the log");
        }
        for token in shown {
            for part in token.split('.').skip(1) {
                let line = log.lines().find(|line| line.contains(part));
                assert!(line.is_none(), "part of a token: {line:?}");
            }
        }
    }
}

/// Why a token is refused is for its issuer to find out (`pogo token check`), not for whoever
/// guesses: every bad one gets the same words.
#[tokio::test]
async fn every_bad_token_gets_the_same_answer() {
    let server = TestServer::start().await;
    let signed = Token::of("a").sign();
    let (start, signature) = signed.rsplit_once('.').unwrap();
    let swapped: String = signature.chars().rev().collect();
    let mut heads = std::collections::BTreeSet::new();
    for bad in [
        "x".to_owned(),
        format!("{start}."),
        format!("{start}.{swapped}"),
        Token::of("a").sign_with("another secret that is also long enough"),
        Token::of("a").expires_in(-60).sign(),
        Token::of("a").without("exp").sign(),
        Token::of("a").claim("nbf", json!(u64::MAX / 2)).sign(),
        Token::of("a").claim("aud", json!("other")).sign(),
        Token::of("a").claim("exp", json!(1e300)).sign(),
        "x".repeat(9_000),
    ] {
        let mut raw = Raw::connect(server.edge()).await;
        let line = format!("Authorization: Bearer {bad}");
        let head = raw.request(&upgrade("/ws", &[&line])).await;
        assert_eq!(head.status, 401, "{bad}");
        let lines = head.text.lines().filter(|line| !line.starts_with("date:"));
        heads.insert(lines.collect::<Vec<_>>().join("\n"));
    }
    assert_eq!(heads.len(), 1, "{heads:?}");
}
