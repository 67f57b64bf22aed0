//! Writing: create, update, delete. A write is made once and runs to its end whoever waits for it;
//! then caches are invalidated, then the writer is answered, then everyone is told.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_LOCATION, LOCATION};
use http::{HeaderMap, HeaderName, Method, Response, StatusCode};
use serde_json::Value;

use super::bind::Joined;
use super::call::Reply;
use super::deliver::Expecting;
use super::events::{self, Happened, NULL};
use super::read::View;
use super::{Gateway, body, cache, failure, version};
use crate::channel::ChannelName;
use crate::node::NewPublication;
use crate::publication::{Change, Form, MAX_DATA_BYTES, Writer};
use crate::resource::{
    Audience, Call, Endpoint, Failure, Origin, Publisher, Resource, ResourceKind, Success,
    UpdateMethod, Verb, WriteReturns,
};

/// A write that the upstream has done.
struct Written {
    verb: Verb,
    /// What was asked to be written.
    target: Resource,
    /// The item: the target, or what has been created, where that is known.
    item: Option<Resource>,
    status: StatusCode,
    headers: HeaderMap,
    /// The answer as JSON text, empty where there is none; none: it is nothing for a session.
    json: Option<Bytes>,
    /// The answer, or else what was sent: for `affects`.
    body: Option<Value>,
    version: Option<u64>,
}

/// A write that an upstream has answered.
pub(super) struct Made<'a> {
    pub(super) verb: Verb,
    pub(super) target: &'a Resource,
    /// What was sent, if it is known.
    pub(super) sent: Bytes,
    pub(super) status: StatusCode,
    pub(super) headers: &'a HeaderMap,
    /// As much of the answer's body as is known.
    pub(super) body: Bytes,
}

impl Gateway {
    /// A write that nobody's session made has been answered: caches are invalidated and everyone
    /// is told, as of one over a socket.
    pub(super) async fn made(&self, made: Made<'_>) {
        let (target, status) = (made.target, made.status);
        if !status.is_success() {
            return self.not_done(target, status);
        }
        let written = self.look_at(&made);
        self.invalidate(&written);
        if target.endpoint.publish == Publisher::Service {
            self.stir(target);
        } else {
            self.tell(&written, None).await;
        }
    }

    /// Carries out a write.
    pub(super) async fn write(
        self: &Arc<Self>,
        call: Call,
        resource: &Resource,
        origin: Origin,
        reply: Reply,
    ) {
        let view = match View::of(resource, &call.caller) {
            Ok(view) => view,
            Err(failure) => return reply.refuse(failure),
        };
        let endpoint = &view.endpoint;
        let asked = (
            method(call.verb, endpoint),
            resource.upstream_path(),
            call.body.clone(),
        );
        let answer = self.ask_to(endpoint, &call.caller, asked, &call.options);
        let answer = match answer.await {
            Ok(answer) if answer.status().is_success() => answer,
            Ok(answer) => {
                self.not_done(resource, answer.status());
                return reply.refuse(refusal(&answer));
            }
            Err(failure) => {
                if failure.outcome_unknown {
                    self.stir(resource);
                }
                return reply.refuse(failure);
            }
        };
        self.done(&call, resource, answer, (origin, reply)).await;
    }

    /// A write was answered with no success.
    fn not_done(&self, target: &Resource, status: StatusCode) {
        // It may have been done (RFC 9111, 4.4): a gateway on the way says 502 of what it has lost.
        if status.is_redirection() || status.is_server_error() {
            self.stir(target);
        } else if shows_change(status) {
            self.cache().bump(target.uri.as_str());
        }
    }

