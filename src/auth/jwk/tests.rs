//! Which key sets are taken and which of their keys.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::auth::fixture::{ED25519, P256, P384, RSA, key_set};

fn parse(keys: &[Value]) -> Result<KeySet, KeySetError> {
    KeySet::parse(key_set(keys).as_bytes(), 10)
}

/// Whether this key, alone in a set that is taken, is usable.
fn usable_one(key: Value) -> bool {
    parse(&[key]).unwrap().len() == 1
}

#[test]
fn a_key_is_found_by_its_id_and_only_for_its_algorithms() {
    use Algorithm::{ES256, ES384, EdDSA, HS256, PS512, RS256};
    let set = parse(&[
        RSA.named("r"),
        P256.named("p"),
        P384.named("q"),
        ED25519.named("e"),
    ])
    .unwrap();
    for (id, fits) in [
        ("r", vec![RS256, PS512]),
        ("p", vec![ES256]),
        ("q", vec![ES384]),
        ("e", vec![EdDSA]),
    ] {
        for algorithm in [RS256, PS512, ES256, ES384, EdDSA, HS256] {
            assert_eq!(
                set.find(Some(id), algorithm).is_some(),
                fits.contains(&algorithm),
                "{id}"
            );
        }
        assert!(set.has(id));
    }
    for id in ["", "R", "r ", "../../r", "r\0", "' OR 1=1 --"] {
        assert!(
            set.find(Some(id), RS256).is_none() && !set.has(id),
            "{id:?}"
        );
    }
}

#[test]
fn without_an_id_only_a_single_fitting_key_will_do() {
    use Algorithm::{ES256, RS256};
    let second = crate::auth::fixture::p256();
    let set = parse(&[RSA.named("r"), P256.named("p"), second.jwk.clone()]).unwrap();
    assert!(set.find(None, RS256).is_some());
    assert!(set.find(None, ES256).is_none(), "two keys fit");
    assert!(
        set.find(Some("second"), ES256).is_none(),
        "a key without an id goes by no id"
    );
    assert!(parse(&[second.jwk]).unwrap().find(None, ES256).is_some());
}

#[test]
fn alg_use_and_operations_limit_a_key() {
    use Algorithm::{PS256, RS256};
    let set = parse(&[RSA.jwk_with(json!({ "kid": "r", "alg": "PS256", "use": "sig" }))]).unwrap();
    assert!(set.find(Some("r"), PS256).is_some());
    assert!(set.find(Some("r"), RS256).is_none());
    for (more, usable) in [
        (json!({ "key_ops": ["verify"] }), true),
        (
            json!({ "key_ops": ["sign", "verify"], "x5c": ["ignored"], "x5u": "http://nowhere.invalid" }),
            true,
        ),
        (json!({ "use": "enc" }), false),
        (json!({ "use": 7 }), false),
        (json!({ "key_ops": ["encrypt"] }), false),
        (json!({ "key_ops": "verify" }), false),
        (json!({ "alg": "RSA-OAEP" }), false),
        (json!({ "alg": "HS256" }), false),
        (json!({ "alg": "ES256" }), false),
        (json!({ "alg": "none" }), false),
        (json!({ "alg": null }), false),
        (json!({ "n": "AQAB" }), false),
        (json!({ "n": 5 }), false),
        (json!({ "n": null }), false),
        (json!({ "e": "AQ" }), false),
        (json!({ "e": "AQAB=" }), false),
        (json!({ "kty": "rsa" }), false),
        (json!({ "kty": "EC", "crv": "P-256" }), false),
    ] {
        assert_eq!(usable_one(RSA.jwk_with(more.clone())), usable, "{more}");
    }
}

