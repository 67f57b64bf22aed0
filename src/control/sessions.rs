//! `pogo.v1.Sessions`.
//!
//! To callers a session's id is any text: one that no session can have is one that is not
//! connected.

use tonic::{Request, Response, Status};

use super::check::{self, Check};
use super::page::Page;
use super::proto::sessions_server::Sessions;
use super::proto::{
    DeleteRevocationRequest, DeleteRevocationResponse, GetSessionRequest, GetSessionResponse,
    ListRevocationsRequest, ListRevocationsResponse, ListSessionsRequest, ListSessionsResponse,
    RevokeSessionsRequest, RevokeSessionsResponse, SendToSessionRequest, SendToSessionResponse,
    SubscribeSessionRequest, SubscribeSessionResponse, UnsubscribeSessionRequest,
    UnsubscribeSessionResponse, revoke_sessions_request, subscribe_session_request,
    unsubscribe_session_request,
};
use super::{Service, convert, status};
use crate::auth::{MAX_TOKEN_BYTES, RevocationTarget};
use crate::clock::Now;
use crate::hub::{SessionAction, SessionFilter, SessionInfo};

/// What a session is told that the server unsubscribes without a reason.
const UNSUBSCRIBED: &str = "unsubscribed by the server";

#[tonic::async_trait]
impl Sessions for Service {
    async fn list_sessions(
        &self,
        request: Request<ListSessionsRequest>,
    ) -> Result<Response<ListSessionsResponse>, Status> {
        let request = request.into_inner();
        let subject = request.subject.filter(|text| !text.is_empty());
        let channel = request.channel.filter(|text| !text.is_empty());
        let address = request.address.filter(|text| !text.is_empty());
        let list = format!("sessions {subject:?} {channel:?} {address:?}");

        let mut check = Check::default();
        let channel = channel.and_then(|name| check.channel("channel", &name));
        let channel = channel.and_then(|name| check.take("channel", self.node.canonical(name)));
        let range = address.and_then(|text| check.take("address", check::range(&text)));
        check.done()?;
        let filter = SessionFilter {
            subject: subject.map(Into::into),
            channel,
            addresses: range.into_iter().collect(),
            ..SessionFilter::default()
        };
        let page = Page::new(list, request.page_size, &request.page_token, &self.limits)?;
        let sessions = self
            .node
            .sessions(filter, page.after().parse().ok(), page.read())
            .await;
        let node = self.node.identity().id;
        let rows = sessions
            .into_iter()
            .map(|info| convert::session(info, &node))
            .collect();
        let (sessions, next_page_token) = page.cut(rows, |session| &session.id);
        Ok(Response::new(ListSessionsResponse {
            sessions,
            next_page_token,
        }))
    }

    async fn get_session(
        &self,
        request: Request<GetSessionRequest>,
    ) -> Result<Response<GetSessionResponse>, Status> {
        let info = self.session("id", &request.into_inner().id).await?;
        let session = convert::session(info, &self.node.identity().id);
        Ok(Response::new(GetSessionResponse {
            session: Some(session),
        }))
    }

    async fn revoke_sessions(
        &self,
        request: Request<RevokeSessionsRequest>,
    ) -> Result<Response<RevokeSessionsResponse>, Status> {
        let request = request.into_inner();
        self.check_revoke(&request)?;
        let target = match request.target {
            Some(revoke_sessions_request::Target::Session(id)) => {
                let SessionInfo { id, tokens, .. } = self.session("session", &id).await?;
                RevocationTarget::Session {
                    session: id,
                    tokens,
                }
            }
            Some(revoke_sessions_request::Target::Subject(subject)) => {
                let given = request
                    .issued_before
                    .as_ref()
                    .and_then(convert::unix_seconds);
                let issued_until = given.unwrap_or_else(|| Now::read().unix.as_secs());
                RevocationTarget::Subject {
                    subject: subject.into(),
                    issued_until,
                }
            }
            Some(revoke_sessions_request::Target::TokenId(id)) => {
                RevocationTarget::TokenId(id.into())
            }
            None => return Err(no_target("session, subject or token_id")),
        };
        let report = self
            .node
            .revoke(target, &request.reason, request.dry_run)
            .await;
        let report = report.map_err(status::node)?;
        Ok(Response::new(RevokeSessionsResponse {
            sessions_closed: convert::count(report.sessions),
            nodes_confirmed: convert::count(report.nodes_confirmed),
            nodes_total: convert::count(report.nodes_total),
        }))
    }

    async fn subscribe_session(
        &self,
        request: Request<SubscribeSessionRequest>,
    ) -> Result<Response<SubscribeSessionResponse>, Status> {
        let SubscribeSessionRequest { target, channel } = request.into_inner();
        let channel = self.named("channel", &channel)?;
        let filter = match target {
            Some(subscribe_session_request::Target::Session(id)) => one(&id)?,
            Some(subscribe_session_request::Target::Subject(subject)) => Some(all_of(&subject)?),
            None => return Err(no_target("session or subject")),
        };
        let sessions = self.act(filter, SessionAction::Subscribe(channel)).await;
        Ok(Response::new(SubscribeSessionResponse { sessions }))
    }

