//! The same resources over plain HTTP.

mod who;

use std::net::Ipv4Addr;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use serde_json::{Value, json};

use super::rig::{How, Rig};
use crate::auth::{self, Authenticator, IssuerConfig, KeySource, SigningKey};
use crate::clock::Now;
use crate::gateway::http::{Http, HttpBody, HttpServices, Visitor};
use crate::gateway::upstream::BoxError;
use crate::limits::{self, Limits};
use crate::metrics::Metrics;
use crate::resource::{Endpoint, Verb};

const SECRET: &[u8] = b"a secret that is long enough for HS256";
/// Without `public` the cookie would make it one client's own.
const FRESH: &[&str] = &[
    "cache-control: public, max-age=60",
    "etag: \"a\"",
    "set-cookie: a=b",
];

/// The posts over HTTP, too.
struct Site {
    rig: Rig,
    http: Arc<Http>,
}

/// What a client got.
#[derive(Debug)]
struct Got {
    status: u16,
    headers: http::HeaderMap,
    body: Bytes,
}

impl Got {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    fn code(&self) -> String {
        let body: Value = serde_json::from_slice(&self.body).unwrap();
        body["error"]["code"].as_str().unwrap().to_owned()
    }
}

impl Site {
    async fn new(change: impl FnOnce(&mut Endpoint)) -> Self {
        let rig = Rig::of_posts(change).await;
        let issuer = IssuerConfig {
            issuer: None,
            algorithms: Vec::new(),
            keys: KeySource::Secret(SECRET.to_vec()),
        };
        let auth = auth::Config {
            issuers: vec![issuer],
            ..auth::Config::default()
        };
        let authenticator = Arc::new(Authenticator::new(auth).unwrap());
        authenticator.keep_tokens_while(|| true);
        let limits = limits::Config {
            failed_tokens: limits::RateConfig::new(1, 5),
            ..limits::Config::default()
        };
        let services = HttpServices {
            gateway: rig.gateway.clone(),
            authenticator,
            revocations: Arc::default(),
            limits: Arc::new(Limits::new(&limits, Arc::default(), &Metrics::new())),
        };
        let http = Arc::new(Http::new(services, Some("pogo".into())));
        Self { rig, http }
    }

    /// `GET /posts/1`, and header lines behind it.
    fn ask(&self, request: &str, body: &str) -> impl Future<Output = Got> + use<> {
        self.ask_as(request, body, visitor())
    }

    fn ask_as(
        &self,
        request: &str,
        body: &str,
        visitor: Visitor,
    ) -> impl Future<Output = Got> + use<> {
        let body = Full::new(Bytes::copy_from_slice(body.as_bytes()));
        let body = body.map_err(|never| match never {}).boxed_unsync();
        let request = parsed(request, body);
        let http = self.http.clone();
        async move { got(http.answer(request, visitor).await).await }
    }

    /// Asks, and has the upstream answer.
    async fn told(&self, request: &str, status: u16, headers: &[&str], body: &str) -> Got {
        let answer = async {
            self.rig.upstream.next().await.answer(status, headers, body);
        };
        tokio::join!(self.ask(request, ""), answer).0
    }
}

fn parsed(request: &str, body: HttpBody) -> Request<HttpBody> {
    let mut lines = request.lines();
    let (method, uri) = lines.next().unwrap().split_once(' ').unwrap();
    let mut parsed = Request::builder().method(method).uri(uri);
    for line in lines {
        let (name, value) = line.split_once(": ").unwrap();
        parsed = parsed.header(name, value);
    }
    parsed.body(body).unwrap()
}

async fn got(response: Response<HttpBody>) -> Got {
    let (head, body) = response.into_parts();
    Got {
        status: head.status.as_u16(),
        headers: head.headers,
        body: body.collect().await.unwrap().to_bytes(),
    }
}

fn visitor() -> Visitor {
    Visitor {
        address: Ipv4Addr::LOCALHOST.into(),
        may_read: false,
        with_cookies: false,
        foreign: false,
    }
}

fn token(subject: &str) -> String {
    let expires = Now::read().unix.as_secs() + 60;
    let claims = json!({"sub": subject, "exp": expires}).to_string();
    auth::sign(&claims, SigningKey::Secret(SECRET), None, None).unwrap()
}

fn bearing(request: &str, token: &str) -> String {
    format!("{request}\nauthorization: Bearer {token}")
}

