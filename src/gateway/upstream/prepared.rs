//! A request as it is sent, once or more than once.

use http::{HeaderMap, HeaderName, Method};
use tokio::sync::oneshot;

use super::body::{Sent, watched, whole};
use super::{Asked, RequestBody, headers};

/// What can be sent, more than once where its body is there.
pub(super) struct Prepared {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) headers: HeaderMap,
    body: RequestBody,
    pub(super) idempotent: bool,
}

impl Prepared {
    /// `forward`: what clients may say beside what they always may.
    pub(super) fn new(asked: Asked, forward: &[HeaderName]) -> Self {
        Self {
            headers: headers::of_request(&asked, forward),
            idempotent: asked.idempotent || matches!(asked.method, Method::GET | Method::HEAD),
            method: asked.method,
            path: asked.path,
            body: asked.body,
        }
    }

    /// It changes nothing.
    pub(super) fn only_reads(&self) -> bool {
        matches!(self.method, Method::GET | Method::HEAD)
    }

    /// The body for this attempt; where it comes from a client, what says that it has been sent.
    pub(super) fn take_body(&mut self) -> (Sent, Option<oneshot::Receiver<()>>) {
        match &mut self.body {
            RequestBody::Whole(bytes) => (whole(bytes.clone()), None),
            RequestBody::Stream(_) => match std::mem::take(&mut self.body) {
                RequestBody::Stream(body) => {
                    let (body, sent) = watched(body);
                    (body, Some(sent))
                }
                RequestBody::Whole(bytes) => (whole(bytes), None),
            },
        }
    }
}
