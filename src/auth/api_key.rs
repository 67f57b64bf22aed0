//! A secret that a caller shows as it is: kept as its hash, compared in constant time.

use std::fmt;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{Digest, SHA256, digest};

/// The SHA-256 of a secret. Comparing hashes tells neither the secret's bytes nor its length by
/// the time that it takes.
#[derive(Clone)]
pub struct SecretHash(Digest);

impl SecretHash {
    /// The hash of `secret`.
    pub fn of(secret: &[u8]) -> Self {
        Self(digest(&SHA256, secret))
    }

    /// Whether `shown` is the secret.
    pub fn matches(&self, shown: &[u8]) -> bool {
        verify_slices_are_equal(self.0.as_ref(), digest(&SHA256, shown).as_ref()).is_ok()
    }
}

impl fmt::Debug for SecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretHash")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_secret_matches_and_nothing_shows_it() {
        let hash = SecretHash::of(b"s3cret");
        assert!(hash.matches(b"s3cret"));
        for bad in [&b""[..], b"s3cre", b"s3cret ", b"S3cret", b"s3cret\0"] {
            assert!(!hash.matches(bad));
        }
        assert_eq!(format!("{hash:?}"), "SecretHash");
    }
}
