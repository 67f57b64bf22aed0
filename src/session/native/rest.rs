//! Resources: `index`, `show`, `create`, `update`, `delete`, and binding to what endpoints cover.
//! Each command is a call to the gateway; the session goes on meanwhile.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write;

use bytes::Bytes;
use serde_json::value::RawValue;

use super::calls::{Asked, Purpose, Wish};
use super::commands::address;
use super::pending::Ticket;
use super::refusal::Refusal;
use super::replay::{self, MAX_PUBLICATIONS};
use super::subscribe::since;
use super::{Effect, Session};
use crate::channel::ChannelName;
use crate::code::ErrorCode;
use crate::protocol::{self, Command, Name, Reply, RequestId, Spelling, Subscribed, options};
use crate::resource::{
    Answer, Bound, CallOptions, Failure, Past, Resource, ResourceKind, Since, Success, Verb,
};

/// What an answer brings of a resource's past.
#[derive(Debug, Default)]
pub(super) struct Missed<'a> {
    pub(super) recovered: Option<bool>,
    pub(super) publications: Option<Vec<protocol::Past<'a>>>,
}

/// The verb of this name.
pub(super) fn verb(event: &str) -> Option<Verb> {
    Some(match event {
        "index" => Verb::Index,
        "show" => Verb::Show,
        "create" => Verb::Create,
        "update" => Verb::Update,
        "delete" => Verb::Delete,
        _ => return None,
    })
}

impl Session {
    /// What `name` is where an endpoint covers it.
    pub(super) fn resource(&self, name: &str) -> Result<Option<Resource>, Refusal> {
        if !name.starts_with('/') {
            return Ok(None);
        }
        let found = self.shared.routes.load().find(name);
        found.map_err(|error| Refusal::bad_request(format!("The uri cannot be used: {error}.")))
    }

    /// How `name` is written where the session is on it.
    pub(super) fn canonical(&self, name: &str) -> Option<ChannelName> {
        Some(self.resource(name).ok()??.uri)
    }

    /// Refuses what endpoints cover: there only the gateway speaks, and it keeps what was said.
    pub(super) fn check_uncovered(&self, channel: &ChannelName) -> Result<(), Refusal> {
        match self.resource(channel.as_str())? {
            None => Ok(()),
            Some(_) => Err(Refusal::new(
                ErrorCode::Forbidden,
                "An endpoint covers this uri; use `create`, `update`, `delete`, `show` and `bind`.",
            )),
        }
    }

    /// `index`, `show`, `create`, `update`, `delete`
    pub(super) fn rest(
        &mut self,
        verb: Verb,
        command: &Command<'_>,
        ticket: &Ticket<'_>,
        out: &mut Vec<Effect>,
    ) -> Result<(), Refusal> {
        address(command)?;
        let reads = matches!(verb, Verb::Index | Verb::Show);
        let given = command.uri.as_deref().unwrap_or_default();
        let uri = match command.data.filter(|_| reads) {
            Some(data) => with_query(given, data)?,
            None => given.into(),
        };
        let Some(resource) = self.resource(&uri)? else {
            return Err(Refusal::of(ErrorCode::NoRoute));
        };
        check_verb(verb, &resource, &command.event)?;
        let asked = options::Rest::parse(command.options).map_err(Refusal::fault)?;
        let binds = asked.bind && resource.endpoint.autobind && verb != Verb::Delete;
        self.check_calls()?;
        if binds {
            // What a create will be bound to is not known yet: it is one more in any case.
            let room = (verb != Verb::Create).then_some(&resource.uri);
            self.check_bind(room)?;
        }
        let body = command.data.filter(|_| !reads).map_or("", RawValue::get);
        let wish = Wish {
            asked: Asked {
                verb,
                uri: resource.uri,
                spelling: Spelling::Uri,
                binds,
                resource: true,
                rewinds: asked.rewind > 0,
                purpose: Purpose::Command(ticket.keep()),
            },
            body: Bytes::copy_from_slice(body.as_bytes()),
            options: call_options(&asked, ticket.id.as_ref()),
        };
        self.call(wish, out);
        Ok(())
    }

