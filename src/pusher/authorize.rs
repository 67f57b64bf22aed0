//! A Pogo token becomes a Pusher signature: `/pusher/auth` for a channel, `/pusher/user-auth` for
//! signing in. What the token may do is asked of its capabilities and the channel's rule, as for a
//! native subscription; what is signed remembers the token, so that its end and its revocation
//! reach the session that shows the signature.
//!
//! Parameters (`socket_id`, `channel_name`, and `app`, an app's key or id, where there are several)
//! come in the query, as a form or as a JSON object. A `POST` is answered with JSON; so is a `GET`,
//! or with a script that calls `callback` (see [`callback`]). Answers:
//!
//! | channel | answer |
//! |---|---|
//! | any | `auth` |
//! | `presence-…` | and `channel_data`: `user_id` is the token's subject (without one: the socket id), `user_info` its `info` |
//! | `private-encrypted-…` | and `shared_secret`: see [`App::shared_secret`] |
//! | user-auth | `auth` and `user_data`: `id` is the subject, which the token must have; `user_info` |
//!
//! [`App::shared_secret`]: crate::auth::pusher::App::shared_secret

mod callback;
mod cors;
mod credential;

use std::sync::Arc;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use serde_json::{Map, Value, json};

use super::answer::{self, Refused};
use super::{Place, Pusher, Visitor};
use crate::auth::pusher::{App, Memo, Subject};
use crate::auth::{Grant, Op, may};
use crate::channel::{ChannelKind, ChannelName};
use crate::protocol::pairs::{Pairs, Plus};
use crate::session_id::SessionId;

impl Pusher {
    /// Answers a request for a signature.
    pub(super) async fn authorize(
        &self,
        request: &Request<Bytes>,
        place: Place<'_>,
        visitor: Visitor,
    ) -> Response<Bytes> {
        let mut answer = if request.method() == Method::OPTIONS {
            cors::preflight(request.headers(), visitor)
        } else {
            match self.signed(request, place, visitor).await {
                Ok(answer) => answer,
                Err(refused) => refused.answer(),
            }
        };
        cors::allow(request.headers(), visitor, &mut answer);
        answer
    }

    async fn signed(
        &self,
        request: &Request<Bytes>,
        place: Place<'_>,
        visitor: Visitor,
    ) -> Result<Response<Bytes>, Refused> {
        let is_get = request.method() == Method::GET;
        if !is_get && request.method() != Method::POST {
            return Err(Refused::method("GET, POST"));
        }
        let parameters = parameters(request)?;
        let callback = parameters.get("callback").filter(|_| is_get);
        if callback.is_some_and(|callback| !callback::is_one(callback)) {
            return Err(Refused::bad(
                "The callback must be a plain name of a function",
            ));
        }
        let app = self.chosen(&parameters)?;
        let id: SessionId = needed(&parameters, "socket_id")?
            .parse()
            .map_err(|_| Refused::bad("Invalid socket_id: it looks like 123.456"))?;
        let grant = self.grant(request.headers(), &parameters, visitor).await?;
        let answer = if place == Place::User {
            for_user(&app, id, &grant)?
        } else {
            self.for_channel(&app, id, &grant, needed(&parameters, "channel_name")?)?
        };
        Ok(match callback {
            Some(callback) => answer::respond(
                StatusCode::OK,
                "text/javascript; charset=utf-8",
                callback::call(callback, &answer).into(),
            ),
            None => answer::json(&answer),
        })
    }

    /// The app that signs: the one that is named, or the only one.
    fn chosen(&self, parameters: &Pairs) -> Result<Arc<App>, Refused> {
        let apps = self.services.shared.apps.load();
        if let Some(name) = parameters.get("app").or_else(|| parameters.get("key")) {
            let app = apps.by_key(name).or_else(|| apps.by_id(name));
            return app
                .cloned()
                .ok_or_else(|| Refused::new(StatusCode::NOT_FOUND, "Unknown app"));
        }
        let mut all = apps.iter();
        match (all.next(), all.next()) {
            (Some(app), None) => Ok(Arc::clone(app)),
            _ => Err(Refused::bad("There are several apps: name one with `app`")),
        }
    }

