//! What happens to a request for a fallback transport: from its path to its answer.

use std::io;
use std::net::IpAddr;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::{Method, StatusCode};
use hyper::body::Incoming;
use socket2::SockRef;
use tokio::time::timeout;

use super::path::{Action, Path, Route};
use super::receiver::{Family, Receiver};
use super::session::{Pending, Session};
use super::{answer, sockjs, wire};
use crate::edge::response::{self, Answer, Refusal};
use crate::edge::{Connection, Front, Origins, Page, Stream};
use crate::protocol::Encoding;

/// What the kernel takes for a session on its way to or from its worker, about twice that.
const LINE_BYTES: usize = 16 * 1024;
/// How long what a client sends may wait for its session to take what was sent before.
const SEND_DEADLINE: Duration = Duration::from_secs(5);

const FOREIGN: Refusal = Refusal::new(
    StatusCode::FORBIDDEN,
    "Pages of this origin may not connect; add it to `allowed_origins`.",
);
pub(super) const UNKNOWN: Refusal =
    Refusal::new(StatusCode::NOT_FOUND, "There is no such session.");
pub(super) const FULL: Refusal = Refusal::unavailable(
    "This node has no room for another fallback session.",
    response::RETRY_OVERLOADED,
);

impl Front {
    /// Answers a request for a fallback transport.
    ///
    /// # Errors
    /// The path is none of theirs.
    pub(in crate::edge) async fn fall_back(
        &self,
        head: &Parts,
        body: Incoming,
        address: IpAddr,
    ) -> Result<Answer, Refusal> {
        let path = Path::parse(head.uri.path()).ok_or(UNKNOWN)?;
        let family = match path {
            Path::Session(route) => route.family,
            _ => Family::SockJs,
        };
        let origins = self.origins();
        if Page::of(&head.headers, &origins) == Page::Foreign {
            return Err(FOREIGN);
        }
        let answered = self.answer_at(path, head, body, address).await;
        let mut answer = answered.unwrap_or_else(Refusal::answer);
        let listed = matches!(*origins, Origins::Listed(_));
        answer::readable(&mut answer, &head.headers, family, listed);
        Ok(answer)
    }

    async fn answer_at(
        &self,
        path: Path<'_>,
        head: &Parts,
        body: Incoming,
        address: IpAddr,
    ) -> Result<Answer, Refusal> {
        let route = match path {
            Path::Session(route) => route,
            path => {
                self.one_request(address)?;
                return sockjs::about(path, head);
            }
        };
        let wants = match route.action {
            Action::Jsonp | Action::EventSource | Action::HtmlFile => Method::GET,
            _ => Method::POST,
        };
        match &head.method {
            method if *method == wants => {}
            &Method::OPTIONS => {
                // A browser asks so before each request to a new address, which they all are.
                let session = self.fallback.find(route.id);
                if !session.is_some_and(|session| session.may_preflight()) {
                    self.one_request(address)?;
                }
                return Ok(answer::preflight());
            }
            _ => {
                self.one_request(address)?;
                let says = "Use the method of the transport: POST, or GET for scripts.";
                return Err(Refusal::new(StatusCode::METHOD_NOT_ALLOWED, says));
            }
        }
        match route.action {
            Action::XhrSend | Action::JsonpSend => self.take(route, body, address).await,
            _ => {
                let receiver = receiver(route.action, head)?;
                // What nobody reads would hide that the client has gone.
                self.body(body).await?;
                self.receive(route, &receiver, head, address)
            }
        }
    }

    /// Lets a request receive; the first opens the session.
    fn receive(
        &self,
        route: Route<'_>,
        receiver: &Receiver,
        head: &Parts,
        address: IpAddr,
    ) -> Result<Answer, Refusal> {
        let session = match self.fallback.find(route.id) {
            Some(session) => {
                session.came();
                if !session.is_earned() {
                    self.one_request(address)?;
                }
                session
            }
            None => self.open(route, head.uri.query().unwrap_or_default(), address)?,
        };
        Ok(match session.attach(receiver.clone()) {
            Some(receiving) => answer::live(receiver, receiving),
            None => {
                let busy = wire::close(2010, "Another connection still open");
                let kind = receiver.content_type();
                answer::whole(StatusCode::OK, kind, receiver.wrap(&busy))
            }
        })
    }

