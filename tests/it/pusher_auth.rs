//! `/pusher/auth` and `/pusher/user-auth` over real HTTP: tokens become signatures, for those who
//! may have them and nobody else.

use pogo::auth::pusher::{App, Subject};
use serde_json::{Value, json};

use crate::support::http::{APP, APP_KEY, APP_SECRET, Answer, ask};
use crate::support::{TestServer, Token};

const FORM: &str = "content-type: application/x-www-form-urlencoded";
const FIELDS: &str = "socket_id=1.2&channel_name=private-a";

fn app() -> App {
    App::new("1", APP_KEY, APP_SECRET)
}

/// A token that may subscribe to `pattern`.
fn token(pattern: &str) -> Token {
    Token::of("ann")
        .claim("jti", json!("t1"))
        .claim("caps", json!({ pattern: ["subscribe"] }))
}

async fn post(server: &TestServer, token: &str, body: &str) -> Answer {
    let bearer = format!("authorization: Bearer {token}");
    ask(server, "POST", "/pusher/auth", &[FORM, &bearer], body).await
}

/// The token's subject, as the signature in `answer` remembers it.
fn remembered(answer: &Value, subject: Subject<'_>) -> String {
    let auth = answer["auth"].as_str().unwrap();
    let memo = app().verify("1.2".parse().unwrap(), subject, auth).unwrap();
    let memo = memo.expect("it remembers a token");
    assert_eq!(memo.token_id.as_deref(), Some("t1"));
    memo.subject.unwrap().to_string()
}

fn channel<'a>(channel: &'a str, channel_data: Option<&'a str>) -> Subject<'a> {
    Subject::Channel {
        channel,
        channel_data,
    }
}

#[tokio::test]
async fn a_token_becomes_a_signature_in_every_way_it_can_come() {
    let server = TestServer::with(APP).await;
    let token = token("private-*").sign();
    let bearer = format!("authorization: Bearer {token}");
    let query = format!("/pusher/auth?token={token}");
    let json_body = json!({ "socket_id": "1.2", "channel_name": "private-a" }).to_string();
    let form = format!("&{FIELDS}&token={token}");
    let json_kind = "content-type: application/json";
    for (target, headers, body) in [
        ("/pusher/auth", vec![FORM, &bearer], FIELDS),
        ("/pusher/auth", vec![FORM], &form),
        (&query, vec![FORM], FIELDS),
        (&query, vec![json_kind], &json_body),
        ("/pusher/auth?app=1", vec![FORM, &bearer], FIELDS),
        (
            &format!("/pusher/auth?app={APP_KEY}"),
            vec![FORM, &bearer],
            FIELDS,
        ),
    ] {
        let answer = ask(&server, "POST", target, &headers, body).await;
        assert_eq!(answer.status, 200, "{target} {answer:?}");
        assert_eq!(answer.header("content-type"), Some("application/json"));
        let subject = remembered(&answer.json(), channel("private-a", None));
        assert_eq!(subject, "ann");
    }
    let get = format!("/pusher/auth?{FIELDS}&token={token}");
    let answer = ask(&server, "GET", &get, &[], "").await;
    remembered(&answer.json(), channel("private-a", None));
}

#[tokio::test]
async fn only_what_the_token_allows_is_signed() {
    let server = TestServer::with(APP).await;
    let token = token("private-a").sign();
    let fields = |channel: &str| format!("socket_id=1.2&channel_name={channel}");
    assert_eq!(
        post(&server, &token, &fields("private-a")).await.status,
        200
    );
    assert_eq!(
        post(&server, &token, &fields("private-b")).await.status,
        403
    );
    assert_eq!(
        post(&server, &token, &fields("presence-a")).await.status,
        403
    );
    for bad in [
        "socket_id=1.2",
        "channel_name=private-a",
        "socket_id=1&channel_name=private-a",
        "socket_id=1.2:x&channel_name=private-a",
        "socket_id=1.2&channel_name=private-a b",
        "socket_id=1.2&channel_name=%23user-ann",
    ] {
        assert_eq!(post(&server, &token, bad).await.status, 400, "{bad}");
    }
    let named = ask(&server, "POST", "/pusher/auth?app=2", &[FORM], FIELDS).await;
    assert_eq!(named.status, 404);
    let put = ask(&server, "PUT", "/pusher/auth", &[FORM], FIELDS).await;
    assert_eq!((put.status, put.header("allow")), (405, Some("GET, POST")));
}