    fn for_channel(
        &self,
        app: &App,
        id: SessionId,
        grant: &Grant,
        channel: &str,
    ) -> Result<Value, Refused> {
        let name = ChannelName::parse(channel)
            .map_err(|why| Refused::bad(format!("Invalid channel_name: {why}")))?;
        let rules = self.services.shared.rules.load();
        if !may(Op::Subscribe, channel, rules.of(channel), Some(grant)) {
            return Err(Refused::forbidden(
                "The token does not allow to subscribe to this channel",
            ));
        }
        let mut answer = Map::new();
        let kind = ChannelKind::of(name.as_str());
        let data = (kind == ChannelKind::Presence).then(|| {
            let user = grant.subject.as_deref();
            let user = user.map_or_else(|| id.to_string(), Into::into);
            described("user_id", &user, grant).to_string()
        });
        let subject = Subject::Channel {
            channel,
            channel_data: data.as_deref(),
        };
        let auth = app.sign(id, subject, Some(&Memo::of(grant)));
        answer.insert("auth".into(), auth.into());
        if let Some(data) = data {
            answer.insert("channel_data".into(), data.into());
        }
        if kind == ChannelKind::Encrypted {
            let secret = app.shared_secret(channel);
            answer.insert("shared_secret".into(), secret.into());
        }
        Ok(answer.into())
    }
}

fn for_user(app: &App, id: SessionId, grant: &Grant) -> Result<Value, Refused> {
    let Some(user) = grant.subject.as_deref() else {
        return Err(Refused::forbidden("The token has no subject to sign in as"));
    };
    let data = described("id", user, grant).to_string();
    let auth = app.sign(id, Subject::User(&data), Some(&Memo::of(grant)));
    Ok(json!({ "auth": auth, "user_data": data }))
}

/// The user as Pusher clients are shown it.
fn described(id: &str, user: &str, grant: &Grant) -> Value {
    let mut described = Map::new();
    described.insert(id.into(), user.into());
    if let Some(info) = &grant.info
        && let Ok(info) = serde_json::from_str(info.get())
    {
        described.insert("user_info".into(), info);
    }
    described.into()
}

/// What the request says: its body first, then its query. A second `?` in the query reads as `&`,
/// since pusher-js appends `?callback=…` to an endpoint that has a query already.
fn parameters(request: &Request<Bytes>) -> Result<Pairs, Refused> {
    let not_text = || Refused::bad("The parameters are no UTF-8");
    let query = request.uri().query().unwrap_or_default();
    let query = Pairs::read(&query.replace('?', "&"), Plus::Space).ok_or_else(not_text)?;
    let body = std::str::from_utf8(request.body()).map_err(|_| not_text())?;
    let body = if is_json(request.headers()) {
        object(body)?
    } else {
        Pairs::read(body, Plus::Space).ok_or_else(not_text)?
    };
    Ok(body.then(query))
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers
        .get(CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok());
    let kind = kind.and_then(|kind| kind.split(';').next());
    kind.is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
}

/// The strings and numbers of a JSON object.
fn object(body: &str) -> Result<Pairs, Refused> {
    let object: Map<String, Value> = serde_json::from_str(body)
        .map_err(|why| Refused::bad(format!("Invalid body: no JSON object ({why})")))?;
    let texts = object.into_iter().filter_map(|(name, value)| match value {
        Value::String(text) => Some((name, text)),
        Value::Number(number) => Some((name, number.to_string())),
        _ => None,
    });
    Ok(texts.collect())
}

fn needed<'a>(parameters: &'a Pairs, name: &str) -> Result<&'a str, Refused> {
    let value = parameters.get(name);
    value.ok_or_else(|| Refused::bad(format!("{name} is missing")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(uri: &str, kind: &str, body: &str) -> Result<Pairs, Refused> {
        let request = Request::builder()
            .uri(uri)
            .header("content-type", kind)
            .body(Bytes::copy_from_slice(body.as_bytes()));
        parameters(&request.unwrap())
    }

    #[test]
    fn parameters_come_in_every_way_that_clients_send_them() {
        const FORM: &str = "application/x-www-form-urlencoded; charset=UTF-8";
        for (uri, kind, body) in [
            (
                "/pusher/auth?token=t",
                FORM,
                "&socket_id=1.2&channel_name=private-a",
            ),
            (
                "/pusher/auth?token=t",
                "Application/JSON;charset=utf-8",
                r#"{"socket_id":"1.2","channel_name":"private-a","deep":{},"none":null}"#,
            ),
            (
                "/pusher/auth?token=t&socket_id=1.2&channel_name=private-a",
                "",
                "",
            ),
            (
                "/pusher/auth?token=t?socket_id=1.2&channel_name=private-a",
                "",
                "",
            ),
        ] {
            let parameters = read(uri, kind, body).unwrap();
            assert_eq!(parameters.get("token"), Some("t"), "{uri} {body}");
            assert_eq!(parameters.get("socket_id"), Some("1.2"));
            assert_eq!(parameters.get("channel_name"), Some("private-a"));
        }
        assert!(read("/pusher/auth", "application/json", "[1]").is_err());
        let both = read("/pusher/auth?a=query", "", "a=body").unwrap();
        assert_eq!(both.get("a"), Some("body"));
    }
}
