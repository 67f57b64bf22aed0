//! The id of a session, unique without coordination.

use std::fmt;
use std::str::FromStr;

/// A session's id: two random numbers printed `n.n`, which is also Pusher's form of a socket id.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(u64, u64);

/// The text is not a session id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a session id looks like 123.456")]
pub struct SessionIdError;

impl SessionId {
    /// A new random id; 122 bits make it unguessable.
    ///
    /// # Errors
    /// The operating system's random source failed.
    pub fn random() -> Result<Self, getrandom::Error> {
        // 61 bits each, so that a number never has more than 19 digits.
        Ok(Self(getrandom::u64()? >> 3, getrandom::u64()? >> 3))
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0, self.1)
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for SessionId {
    type Err = SessionIdError;

    fn from_str(text: &str) -> Result<Self, SessionIdError> {
        let number = |part: &str| {
            let canonical = !part.is_empty()
                && part.bytes().all(|b| b.is_ascii_digit())
                && (part.len() == 1 || !part.starts_with('0'));
            canonical
                .then(|| part.parse().ok())
                .flatten()
                .ok_or(SessionIdError)
        };
        let (high, low) = text.split_once('.').ok_or(SessionIdError)?;
        Ok(Self(number(high)?, number(low)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_survives_its_text() {
        let id = SessionId::random().unwrap();
        assert_eq!(id.to_string().parse(), Ok(id));
        for bad in [
            "",
            ".",
            "1",
            "1.",
            "+1.2",
            "01.2",
            "1.2.3",
            "1.99999999999999999999",
        ] {
            assert_eq!(bad.parse::<SessionId>(), Err(SessionIdError), "{bad}");
        }
    }
}