    fn open(
        &self,
        route: Route<'_>,
        query: &str,
        address: IpAddr,
    ) -> Result<Arc<Session>, Refusal> {
        let permit = self.admit(address)?;
        let pending = Pending { address, permit };
        let session = match self.fallback.open(route.family, route.id, pending) {
            Ok(session) => session,
            Err(there) => return there.ok_or(FULL),
        };
        if let Some(key) = route.key {
            self.begin(&session, key, query)?;
        }
        Ok(session)
    }

    /// Begins a worker's session for a fallback session that has none.
    fn begin(&self, session: &Session, key: &str, query: &str) -> Result<(), Refusal> {
        let Some(Pending { address, permit }) = session.take_pending() else {
            return Ok(());
        };
        let (ours, theirs) = line().map_err(|error| {
            tracing::warn!(%error, "no line to a worker");
            session.abandon();
            FULL
        })?;
        let connection = Connection {
            stream: Stream::Local(theirs),
            early: Bytes::new(),
            address,
            encoding: Encoding::Pusher,
            deflate: false,
            credential: self.app_credential(key, query),
            permit,
        };
        if self.services.sessions.adopt(connection).is_err() {
            session.abandon();
            return Err(FULL);
        }
        session.connect(ours);
        Ok(())
    }

    /// Takes what a client sends.
    async fn take(
        &self,
        route: Route<'_>,
        body: Incoming,
        address: IpAddr,
    ) -> Result<Answer, Refusal> {
        let Some(session) = self.fallback.find(route.id) else {
            self.one_request(address)?;
            return Err(UNKNOWN);
        };
        session.came();
        let body = self.body(body).await?;
        let Ok(messages) = sockjs::messages(route.action, &body) else {
            self.one_request(address)?;
            let says = match body.is_empty() {
                true => "Payload expected.",
                false => "Broken JSON encoding.",
            };
            // As SockJS has it.
            return Ok(answer::whole(
                StatusCode::INTERNAL_SERVER_ERROR,
                answer::PLAIN,
                says,
            ));
        };
        if messages.is_empty() {
            self.one_request(address)?;
        }
        if let Err(refusal) = self.pass_on(&session, &messages).await {
            // Nobody counts as commands what nobody takes.
            self.one_request(address)?;
            return Err(refusal);
        }
        Ok(match route.action {
            Action::JsonpSend => {
                answer::whole(StatusCode::OK, answer::PLAIN, Bytes::from_static(b"ok"))
            }
            _ => answer::done(),
        })
    }

    /// Gives the session what its client sends. Over SockJS the first message says which app it
    /// is, and goes no further.
    pub(super) async fn pass_on(
        &self,
        session: &Session,
        mut messages: &[String],
    ) -> Result<(), Refusal> {
        if let Some((first, rest)) = messages.split_first()
            && session.is_pending()
        {
            match sockjs::app_of(first) {
                Some((key, query)) => self.begin(session, &key, &query)?,
                None => session.send_away(),
            }
            if rest.is_empty() {
                return Ok(());
            }
            messages = rest;
        }
        match timeout(SEND_DEADLINE, session.send(messages)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(UNKNOWN),
            Err(_) => Err(Refusal::unavailable(
                "The session has not taken what was sent before.",
                Duration::from_secs(1),
            )),
        }
    }
}

/// A pair of sockets that hold little.
fn line() -> io::Result<(UnixStream, UnixStream)> {
    let (ours, theirs) = UnixStream::pair()?;
    for end in [&ours, &theirs] {
        end.set_nonblocking(true)?;
        SockRef::from(end).set_send_buffer_size(LINE_BYTES)?;
    }
    Ok((ours, theirs))
}

/// How the request of `action` receives.
fn receiver(action: Action, head: &Parts) -> Result<Receiver, Refusal> {
    Ok(match action {
        Action::Xhr => Receiver::Polling,
        Action::EventSource => Receiver::EventSource,
        Action::Jsonp => Receiver::Jsonp(sockjs::callback(head)?),
        Action::HtmlFile => Receiver::HtmlFile(sockjs::callback(head)?),
        Action::XhrStreaming | Action::XhrSend | Action::JsonpSend => Receiver::Streaming,
    })
}