#[test]
fn a_point_must_be_on_the_curve_that_it_names() {
    assert!(usable_one(P256.jwk_with(json!({ "alg": "ES256" }))));
    for more in [
        json!({ "crv": "P-384" }),
        json!({ "crv": "secp256k1" }),
        json!({ "crv": null }),
        json!({ "alg": "ES384" }),
        json!({ "x": P256.jwk["y"] }),
        json!({ "y": "AAAA" }),
        json!({ "x": "AA", "y": "AA" }),
        json!({ "x": P384.jwk["x"], "y": P384.jwk["y"] }),
        json!({ "x": "_".repeat(43), "y": "A".repeat(43) }),
        json!({ "kty": "OKP" }),
    ] {
        assert!(!usable_one(P256.jwk_with(more.clone())), "{more}");
    }
    for more in [
        json!({ "crv": "X25519" }),
        json!({ "crv": "Ed448" }),
        json!({ "x": "AAAA" }),
        json!({ "x": null }),
    ] {
        assert!(!usable_one(ED25519.jwk_with(more.clone())), "{more}");
    }
}

#[test]
fn a_set_that_shows_a_private_key_is_refused_whole() {
    for name in PRIVATE {
        let key = P256.jwk_with(json!({ "kid": "x", name: "AAAA" }));
        assert_eq!(
            parse(&[RSA.named("r"), key]).err(),
            Some(KeySetError::Private),
            "{name}"
        );
    }
    let symmetric = json!({ "kty": "oct", "kid": "s", "alg": "HS256" });
    assert_eq!(
        parse(&[RSA.named("r"), symmetric]).err(),
        Some(KeySetError::Private)
    );
}

#[test]
fn a_set_that_gives_an_id_twice_is_refused_whole() {
    let unusable = P256.jwk_with(json!({ "kid": "a", "use": "enc" }));
    for keys in [
        [RSA.named("a"), P256.named("a")],
        [unusable, RSA.named("a")],
    ] {
        assert_eq!(parse(&keys).err(), Some(KeySetError::DuplicateKeyId));
    }
    assert!(
        parse(&[
            RSA.named("a"),
            P256.named("A"),
            P384.jwk.clone(),
            ED25519.jwk.clone()
        ])
        .is_ok()
    );
}

#[test]
fn what_is_no_key_set_is_refused() {
    for body in [
        "",
        "{}",
        "[]",
        "null",
        "<html>",
        r#"{"keys":{}}"#,
        r#"{"keys":[1]}"#,
        r#"{"keys":[{}]}"#,
        r#"{"keys":[{"kty":"RSA","kid":7}]}"#,
        r#"{"keys":[{"kty":7}]}"#,
        r#"{"keys":[]} trailing"#,
        r#"{"keys":[],"keys":[]}"#,
        r#"{"keys":[{"kty":"RSA","kty":"EC"}]}"#,
        r#"{"Keys":[]}"#,
    ] {
        assert_eq!(
            KeySet::parse(body.as_bytes(), 10).err(),
            Some(KeySetError::Form),
            "{body}"
        );
    }
    assert_eq!(
        KeySet::parse(b"{\"keys\":[\xff]}", 10).err(),
        Some(KeySetError::Form)
    );
    // An issuer may withdraw its last key.
    assert_eq!(parse(&[]).unwrap().len(), 0);
    let many: Vec<_> = (0..11).map(|n| P256.named(&n.to_string())).collect();
    assert_eq!(parse(&many).err(), Some(KeySetError::TooMany { limit: 10 }));
    assert_eq!(parse(&many[1..]).unwrap().len(), 10);
}

proptest! {
    #[test]
    fn no_body_makes_it_panic(body in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = KeySet::parse(&body, 10);
    }

    #[test]
    fn no_member_makes_it_panic(
        kty in "RSA|EC|OKP|oct", name in "n|e|x|y|crv|alg|use|kid", text in "[A-Za-z0-9_=-]{0,90}",
    ) {
        let key = RSA.jwk_with(json!({ "kty": kty, name: text, "crv": "P-256", "x": P256.jwk["x"] }));
        let _ = parse(&[key]);
    }
}
