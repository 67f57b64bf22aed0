//! The negotiation of permessage-deflate (RFC 7692, 7.1): the first offer that can be honoured is
//! granted. An offer with a parameter that is unknown, there twice or out of range is not.

use crate::protocol::deflate::WINDOW_BITS;

const NAME: &str = "permessage-deflate";
const GRANTED: &str = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
/// The answer to an offer that bounds our window.
const GRANTED_BOUNDED: &str = "permessage-deflate; server_no_context_takeover; \
     client_no_context_takeover; server_max_window_bits=12";
const _: () = assert!(WINDOW_BITS == 12, "as the answer says");

/// What an offer may hold, in the order of [`Offer::seen`].
const PARAMETERS: [&str; 4] = [
    "server_no_context_takeover",
    "client_no_context_takeover",
    "server_max_window_bits",
    "client_max_window_bits",
];
const SERVER_MAX_WINDOW_BITS: usize = 2;

/// The header is not what RFC 6455, 9.1 says it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Malformed;

/// What to answer to the header's lines; `None`: no extension.
///
/// # Errors
/// They are malformed, for which the RFC has the handshake fail.
pub(super) fn grant<'a>(
    lines: impl Iterator<Item = &'a [u8]>,
) -> Result<Option<&'static str>, Malformed> {
    let mut granted = None;
    for line in lines {
        let mut reader = Reader(line);
        // Empty elements of a list count for nothing (RFC 9110, 5.6.1).
        while reader.takes(b',') || !reader.0.is_empty() {
            if matches!(reader.0.first(), None | Some(b',')) {
                continue;
            }
            let answer = reader.extension()?;
            granted = granted.or(answer);
            if !matches!(reader.0.first(), None | Some(b',')) {
                return Err(Malformed);
            }
        }
    }
    Ok(granted)
}

/// The parameters of an offer, as far as they are read.
#[derive(Default)]
struct Offer {
    seen: [bool; PARAMETERS.len()],
    declined: bool,
}

impl Offer {
    fn add(&mut self, name: &str, value: Option<&str>) {
        let known = PARAMETERS.iter().position(|known| *known == name);
        let Some(index) = known.filter(|index| !self.seen[*index]) else {
            self.declined = true;
            return;
        };
        self.seen[index] = true;
        let is_fine = match (PARAMETERS[index], value) {
            ("server_max_window_bits", Some(bits)) => {
                window_bits(bits).is_some_and(|bits| bits >= WINDOW_BITS)
            }
            // How far its own messages look back is the client's matter: our window is the
            // largest.
            ("client_max_window_bits", Some(bits)) => window_bits(bits).is_some(),
            ("server_max_window_bits", None) => false,
            (_, value) => value.is_none(),
        };
        self.declined |= !is_fine;
    }

    fn answer(&self) -> Option<&'static str> {
        let answer = match self.seen[SERVER_MAX_WINDOW_BITS] {
            true => GRANTED_BOUNDED,
            false => GRANTED,
        };
        (!self.declined).then_some(answer)
    }
}

/// 8 to 15, without leading zeros.
fn window_bits(text: &str) -> Option<u8> {
    (8..=15).find(|bits: &u8| bits.to_string() == text)
}

/// The rest of a line.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// Reads one extension with its parameters: what to answer to it.
    fn extension(&mut self) -> Result<Option<&'static str>, Malformed> {
        let name = self.token()?;
        let mut offer = Offer::default();
        while self.takes(b';') {
            let parameter = self.token()?;
            let value = self.takes(b'=').then(|| self.value()).transpose()?;
            offer.add(parameter, value.as_deref());
        }
        Ok(offer.answer().filter(|_| name == NAME))
    }

    /// Reads a token, and the white space behind it.
    fn token(&mut self) -> Result<&'a str, Malformed> {
        let rest = self.0.iter().position(|byte| !is_token(*byte));
        let (token, rest) = self.0.split_at(rest.unwrap_or(self.0.len()));
        self.0 = rest.trim_ascii_start();
        let text = std::str::from_utf8(token).map_err(|_| Malformed)?;
        if text.is_empty() {
            return Err(Malformed);
        }
        Ok(text)
    }

    /// Reads a token that may stand in quotes, and the white space behind it.
    fn value(&mut self) -> Result<String, Malformed> {
        let Some(mut rest) = self.0.strip_prefix(b"\"") else {
            return self.token().map(str::to_owned);
        };
        let mut value = String::new();
        loop {
            let (byte, behind) = match rest {
                [b'\\', byte, behind @ ..] => (*byte, behind),
                [b'"', behind @ ..] if !value.is_empty() => {
                    self.0 = behind.trim_ascii_start();
                    return Ok(value);
                }
                [byte, behind @ ..] => (*byte, behind),
                [] => return Err(Malformed),
            };
            if !is_token(byte) {
                return Err(Malformed);
            }
            value.push(char::from(byte));
            rest = behind;
        }
    }

    /// Takes `byte` and the white space around it, if it comes next.
    fn takes(&mut self, byte: u8) -> bool {
        self.0 = self.0.trim_ascii_start();
        let Some((_, rest)) = self.0.split_first().filter(|(first, _)| **first == byte) else {
            return false;
        };
        self.0 = rest.trim_ascii_start();
        true
    }
}

/// RFC 9110, 5.6.2.
const fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~'
        )
}

#[cfg(test)]
mod tests;