#[tokio::test]
async fn presence_shows_the_subject_and_encrypted_channels_have_a_key() {
    let server = TestServer::with(APP).await;
    let token = token("**").claim("info", json!({ "name": "Ann" })).sign();
    let answer = post(&server, &token, "socket_id=1.2&channel_name=presence-a")
        .await
        .json();
    let data = answer["channel_data"].as_str().unwrap();
    let shown: Value = serde_json::from_str(data).unwrap();
    assert_eq!(
        shown,
        json!({ "user_id": "ann", "user_info": { "name": "Ann" } })
    );
    remembered(&answer, channel("presence-a", Some(data)));

    let fields = "socket_id=1.2&channel_name=private-encrypted-a";
    let answer = post(&server, &token, fields).await.json();
    let secret = app().shared_secret("private-encrypted-a");
    assert_eq!(answer["shared_secret"], json!(secret));
    assert_eq!(secret.len(), 44, "32 bytes in base64");
    remembered(&answer, channel("private-encrypted-a", None));
    let plain = post(&server, &token, FIELDS).await.json();
    assert_eq!(plain.as_object().unwrap().len(), 1, "{plain}");
}

#[tokio::test]
async fn signing_in_takes_the_subject() {
    let server = TestServer::with(APP).await;
    let token = token("nothing").claim("info", json!({ "name": "Ann" }));
    let sign_in = async |token: &Token| {
        let bearer = format!("authorization: Bearer {}", token.sign());
        ask(
            &server,
            "POST",
            "/pusher/user-auth",
            &[FORM, &bearer],
            "socket_id=1.2",
        )
        .await
    };
    let answer = sign_in(&token).await.json();
    let data = answer["user_data"].as_str().unwrap();
    let shown: Value = serde_json::from_str(data).unwrap();
    assert_eq!(
        shown,
        json!({ "id": "ann", "user_info": { "name": "Ann" } })
    );
    assert_eq!(remembered(&answer, Subject::User(data)), "ann");
    assert_eq!(sign_in(&token.without("sub")).await.status, 403);
}

#[tokio::test]
async fn refused_tokens_are_refused_here_too() {
    let settings =
        format!("[limits]\nallow = []\nfailed_tokens = {{ per_second = 1, burst = 3 }}\n{APP}");
    let server = TestServer::with(&settings).await;
    let revoked = token("**").claim("sub", json!("bob")).sign();
    let revocation = pogo::control::proto::RevokeSessionsRequest {
        target: Some(pogo::control::proto::revoke_sessions_request::Target::Subject("bob".into())),
        ..Default::default()
    };
    server.control().await.revoke(revocation).await;
    let answer = post(&server, &revoked, FIELDS).await;
    assert_eq!(
        (answer.status, answer.header("www-authenticate")),
        (401, Some("Bearer"))
    );
    assert_eq!(post(&server, "nonsense", FIELDS).await.status, 401);
    // None at all is no guess.
    assert_eq!(
        ask(&server, "POST", "/pusher/auth", &[FORM], FIELDS)
            .await
            .status,
        401
    );
    let expired = token("**").expires_in(-60).sign();
    assert_eq!(post(&server, &expired, FIELDS).await.status, 401);
    let good = token("**").sign();
    let barred = post(&server, &good, FIELDS).await;
    assert_eq!(
        (barred.status, barred.header("retry-after")),
        (429, Some("1"))
    );
}

/// How a browser asks for a script on an old page, callback first and appended blindly.
async fn script(server: &TestServer, callback: &str, headers: &[&str]) -> Answer {
    let token = token("**").sign();
    let target = format!("/pusher/auth?token={token}?callback={callback}&{FIELDS}");
    ask(server, "GET", &target, headers, "").await
}