    /// The upstream has done it: caches, the writer's answer, everyone.
    async fn done(
        self: &Arc<Self>,
        call: &Call,
        resource: &Resource,
        answer: Response<Bytes>,
        (origin, reply): (Origin, Reply),
    ) {
        let (head, body) = answer.into_parts();
        let made = Made {
            verb: call.verb,
            target: resource,
            sent: call.body.clone(),
            status: head.status,
            headers: &head.headers,
            body,
        };
        let written = self.look_at(&made);
        self.invalidate(&written);
        let success = written.success();
        let told = resource.endpoint.publish != Publisher::Service;
        let expecting = match success {
            Err(failure) => Expecting::Reply(reply, Err(failure)),
            Ok(success) => {
                self.expecting(call, &written, success, (origin, reply))
                    .await
            }
        };
        if written.verb == Verb::Create || !told {
            self.fulfil(expecting);
        } else {
            let key = (origin.session, call.id);
            self.expected().put(key, expecting);
        }
        if told {
            let writer = Writer {
                session: origin.session,
                call: call.id,
                re: call.options.re.clone(),
                echo: call.options.echo,
            };
            self.tell(&written, Some(writer)).await;
        } else {
            self.stir(&written.target);
        }
        // Nothing came by: it was not delivered here.
        if let Some(expecting) = self.expected().take((origin.session, call.id)) {
            self.fulfil(expecting);
        }
    }

    /// What becomes of the writer once everything is ready: bound where he can be.
    async fn expecting(
        self: &Arc<Self>,
        call: &Call,
        written: &Written,
        success: Success,
        (origin, reply): (Origin, Reply),
    ) -> Expecting {
        let binds = call.options.bind && written.target.endpoint.autobind;
        let item = written.item.as_ref();
        let item = item.filter(|_| binds && call.verb != Verb::Delete);
        let view = item.and_then(|item| View::of(item, &call.caller).ok());
        let Some((item, view)) = item.zip(view) else {
            return Expecting::Reply(reply, Ok(success));
        };
        match self.join_writer(&view, origin).await {
            Ok(joined) => {
                let attach = joined.attach(call, Some(success));
                let resource = self.followed(&view, item);
                Expecting::Attach(reply, resource, Box::new(attach), joined)
            }
            Err(failure) => {
                // The write has been done: that it binds nobody is no reason to say otherwise.
                tracing::debug!(
                    code = failure.code.name(),
                    "a write could not bind its writer"
                );
                Expecting::Reply(reply, Ok(success))
            }
        }
    }

    /// Joins the stream of what has been written for its writer, if he may read it too.
    async fn join_writer(self: &Arc<Self>, view: &View, origin: Origin) -> Result<Joined, Failure> {
        let joined = self.join(view, origin).await?;
        self.admit(view).await?;
        Ok(joined)
    }

    /// Reads the upstream's answer.
    fn look_at(&self, made: &Made<'_>) -> Written {
        let Made { verb, target, .. } = *made;
        let json = body::json(made.headers, &made.body);
        let parsed = json
            .as_ref()
            .and_then(|json| serde_json::from_slice(json).ok());
        let version = version::of(
            &target.endpoint.version,
            Some(made.headers),
            parsed.as_ref(),
        );
        let item = match verb {
            Verb::Create => {
                let here = self.located(target, made.headers, &LOCATION);
                here.or_else(|| {
                    let id = events::id_in(&target.endpoint, parsed.as_ref()?)?;
                    self.ours(target, target.item(&id)?.as_str())
                })
            }
            _ => Some(target.clone()),
        };
        Written {
            verb,
            target: target.clone(),
            item,
            status: made.status,
            headers: made.headers.clone(),
            json,
            body: parsed.or_else(|| serde_json::from_slice(&made.sent).ok()),
            version,
        }
    }

    /// The item of the same endpoint that a header of the answer names.
    fn located(
        &self,
        target: &Resource,
        headers: &HeaderMap,
        name: &HeaderName,
    ) -> Option<Resource> {
        self.ours(target, headers.get(name)?.to_str().ok()?)
    }

    fn ours(&self, target: &Resource, uri: &str) -> Option<Resource> {
        let found = self.routes().load().find(uri).ok().flatten()?;
        let same = found.endpoint.name == target.endpoint.name;
        (same && found.kind == ResourceKind::Item).then_some(found)
    }

