//! Which settings are good.

use super::*;
use crate::auth::Authenticator;
use crate::auth::fixture::{P256, RSA, any_issuer, issuer, pem, shared};

fn jwks(url: &str) -> KeySource {
    KeySource::Jwks { url: url.into() }
}

fn problem(issuer: IssuerConfig) -> Option<String> {
    let config = Config {
        issuers: vec![issuer],
        ..Config::default()
    };
    let problems: Vec<_> = config.problems().iter().map(ToString::to_string).collect();
    assert_eq!(Authenticator::new(config).is_err(), !problems.is_empty());
    assert!(problems.len() < 2);
    problems.into_iter().next()
}

#[test]
fn the_defaults_are_the_contracts() {
    let config = Config::default();
    assert_eq!(config.leeway, Duration::from_secs(5));
    assert_eq!(
        config.max_token_lifetime,
        Duration::from_secs(30 * 24 * 3600)
    );
    assert_eq!(config.jwks.min_refetch_interval, Duration::from_secs(30));
    assert_eq!(config.jwks.timeout, Duration::from_secs(5));
    assert_eq!(config.jwks.max_body_bytes, 1_048_576);
    assert!(config.problems().is_empty());
    assert_eq!(
        config.revocation_lifetime(),
        config.max_token_lifetime + Duration::from_secs(10)
    );
    let endless = Config {
        leeway: Duration::MAX,
        ..Config::default()
    };
    assert_eq!(endless.revocation_lifetime(), Duration::MAX);
}

#[test]
fn addresses_of_key_sets_are_whole_and_hold_no_password() {
    for good in [
        "https://id.example/keys",
        "http://127.0.0.1:8080/jwks.json?a=b",
        "https://[::1]/",
    ] {
        assert_eq!(problem(any_issuer(jwks(good))), None, "{good}");
    }
    for bad in [
        "",
        "keys",
        "/keys",
        "file:///etc/keys",
        "ftp://id.example/keys",
        "https://",
        "https:///keys",
        "https://user:secret@id.example/keys",
        "https://id.example /keys",
        "id.example/keys",
    ] {
        let said = problem(any_issuer(jwks(bad))).unwrap();
        assert!(
            said.contains("`jwks_url`") && !said.contains("secret"),
            "{bad}: {said}"
        );
    }
}

#[test]
fn some_algorithm_must_fit_the_key() {
    use Algorithm::{ES256, ES384, HS256, RS256};
    let with = |algorithms: &[Algorithm], keys| IssuerConfig {
        algorithms: algorithms.to_vec(),
        ..any_issuer(keys)
    };
    assert_eq!(problem(with(&[HS256, RS256], shared())), None);
    assert_eq!(problem(with(&[ES256], jwks("https://id.example/"))), None);
    for (algorithms, keys, fitting) in [
        (&[RS256][..], shared(), "HS256, HS384, HS512"),
        (&[HS256, ES384], pem(&P256), "takes ES256"),
        (&[HS256], pem(&RSA), "RS256, RS384, RS512, PS256"),
        (&[HS256], jwks("https://id.example/"), "RS256, "),
    ] {
        let said = problem(with(algorithms, keys)).unwrap();
        assert!(
            said.contains(fitting) && said.starts_with("key source 0"),
            "{said}"
        );
    }
}

#[test]
fn every_problem_is_reported_at_once() {
    let mut config = Config {
        issuers: vec![
            issuer("", shared()),
            issuer("a", KeySource::Secret(vec![])),
            issuer("b", shared()),
            issuer("c", KeySource::Pem(RSA.private.clone())),
        ],
        audience: vec!["pogo".into(), String::new()],
        max_token_lifetime: Duration::ZERO,
        ..Config::default()
    };
    config.jwks.max_keys = 0;
    let said: Vec<_> = config.problems().iter().map(ToString::to_string).collect();
    assert_eq!(said.len(), 6, "{said:#?}");
    assert!(said[0].starts_with("key source 0: `issuer` is empty"));
    assert_eq!(said[1], "key source 1: the secret is empty");
    assert!(
        said[2].starts_with("key source 3: it is a private key"),
        "{}",
        said[2]
    );
    assert!(said[4].contains("max_token_lifetime") && said[5].contains("jwks.max_keys"));
    let shown = format!("{config:?} {said:?}");
    assert!(
        !shown.contains("PRIVATE")
            && !shown.contains(&format!("{:?}", crate::auth::fixture::SECRET))
    );
}

#[test]
fn the_names_of_the_algorithms_are_their_own() {
    for name in ALGORITHM_NAMES {
        let algorithm: Algorithm = name.parse().unwrap();
        assert_eq!(format!("{algorithm:?}"), name);
    }
}
