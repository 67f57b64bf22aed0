//! What goes through, and what does not.

use super::*;
use crate::gateway::upstream::RequestBody;

fn map(lines: &[(&'static str, &'static str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in lines {
        map.append(*name, HeaderValue::from_static(value));
    }
    map
}

fn asked(headers: HeaderMap, identity: HeaderMap) -> Asked {
    Asked {
        method: http::Method::GET,
        path: "/posts/1".into(),
        headers,
        identity,
        body: RequestBody::empty(),
        idempotent: false,
        address: Some("2001:db8::1".parse().unwrap()),
    }
}

#[test]
fn a_client_says_only_what_is_on_the_list() {
    let headers = map(&[
        ("host", "evil.example"),
        ("accept", "application/json"),
        ("accept", "text/plain"),
        ("if-match", "\"1\""),
        ("prefer", "return=minimal"),
        ("connection", "close, Prefer"),
        ("authorization", "Bearer theirs"),
        ("cookie", "a=b"),
        ("x-pogo-sub", "root"),
        ("x-pogo-claims", "e30"),
        ("x-forwarded-for", "1.2.3.4"),
        ("x-forwarded-host", "evil.example"),
        ("forwarded", "for=1.2.3.4"),
        ("via", "1.0 x"),
        ("transfer-encoding", "chunked"),
        ("content-length", "5"),
        ("te", "trailers"),
        ("upgrade", "h2c"),
        ("x-http-method-override", "DELETE"),
        ("accept-encoding", "gzip"),
        ("user-agent", "them"),
        ("x-tenant", "acme"),
        ("x-other", "1"),
    ]);
    let asked = asked(headers, map(&[("x-pogo-sub", "ann")]));
    let sent = of_request(&asked, &[HeaderName::from_static("x-tenant")]);
    let mut written: Vec<String> = sent
        .iter()
        .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
        .collect();
    written.sort();
    assert_eq!(
        written,
        [
            "accept-encoding: identity",
            "accept: application/json",
            "accept: text/plain",
            "forwarded: for=\"[2001:db8::1]\"",
            "if-match: \"1\"",
            &format!("user-agent: {SOFTWARE}"),
            "via: 1.1 pogo",
            "x-forwarded-for: 2001:db8::1",
            "x-pogo-sub: ann",
            "x-tenant: acme",
        ]
    );
}

#[test]
fn an_upstream_speaks_of_the_resource_and_of_nothing_else() {
    let mut headers = map(&[
        ("connection", "close, x-hop"),
        ("keep-alive", "timeout=5"),
        ("x-hop", "1"),
        ("proxy-authenticate", "Basic"),
        ("transfer-encoding", "chunked"),
        ("trailer", "x"),
        ("upgrade", "h2c"),
        ("set-cookie", "session=1"),
        ("strict-transport-security", "max-age=1"),
        ("refresh", "1"),
        ("service-worker-allowed", "/"),
        ("alt-svc", "h2=\":443\""),
        ("access-control-allow-origin", "*"),
        ("access-control-allow-credentials", "true"),
        ("etag", "\"1\""),
        ("content-type", "application/json"),
        ("cache-control", "max-age=60"),
        ("location", "http://blog:8080/v1/posts/9"),
        ("content-location", "http://internal/posts/9"),
        ("link", "<http://blog:8080/v1/posts?page=2>; rel=next"),
        ("link", "<http://internal/>; rel=self"),
        ("via", "1.1 varnish"),
        ("www-authenticate", "Bearer"),
    ]);
    let asked = "http://blog:8080/v1/posts".parse().unwrap();
    clean_answer(
        &mut headers,
        &asked,
        &["http://blog:8080/v1".parse().unwrap()],
    );
    let mut written: Vec<String> = headers
        .iter()
        .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
        .collect();
    written.sort();
    assert_eq!(
        written,
        [
            "cache-control: max-age=60",
            "content-type: application/json",
            "etag: \"1\"",
            "link: </posts?page=2>; rel=next",
            "location: /posts/9",
            "set-cookie: session=1",
            "via: 1.1 pogo",
            "via: 1.1 varnish",
            "www-authenticate: Bearer",
        ]
    );
}
