//! Who asks, as an upstream sees it.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderMap;
use serde_json::Value;
use serde_json::value::RawValue;

use super::rig::{endpoint, upstreams};
use crate::auth::{Capabilities, Grant, Presented};
use crate::clock::Now;
use crate::gateway::upstream::{NoCredentials, Upstreams};
use crate::resource::{Caller, Credentials, Endpoint, FetchAs};

fn caller(subject: Option<&str>) -> Caller {
    let claims = RawValue::from_string(r#"{"sub":"ann","tenant":7}"#.into()).unwrap();
    let presented = Presented {
        token: "the.own.token".into(),
        claims,
    };
    let grant = Grant {
        subject: subject.map(Arc::from),
        token_id: None,
        issued_at: None,
        expires_at: Now::read().unix.as_secs() + 30,
        channels: vec![],
        capabilities: Capabilities::default(),
        info: None,
        fingerprint: [7; 16],
        presented: Some(Arc::new(presented)),
    };
    Caller {
        grant: Some(Arc::new(grant)),
        address: "10.0.0.1".parse().unwrap(),
        turn: 0,
    }
}

fn of(auth: Credentials) -> Endpoint {
    let mut endpoint = endpoint(&["http://blog:8080/v1"]);
    endpoint.auth = auth;
    endpoint
}

fn text(headers: &HeaderMap, name: &str) -> String {
    headers[name].to_str().unwrap().to_owned()
}

fn minted(upstreams: &Upstreams, endpoint: &Endpoint) -> String {
    let headers = upstreams.identity(endpoint, &caller(Some("ann")), true);
    let value = text(&headers.unwrap(), "authorization");
    value.strip_prefix("Bearer ").unwrap().to_owned()
}

#[test]
fn each_way_says_who_and_no_more() {
    let upstreams = upstreams();
    let ann = caller(Some("ann"));
    let none = upstreams.identity(&of(Credentials::None), &ann, true);
    assert!(none.unwrap().is_empty());
    let bearer = upstreams
        .identity(&of(Credentials::Bearer), &ann, true)
        .unwrap();
    assert_eq!(text(&bearer, "authorization"), "Bearer the.own.token");
    assert!(bearer["authorization"].is_sensitive());
    assert_eq!(bearer.len(), 1);
    let claims = upstreams
        .identity(&of(Credentials::Claims), &ann, true)
        .unwrap();
    assert_eq!(text(&claims, "x-pogo-sub"), "ann");
    let told = URL_SAFE_NO_PAD.decode(&claims["x-pogo-claims"]).unwrap();
    assert_eq!(told, br#"{"sub":"ann","tenant":7}"#);
    assert_eq!(claims.len(), 2);
}

#[test]
fn nobody_in_particular_has_no_credentials() {
    let nobody = Caller {
        grant: None,
        ..caller(None)
    };
    for auth in [Credentials::Bearer, Credentials::Claims, Credentials::None] {
        let headers = upstreams().identity(&of(auth), &nobody, true);
        assert!(headers.unwrap().is_empty());
    }
}

#[test]
fn a_subject_that_would_be_read_as_another_is_not_said() {
    for subject in [" ann", "ann ", "ann\r\nx-pogo-sub: root", "", "änn", "a\tb"] {
        let endpoint = of(Credentials::Claims);
        let said = upstreams().identity(&endpoint, &caller(Some(subject)), true);
        assert_eq!(said.unwrap_err(), NoCredentials::Subject, "{subject:?}");
    }
}

#[test]
fn a_token_made_for_the_upstream_is_short_lived_and_used_again() {
    let mint = |secret: &str, ttl| {
        of(Credentials::Mint {
            secret: secret.into(),
            audience: None,
            ttl: Duration::from_secs(ttl),
        })
    };
    let upstreams = upstreams();
    let endpoint = mint("a secret of the upstream's, long enough", 10);
    let token = minted(&upstreams, &endpoint);
    let mut parts = token.split('.');
    let mut part = || -> Value {
        let json = URL_SAFE_NO_PAD.decode(parts.next().unwrap()).unwrap();
        serde_json::from_slice(&json).unwrap()
    };
    let (header, claims) = (part(), part());
    assert_eq!(header["alg"], "HS256");
    assert_eq!(claims["aud"], "http://blog:8080/v1");
    assert_eq!(claims["sub"], "ann");
    assert_eq!(
        claims["exp"].as_u64().unwrap(),
        claims["iat"].as_u64().unwrap() + 10
    );
    assert!(claims["jti"].as_str().unwrap().len() >= 20);
    assert_eq!(minted(&upstreams, &endpoint), token);
    let other = mint("another secret of the upstream's", 10);
    assert_ne!(minted(&upstreams, &other), token, "its settings are others");
    let long = mint("another secret of the upstream's", 3_600);
    let token = minted(&upstreams, &long);
    let json = URL_SAFE_NO_PAD
        .decode(token.split('.').nth(1).unwrap())
        .unwrap();
    let claims: Value = serde_json::from_slice(&json).unwrap();
    let end = Now::read().unix.as_secs() + 31;
    assert!(
        claims["exp"].as_u64().unwrap() <= end,
        "never beyond the caller's own"
    );
}

#[test]
fn a_service_reads_as_itself_and_writes_for_its_callers() {
    let mut endpoint = of(Credentials::Bearer);
    endpoint.fetch_as = FetchAs::Service(Some("service".into()));
    let upstreams = upstreams();
    let ann = caller(Some("ann"));
    let reads = upstreams.identity(&endpoint, &ann, true).unwrap();
    assert_eq!(text(&reads, "authorization"), "Bearer service");
    let writes = upstreams.identity(&endpoint, &ann, false).unwrap();
    assert_eq!(text(&writes, "authorization"), "Bearer the.own.token");
}
