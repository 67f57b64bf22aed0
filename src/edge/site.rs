//! Plain HTTP that is somebody else's: a [`Site`] answers the requests for its paths. The edge has
//! already seen to whom they come from and how often, reads their body whole (bounded by
//! `edge.max_body_bytes` and `edge.body_deadline`) and says from whose page they are.

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, HOST, HeaderMap, ORIGIN, REFERER};
use http::request::Parts;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::{Body, Incoming};
use tokio::time::timeout;

use super::origin::Standing;
use super::response::{Answer, RETRY_OVERLOADED, Refusal};
use super::{Front, Origins};

/// How long a site may take. With the body's deadline it stays below what the connection has.
const SITE_DEADLINE: Duration = Duration::from_secs(8);

/// A site's answer, sooner or later; dropped when it takes too long.
pub type SiteFuture<'a> = Pin<Box<dyn Future<Output = Response<Bytes>> + Send + 'a>>;

/// Answers plain HTTP on some paths of the edge: one request, one answer.
pub trait Site: Send + Sync {
    /// Whether `path` is the site's: then it answers, whatever the method.
    fn has(&self, path: &str) -> bool;

    /// Answers a request for one of its paths.
    fn answer(&self, request: Request<Bytes>, visit: Visit) -> SiteFuture<'_>;
}

/// Who asks a site.
#[derive(Debug, Clone, Copy)]
pub struct Visit {
    /// The client's address, as believed through proxies.
    pub address: IpAddr,
    /// From whose page.
    pub page: Page,
}

/// Whose page asks, as far as the browser says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Page {
    /// No browser, or one that does not say.
    Unknown,
    /// Of an origin that `allowed_origins` names, or of this very host: its cookies count.
    Trusted,
    /// Of any other origin that may connect (`*`, `null`, or `allowed_origins` unset): it may use
    /// what it holds itself, no cookies.
    Open,
    /// Of an origin that may not.
    Foreign,
}

impl Page {
    /// What `Origin` says, or else `Referer`, or else `Sec-Fetch-Site`.
    pub(super) fn of(headers: &HeaderMap, origins: &Origins) -> Self {
        let host = only(headers, HOST.as_str()).unwrap_or_default();
        let fetched = only(headers, "sec-fetch-site");
        let origin = if headers.contains_key(ORIGIN) {
            // Several, or no text: no browser's.
            Some(only(headers, ORIGIN.as_str()).unwrap_or_default())
        } else {
            only(headers, REFERER.as_str()).map(origin_of)
        };
        let Some(origin) = origin else {
            return match fetched {
                None | Some("none") => Self::Unknown,
                Some("same-origin") => Self::Trusted,
                Some(_) => origins.standing("null", "").into(),
            };
        };
        match origins.standing(origin, host) {
            // The same name, but the browser knows of another scheme or port.
            Standing::Host if fetched.is_some_and(|fetched| fetched != "same-origin") => Self::Open,
            standing => standing.into(),
        }
    }
}

impl From<Standing> for Page {
    fn from(standing: Standing) -> Self {
        match standing {
            Standing::Named | Standing::Host => Self::Trusted,
            Standing::Open => Self::Open,
            Standing::Refused => Self::Foreign,
        }
    }
}

/// The origin in a page's address.
fn origin_of(address: &str) -> &str {
    let start = address.find("://").map_or(0, |at| at + 3);
    let end = address[start..].find(['/', '?', '#']);
    end.map_or(address, |end| &address[..start + end])
}

fn only<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().ok(),
        _ => None,
    }
}

impl Front {
    /// Asks the site whose path it is; `None`: nobody's.
    pub(super) async fn ask_site(
        &self,
        head: Parts,
        body: Incoming,
        address: IpAddr,
    ) -> Option<Result<Answer, Refusal>> {
        let path = head.uri.path();
        let site = self.services.sites.iter().find(|site| site.has(path))?;
        let body = match self.body(body).await {
            Ok(body) => body,
            Err(refusal) => return Some(Err(refusal)),
        };
        let page = Page::of(&head.headers, &self.origins());
        let visit = Visit { address, page };
        let answering = site.answer(Request::from_parts(head, body), visit);
        let answered = timeout(SITE_DEADLINE, answering).await;
        Some(match answered {
            Ok(response) => {
                let mut answer = response.map(super::response::Body::from);
                let close = HeaderValue::from_static("close");
                answer.headers_mut().insert(CONNECTION, close);
                Ok(answer)
            }
            Err(_) => Err(Refusal::unavailable(
                "This takes too long at present.",
                RETRY_OVERLOADED,
            )),
        })
    }

