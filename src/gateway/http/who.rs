//! Who asks. A token is Pogo's, in `Authorization: Bearer` or in the cookie `auth.cookie`, which
//! counts only from trusted pages. Where the endpoint asks for nobody's credentials and shows its
//! upstream none, an `Authorization` that is no Pogo token is between the client and the API.

use std::sync::Arc;

use http::header::{AUTHORIZATION, COOKIE};
use http::{HeaderMap, HeaderValue};

use super::{Http, Visitor};
use crate::auth::{AuthError, Grant};
use crate::clock::Now;
use crate::code::ErrorCode;
use crate::gateway::failure;
use crate::resource::{AccessRule, Caller, Credentials, Endpoint, Failure};

/// Who asks.
#[derive(Debug, Clone)]
pub(super) struct Who {
    pub(super) caller: Arc<Caller>,
    /// What he says to the API itself.
    pub(super) own: Option<HeaderValue>,
    /// He was known by a cookie.
    pub(super) by_cookie: bool,
}

impl Http {
    /// Who asks something of `endpoint`.
    ///
    /// # Errors
    /// His token is refused, or none is there and one is needed.
    pub(super) async fn who(
        &self,
        endpoint: &Endpoint,
        headers: &HeaderMap,
        visitor: Visitor,
    ) -> Result<Who, Failure> {
        let is_open = endpoint.access == AccessRule::Public && endpoint.auth == Credentials::None;
        let mut lines = headers.get_all(AUTHORIZATION).iter();
        let line = match (lines.next(), lines.next()) {
            (Some(_), Some(_)) => return Err(unauthenticated("Send one token.")),
            (line, _) => line,
        };
        if let Some(line) = line {
            let granted = match bearer(line) {
                Some(token) if is_open => self.check(token).await.ok(),
                Some(token) => Some(self.grant(token, visitor).await?),
                None => None,
            };
            let own = (is_open && granted.is_none()).then(|| line.clone());
            self.may_ask(endpoint, granted.as_ref())?;
            return Ok(self.known(granted, own, visitor));
        }
        let cookie = self.cookie.as_deref().filter(|_| visitor.with_cookies);
        let mut tokens = cookie.into_iter().flat_map(|name| cookies(headers, name));
        let granted = match (tokens.next(), tokens.next()) {
            (Some(_), Some(_)) => return Err(unauthenticated("Send one cookie.")),
            (Some(token), None) => Some(self.grant(token, visitor).await?),
            (None, _) => None,
        };
        let by_cookie = granted.is_some();
        self.may_ask(endpoint, granted.as_ref())?;
        Ok(Who {
            by_cookie,
            ..self.known(granted, None, visitor)
        })
    }

    /// Refuses whoever shows no token where one is needed, whatever else he shows.
    fn may_ask(&self, endpoint: &Endpoint, grant: Option<&Grant>) -> Result<(), Failure> {
        let required = self.gateway().shared.settings.load().auth_required;
        if grant.is_none() && required && endpoint.access != AccessRule::Public {
            return Err(unauthenticated("Send a token."));
        }
        Ok(())
    }

    #[allow(clippy::unused_self, reason = "it reads as what it is")]
    fn known(&self, grant: Option<Grant>, own: Option<HeaderValue>, visitor: Visitor) -> Who {
        Who {
            caller: Arc::new(Caller {
                grant: grant.map(Arc::new),
                address: visitor.address,
                turn: 0,
            }),
            own,
            by_cookie: false,
        }
    }

    /// What a token grants. Refused ones are counted for the address, as in a handshake.
    async fn grant(&self, token: &str, visitor: Visitor) -> Result<Grant, Failure> {
        let limits = &self.services.limits;
        limits
            .may_present_token(visitor.address)
            .map_err(|wait| Failure {
                retry_after: Some(wait),
                ..failure::plain(
                    ErrorCode::RateLimited,
                    "Too many refused tokens from this address; wait.",
                )
            })?;
        match self.check(token).await {
            Ok(grant) => Ok(grant),
            Err(AuthError::KeysUnavailable) => Err(failure::unavailable(
                "Tokens cannot be checked at present.",
                None,
            )),
            Err(_) => {
                // This one is answered as what it is; the next finds the address barred.
                let _ = limits.failed_token(visitor.address);
                Err(unauthenticated("Send a valid token."))
            }
        }
    }

    async fn check(&self, token: &str) -> Result<Grant, AuthError> {
        let services = &self.services;
        let grant = services.authenticator.authenticate(token, Now::read());
        let grant = grant.await?;
        services.revocations.check(&grant)?;
        Ok(grant)
    }
}

fn unauthenticated(message: &'static str) -> Failure {
    failure::plain(ErrorCode::Unauthenticated, message)
}

fn bearer(line: &HeaderValue) -> Option<&str> {
    let (scheme, rest) = line.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| rest.trim())
}

fn cookies<'a>(headers: &'a HeaderMap, name: &str) -> impl Iterator<Item = &'a str> {
    let lines = headers.get_all(COOKIE).iter();
    let pairs = lines
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='));
    pairs
        .filter(move |(found, _)| *found == name)
        .map(|(_, value)| value.trim_matches('"'))
}