#[tokio::test]
async fn old_clients_get_a_script() {
    let server = TestServer::with(APP).await;
    for (sent, called) in [
        (
            "Pusher.auth_callbacks%5B'private-items_1'%5D",
            "Pusher.auth_callbacks['private-items_1']",
        ),
        ("Pusher.auth_callbacks['1']", "Pusher.auth_callbacks['1']"),
        ("f", "f"),
    ] {
        let answer = script(&server, sent, &[]).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(
            answer.header("content-type"),
            Some("text/javascript; charset=utf-8")
        );
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        let inside = answer.body.strip_prefix(&format!("{called}("));
        let json = inside.and_then(|rest| rest.strip_suffix(");")).unwrap();
        remembered(
            &serde_json::from_str(json).unwrap(),
            channel("private-a", None),
        );
    }
    let long = "f".repeat(201);
    for bad in [
        "alert(1)//",
        "a;b",
        "a=b",
        "a%0Ab",
        "%3C/script%3E",
        "",
        &long,
    ] {
        let answer = script(&server, bad, &[]).await;
        assert_eq!(answer.status, 400, "{bad}");
        assert_eq!(
            answer.header("content-type"),
            Some("text/plain; charset=utf-8")
        );
    }
}

#[tokio::test]
async fn a_cookie_counts_from_known_pages_only() {
    let settings = format!(
        "[auth]\ncookie = \"pogo\"\n[edge]\nallowed_origins = [\"https://good.test\", \"null\"]\n{APP}"
    );
    let server = TestServer::with(&settings).await;
    let cookie = format!("cookie: theme=dark; pogo={}", token("**").sign());
    let own = format!("origin: http://{}", server.edge());
    for (page, status) in [
        (vec!["origin: https://good.test"], 200),
        (vec![&*own], 200),
        (vec!["referer: https://good.test/page?x"], 200),
        (vec!["sec-fetch-site: same-origin"], 200),
        (vec![], 401),
        (vec!["origin: https://evil.test"], 401),
        (vec!["origin: null"], 401),
        (vec!["origin: https://good.test.evil.test"], 401),
        (vec!["referer: https://evil.test/https://good.test/"], 401),
        (vec!["sec-fetch-site: cross-site"], 401),
        (
            vec!["origin: https://evil.test", "sec-fetch-site: same-origin"],
            401,
        ),
        (
            vec!["origin: https://evil.test", "referer: https://good.test/"],
            401,
        ),
    ] {
        let headers = [&[FORM, &*cookie], &*page].concat();
        let answer = ask(&server, "POST", "/pusher/auth", &headers, FIELDS).await;
        assert_eq!(answer.status, status, "{page:?} {answer:?}");
        let target = format!("/pusher/auth?callback=f&{FIELDS}");
        let answer = ask(&server, "GET", &target, &headers, "").await;
        assert_eq!(answer.status, status, "{page:?}");
    }
    // Another's cookie beside it, or a token that the page sends, and the cookie is not asked.
    let twice = format!("{cookie}; pogo=other");
    let headers = [FORM, &twice, "origin: https://good.test"];
    assert_eq!(
        ask(&server, "POST", "/pusher/auth", &headers, FIELDS)
            .await
            .status,
        401
    );
    let headers = [FORM, &cookie, "origin: https://evil.test"];
    let held = format!("{FIELDS}&token={}", token("**").sign());
    assert_eq!(
        ask(&server, "POST", "/pusher/auth", &headers, &held)
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn pages_that_may_connect_may_read_the_answer() {
    let settings = format!("[edge]\nallowed_origins = [\"https://good.test\"]\n{APP}");
    let server = TestServer::with(&settings).await;
    let open = TestServer::with(APP).await;
    let asked = "access-control-request-headers: authorization, x-app";
    for (server, origin, may, cookies) in [
        (&server, "https://good.test", true, true),
        (&server, "https://evil.test", false, false),
        (&open, "https://any.test", true, false),
    ] {
        let line = format!("origin: {origin}");
        let preflight = ask(server, "OPTIONS", "/pusher/auth", &[&line, asked], "").await;
        assert_eq!(preflight.status, 204);
        let headers = preflight.header("access-control-allow-headers");
        assert_eq!(headers, may.then_some("authorization, x-app"));
        let held = format!("{FIELDS}&token={}", token("**").sign());
        let answer = ask(server, "POST", "/pusher/auth", &[FORM, &line], &held).await;
        assert_eq!(answer.status, 200);
        for answer in [preflight, answer] {
            let named = answer.header("access-control-allow-origin");
            assert_eq!(named, may.then_some(origin));
            let with = answer.header("access-control-allow-credentials");
            assert_eq!(with, cookies.then_some("true"));
            assert!(answer.header("vary").unwrap().contains("Origin"));
        }
    }
}
