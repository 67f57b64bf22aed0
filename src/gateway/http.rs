//! Plain HTTP on the covered uris: the same resources, access, cache and writes as over a socket,
//! with the API's own statuses, headers and bodies. Bodies go through as they come.
//!
//! Invariants: an answer to GET comes out of the cache's hands, so that nobody gets what is
//! another's; a write tells the same things to the same subscribers as one over a socket; nothing
//! waits for a client without a bound.

mod body;
mod cors;
mod give;
mod range;
mod read;
mod refuse;
mod who;
mod write;

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::header::ALLOW;
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};

use super::upstream::BoxError;
use super::{Gateway, failure};
use crate::auth::{Authenticator, Revocations};
use crate::limits::Limits;
use crate::resource::{Resource, ResourceKind, UriError, Verb};

/// A body as it comes.
pub type HttpBody = UnsyncBoxBody<Bytes, BoxError>;

/// Who asks, as the edge knows it.
#[derive(Debug, Clone, Copy)]
pub struct Visitor {
    /// The client's address.
    pub address: IpAddr,
    /// A page asks that may read the answer.
    pub may_read: bool,
    /// Its cookies count.
    pub with_cookies: bool,
    /// It is a page of an origin that is not allowed.
    pub foreign: bool,
}

/// What plain HTTP needs beside the gateway.
#[derive(Clone)]
#[allow(missing_docs, reason = "each is its type")]
pub struct HttpServices {
    pub gateway: Arc<Gateway>,
    pub authenticator: Arc<Authenticator>,
    pub revocations: Arc<Revocations>,
    pub limits: Arc<Limits>,
}

/// The gateway over plain HTTP.
pub struct Http {
    services: HttpServices,
    /// `auth.cookie`.
    cookie: Option<Box<str>>,
}

impl Http {
    /// `cookie`: the name of the cookie that may hold a token.
    pub fn new(services: HttpServices, cookie: Option<Box<str>>) -> Self {
        Self { services, cookie }
    }

    /// Whether an endpoint covers `uri`, or `uri` lies where one is and cannot be used.
    pub fn has(&self, uri: &Uri) -> bool {
        let found = self.gateway().routes().load().find(text(uri));
        !matches!(found, Ok(None) | Err(UriError::NotAbsolute))
    }

    /// Answers a request.
    pub async fn answer(&self, request: Request<HttpBody>, visitor: Visitor) -> Response<HttpBody> {
        // As a session's call: the end of the server waits for it, and there are only so many.
        let Ok(room) = Arc::clone(&self.gateway().waiting).try_acquire_owned() else {
            let message = "Too many wait for upstreams; try again later.";
            return refuse::of(&failure::unavailable(message, None));
        };
        let (head, body) = request.into_parts();
        let found = self.gateway().routes().load().find(text(&head.uri));
        let mut answer = match found {
            Err(error) => refuse::because(StatusCode::BAD_REQUEST, "bad_request", &error),
            Ok(None) => refuse::because(
                StatusCode::NOT_FOUND,
                "no_route",
                &"no endpoint covers this uri",
            ),
            Ok(Some(resource)) if head.method == Method::OPTIONS => {
                cors::preflight(&head.headers, &allowed(&resource), visitor)
            }
            Ok(Some(resource)) => match verb(&head.method, &resource) {
                None => not_allowed(&resource),
                Some(Verb::Index | Verb::Show) => {
                    // Nobody reads the body of a GET.
                    drop(body);
                    Box::pin(self.read(&resource, &head, visitor)).await
                }
                Some(_) if visitor.foreign => refuse::because(
                    StatusCode::FORBIDDEN,
                    "forbidden",
                    &"pages of this origin may not write; add it to `allowed_origins`",
                ),
                Some(verb) => {
                    let write = (resource, verb, room);
                    Box::pin(self.write(write, &head, body, visitor)).await
                }
            },
        };
        cors::allow(&head.headers, visitor, answer.headers_mut());
        answer
    }

    fn gateway(&self) -> &Arc<Gateway> {
        &self.services.gateway
    }
}

/// Path and query as the client wrote them.
fn text(uri: &Uri) -> &str {
    uri.path_and_query().map_or("/", |whole| whole.as_str())
}

/// What a method is on a resource; none: it may not be used there.
fn verb(method: &Method, resource: &Resource) -> Option<Verb> {
    let verb = match (method, resource.kind) {
        (&Method::GET | &Method::HEAD, ResourceKind::Collection) => Verb::Index,
        (&Method::GET | &Method::HEAD, ResourceKind::Item) => Verb::Show,
        (&Method::POST, ResourceKind::Collection) => Verb::Create,
        (&Method::PUT | &Method::PATCH, ResourceKind::Item) => Verb::Update,
        (&Method::DELETE, ResourceKind::Item) => Verb::Delete,
        _ => return None,
    };
    resource.endpoint.methods.contains(&verb).then_some(verb)
}

/// The methods of a resource, as `Allow` has them.
fn allowed(resource: &Resource) -> String {
    let all = [
        Method::GET,
        Method::HEAD,
        Method::POST,
        Method::PUT,
        Method::PATCH,
        Method::DELETE,
    ];
    let allowed = all.iter().filter(|method| verb(method, resource).is_some());
    let mut names: Vec<&str> = allowed.map(Method::as_str).collect();
    names.push("OPTIONS");
    names.join(", ")
}

fn not_allowed(resource: &Resource) -> Response<HttpBody> {
    let mut answer = refuse::because(
        StatusCode::METHOD_NOT_ALLOWED,
        "bad_request",
        &"the endpoint of this uri does not take this method",
    );
    if let Ok(allow) = HeaderValue::try_from(allowed(resource)) {
        answer.headers_mut().insert(ALLOW, allow);
    }
    answer
}

/// A body that is there.
fn whole(bytes: impl Into<Bytes>) -> HttpBody {
    let body = Full::new(bytes.into());
    body.map_err(|never| match never {}).boxed_unsync()
}

impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http").finish_non_exhaustive()
    }
}

impl fmt::Debug for HttpServices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpServices").finish_non_exhaustive()
    }
}
