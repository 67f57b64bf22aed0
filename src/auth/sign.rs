//! Signing tokens: for `pogo token new`, `--dev` and tests. A server only checks them.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair,
    EcdsaSigningAlgorithm, Ed25519KeyPair, RsaKeyPair,
};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::value::RawValue;

use super::json::Object;
use super::key::{KeyError, label};

/// What signs.
#[derive(Clone, Copy)]
pub enum SigningKey<'a> {
    /// A shared secret: HS256 (the default), HS384, HS512.
    Secret(&'a [u8]),
    /// A private key in PEM: RSA (RS256 by default), P-256, P-384 or Ed25519.
    Pem(&'a str),
}

impl std::fmt::Debug for SigningKey<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SigningKey")
    }
}

/// Why nothing was signed.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// The key cannot be read.
    #[error("the signing key: {0}")]
    Key(#[from] KeyError),
    /// The key does not fit the algorithm that was asked for.
    #[error("the signing key does not fit the algorithm; it takes {fitting}")]
    Algorithm {
        /// What would fit.
        fitting: String,
    },
    /// The claims are not a JSON object with unique names.
    #[error("the claims are not a JSON object with unique names")]
    Claims,
    /// The signature could not be made.
    #[error("the signature could not be made")]
    Failed(#[source] jsonwebtoken::errors::Error),
}

/// Signs `claims` (a JSON object, used as it is). Without an `algorithm` the key's usual one.
///
/// # Errors
/// [`SignError`]
pub fn sign(
    claims: &str,
    key: SigningKey<'_>,
    algorithm: Option<Algorithm>,
    key_id: Option<&str>,
) -> Result<String, SignError> {
    Object::parse(claims).ok_or(SignError::Claims)?;
    let claims: &RawValue = serde_json::from_str(claims).map_err(|_| SignError::Claims)?;
    let (key, fitting) = match key {
        SigningKey::Secret([]) => return Err(KeyError::EmptySecret.into()),
        SigningKey::Secret(secret) => {
            let key = EncodingKey::from_secret(secret);
            let fitting = key.family().algorithms().to_vec();
            (key, fitting)
        }
        SigningKey::Pem(text) => private_key(text)?,
    };
    let algorithm = algorithm.unwrap_or(fitting[0]);
    if !fitting.contains(&algorithm) {
        let names: Vec<_> = fitting.iter().map(|one| format!("{one:?}")).collect();
        return Err(SignError::Algorithm {
            fitting: names.join(", "),
        });
    }
    let header = Header {
        kid: key_id.map(ToOwned::to_owned),
        ..Header::new(algorithm)
    };
    jsonwebtoken::encode(&header, &claims, &key).map_err(SignError::Failed)
}

/// A private key and the algorithms that it fits, its usual one first.
fn private_key(pem: &str) -> Result<(EncodingKey, Vec<Algorithm>), KeyError> {
    if !matches!(
        label(pem)?,
        "PRIVATE KEY" | "RSA PRIVATE KEY" | "EC PRIVATE KEY"
    ) {
        return Err(KeyError::Public);
    }
    let der = body(pem).ok_or(KeyError::NotPem)?;
    let rsa = RsaKeyPair::from_pkcs8(&der).or_else(|_| RsaKeyPair::from_der(&der));
    if rsa.is_ok() {
        let key = EncodingKey::from_rsa_pem(pem.as_bytes()).map_err(|_| KeyError::Unsupported)?;
        let fitting = key.family().algorithms().to_vec();
        return Ok((key, fitting));
    }
    if Ed25519KeyPair::from_pkcs8(&der).is_ok() {
        return Ok((EncodingKey::from_ed_der(&der), vec![Algorithm::EdDSA]));
    }
    // Both PKCS #8 and the older form of `openssl ecparam -genkey`.
    let curve = |curve: &'static EcdsaSigningAlgorithm| {
        let pair = EcdsaKeyPair::from_private_key_der(curve, &der).ok()?;
        Some(EncodingKey::from_ec_der(pair.to_pkcs8v1().ok()?.as_ref()))
    };
    if let Some(key) = curve(&ECDSA_P256_SHA256_FIXED_SIGNING) {
        return Ok((key, vec![Algorithm::ES256]));
    }
    let key = curve(&ECDSA_P384_SHA384_FIXED_SIGNING).ok_or(KeyError::Unsupported)?;
    Ok((key, vec![Algorithm::ES384]))
}

/// What the only PEM block holds.
fn body(pem: &str) -> Option<Vec<u8>> {
    let (_, rest) = pem.split_once("-----BEGIN ")?.1.split_once("-----")?;
    let (text, _) = rest.split_once("-----END")?;
    STANDARD
        .decode(text.split_whitespace().collect::<String>())
        .ok()
}

#[cfg(test)]
mod tests;
