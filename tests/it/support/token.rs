//! Tokens as an application would sign them.

use std::time::{SystemTime, UNIX_EPOCH};

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Map, Value, json};

/// The test server's token secret.
pub const SECRET: &str = "a test secret that is long enough for any HMAC in the book, 64 bytes+";

/// The calendar in seconds.
pub fn unix_now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs()
}

/// A token in the making: valid for an hour, issued now.
#[derive(Debug, Clone)]
pub struct Token(Map<String, Value>);

impl Token {
    pub fn of(subject: &str) -> Self {
        Self(Map::new())
            .claim("sub", json!(subject))
            .claim("iat", json!(unix_now()))
            .claim("exp", json!(unix_now() + 3600))
    }

    /// One that may do everything.
    pub fn master(subject: &str) -> Self {
        Self::of(subject).claim("caps", json!({"**": ["*"]}))
    }

    pub fn claim(mut self, name: &str, value: Value) -> Self {
        self.0.insert(name.into(), value);
        self
    }

    pub fn without(mut self, name: &str) -> Self {
        self.0.remove(name);
        self
    }

    /// Expires so many seconds from now; the past is below 0.
    pub fn expires_in(self, seconds: i64) -> Self {
        let at = i64::try_from(unix_now()).unwrap() + seconds;
        self.claim("exp", json!(at))
    }

    pub fn sign(&self) -> String {
        self.sign_with(SECRET)
    }

    pub fn sign_with(&self, secret: &str) -> String {
        let key = EncodingKey::from_secret(secret.as_bytes());
        encode(&Header::new(Algorithm::HS256), &self.0, &key).unwrap()
    }
}