    async fn unsubscribe_session(
        &self,
        request: Request<UnsubscribeSessionRequest>,
    ) -> Result<Response<UnsubscribeSessionResponse>, Status> {
        let UnsubscribeSessionRequest {
            target,
            channel,
            reason,
        } = request.into_inner();
        let mut check = Check::default();
        check.length("reason", &reason, self.limits.reason_bytes);
        check.done()?;
        let channel = self.named("channel", &channel)?;
        let filter = match target {
            Some(unsubscribe_session_request::Target::Session(id)) => one(&id)?,
            Some(unsubscribe_session_request::Target::Subject(subject)) => Some(all_of(&subject)?),
            None => return Err(no_target("session or subject")),
        };
        let on_it = Some(channel.clone());
        let filter = filter.map(|filter| SessionFilter {
            channel: on_it,
            ..filter
        });
        let reason = if reason.is_empty() {
            UNSUBSCRIBED.into()
        } else {
            reason.into()
        };
        let sessions = self
            .act(filter, SessionAction::Unsubscribe(channel, reason))
            .await;
        Ok(Response::new(UnsubscribeSessionResponse { sessions }))
    }

    async fn send_to_session(
        &self,
        request: Request<SendToSessionRequest>,
    ) -> Result<Response<SendToSessionResponse>, Status> {
        let SendToSessionRequest {
            session,
            event,
            data,
        } = request.into_inner();
        let mut check = Check::default();
        check.event(&event, &data);
        check.done()?;
        let action = SessionAction::Send {
            event: event.into(),
            data,
        };
        let sessions = self.act(one(&session)?, action).await;
        Ok(Response::new(SendToSessionResponse { sessions }))
    }

    async fn list_revocations(
        &self,
        request: Request<ListRevocationsRequest>,
    ) -> Result<Response<ListRevocationsResponse>, Status> {
        let ListRevocationsRequest {
            page_size,
            page_token,
        } = request.into_inner();
        let page = Page::new("revocations".into(), page_size, &page_token, &self.limits)?;
        let revocations = self
            .node
            .revocations(page.after(), page.read())
            .await
            .map_err(status::broker)?;
        let rows = revocations.into_iter().map(convert::revocation).collect();
        let (revocations, next_page_token) = page.cut(rows, |revocation| &revocation.id);
        Ok(Response::new(ListRevocationsResponse {
            revocations,
            next_page_token,
        }))
    }

    async fn delete_revocation(
        &self,
        request: Request<DeleteRevocationRequest>,
    ) -> Result<Response<DeleteRevocationResponse>, Status> {
        let id = request.into_inner().id;
        if id.is_empty() {
            return Err(status::bad_field("id", "empty"));
        }
        if !self.node.unrevoke(&id).await.map_err(status::broker)? {
            return Err(status::not_found(
                "REVOCATION_NOT_FOUND",
                "there is no such revocation",
            ));
        }
        Ok(Response::new(DeleteRevocationResponse {}))
    }
}

impl Service {
    /// The session of this id, if it is connected.
    async fn session(&self, field: &str, id: &str) -> Result<SessionInfo, Status> {
        let mut found = match one_as(field, id)? {
            Some(filter) => self.node.sessions(filter, None, 1).await,
            None => Vec::new(),
        };
        let missing = || status::not_found("SESSION_NOT_FOUND", "the session is not connected");
        found.pop().ok_or_else(missing)
    }

    /// Does `action` to those that match; `None`: to nobody.
    async fn act(&self, filter: Option<SessionFilter>, action: SessionAction) -> u32 {
        match filter {
            Some(filter) => convert::count(self.node.act(filter, action).await),
            None => 0,
        }
    }

    fn check_revoke(&self, request: &RevokeSessionsRequest) -> Result<(), Status> {
        use revoke_sessions_request::Target;
        let mut check = Check::default();
        check.length("reason", &request.reason, self.limits.reason_bytes);
        let (field, value) = match &request.target {
            Some(Target::Session(id)) => ("session", id),
            Some(Target::Subject(subject)) => ("subject", subject),
            Some(Target::TokenId(id)) => ("token_id", id),
            None => return Err(no_target("session, subject or token_id")),
        };
        if value.is_empty() {
            check.refuse(field, "empty");
        }
        // What no token can say is not worth a place in the store.
        check.length(field, value, MAX_TOKEN_BYTES);
        if let Some(time) = &request.issued_before {
            if field != "subject" {
                check.refuse("issued_before", "goes with subject only");
            } else if convert::unix_seconds(time).is_none() {
                check.refuse("issued_before", "not a time since 1970");
            }
        }
        check.done()
    }
}

/// The session of this id; `None`: no session can have it.
fn one(id: &str) -> Result<Option<SessionFilter>, Status> {
    one_as("session", id)
}

fn one_as(field: &str, id: &str) -> Result<Option<SessionFilter>, Status> {
    if id.is_empty() {
        return Err(status::bad_field(field, "empty"));
    }
    let session = id.parse().ok();
    Ok(session.map(|id| SessionFilter {
        session: Some(id),
        ..SessionFilter::default()
    }))
}

fn all_of(subject: &str) -> Result<SessionFilter, Status> {
    if subject.is_empty() {
        return Err(status::bad_field("subject", "empty"));
    }
    Ok(SessionFilter {
        subject: Some(subject.into()),
        ..SessionFilter::default()
    })
}

fn no_target(names: &str) -> Status {
    status::bad_field("target", format!("one of {names} is needed"))
}
