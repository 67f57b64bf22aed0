//! Key sets from a real HTTP server: fetched, cached, rotated. Bad servers are in `faults`.

mod faults;

use std::task::{Context, Poll, Waker};

use serde_json::json;

use super::*;
use crate::auth::fixture::{
    Answer, KeyServer, P256, P384, Pair, RSA, after, at_once, authenticator, claims, issuer,
    key_set, now, p256, token_by,
};
use crate::auth::{Algorithm, Authenticator, Config, IssuerConfig, KeySource};
use crate::clock::Now;

/// An issuer `a` whose keys are at `server`.
fn at(server: &KeyServer) -> IssuerConfig {
    issuer("a", KeySource::Jwks { url: server.url() })
}

/// A token of issuer `a` by `pair` under the name `id`.
fn token(pair: &Pair, id: &str) -> String {
    let algorithm = if pair.jwk["kty"] == "RSA" {
        Algorithm::RS256
    } else {
        Algorithm::ES256
    };
    token_by(pair, algorithm, Some(id), &claims(json!({ "iss": "a" })))
}

/// A running authenticator for the keys at `server`.
fn started(server: &KeyServer) -> Arc<Authenticator> {
    let authenticator = authenticator(vec![at(server)]);
    authenticator.start(&Handle::current());
    authenticator
}

/// Why `token` is refused at `now`, after whatever has to be waited for.
async fn refusal(authenticator: &Authenticator, token: &str, now: Now) -> Option<AuthError> {
    let answer = tokio::time::timeout(
        Duration::from_secs(20),
        authenticator.authenticate(token, now),
    );
    answer.await.expect("every wait is bounded").err()
}

#[tokio::test]
async fn the_first_token_waits_for_the_first_fetch_and_later_ones_for_nothing() {
    let server = KeyServer::start(Answer::Body(key_set(&[RSA.named("r"), P256.named("p")]))).await;
    let authenticator = started(&server);
    assert_eq!(
        refusal(&authenticator, &token(&RSA, "r"), now()).await,
        None
    );
    assert!(at_once(&authenticator, &token(&P256, "p"), now()).is_ok());
    // Known names with other keys, or for other algorithms, are refused at once.
    assert_eq!(
        at_once(&authenticator, &token(&p256(), "p"), now()).err(),
        Some(AuthError::Signature)
    );
    assert_eq!(
        at_once(&authenticator, &token(&P256, "r"), now()).err(),
        Some(AuthError::Algorithm)
    );
    assert_eq!(server.hits(), 1);
}

#[tokio::test]
async fn before_start_and_for_hmac_no_key_is_looked_for() {
    let server = KeyServer::start(Answer::Body(key_set(&[RSA.named("r")]))).await;
    let authenticator = authenticator(vec![at(&server)]);
    let early = at_once(&authenticator, &token(&RSA, "r"), now());
    assert_eq!(early.err(), Some(AuthError::KeysUnavailable));
    authenticator.start(&Handle::current());
    let secret = jsonwebtoken::EncodingKey::from_secret(RSA.public.as_bytes());
    let body = claims(json!({ "iss": "a" }));
    let hmac = crate::auth::fixture::forge(
        r#"{"alg":"HS256","kid":"r"}"#,
        &body,
        &secret,
        Algorithm::HS256,
    );
    assert_eq!(
        at_once(&authenticator, &hmac, now()).err(),
        Some(AuthError::Algorithm)
    );
}

#[tokio::test]
async fn a_new_key_is_found_by_the_token_that_uses_it() {
    let server = KeyServer::start(Answer::Body(key_set(&[P256.named("old")]))).await;
    let authenticator = started(&server);
    assert_eq!(
        refusal(&authenticator, &token(&P256, "old"), now()).await,
        None
    );
    let fresh = p256();
    server.say(Answer::Body(key_set(&[fresh.named("new")])));
    // The first fetch was just now, but no token has asked for one yet.
    assert_eq!(
        refusal(&authenticator, &token(&fresh, "new"), now()).await,
        None
    );
    assert_eq!(server.hits(), 2);
    // The old key is withdrawn. Within 30 s of the last fetch: refused at the first poll.
    let newest = p256();
    server.say(Answer::Body(key_set(&[newest.named("newest")])));
    for (pair, name) in [(&*P256, "old"), (&newest, "newest")] {
        let soon = at_once(&authenticator, &token(pair, name), after(29));
        assert_eq!(soon.err(), Some(AuthError::UnknownKey), "{name}");
    }
    assert_eq!(server.hits(), 2);
    assert_eq!(
        refusal(&authenticator, &token(&newest, "newest"), after(31)).await,
        None
    );
    assert_eq!(server.hits(), 3);
}

