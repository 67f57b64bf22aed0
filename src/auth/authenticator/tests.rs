//! The attack checklist, as far as it needs no key set; those are in `jwks/tests.rs`.

use serde_json::{Value, json};

use super::*;
use crate::auth::fixture::{
    ED25519, NOW, P256, P384, Pair, RSA, SECRET, after, any_issuer, at_once, authenticator, claims,
    forge, hs256, issuer, now, p256, pem, refusal, secret, shared, token_by,
};
use crate::auth::{ALGORITHM_NAMES, Algorithm};
use crate::code::ErrorCode;

fn good() -> String {
    claims(json!({}))
}

/// A token by the shared secret with this header.
fn headed(header: &Value) -> String {
    forge(
        &header.to_string(),
        &good(),
        &secret(SECRET),
        Algorithm::HS256,
    )
}

#[test]
fn a_good_token_grants_what_it_says() {
    let authenticator = authenticator(vec![any_issuer(shared())]);
    let token = hs256(&claims(json!({ "jti": "t", "info": {"a": 1} })));
    let grant = at_once(&authenticator, &token, now()).unwrap();
    assert_eq!(grant.subject.as_deref(), Some("ann"));
    assert_eq!(
        (grant.issued_at, grant.expires_at),
        (Some(NOW - 10), NOW + 600)
    );
    assert_eq!(grant.info.unwrap().get(), r#"{"a":1}"#);
    assert_eq!(
        grant.fingerprint,
        Token::parse(&token).ok().unwrap().fingerprint()
    );
    let expired = at_once(&authenticator, &token, after(605)).unwrap_err();
    assert_eq!(
        (expired.code(), expired),
        (ErrorCode::TokenExpired, AuthError::Expired { seconds: 5 })
    );
}

#[test]
fn the_algorithm_none_is_refused_with_and_without_a_signature() {
    let authenticator = authenticator(vec![any_issuer(shared()), any_issuer(pem(&RSA))]);
    for name in ["none", "None", "NONE", "nOnE", ""] {
        let token = headed(&json!({ "alg": name }));
        assert_eq!(
            refusal(&authenticator, &token),
            Some(AuthError::Algorithm),
            "{name}"
        );
        let (signed, _) = token.rsplit_once('.').unwrap();
        for unsigned in [
            format!("{signed}."),
            signed.to_owned(),
            format!("{signed}.AA"),
        ] {
            let error = refusal(&authenticator, &unsigned).unwrap();
            assert_eq!(error.code(), ErrorCode::Unauthenticated, "{error}");
        }
    }
}

#[test]
fn a_public_key_is_never_a_secret() {
    let entries = [pem(&RSA), pem(&P256), pem(&P384), pem(&ED25519)];
    let authenticator = authenticator(entries.into_iter().map(any_issuer).collect());
    for pair in [&*RSA, &*P256, &*P384, &*ED25519] {
        let body: String = pair
            .public
            .lines()
            .filter(|line| !line.starts_with('-'))
            .collect();
        let trimmed = pair.public.trim();
        for text in [pair.public.as_bytes(), trimmed.as_bytes(), body.as_bytes()] {
            for name in ["HS256", "HS384", "HS512"] {
                let header = json!({ "alg": name }).to_string();
                let token = forge(&header, &good(), &secret(text), name.parse().unwrap());
                assert_eq!(refusal(&authenticator, &token), Some(AuthError::Algorithm));
            }
        }
    }
}

#[test]
fn only_the_configured_algorithms_are_taken() {
    let only = |algorithms: &[Algorithm], keys| IssuerConfig {
        algorithms: algorithms.to_vec(),
        ..any_issuer(keys)
    };
    let authenticator = authenticator(vec![
        only(&[Algorithm::PS256, Algorithm::RS512], pem(&RSA)),
        only(&[Algorithm::HS512, Algorithm::ES256], shared()),
    ]);
    for name in ALGORITHM_NAMES {
        let algorithm: Algorithm = name.parse().unwrap();
        let key = match algorithm {
            Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512 => &secret(SECRET),
            Algorithm::ES256 => &P256.signing,
            Algorithm::ES384 => &P384.signing,
            Algorithm::EdDSA => &ED25519.signing,
            _ => &RSA.signing,
        };
        let token = forge(&json!({ "alg": name }).to_string(), &good(), key, algorithm);
        let expected =
            (!["PS256", "RS512", "HS512"].contains(&name)).then_some(AuthError::Algorithm);
        assert_eq!(refusal(&authenticator, &token), expected, "{name}");
    }
    // Signed by one algorithm, said to be by another of the same key.
    let header = json!({ "alg": "PS256" }).to_string();
    let token = forge(&header, &good(), &RSA.signing, Algorithm::RS512);
    assert_eq!(refusal(&authenticator, &token), Some(AuthError::Signature));
}

#[test]
fn keys_that_a_token_brings_along_count_for_nothing() {
    let authenticator = authenticator(vec![any_issuer(shared()), any_issuer(pem(&RSA))]);
    let attacker = p256();
    for more in [
        json!({ "jwk": attacker.jwk }),
        json!({ "jku": "http://127.0.0.1:9/keys" }),
        json!({ "x5u": "http://127.0.0.1:9/cert" }),
        json!({ "x5c": ["MIIB"] }),
        json!({ "jwk": "not even a key", "x5c": 7, "jku": [] }),
    ] {
        let mut header = json!({ "alg": "ES256" });
        header
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        let forged = forge(
            &header.to_string(),
            &good(),
            &attacker.signing,
            Algorithm::ES256,
        );
        assert_eq!(refusal(&authenticator, &forged), Some(AuthError::Algorithm));
        // On an otherwise good token they do not matter.
        header["alg"] = json!("HS256");
        assert_eq!(refusal(&authenticator, &headed(&header)), None, "{more}");
    }
}

#[test]
fn an_extension_that_must_be_understood_is_refused() {
    let authenticator = authenticator(vec![any_issuer(shared())]);
    for crit in [
        json!(["exp"]),
        json!(["b64"]),
        json!([]),
        json!("x"),
        json!(null),
    ] {
        let token = headed(&json!({ "alg": "HS256", "crit": crit, "b64": false }));
        assert!(matches!(
            refusal(&authenticator, &token),
            Some(AuthError::Malformed { .. })
        ));
    }
}

#[test]
fn other_forms_of_jose_are_refused() {
    let authenticator = authenticator(vec![any_issuer(shared())]);
    let token = hs256(&good());
    let mut parts = token.split('.');
    let (header, body, signature) = (
        parts.next().unwrap(),
        parts.next().unwrap(),
        parts.next().unwrap(),
    );
    let flat = json!({ "protected": header, "payload": body, "signature": signature }).to_string();
    let general =
        json!({ "payload": body, "signatures": [{ "protected": header, "signature": signature }] });
    for bad in [
        flat,
        general.to_string(),
        format!("{header}..{body}.{signature}.AAAA"),
        format!("{token}.AAAA"),
        format!("{token}="),
        format!("{header}=.{body}.{signature}"),
        format!(" {token}"),
        format!("{token} "),
        format!("{header}.{body}\n.{signature}"),
        format!("Bearer {token}"),
        "x".repeat(9_000),
    ] {
        let error = refusal(&authenticator, &bad).unwrap();
        assert_eq!(error.code(), ErrorCode::Unauthenticated, "{bad}");
    }
}

#[test]
fn a_repeated_name_in_header_or_claims_is_refused_though_the_signature_is_right() {
    let authenticator = authenticator(vec![any_issuer(shared())]);
    let key = secret(SECRET);
    let exp = NOW + 600;
    for (header, body) in [
        (r#"{"alg":"HS256","alg":"HS256"}"#, good()),
        (r#"{"alg":"HS256","kid":"a","kid":"a"}"#, good()),
        (
            r#"{"alg":"HS256"}"#,
            format!(r#"{{"exp":{exp},"sub":"ann","sub":"root"}}"#),
        ),
        (r#"{"alg":"HS256"}"#, format!(r#"{{"exp":1,"exp":{exp}}}"#)),
        (
            r#"{"alg":"HS256"}"#,
            format!(r#"{{"exp":{exp},"caps":{{"a":[],"a":["*"]}}}}"#),
        ),
    ] {
        let token = forge(header, &body, &key, Algorithm::HS256);
        assert_eq!(
            refusal(&authenticator, &token).unwrap().code(),
            ErrorCode::Unauthenticated,
            "{body}"
        );
    }
}

#[test]
fn an_issuer_is_named_exactly_and_only_its_own_keys_count() {
    let authenticator = authenticator(vec![
        issuer("https://a", shared()),
        issuer("https://a", pem(&P256)),
        issuer("https://b", pem(&P384)),
        any_issuer(pem(&ED25519)),
    ]);
    let by = |pair: &Pair, algorithm, iss: Option<&str>| {
        let body = iss.map_or_else(good, |iss| claims(json!({ "iss": iss })));
        refusal(&authenticator, &token_by(pair, algorithm, None, &body))
    };
    // Both keys of `a`: one is being rotated out.
    assert_eq!(
        refusal(
            &authenticator,
            &hs256(&claims(json!({ "iss": "https://a" })))
        ),
        None
    );
    assert_eq!(by(&P256, Algorithm::ES256, Some("https://a")), None);
    assert_eq!(by(&P384, Algorithm::ES384, Some("https://b")), None);
    // A key of another issuer.
    assert_eq!(
        by(&P384, Algorithm::ES384, Some("https://a")),
        Some(AuthError::Algorithm)
    );
    assert_eq!(
        by(&p256(), Algorithm::ES256, Some("https://a")),
        Some(AuthError::Signature)
    );
    assert_eq!(
        by(&ED25519, Algorithm::EdDSA, Some("https://a")),
        Some(AuthError::Algorithm)
    );
    // The entry without a name takes what no other names, and never what one does.
    assert_eq!(by(&ED25519, Algorithm::EdDSA, None), None);
    for other in [
        "https://A",
        "https://a/",
        "https://a ",
        "https://",
        "",
        "https://a\0",
        "https://c",
    ] {
        assert_eq!(by(&ED25519, Algorithm::EdDSA, Some(other)), None, "{other}");
        assert_eq!(
            by(&P256, Algorithm::ES256, Some(other)),
            Some(AuthError::Algorithm),
            "{other}"
        );
    }
}

#[test]
fn without_an_unnamed_entry_an_unknown_issuer_is_refused() {
    let named = authenticator(vec![issuer("https://a", shared())]);
    for iss in [
        json!("https://A"),
        json!("https://a/"),
        json!(""),
        json!("ttps://a"),
    ] {
        assert_eq!(
            refusal(&named, &hs256(&claims(json!({ "iss": iss })))),
            Some(AuthError::Issuer)
        );
    }
    assert_eq!(refusal(&named, &hs256(&good())), Some(AuthError::Issuer));
    let list = hs256(&claims(json!({ "iss": ["https://a"] })));
    assert!(matches!(
        refusal(&named, &list),
        Some(AuthError::Claim { claim: "iss", .. })
    ));
    assert_eq!(
        refusal(&authenticator(vec![]), &hs256(&good())),
        Some(AuthError::Issuer)
    );
}

#[test]
fn a_wrong_signature_is_said_before_what_the_claims_say() {
    let authenticator = authenticator(vec![any_issuer(shared())]);
    let expired = claims(json!({ "exp": NOW - 100 }));
    let forged = forge(
        r#"{"alg":"HS256"}"#,
        &expired,
        &secret(b"another"),
        Algorithm::HS256,
    );
    assert_eq!(refusal(&authenticator, &forged), Some(AuthError::Signature));
    assert_eq!(
        refusal(&authenticator, &hs256(&expired)),
        Some(AuthError::Expired { seconds: 100 })
    );
}

#[test]
fn reloading_changes_keys_and_rules_or_nothing() {
    let authenticator = authenticator(vec![any_issuer(shared())]);
    let token = hs256(&good());
    let bad = Config {
        issuers: vec![any_issuer(KeySource::Secret(vec![]))],
        ..Config::default()
    };
    assert!(authenticator.reload(bad).is_err());
    assert_eq!(refusal(&authenticator, &token), None);
    let other = Config {
        issuers: vec![any_issuer(pem(&P256))],
        ..Config::default()
    };
    authenticator.reload(other).unwrap();
    assert_eq!(refusal(&authenticator, &token), Some(AuthError::Algorithm));
    assert_eq!(
        refusal(
            &authenticator,
            &token_by(&P256, Algorithm::ES256, None, &good())
        ),
        None
    );
}

#[test]
fn no_error_or_debug_text_holds_a_token_or_secret() {
    let authenticator = authenticator(vec![any_issuer(shared()), any_issuer(pem(&RSA))]);
    let token = forge(
        r#"{"alg":"HS256","kid":"kid-in-token"}"#,
        &claims(json!({ "sub": "sub-in-token", "aud": "aud-in-token" })),
        &secret(SECRET),
        Algorithm::HS256,
    );
    let error = refusal(&authenticator, &token).unwrap();
    let said = format!("{error} {error:?} {authenticator:?}");
    let secret = String::from_utf8(SECRET.to_vec()).unwrap();
    for text in [
        "kid-in-token",
        "sub-in-token",
        "aud-in-token",
        &token,
        &secret,
        &format!("{SECRET:?}"),
    ] {
        assert!(!said.contains(text), "{said}");
    }
}