#[tokio::test]
async fn a_show_and_a_get_are_one_fetch() {
    let site = Site::new(|_| {}).await;
    let client = site.rig.anonymous();
    let call = site.rig.call(&client, Verb::Show, "/posts/1", How::alone());
    let asked = site.rig.upstream.expect("GET /posts/1").await;
    asked.answer(200, FRESH, r#"{"id":1}"#);
    site.rig.answer(call).await.unwrap();
    let got = site.ask("GET /posts/1", "").await;
    assert_eq!((got.status, &*got.body), (200, &br#"{"id":1}"#[..]));
    assert_eq!(got.header("age"), Some("0"));
    assert!(
        got.header("cache-status")
            .unwrap()
            .starts_with("pogo; hit; ttl=5")
    );
    assert_eq!(got.header("via"), Some("1.1 pogo"));
    assert_eq!(got.header("etag"), Some("\"a\""));
    assert_eq!(got.header("set-cookie"), None);
    // The other way round, and another spelling of the same.
    let got = site.told("GET /posts?page=2", 200, FRESH, "[]").await;
    assert_eq!(
        got.header("cache-status"),
        Some("pogo; fwd=uri-miss; fwd-status=200")
    );
    let call = site
        .rig
        .call(&client, Verb::Index, "/posts?page=2", How::alone());
    assert_eq!(site.rig.answer(call).await.unwrap().data, "[]");
    let got = site.ask("GET /%70osts?page=2\naccept: */*", "").await;
    assert!(got.header("cache-status").unwrap().contains("hit"));
    assert_eq!(site.rig.upstream.seen().len(), 2);
}

#[tokio::test]
async fn what_is_at_hand_answers_conditions_ranges_and_heads() {
    let site = Site::new(|_| {}).await;
    site.told("GET /posts/1", 200, FRESH, "0123456789").await;
    let got = site.ask("GET /posts/1\nif-none-match: W/\"a\"", "").await;
    assert_eq!((got.status, got.body.len()), (304, 0));
    assert_eq!(got.header("etag"), Some("\"a\""));
    assert_eq!(got.header("content-type"), None);
    let got = site.ask("GET /posts/1\nif-match: \"b\"", "").await;
    assert_eq!((got.status, &*got.code()), (412, "precondition_failed"));
    let got = site.ask("GET /posts/1\nrange: bytes=2-4", "").await;
    assert_eq!((got.status, &*got.body), (206, &b"234"[..]));
    assert_eq!(got.header("content-range"), Some("bytes 2-4/10"));
    let got = site.ask("GET /posts/1\nrange: bytes=10-", "").await;
    assert_eq!(
        (got.status, got.header("content-range")),
        (416, Some("bytes */10"))
    );
    let stale = "GET /posts/1\nrange: bytes=2-4\nif-range: \"b\"";
    assert_eq!(site.ask(stale, "").await.body, "0123456789");
    assert_eq!(site.ask("HEAD /posts/1", "").await.status, 200);
    assert_eq!(site.rig.upstream.seen().len(), 1);
}

#[tokio::test]
async fn a_part_is_the_upstreams_to_give_and_is_not_kept() {
    let site = Site::new(|_| {}).await;
    let part = ["content-range: bytes 0-1/10", "cache-control: max-age=60"];
    let ask = "GET /posts/1\nrange: bytes=0-1";
    for _ in 0..2 {
        let asked = async {
            let asked = site.rig.upstream.next().await;
            assert_eq!(asked.header("range"), Some("bytes=0-1"));
            asked.answer(206, &part, "01");
        };
        let (got, ()) = tokio::join!(site.ask(ask, ""), asked);
        assert_eq!((got.status, &*got.body), (206, &b"01"[..]));
        assert_eq!(got.header("content-range"), Some("bytes 0-1/10"));
    }
}

#[tokio::test]
async fn what_cannot_be_asked_is_refused_before_anybody_is() {
    let site = Site::new(|posts| posts.methods.retain(|verb| *verb != Verb::Delete)).await;
    for (request, status, allow) in [
        (
            "DELETE /posts/1",
            405,
            Some("GET, HEAD, PUT, PATCH, OPTIONS"),
        ),
        ("POST /posts/1", 405, Some("GET, HEAD, PUT, PATCH, OPTIONS")),
        ("PUT /posts", 405, Some("GET, HEAD, POST, OPTIONS")),
        ("TRACE /posts", 405, Some("GET, HEAD, POST, OPTIONS")),
        ("GET /posts/%2e%2e", 400, None),
        ("GET /posts/a%2fb", 400, None),
        ("GET /posts/1/", 400, None),
        ("GET /posts?other=1", 400, None),
        ("GET /posts/1/comments", 404, None),
        ("GET /elsewhere", 404, None),
    ] {
        let got = site.ask(request, "").await;
        assert_eq!(
            (got.status, got.header("allow")),
            (status, allow),
            "{request}"
        );
    }
    for (uri, has) in [
        ("/posts/1?", true),
        ("/posts/..%2f", true),
        ("*", false),
        ("//posts/1", false),
        ("/posts", true),
        ("/post", false),
        ("/", false),
        ("/pusher/auth", false),
    ] {
        assert_eq!(site.http.has(&uri.parse().unwrap()), has, "{uri}");
    }
    let client = r#"{"a":1}"#;
    let coded = "POST /posts\ncontent-encoding: gzip";
    assert_eq!(site.ask(coded, client).await.status, 415);
    assert!(site.rig.upstream.seen().is_empty());
}

#[tokio::test]
async fn a_write_goes_through_and_everyone_asks_anew() {
    let site = Site::new(|_| {}).await;
    site.told("GET /posts/1", 200, FRESH, "1").await;
    site.told("GET /posts", 200, FRESH, "[1]").await;
    let asked = async {
        let asked = site.rig.upstream.expect("PATCH /posts/1").await;
        assert_eq!(asked.body, r#"{"a":1}"#);
        assert_eq!(asked.header("content-type"), Some("application/json"));
        assert_eq!(asked.header("if-match"), Some("\"a\""));
        assert_eq!(asked.header("x-pogo-sub"), None);
        let headers = ["set-cookie: a=b", "etag: \"b\"", "x-own: 1"];
        asked.answer(200, &headers, "2");
    };
    let request = "PATCH /posts/1\ncontent-type: application/json\nif-match: \"a\"\nx-pogo-sub: a";
    let (got, ()) = tokio::join!(site.ask(request, r#"{"a":1}"#), asked);
    assert_eq!((got.status, &*got.body), (200, &b"2"[..]));
    assert_eq!(got.header("etag"), Some("\"b\""));
    assert_eq!(got.header("x-own"), Some("1"));
    assert_eq!(got.header("set-cookie"), None);
    let got = site.told("GET /posts/1", 200, FRESH, "2").await;
    assert_eq!(got.body, "2");
    let got = site.told("GET /posts", 200, FRESH, "[2]").await;
    assert_eq!(got.body, "[2]");
    // One that creates says where; one that fails at the upstream may have been done.
    let base = site.rig.upstream.base.clone();
    let created = format!("location: {base}/posts/9");
    let got = site
        .told("POST /posts", 201, &[&created], r#"{"id":9}"#)
        .await;
    assert_eq!(
        (got.status, got.header("location")),
        (201, Some("/posts/9"))
    );
    let got = site.told("DELETE /posts/1", 500, &[], "").await;
    assert_eq!(got.status, 500);
    let got = site.told("GET /posts/1", 200, FRESH, "3").await;
    assert_eq!(got.body, "3");
}

#[tokio::test]
async fn a_write_runs_to_its_end_though_nobody_waits() {
    let site = Site::new(|_| {}).await;
    site.told("GET /posts/1", 200, FRESH, "1").await;
    let writing = tokio::spawn(site.ask("DELETE /posts/1", ""));
    let asked = site.rig.upstream.expect("DELETE /posts/1").await;
    writing.abort();
    let _ = writing.await;
    asked.answer(204, &[], "");
    // When that has come in is the gateway's affair.
    for _ in 0..1_000 {
        let reading = tokio::spawn(site.ask("GET /posts/1", ""));
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        if !reading.is_finished() {
            site.rig
                .upstream
                .expect("GET /posts/1")
                .await
                .answer(404, &[], "");
            assert_eq!(reading.await.unwrap().status, 404);
            return;
        }
    }
    panic!("the cache was never told");
}

#[tokio::test]
async fn bodies_are_bounded_and_slow_ones_stop_nobody() {
    let site = Site::new(|posts| posts.upstream.concurrency = 1).await;
    let long = "x".repeat((1 << 20) + 1);
    assert_eq!(site.ask("POST /posts", &long).await.status, 413);
    let pieces = futures_util::stream::repeat_with(|| {
        Ok::<_, BoxError>(Frame::data(Bytes::from(vec![b'x'; 65_536])))
    });
    let endless = StreamBody::new(pieces).boxed_unsync();
    let request = parsed("POST /posts", endless);
    let got = got(site.http.answer(request, visitor()).await).await;
    assert_eq!((got.status, &*got.code()), (413, "too_large"));
    // One who has sent little yet has no place at the upstream.
    let first = Ok::<_, BoxError>(Frame::data(Bytes::from_static(b"x")));
    let stalled = futures_util::StreamExt::chain(
        futures_util::stream::iter([first]),
        futures_util::stream::pending(),
    );
    let request = parsed("POST /posts", StreamBody::new(stalled).boxed_unsync());
    let http = site.http.clone();
    let slow = tokio::spawn(async move { http.answer(request, visitor()).await.status() });
    let got = site.told("GET /posts/1", 200, &[], "1").await;
    assert_eq!(got.status, 200);
    assert_eq!(slow.await.unwrap(), StatusCode::REQUEST_TIMEOUT);
}

#[tokio::test]
async fn no_answer_is_told_as_what_it_is() {
    let site =
        Site::new(|posts| posts.upstream.timeout = std::time::Duration::from_millis(200)).await;
    let held = async { site.rig.upstream.next().await };
    let (got, _held) = tokio::join!(site.ask("DELETE /posts/1", ""), held);
    assert_eq!((got.status, &*got.code()), (504, "timeout"));
    let body: Value = serde_json::from_slice(&got.body).unwrap();
    assert_eq!(body["error"]["outcome"], "unknown");
    let got = site
        .told("GET /posts/1", 404, &[], r#"{"why":"gone"}"#)
        .await;
    assert_eq!((got.status, &*got.body), (404, &br#"{"why":"gone"}"#[..]));
}
