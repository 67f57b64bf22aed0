//! Tokens that we sign ourselves.

use aws_lc_rs::encoding::{AsDer, EcPrivateKeyRfc5915Der};
use serde_json::json;

use super::*;
use crate::auth::ALGORITHM_NAMES;
use crate::auth::fixture::{
    ED25519, P256, P384, RSA, SECRET, any_issuer, at_once, authenticator, claims, now, pair_for,
    pem, shared,
};

#[test]
fn what_is_signed_is_taken_by_every_algorithm() {
    let entries = [pem(&RSA), pem(&P256), pem(&P384), pem(&ED25519), shared()];
    let authenticator = authenticator(entries.into_iter().map(any_issuer).collect());
    let body = claims(json!({ "jti": "t-1", "channels": ["a"] }));
    for name in ALGORITHM_NAMES {
        let algorithm: Algorithm = name.parse().unwrap();
        let key = if name.starts_with("HS") {
            SigningKey::Secret(SECRET)
        } else {
            SigningKey::Pem(&pair_for(algorithm).private)
        };
        let token = sign(&body, key, Some(algorithm), None).unwrap();
        let grant = at_once(&authenticator, &token, now()).unwrap();
        assert_eq!(grant.token_id.as_deref(), Some("t-1"), "{name}");
    }
}

#[test]
fn each_key_has_its_usual_algorithm_and_may_have_a_name() {
    let head = |key, id| {
        let token = sign("{}", key, None, id).unwrap();
        crate::auth::token::decode(token.split('.').next().unwrap()).unwrap()
    };
    for (key, name) in [
        (SigningKey::Secret(SECRET), "HS256"),
        (SigningKey::Pem(&RSA.private), "RS256"),
        (SigningKey::Pem(&P256.private), "ES256"),
        (SigningKey::Pem(&P384.private), "ES384"),
        (SigningKey::Pem(&ED25519.private), "EdDSA"),
    ] {
        assert_eq!(
            head(key, None),
            format!(r#"{{"typ":"JWT","alg":"{name}"}}"#)
        );
        assert!(head(key, Some("k-1")).contains(r#""kid":"k-1""#));
    }
}

#[test]
fn the_older_forms_of_private_keys_are_read_too() {
    let wrap = |label: &str, der: &[u8]| {
        format!(
            "-----BEGIN {label}-----\n{}\n-----END {label}-----\n",
            STANDARD.encode(der)
        )
    };
    let pair = EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).unwrap();
    let der: EcPrivateKeyRfc5915Der<'_> = pair.private_key().as_der().unwrap();
    let old = wrap("EC PRIVATE KEY", der.as_ref());
    assert!(sign("{}", SigningKey::Pem(&old), Some(Algorithm::ES384), None).is_ok());
    let pkcs1 = wrap("RSA PRIVATE KEY", RSA.signing.as_bytes());
    let authenticator = authenticator(vec![any_issuer(pem(&RSA))]);
    let token = sign(
        &claims(json!({})),
        SigningKey::Pem(&pkcs1),
        Some(Algorithm::PS384),
        None,
    )
    .unwrap();
    assert!(at_once(&authenticator, &token, now()).is_ok());
}

#[test]
fn what_cannot_be_signed_says_why() {
    let error =
        |claims, key, algorithm| sign(claims, key, algorithm, None).unwrap_err().to_string();
    let secret = SigningKey::Secret(SECRET);
    for bad in ["", "[]", "null", r#"{"a":1,"a":2}"#, "{"] {
        assert!(
            error(bad, secret, None).contains("not a JSON object"),
            "{bad}"
        );
    }
    assert!(error("{}", secret, Some(Algorithm::RS256)).contains("HS256, HS384, HS512"));
    assert!(
        error("{}", SigningKey::Pem(&P256.private), Some(Algorithm::ES384)).contains("takes ES256")
    );
    assert!(error("{}", SigningKey::Pem(&RSA.public), None).contains("not a private key"));
    assert!(error("{}", SigningKey::Secret(b""), None).contains("empty"));
    assert!(error("{}", SigningKey::Pem("hello"), None).contains("no PEM block"));
    let broken = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----";
    assert!(error("{}", SigningKey::Pem(broken), None).contains("not a key for"));
    assert_eq!(format!("{secret:?}"), "SigningKey");
}