    fn invalidate(&self, written: &Written) {
        let target = &written.target;
        let mut uris: Vec<ChannelName> = vec![target.stream()];
        uris.extend(target.collection());
        uris.extend(written.item.as_ref().map(Resource::stream));
        uris.extend(target.affected(written.body.as_ref()));
        for name in [LOCATION, CONTENT_LOCATION] {
            let said = written.headers.get(name).and_then(|uri| uri.to_str().ok());
            let found = said.and_then(|uri| self.routes().load().find(uri).ok().flatten());
            uris.extend(found.map(|found| found.uri));
        }
        let rules = cache::Rules::of(&target.endpoint);
        let uris = uris.iter().map(ChannelName::as_str);
        self.cache().invalidate(&rules, uris, &written.headers);
    }

    /// Tells everyone.
    async fn tell(&self, written: &Written, writer: Option<Writer>) {
        let change = Change {
            writer,
            ..Change::default()
        };
        let publication = NewPublication {
            channel: written.target.uri.clone(),
            event: event(written.verb).into(),
            data: self.shown(written),
            ttl: None,
            exclude: None,
            form: Form::Json,
            user: None,
            skip_history: false,
            idempotency: None,
            change: Some(Arc::new(change)),
        };
        let happened = Happened {
            resource: &written.target,
            item: written.item.as_ref().map(|item| item.uri.clone()),
            publication,
            body: written.body.as_ref(),
            version: written.version,
        };
        let all = events::publications(&self.routes().load(), happened);
        for publication in all {
            if let Err(error) = self.node().publish(publication).await {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "a write could not be told");
                // Here at least it is known.
                self.stir(&written.target);
                return;
            }
        }
    }

    /// The answer's data where it is the item's state for everyone, else `null`.
    fn shown(&self, written: &Written) -> Bytes {
        let endpoint = &written.target.endpoint;
        let item = written.item.as_ref().map(|item| &item.uri);
        let whole = endpoint.write_returns == WriteReturns::Representation || {
            let said = self.located(&written.target, &written.headers, &CONTENT_LOCATION);
            said.is_some_and(|said| Some(&said.uri) == item)
        };
        let usable = whole
            && endpoint.audience == Audience::Shared
            && written.version.is_some()
            && written.status != StatusCode::ACCEPTED
            && written.verb != Verb::Delete;
        let data = written.json.clone().filter(|_| usable);
        let fits = |data: &Bytes| (1..=MAX_DATA_BYTES).contains(&data.len());
        data.filter(fits).unwrap_or(NULL)
    }
}

impl Written {
    /// What the writer is answered.
    fn success(&self) -> Result<Success, Failure> {
        let data = match self.verb {
            Verb::Delete => Bytes::new(),
            _ => self.json.clone().ok_or_else(|| Failure {
                http: Some(self.status.as_u16()),
                ..failure::bad_answer("the upstream did it, but its answer is no JSON")
            })?,
        };
        let etag = self.headers.get(http::header::ETAG);
        let etag = etag.and_then(|tag| tag.to_str().ok());
        Ok(Success {
            code: Some(self.status.as_u16()),
            data,
            etag: etag.map(Into::into),
            ..Success::default()
        })
    }
}

fn method(verb: Verb, endpoint: &Endpoint) -> Method {
    match (verb, endpoint.upstream.update) {
        (Verb::Create, _) => Method::POST,
        (Verb::Delete, _) => Method::DELETE,
        (_, UpdateMethod::Put) => Method::PUT,
        (_, UpdateMethod::Patch) => Method::PATCH,
    }
}

fn event(verb: Verb) -> &'static str {
    match verb {
        Verb::Create => "create",
        Verb::Delete => "delete",
        _ => "update",
    }
}

/// Whether a refusal says that what is kept of the resource may be out of date.
fn shows_change(status: StatusCode) -> bool {
    matches!(status.as_u16(), 404 | 409 | 410 | 412)
}

fn refusal(answer: &Response<Bytes>) -> Failure {
    let wait = super::upstream::retry_after(answer.headers());
    failure::refused(answer.status(), wait, answer.body())
}
