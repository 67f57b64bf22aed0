//! Keys and tokens for the tests: keys are made when first used, never stored.

mod server;

pub(super) use server::{Answer, KeyServer};

use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::FutureExt;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey};
use rcgen::{
    KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, PKCS_RSA_SHA256,
};
use serde_json::{Value, json};

use super::{AuthError, Authenticator, Config, Grant, IssuerConfig, KeySource};
use crate::clock::Now;

/// The tests' present, in Unix seconds.
pub(super) const NOW: u64 = 1_800_000_000;
/// A secret of good length.
pub(super) const SECRET: &[u8] = b"a secret of 32 bytes, for tests.";

/// A key pair in every form that is needed.
pub(super) struct Pair {
    pub(super) private: String,
    pub(super) public: String,
    pub(super) signing: EncodingKey,
    pub(super) jwk: Value,
}

pub(super) static RSA: LazyLock<Pair> = LazyLock::new(rsa);
pub(super) static P256: LazyLock<Pair> = LazyLock::new(p256);
pub(super) static P384: LazyLock<Pair> = LazyLock::new(|| {
    let pair = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap();
    let signing = EncodingKey::from_ec_pem(pair.serialize_pem().as_bytes()).unwrap();
    Pair::new(
        &pair,
        signing,
        &DecodingKey::from_ec_pem(pair.public_key_pem().as_bytes()).unwrap(),
    )
});
pub(super) static ED25519: LazyLock<Pair> = LazyLock::new(|| {
    let pair = KeyPair::generate_for(&PKCS_ED25519).unwrap();
    let signing = EncodingKey::from_ed_pem(pair.serialize_pem().as_bytes()).unwrap();
    Pair::new(
        &pair,
        signing,
        &DecodingKey::from_ed_pem(pair.public_key_pem().as_bytes()).unwrap(),
    )
});

/// A new RSA pair.
pub(super) fn rsa() -> Pair {
    let pair = KeyPair::generate_for(&PKCS_RSA_SHA256).unwrap();
    let signing = EncodingKey::from_rsa_pem(pair.serialize_pem().as_bytes()).unwrap();
    Pair::new(
        &pair,
        signing,
        &DecodingKey::from_rsa_pem(pair.public_key_pem().as_bytes()).unwrap(),
    )
}

/// A new P-256 pair.
pub(super) fn p256() -> Pair {
    let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    let signing = EncodingKey::from_ec_pem(pair.serialize_pem().as_bytes()).unwrap();
    Pair::new(
        &pair,
        signing,
        &DecodingKey::from_ec_pem(pair.public_key_pem().as_bytes()).unwrap(),
    )
}

impl Pair {
    fn new(pair: &KeyPair, signing: EncodingKey, public: &DecodingKey) -> Self {
        let jwk = Jwk::from_decoding_key(public, None).unwrap();
        Self {
            private: pair.serialize_pem(),
            public: pair.public_key_pem(),
            signing,
            jwk: serde_json::to_value(jwk).unwrap(),
        }
    }

    /// The public key as a JWK with these members besides.
    pub(super) fn jwk_with(&self, members: Value) -> Value {
        with(self.jwk.clone(), members)
    }

    /// The public key as a JWK named `id`.
    pub(super) fn named(&self, id: &str) -> Value {
        self.jwk_with(json!({ "kid": id }))
    }
}

/// The pair whose key fits `algorithm`, where it is not an HMAC.
pub(super) fn pair_for(algorithm: Algorithm) -> &'static Pair {
    match algorithm {
        Algorithm::ES256 => &P256,
        Algorithm::ES384 => &P384,
        Algorithm::EdDSA => &ED25519,
        _ => &RSA,
    }
}

/// A key set's JSON.
pub(super) fn key_set(keys: &[Value]) -> String {
    json!({ "keys": keys }).to_string()
}

/// A secret as a signing key.
pub(super) fn secret(secret: &[u8]) -> EncodingKey {
    EncodingKey::from_secret(secret)
}

/// Claims that are good now, with `more` in place of or besides them.
pub(super) fn claims(more: Value) -> String {
    with(
        json!({ "sub": "ann", "iat": NOW - 10, "exp": NOW + 600 }),
        more,
    )
    .to_string()
}

fn with(mut object: Value, more: Value) -> Value {
    let Value::Object(more) = more else {
        panic!("{more} is no object")
    };
    object.as_object_mut().unwrap().extend(more);
    object
}

/// A token with exactly this header and these claims, signed by `algorithm` whatever they say.
pub(super) fn forge(header: &str, claims: &str, key: &EncodingKey, algorithm: Algorithm) -> String {
    let signed = format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(header),
        URL_SAFE_NO_PAD.encode(claims)
    );
    let signature = jsonwebtoken::crypto::sign(signed.as_bytes(), key, algorithm).unwrap();
    format!("{signed}.{signature}")
}

/// A token by `pair`'s key, named `id` if it is given.
pub(super) fn token_by(
    pair: &Pair,
    algorithm: Algorithm,
    id: Option<&str>,
    claims: &str,
) -> String {
    let header = match id {
        Some(id) => json!({ "alg": format!("{algorithm:?}"), "kid": id }),
        None => json!({ "alg": format!("{algorithm:?}") }),
    };
    forge(&header.to_string(), claims, &pair.signing, algorithm)
}

/// A token by [`SECRET`] and HS256.
pub(super) fn hs256(claims: &str) -> String {
    forge(
        r#"{"alg":"HS256"}"#,
        claims,
        &secret(SECRET),
        Algorithm::HS256,
    )
}

/// Both clocks at [`NOW`].
pub(super) fn now() -> Now {
    Now {
        instant: Instant::now(),
        unix: Duration::from_secs(NOW),
    }
}

/// Both clocks `seconds` after [`NOW`].
pub(super) fn after(seconds: u64) -> Now {
    let ahead = Duration::from_secs(seconds);
    Now {
        instant: Instant::now() + ahead,
        unix: Duration::from_secs(NOW) + ahead,
    }
}

/// An entry that takes every algorithm of its key and tokens of any issuer.
pub(super) fn any_issuer(keys: KeySource) -> IssuerConfig {
    IssuerConfig {
        issuer: None,
        algorithms: vec![],
        keys,
    }
}

/// An entry for one issuer.
pub(super) fn issuer(name: &str, keys: KeySource) -> IssuerConfig {
    IssuerConfig {
        issuer: Some(name.into()),
        ..any_issuer(keys)
    }
}

/// The key source for [`SECRET`].
pub(super) fn shared() -> KeySource {
    KeySource::Secret(SECRET.to_vec())
}

/// The key source for a pair's public key.
pub(super) fn pem(pair: &Pair) -> KeySource {
    KeySource::Pem(pair.public.clone())
}

/// An authenticator with these entries.
pub(super) fn authenticator(issuers: Vec<IssuerConfig>) -> Arc<Authenticator> {
    Arc::new(
        Authenticator::new(Config {
            issuers,
            ..Config::default()
        })
        .unwrap(),
    )
}

/// What `authenticator` makes of `token` at `now`, which must be known at the first poll.
pub(super) fn at_once(
    authenticator: &Authenticator,
    token: &str,
    now: Now,
) -> Result<Grant, AuthError> {
    authenticator
        .authenticate(token, now)
        .now_or_never()
        .expect("no fetch is needed")
}

/// Why `authenticator` refuses `token` now, known at the first poll; `None`: it does not.
pub(super) fn refusal(authenticator: &Authenticator, token: &str) -> Option<AuthError> {
    at_once(authenticator, token, now()).err()
}