    /// Reads a body whole, within its bounds.
    pub(super) async fn body(&self, body: Incoming) -> Result<Bytes, Refusal> {
        const TOO_LONG: Refusal = Refusal::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "The body is longer than `edge.max_body_bytes`.",
        );
        let most = self.config.max_body_bytes;
        // Said before the client sends it all, where it says how much that will be.
        if body.size_hint().lower() > most as u64 {
            return Err(TOO_LONG);
        }
        let read = tokio::select! {
            read = Limited::new(body, most).collect() => read,
            () = self.out_of_time(self.config.body_deadline) => {
                let says = "The body did not come in time.";
                return Err(Refusal::new(StatusCode::REQUEST_TIMEOUT, says));
            }
        };
        match read {
            Ok(whole) => Ok(whole.to_bytes()),
            Err(error) if error.is::<LengthLimitError>() => Err(TOO_LONG),
            Err(_) => Err(Refusal::bad("The body is cut off or no HTTP.")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(origins: &Origins, headers: &[(&'static str, &str)]) -> Page {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        Page::of(&map, origins)
    }

    fn listed(rules: &[&str]) -> Origins {
        Origins::Listed(rules.iter().map(|rule| rule.parse().unwrap()).collect())
    }

    #[test]
    fn a_page_is_known_by_its_origin_or_else_its_address() {
        let origins = listed(&["https://good.com"]);
        for (value, expected) in [
            ("https://good.com", Page::Trusted),
            ("https://evil.com", Page::Foreign),
            ("http://here.test", Page::Trusted),
            ("null", Page::Foreign),
            ("", Page::Foreign),
        ] {
            let origin = [("host", "here.test"), ("origin", value)];
            assert_eq!(page(&origins, &origin), expected, "{value}");
            if value.contains("://") {
                for rest in ["", "/", "/a?b", "?https://good.com/", "#x"] {
                    let address = format!("{value}{rest}");
                    let referer = [("host", "here.test"), ("referer", &*address)];
                    assert_eq!(page(&origins, &referer), expected, "{address}");
                }
            }
        }
        // What an origin says stands, whatever stands beside it.
        let both = [
            ("origin", "https://evil.com"),
            ("referer", "https://good.com/"),
            ("sec-fetch-site", "same-origin"),
        ];
        assert_eq!(page(&origins, &both), Page::Foreign);
        let twice = [
            ("origin", "https://good.com"),
            ("origin", "https://good.com"),
        ];
        assert_eq!(page(&origins, &twice), Page::Foreign);
        let tricky = [("referer", "https://good.com@evil.com/")];
        assert_eq!(page(&origins, &tricky), Page::Foreign);
    }

    #[test]
    fn a_browser_without_either_says_how_near_the_page_is() {
        for (value, listed_page, unset) in [
            ("same-origin", Page::Trusted, Page::Trusted),
            ("same-site", Page::Foreign, Page::Open),
            ("cross-site", Page::Foreign, Page::Open),
            ("none", Page::Unknown, Page::Unknown),
        ] {
            let headers = [("host", "here.test"), ("sec-fetch-site", value)];
            assert_eq!(page(&listed(&["https://good.com"]), &headers), listed_page);
            assert_eq!(page(&Origins::Same, &headers), unset, "{value}");
        }
        assert_eq!(page(&Origins::Same, &[]), Page::Unknown);
    }

    #[test]
    fn the_same_name_under_another_scheme_is_not_the_same_origin() {
        let plain = [
            ("host", "here.test"),
            ("origin", "http://here.test"),
            ("sec-fetch-site", "cross-site"),
        ];
        assert_eq!(page(&Origins::Same, &plain), Page::Open);
        assert_eq!(page(&Origins::Same, &plain[..2]), Page::Trusted);
    }

    #[test]
    fn anyone_is_not_everyone_with_cookies() {
        let foreign = [("host", "here.test"), ("origin", "https://evil.com")];
        assert_eq!(page(&listed(&["*"]), &foreign), Page::Open);
        assert_eq!(page(&Origins::Same, &foreign), Page::Open);
        let null = [("host", "here.test"), ("origin", "null")];
        assert_eq!(page(&listed(&["null"]), &null), Page::Open);
        assert_eq!(page(&listed(&[]), &null), Page::Foreign);
        let both = listed(&["*", "https://evil.com"]);
        assert_eq!(page(&both, &foreign), Page::Trusted);
    }
}
