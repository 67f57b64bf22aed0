//! The Pogo token of a request, and what it grants. Where it may be, in this order: the
//! `Authorization` header, the parameter `token` (body before query), the cookie `auth.cookie`.
//!
//! The first two are something the page holds. A cookie is sent along by the browser whoever asks,
//! so it counts only where the page is of an allowed or the same origin.

use http::HeaderMap;
use http::header::{AUTHORIZATION, COOKIE};

use super::super::answer::Refused;
use super::super::{Pusher, Visitor};
use crate::auth::{AuthError, Grant};
use crate::clock::Now;
use crate::protocol::pairs::Pairs;

/// Where a token is, if there is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found<'a> {
    None,
    Token(&'a str),
    /// More than one where there can be one: somebody may have slipped in another's.
    Ambiguous,
    /// A cookie that does not count here.
    Unusable,
}

impl Pusher {
    /// What the request's token grants. Refused tokens are counted for the address, and one that
    /// has had too many refused waits.
    pub(super) async fn grant(
        &self,
        headers: &HeaderMap,
        parameters: &Pairs,
        visitor: Visitor,
    ) -> Result<Grant, Refused> {
        let cookie = self.config.cookie.as_deref();
        let token = match find(headers, parameters, cookie, visitor.with_cookies) {
            Found::None => return Err(Refused::unauthorized("Send a token")),
            Found::Unusable => {
                return Err(Refused::unauthorized(
                    "Send a token: the cookie counts only from pages of `allowed_origins` or of \
                     this very origin",
                ));
            }
            Found::Token(token) => Some(token),
            Found::Ambiguous => None,
        };
        let limits = &self.services.limits;
        limits
            .may_present_token(visitor.address)
            .map_err(|wait| Refused::too_many("Too many refused tokens; wait", wait))?;
        let checked = match token {
            Some(token) => {
                let services = &self.services;
                let authenticator = &services.authenticator;
                authenticator
                    .authenticate_unrevoked(token, Now::read(), &services.shared.revocations)
                    .await
            }
            None => Err(AuthError::Malformed {
                why: "there are several",
            }),
        };
        checked.map_err(|error| {
            if error == AuthError::KeysUnavailable {
                // Nothing is wrong with the token, as far as we know.
                return Refused::unavailable("Tokens cannot be checked at present");
            }
            // This one is answered as what it is; the next finds the address barred.
            let _ = limits.failed_token(visitor.address);
            Refused::unauthorized("Send a valid token")
        })
    }
}

fn find<'a>(
    headers: &'a HeaderMap,
    parameters: &'a Pairs,
    cookie: Option<&str>,
    cookies_count: bool,
) -> Found<'a> {
    let header = one(headers.get_all(AUTHORIZATION).iter().filter_map(|line| {
        let (scheme, rest) = line.to_str().ok()?.split_once(' ')?;
        // Another scheme is somebody else's: a proxy's password, say.
        scheme.eq_ignore_ascii_case("bearer").then(|| rest.trim())
    }));
    if header != Found::None {
        return header;
    }
    if let Some(token) = parameters.get("token") {
        return Found::Token(token);
    }
    let Some(name) = cookie else {
        return Found::None;
    };
    match one(cookies(headers, name)) {
        Found::None => Found::None,
        _ if !cookies_count => Found::Unusable,
        found => found,
    }
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

fn one<'a>(mut found: impl Iterator<Item = &'a str>) -> Found<'a> {
    match (found.next(), found.next()) {
        (None, _) => Found::None,
        (Some(token), None) => Found::Token(token),
        (Some(_), Some(_)) => Found::Ambiguous,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::pairs::Plus;

    #[test]
    fn the_first_place_that_has_a_token_counts() {
        let mut headers = HeaderMap::new();
        let with = Pairs::read("token=parameter", Plus::Space).unwrap();
        let without = Pairs::default();
        let find = |headers: &HeaderMap, pairs: &Pairs, cookie, counts| {
            format!("{:?}", super::find(headers, pairs, cookie, counts))
        };
        assert_eq!(find(&headers, &without, Some("pogo"), true), "None");
        headers.append(COOKIE, "a=b; xpogo=no; pogo=\"cookie\"; c".parse().unwrap());
        assert_eq!(find(&headers, &without, None, true), "None");
        assert_eq!(find(&headers, &without, Some("pogo"), false), "Unusable");
        let cookie = find(&headers, &without, Some("pogo"), true);
        assert_eq!(cookie, "Token(\"cookie\")");
        let parameter = find(&headers, &with, Some("pogo"), false);
        assert_eq!(parameter, "Token(\"parameter\")");
        headers.append(AUTHORIZATION, "Basic eDp5".parse().unwrap());
        assert_eq!(find(&headers, &with, None, true), "Token(\"parameter\")");
        headers.append(AUTHORIZATION, "bearer header".parse().unwrap());
        assert_eq!(find(&headers, &with, None, true), "Token(\"header\")");
        headers.append(AUTHORIZATION, "Bearer another".parse().unwrap());
        assert_eq!(find(&headers, &with, None, true), "Ambiguous");
    }

    #[test]
    fn a_cookie_that_is_there_twice_is_nobodys() {
        let mut headers = HeaderMap::new();
        headers.append(COOKIE, "pogo=a".parse().unwrap());
        headers.append(COOKIE, "pogo=b".parse().unwrap());
        let pairs = Pairs::default();
        let found = find(&headers, &pairs, Some("pogo"), true);
        assert_eq!(found, Found::Ambiguous);
    }
}