#[tokio::test]
async fn without_a_name_a_token_needs_a_single_fitting_key() {
    let server = KeyServer::start(Answer::Body(key_set(&[
        RSA.named("r"),
        P256.named("p"),
        p256().named("q"),
    ])))
    .await;
    let authenticator = started(&server);
    let unnamed = |pair, algorithm| token_by(pair, algorithm, None, &claims(json!({ "iss": "a" })));
    assert_eq!(
        refusal(&authenticator, &unnamed(&RSA, Algorithm::PS256), now()).await,
        None
    );
    for now in [now(), after(60)] {
        let two = at_once(&authenticator, &unnamed(&P256, Algorithm::ES256), now);
        assert_eq!(two.err(), Some(AuthError::UnknownKey));
        let none = at_once(&authenticator, &unnamed(&P384, Algorithm::ES384), now);
        assert_eq!(none.err(), Some(AuthError::UnknownKey));
    }
    assert_eq!(server.hits(), 1, "no fetch would make the token clear");
}

#[tokio::test]
async fn the_same_name_under_two_issuers_is_two_keys() {
    let (mine, theirs) = (p256(), p256());
    let server_a = KeyServer::start(Answer::Body(key_set(&[mine.named("1")]))).await;
    let server_b = KeyServer::start(Answer::Body(key_set(&[theirs.named("1")]))).await;
    let b = issuer(
        "b",
        KeySource::Jwks {
            url: server_b.url(),
        },
    );
    let authenticator = authenticator(vec![at(&server_a), b]);
    authenticator.start(&Handle::current());
    let by = |pair, iss| {
        token_by(
            pair,
            Algorithm::ES256,
            Some("1"),
            &claims(json!({ "iss": iss })),
        )
    };
    for (pair, iss, expected) in [
        (&mine, "a", None),
        (&theirs, "b", None),
        (&mine, "b", Some(AuthError::Signature)),
        (&theirs, "a", Some(AuthError::Signature)),
    ] {
        assert_eq!(
            refusal(&authenticator, &by(pair, iss), now()).await,
            expected,
            "{iss}"
        );
    }
}

#[tokio::test]
async fn a_flood_of_unknown_names_causes_one_fetch_in_30_seconds() {
    let server = KeyServer::start(Answer::Body(key_set(&[P256.named("p")]))).await;
    let authenticator = started(&server);
    assert_eq!(
        refusal(&authenticator, &token(&P256, "p"), now()).await,
        None
    );
    let odd = |n: usize| match n % 5 {
        0 => format!("../../{n}"),
        1 => format!("' OR {n}=1 --"),
        2 => format!("\0\r\n{n}"),
        3 => format!("{n}{}", "k".repeat(3_000)),
        _ => n.to_string(),
    };
    for n in 0..200 {
        let refused = refusal(&authenticator, &token(&P256, &odd(n)), now()).await;
        assert_eq!(refused, Some(AuthError::UnknownKey));
    }
    assert_eq!(server.hits(), 2);
    for n in 0..200 {
        let refused = at_once(&authenticator, &token(&P256, &odd(n)), after(29));
        assert_eq!(refused.err(), Some(AuthError::UnknownKey));
    }
    assert_eq!(server.hits(), 2);
    // Later all of them together wait for one more, and the good token for none of them.
    let flood = (0..200).map(|n| {
        let (authenticator, token) = (Arc::clone(&authenticator), token(&P256, &odd(n)));
        tokio::spawn(async move { refusal(&authenticator, &token, after(31)).await })
    });
    for refused in flood.collect::<Vec<_>>() {
        assert_eq!(refused.await.unwrap(), Some(AuthError::UnknownKey));
    }
    assert!(at_once(&authenticator, &token(&P256, "p"), after(31)).is_ok());
    assert_eq!(server.hits(), 3);
}

#[tokio::test]
async fn a_token_that_its_claims_refuse_causes_no_fetch() {
    let server = KeyServer::start(Answer::Body(key_set(&[P256.named("p")]))).await;
    let authenticator = started(&server);
    assert_eq!(
        refusal(&authenticator, &token(&P256, "p"), now()).await,
        None
    );
    for more in [
        json!({ "iss": "a", "exp": 1 }),
        json!({ "iss": "a", "aud": "x" }),
        json!({ "iss": "b" }),
    ] {
        let token = token_by(&p256(), Algorithm::ES256, Some("new"), &claims(more));
        assert!(at_once(&authenticator, &token, after(60)).is_err());
    }
    assert_eq!(server.hits(), 1);
}