    /// `bind` or `channel:subscribe` to one that is covered.
    pub(super) fn bind(
        &mut self,
        (resource, spelling): (Resource, Spelling),
        command: &Command<'_>,
        ticket: &Ticket<'_>,
        out: &mut Vec<Effect>,
    ) -> Result<(), Refusal> {
        let asked = options::Rest::parse(command.options).map_err(Refusal::fault)?;
        self.check_calls()?;
        self.check_bind(Some(&resource.uri))?;
        let wish = Wish {
            asked: Asked {
                verb: Verb::Bind,
                uri: resource.uri,
                spelling,
                binds: true,
                resource: asked.snapshot,
                rewinds: asked.rewind > 0,
                purpose: Purpose::Command(ticket.keep()),
            },
            body: Bytes::new(),
            options: CallOptions {
                bind: true,
                ..call_options(&asked, ticket.id.as_ref())
            },
        };
        self.call(wish, out);
        Ok(())
    }

    /// Whether the session may be on `uri` (or on one more), too, when its calls are answered.
    pub(super) fn check_bind(&self, uri: Option<&ChannelName>) -> Result<(), Refusal> {
        let there = uri.is_some_and(|uri| self.subscriptions.contains(uri.as_str()));
        if there || self.room() > self.to_be_bound() {
            return Ok(());
        }
        let limit = self.shared.settings.load().max_channels;
        Err(Refusal::too_many_channels(limit))
    }

    /// Answers a command whose call has been answered.
    pub(super) fn reply_answer(
        &self,
        ticket: &Ticket<'_>,
        asked: &Asked,
        answer: &Answer,
        out: &mut Vec<Effect>,
    ) {
        let success = match &answer.result {
            Err(failure) => return self.reply(ticket, Reply::Error(told(failure)), out),
            Ok(success) if !self.fits(success) => {
                return self.refuse(ticket, &too_large(), out);
            }
            Ok(success) => success,
        };
        let bound = answer.bound.as_ref();
        let missed = missed(asked, success, &mut self.reply_budget());
        let position = bound.and_then(|bound| bound.position.as_ref());
        if asked.resource {
            let reply = Reply::Resource(protocol::Resource {
                code: success.code,
                data: Some(&success.data)
                    .filter(|data| !data.is_empty())
                    .map(|data| &data[..]),
                etag: success.etag.as_deref(),
                bound: bound.map(|bound| bound.uri.as_str()),
                position,
                recovered: missed.recovered,
                publications: missed.publications.as_deref(),
            });
            return self.reply(ticket, reply, out);
        }
        match bound {
            Some(bound) => {
                let reply = Reply::Subscribed(subscribed(asked.spelling, bound, &missed));
                self.reply(ticket, reply, out);
            }
            None => self.refuse(ticket, &self.unbound(), out),
        }
    }

    /// Why an answer that would have bound the session has not.
    pub(super) fn unbound(&self) -> Refusal {
        if self.room() == 0 {
            return Refusal::too_many_channels(self.shared.settings.load().max_channels);
        }
        Refusal::new(
            ErrorCode::NotSubscribed,
            "The session has left this uri meanwhile; bind again if you want it.",
        )
    }
}

/// Whether the endpoint takes `verb` there.
fn check_verb(verb: Verb, resource: &Resource, event: &str) -> Result<(), Refusal> {
    let wanted = match verb {
        Verb::Index | Verb::Create => ResourceKind::Collection,
        _ => ResourceKind::Item,
    };
    if resource.kind != wanted {
        let (is, has) = match resource.kind {
            ResourceKind::Item => ("an item", "`show`, `update` and `delete`"),
            ResourceKind::Collection => ("a collection", "`index` and `create`"),
        };
        return Err(Refusal::bad_request(format!(
            "This uri is {is}, which takes {has} but not `{event}`."
        )));
    }
    if !resource.endpoint.methods.contains(&verb) {
        return Err(Refusal::bad_request(format!(
            "The endpoint of this uri does not take `{event}`; its `methods` say what it takes."
        )));
    }
    Ok(())
}

fn call_options(asked: &options::Rest<'_>, id: Option<&RequestId<'_>>) -> CallOptions {
    let recover = asked.recover.as_ref().map(|from| {
        let since = since(from);
        Since {
            position: since.position,
            session: since.session,
        }
    });
    CallOptions {
        bind: asked.bind,
        snapshot: asked.snapshot,
        rewind: if recover.is_some() {
            0
        } else {
            asked.rewind.min(MAX_PUBLICATIONS)
        },
        recover,
        if_match: asked.if_match.as_deref().map(Into::into),
        idempotency_key: asked.idempotency_key.as_deref().map(Into::into),
        echo: asked.echo,
        re: id.map(json_id),
    }
}

