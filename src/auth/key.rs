//! A key that checks signatures, and the algorithms that it may be used with. What a key is
//! decides that; a token cannot make an RSA key serve as an HMAC secret.

use aws_lc_rs::rsa::PublicKeyComponents;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, ParsedPublicKey,
    RSA_PKCS1_2048_8192_SHA256, RsaParameters,
};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey};

use super::token::Token;

/// Smallest and largest RSA key in bits.
const RSA_BITS: std::ops::RangeInclusive<u32> = 2048..=8192;
/// A secret as long as the hash (RFC 7518, 3.2); with a shorter one we only warn.
const GOOD_SECRET_BYTES: usize = 32;

/// Why a text is not a key that we can use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The secret is empty.
    #[error("the secret is empty")]
    EmptySecret,
    /// There is no PEM block.
    #[error("there is no PEM block (-----BEGIN …) in it")]
    NotPem,
    /// There is more than one block.
    #[error("there is more than one PEM block in it; give each key its own entry")]
    SeveralBlocks,
    /// A private key where a public one belongs.
    #[error(
        "it is a private key; checking tokens takes only the public one (`openssl pkey -pubout`)"
    )]
    Private,
    /// A public key where a private one belongs.
    #[error(
        "it is not a private key; signing takes one (PRIVATE KEY, RSA PRIVATE KEY or EC PRIVATE KEY)"
    )]
    Public,
    /// A certificate.
    #[error("it is a certificate; take its key out with `openssl x509 -pubkey -noout`")]
    Certificate,
    /// A PEM block of some other kind.
    #[error("it is a PEM block of another kind, not PUBLIC KEY or RSA PUBLIC KEY")]
    Label,
    /// A key of a type or curve that no algorithm of ours uses, or not a key at all.
    #[error("it is not a key for RSA, P-256, P-384 or Ed25519")]
    Unsupported,
    /// An RSA key that is too small or too large.
    #[error("it is an RSA key of {bits} bits; 2048 to 8192 are taken")]
    RsaSize {
        /// Its size.
        bits: u32,
    },
}

/// A key that checks signatures.
#[derive(Debug)]
pub(super) struct VerifyKey {
    algorithms: Vec<Algorithm>,
    key: DecodingKey,
}

impl VerifyKey {
    /// A shared secret.
    pub(super) fn from_secret(secret: &[u8]) -> Result<Self, KeyError> {
        if secret.is_empty() {
            return Err(KeyError::EmptySecret);
        }
        Ok(Self::new(DecodingKey::from_secret(secret)))
    }

    /// A public key in one PEM block.
    pub(super) fn from_pem(text: &str) -> Result<Self, KeyError> {
        match label(text)? {
            "PUBLIC KEY" | "RSA PUBLIC KEY" => {}
            "CERTIFICATE" => return Err(KeyError::Certificate),
            private if private.ends_with("PRIVATE KEY") => return Err(KeyError::Private),
            _ => return Err(KeyError::Label),
        }
        let pem = text.as_bytes();
        if let Ok(key) = DecodingKey::from_rsa_pem(pem) {
            return Self::from_rsa(key);
        }
        if let Ok(key) = DecodingKey::from_ec_pem(pem) {
            return Self::from_ec(key);
        }
        Self::from_ed(DecodingKey::from_ed_pem(pem).map_err(|_| KeyError::Unsupported)?)
    }

    /// An RSA key by modulus and exponent, big-endian.
    pub(super) fn from_rsa_numbers(n: &[u8], e: &[u8]) -> Result<Self, KeyError> {
        let trim = |number: &[u8]| {
            let zeros = number.iter().take_while(|byte| **byte == 0).count();
            number[zeros..].to_vec()
        };
        let (n, e) = (trim(n), trim(e));
        let bits = |number: &[u8]| {
            let first = number.first().map_or(0, |byte| byte.leading_zeros());
            u32::try_from(number.len() * 8)
                .unwrap_or(u32::MAX)
                .saturating_sub(first)
        };
        check_rsa_size(bits(&n))?;
        let odd = |number: &[u8]| number.last().is_some_and(|byte| byte % 2 == 1);
        let parsed =
            PublicKeyComponents { n: &n, e: &e }.to_parsed_public_key(&RSA_PKCS1_2048_8192_SHA256);
        // With the exponent 1 every signature would be its own message.
        if parsed.is_err() || !odd(&n) || !odd(&e) || bits(&e) < 2 || bits(&e) > 33 {
            return Err(KeyError::Unsupported);
        }
        Ok(Self::new(DecodingKey::from_rsa_raw_components(&n, &e)))
    }