#[tokio::test]
async fn keys_and_addresses_that_a_token_brings_along_lead_to_no_request() {
    let attacker = p256();
    let canary = KeyServer::start(Answer::Body(key_set(&[attacker.named("x")]))).await;
    let server = KeyServer::start(Answer::Body(key_set(&[P256.named("p")]))).await;
    let authenticator = started(&server);
    let url = canary.url();
    for iss in ["a", url.as_str()] {
        let header = json!({ "alg": "ES256", "kid": "x", "jku": url, "x5u": url, "jwk": attacker.jwk, "x5c": ["MIIB"] });
        let body = claims(json!({ "iss": iss, "aud": url }));
        for body in [body, claims(json!({ "iss": iss }))] {
            let forged = crate::auth::fixture::forge(
                &header.to_string(),
                &body,
                &attacker.signing,
                Algorithm::ES256,
            );
            assert!(refusal(&authenticator, &forged, now()).await.is_some());
            assert!(refusal(&authenticator, &forged, after(60)).await.is_some());
        }
    }
    assert_eq!(canary.hits(), 0);
}

#[tokio::test]
async fn sets_are_refreshed_in_the_background() {
    let server = KeyServer::start(Answer::Body(key_set(&[P256.named("old")]))).await;
    let mut config = Config {
        issuers: vec![at(&server)],
        ..Config::default()
    };
    config.jwks.refresh_interval = Duration::from_millis(20);
    config.jwks.min_refetch_interval = Duration::from_millis(10);
    let authenticator = Authenticator::new(config).unwrap();
    authenticator.start(&Handle::current());
    server.hit(3).await;
    let fresh = p256();
    server.say(Answer::Body(key_set(&[fresh.named("new")])));
    // The next may have been answered before; the one after it is new, and taken when a third comes.
    server.hit(server.hits() + 3).await;
    assert!(at_once(&authenticator, &token(&fresh, "new"), now()).is_ok());
    drop(authenticator);
}

#[tokio::test]
async fn reloading_keeps_what_was_fetched_and_drops_what_is_gone() {
    let server = KeyServer::start(Answer::Body(key_set(&[P256.named("p")]))).await;
    let authenticator = started(&server);
    let good = token(&P256, "p");
    assert_eq!(refusal(&authenticator, &good, now()).await, None);
    let stranger = token(&P256, "new");
    assert_eq!(
        refusal(&authenticator, &stranger, now()).await,
        Some(AuthError::UnknownKey)
    );
    let mut config = Config {
        issuers: vec![at(&server)],
        ..Config::default()
    };
    authenticator.reload(config.clone()).unwrap();
    assert!(at_once(&authenticator, &good, now()).is_ok());
    config.jwks.max_keys = 7;
    authenticator.reload(config.clone()).unwrap();
    assert!(at_once(&authenticator, &good, now()).is_ok());
    // The rate is kept as well.
    assert_eq!(
        at_once(&authenticator, &stranger, after(29)).err(),
        Some(AuthError::UnknownKey)
    );
    assert_eq!(server.hits(), 2);
    assert_eq!(
        refusal(&authenticator, &stranger, after(31)).await,
        Some(AuthError::UnknownKey)
    );
    assert_eq!(server.hits(), 3);
    // Under another issuer's name it is another source.
    config.issuers[0].issuer = Some("b".into());
    authenticator.reload(config).unwrap();
    assert_eq!(
        at_once(&authenticator, &good, now()).err(),
        Some(AuthError::Issuer)
    );
    server.hit(4).await;
}

/// A socket worker polls once in place, on no runtime, and hands the rest to the runtime.
#[test]
fn a_check_may_begin_outside_the_runtime_that_ends_it() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let server = runtime.block_on(KeyServer::start(Answer::Body(key_set(&[P256.named("p")]))));
    let authenticator = authenticator(vec![at(&server)]);
    let (good, held) = (token(&P256, "p"), Arc::clone(&authenticator));
    let mut check = Box::pin(async move { held.authenticate(&good, now()).await });
    authenticator.start(runtime.handle());
    let first = check.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    let result = match first {
        Poll::Ready(result) => result,
        Poll::Pending => runtime.block_on(runtime.spawn(check)).unwrap(),
    };
    assert!(result.is_ok());
    assert!(at_once(&authenticator, &token(&P256, "p"), now()).is_ok());
}