/// A command's id as JSON text.
fn json_id(id: &RequestId<'_>) -> Bytes {
    match id {
        RequestId::Number(text) => Bytes::copy_from_slice(text.as_bytes()),
        // A string can always be written.
        RequestId::Text(text) => serde_json::to_vec(text).unwrap_or_default().into(),
    }
}

/// `uri` with what `data` adds to its query.
fn with_query<'u>(uri: &'u str, data: &RawValue) -> Result<Cow<'u, str>, Refusal> {
    let fault = || {
        Refusal::bad_request(
            "`data` of `index` and `show` is the query: an object of strings, numbers and booleans.",
        )
    };
    if data.get() == "null" {
        return Ok(uri.into());
    }
    let pairs: BTreeMap<Cow<'_, str>, &RawValue> =
        serde_json::from_str(data.get()).map_err(|_| fault())?;
    let mut whole = uri.to_owned();
    for (key, value) in pairs {
        let value = match value.get().as_bytes().first() {
            Some(b'"') => serde_json::from_str(value.get()).map_err(|_| fault())?,
            Some(b'{' | b'[') | None => return Err(fault()),
            Some(b'n') => continue,
            Some(_) => Cow::Borrowed(value.get()),
        };
        whole.push(if whole.contains('?') { '&' } else { '?' });
        push_escaped(&mut whole, &key);
        whole.push('=');
        push_escaped(&mut whole, &value);
    }
    Ok(whole.into())
}

fn push_escaped(out: &mut String, text: &str) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
}

/// The gateway's failure as a reply shows it.
pub(super) fn told(failure: &Failure) -> protocol::Failure<'_> {
    protocol::Failure {
        code: failure.code,
        message: &failure.message,
        retry_after: failure.retry_after,
        http: failure.http,
        details: failure.details.as_deref(),
        outcome_unknown: failure.outcome_unknown,
    }
}

pub(super) fn too_large() -> Refusal {
    Refusal::new(
        ErrorCode::TooLarge,
        "The answer does not fit into `edge.mailbox_bytes`; ask for a smaller part of it.",
    )
}

/// What section 3 of the protocol shows of a binding.
pub(super) fn subscribed<'s>(
    spelling: Spelling,
    bound: &'s Bound,
    missed: &'s Missed<'_>,
) -> Subscribed<'s> {
    Subscribed {
        name: Name {
            spelling,
            text: bound.uri.as_str(),
        },
        position: bound.position.as_ref(),
        recovered: missed.recovered,
        publications: missed.publications.as_deref(),
    }
}

/// What a reply brings of the past, within `budget`, which shrinks: a recovery is whole or none.
pub(super) fn missed<'s>(asked: &Asked, success: &'s Success, budget: &mut usize) -> Missed<'s> {
    let all = &success.publications;
    let cost = |past: &Past| {
        let item = past.item.as_ref().map_or(0, |item| item.as_str().len());
        past.event.len() + past.data.len() + item + replay::OVERHEAD_BYTES
    };
    let from = match success.recovered {
        Some(false) => None,
        Some(true) => {
            let whole: usize = all.iter().map(cost).sum();
            let fits = whole <= *budget && all.len() <= MAX_PUBLICATIONS;
            fits.then_some(0)
        }
        None if !asked.rewinds => return Missed::default(),
        None => {
            let mut left = *budget;
            let fitting = all.iter().rev().take_while(|past| {
                let rest = left.checked_sub(cost(past));
                left = rest.unwrap_or(left);
                rest.is_some()
            });
            Some(all.len() - fitting.count())
        }
    };
    let publications = from.map(|from| {
        let shown = &all[from..];
        *budget -= shown.iter().map(cost).sum::<usize>();
        shown.iter().map(past).collect()
    });
    Missed {
        recovered: success
            .recovered
            .map(|recovered| recovered && from.is_some()),
        publications,
    }
}

fn past(past: &Past) -> protocol::Past<'_> {
    protocol::Past {
        event: &past.event,
        item: past.item.as_ref().map(ChannelName::as_str),
        data: &past.data,
        offset: past.offset,
        time: past.time,
    }
}