    fn from_rsa(key: DecodingKey) -> Result<Self, KeyError> {
        let der = key.try_get_as_bytes().map_err(|_| KeyError::Unsupported)?;
        let bits = RsaParameters::public_modulus_len(der).map_err(|_| KeyError::Unsupported)?;
        check_rsa_size(bits)?;
        ParsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, der)
            .map_err(|_| KeyError::Unsupported)?;
        Ok(Self::new(key))
    }

    /// An elliptic-curve key; the length of its point tells the curve, and the point must be on it.
    pub(super) fn from_ec(key: DecodingKey) -> Result<Self, KeyError> {
        let point = key.try_get_as_bytes().map_err(|_| KeyError::Unsupported)?;
        let (algorithm, parsed) = match point.len() {
            65 => (
                Algorithm::ES256,
                ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point),
            ),
            97 => (
                Algorithm::ES384,
                ParsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, point),
            ),
            _ => return Err(KeyError::Unsupported),
        };
        parsed.map_err(|_| KeyError::Unsupported)?;
        Ok(Self {
            algorithms: vec![algorithm],
            key,
        })
    }

    /// An Ed25519 key.
    pub(super) fn from_ed(key: DecodingKey) -> Result<Self, KeyError> {
        let point = key.try_get_as_bytes().map_err(|_| KeyError::Unsupported)?;
        ParsedPublicKey::new(&ED25519, point).map_err(|_| KeyError::Unsupported)?;
        Ok(Self::new(key))
    }

    fn new(key: DecodingKey) -> Self {
        Self {
            algorithms: key.family().algorithms().to_vec(),
            key,
        }
    }

    /// The algorithms that it may be used with.
    pub(super) fn algorithms(&self) -> &[Algorithm] {
        &self.algorithms
    }

    /// The same key for `algorithm` alone; `None`: it does not fit.
    pub(super) fn only_for(mut self, algorithm: Algorithm) -> Option<Self> {
        self.algorithms.retain(|one| *one == algorithm);
        (!self.algorithms.is_empty()).then_some(self)
    }

    /// Whether the key signed `token`, by an algorithm that it may be used with.
    pub(super) fn verifies(&self, token: &Token<'_>) -> bool {
        let signed = token.signed().as_bytes();
        self.algorithms.contains(&token.algorithm)
            && jsonwebtoken::crypto::verify(token.signature(), signed, &self.key, token.algorithm)
                .unwrap_or(false)
    }

    /// Whether it is a secret that could be guessed from a token.
    pub(super) fn is_weak(&self) -> bool {
        let short = |secret: &[u8]| secret.len() < GOOD_SECRET_BYTES;
        self.key.family() == AlgorithmFamily::Hmac && self.key.try_get_as_bytes().is_ok_and(short)
    }
}

fn check_rsa_size(bits: u32) -> Result<(), KeyError> {
    if RSA_BITS.contains(&bits) {
        Ok(())
    } else {
        Err(KeyError::RsaSize { bits })
    }
}

/// The label of the only PEM block in `text`.
pub(super) fn label(text: &str) -> Result<&str, KeyError> {
    let mut blocks = text.split("-----BEGIN ").skip(1);
    let block = blocks.next().ok_or(KeyError::NotPem)?;
    if blocks.next().is_some() {
        return Err(KeyError::SeveralBlocks);
    }
    block
        .split_once("-----")
        .map(|(label, _)| label)
        .ok_or(KeyError::NotPem)
}

#[cfg(test)]
mod tests;
