//! `/app/{key}`: where Pusher's clients open their WebSockets.

use std::net::IpAddr;

use http::request::Parts;

use super::{Front, Ticket};
use crate::code::CloseCode;
use crate::edge::connection::Credential;
use crate::edge::handshake;
use crate::edge::response::{self, Answer, Refusal};

/// The app's key in the path of a WebSocket of Pusher's.
pub(in crate::edge) fn key_of(path: &str) -> Option<&str> {
    let key = path.strip_prefix("/app/")?;
    let key = key.strip_suffix('/').unwrap_or(key);
    (!key.contains('/')).then_some(key)
}

impl Front {
    /// Upgrades a client of the app `key`. One that is refused for its key or version is upgraded
    /// too: only a close code tells it not to come again.
    pub(super) fn upgrade_app(
        &self,
        head: &Parts,
        key: &str,
        address: IpAddr,
    ) -> Result<(Answer, Ticket), Refusal> {
        let origins = self.origins.load().for_pusher();
        let handshake = handshake::examine_app(head, &self.config, &origins)?;
        let permit = self.admit(address)?;
        let ticket = Ticket {
            address,
            encoding: handshake.encoding,
            deflate: handshake.extensions.is_some(),
            credential: self.app_credential(key, head.uri.query().unwrap_or_default()),
            permit,
        };
        Ok((response::switching(&handshake), ticket))
    }

    /// What the key and the query of a Pusher client come to, by whichever transport.
    pub(in crate::edge) fn app_credential(&self, key: &str, query: &str) -> Credential {
        let version = match version(query) {
            Ok(version) => version,
            Err(code) => return Credential::Refused(code),
        };
        match self.services.shared.apps.load().by_key(key) {
            Some(app) => Credential::App(app.clone(), version),
            None => Credential::Refused(CloseCode::Unauthenticated),
        }
    }
}

/// The protocol's version; the oldest clients do not say, and speak one that is served.
fn version(query: &str) -> Result<Option<u8>, CloseCode> {
    let mut pairs = query.split('&');
    let Some(text) = pairs.find_map(|pair| pair.strip_prefix("protocol=")) else {
        return Ok(None);
    };
    match text.parse::<u64>() {
        Ok(4..=7) => Ok(text.parse().ok()),
        Ok(_) => Err(CloseCode::Unsupported),
        Err(_) => Err(CloseCode::NoVersion),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_one_part_of_the_path() {
        assert_eq!(key_of("/app/k"), Some("k"));
        assert_eq!(key_of("/app/k/"), Some("k"));
        assert_eq!(key_of("/app/"), Some(""));
        for other in ["/app", "/app/k/x", "/apps/k", "/x/app/k"] {
            assert_eq!(key_of(other), None, "{other}");
        }
    }

    #[test]
    fn versions_from_four_on_are_served_and_none_too() {
        let query = |protocol| format!("client=js&protocol={protocol}&version=8.6.0&flash=false");
        assert_eq!(version(""), Ok(None));
        assert_eq!(version("client=js&version=1.8.6"), Ok(None));
        for served in 4..=7 {
            assert_eq!(version(&query(served)), Ok(Some(served)));
        }
        for other in [0, 1, 3, 8, 255] {
            assert_eq!(version(&query(other)), Err(CloseCode::Unsupported));
        }
        assert_eq!(version("protocol=300"), Err(CloseCode::Unsupported));
        assert_eq!(version("protocol=x"), Err(CloseCode::NoVersion));
        assert_eq!(version("protocol="), Err(CloseCode::NoVersion));
    }
}
