//! Texts that are never shown.

use std::fmt;

/// A secret's bytes. `Debug` does not show them.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Keeps `text`.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// A random one of 256 bits, in hexadecimal.
    ///
    /// # Errors
    /// The operating system's random source failed.
    pub fn random() -> Result<Self, getrandom::Error> {
        Self::of_bytes::<32>()
    }

    /// A random one of 80 bits, in hexadecimal: as long as Pusher's keys and secrets are.
    ///
    /// # Errors
    /// The operating system's random source failed.
    pub fn short() -> Result<Self, getrandom::Error> {
        Self::of_bytes::<10>()
    }

    fn of_bytes<const N: usize>() -> Result<Self, getrandom::Error> {
        let mut bytes = [0; N];
        getrandom::fill(&mut bytes)?;
        Ok(Self(
            bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
        ))
    }

    /// The text itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}
