//! What each event consists of: the one description that every encoding writes. Keys come in a
//! fixed order; a key without a value is left out.

use std::time::Duration;

use super::{
    Event, Failure, Member, Name, Past, Reply, Resource, SubscribeResult, Subscribed, Welcome,
};
use crate::channel::ChannelName;
use crate::protocol::sink::{Key, Sink};
use crate::protocol::{RequestId, Spelling};
use crate::publication::Position;

impl Event<'_> {
    #[inline]
    pub(in crate::protocol) fn write<S: Sink>(&self, out: &mut S) {
        match self {
            Event::Push {
                event,
                name,
                data,
                offset,
                item,
                re,
            } => out.map(|out| {
                head(out, event, *name);
                text_if(out, "item", *item);
                out.key(Key::Data);
                out.json(data);
                if let Some(re) = re {
                    out.name("re");
                    out.json(re);
                }
                if let Some(offset) = offset {
                    out.key(Key::Offset);
                    out.number(*offset);
                }
            }),
            Event::Welcome(data) => own(out, "pogo:welcome", None, |out| welcome(out, data)),
            Event::Expiring { expires } => own(out, "pogo:expiring", None, |out| {
                number(out, "expires", *expires);
            }),
            Event::Subscribed { name, position } => {
                own(out, "pogo:subscribed", Some(*name), |out| {
                    place(out, *position);
                });
            }
            Event::Unsubscribed { name, reason } => {
                own(out, "pogo:unsubscribed", Some(*name), |out| {
                    text_if(out, "reason", Some(reason));
                });
            }
            Event::Gap { name, before } => own(out, "pogo:gap", Some(*name), |out| {
                place(out, *before);
            }),
            Event::Drain { reconnect_after } => own(out, "pogo:drain", None, |out| {
                number(out, "reconnect_after_ms", milliseconds(*reconnect_after));
            }),
            Event::Reply { id, reply } => out.map(|out| write_reply(out, id, reply)),
        }
    }
}

impl Member<'_> {
    pub(in crate::protocol) fn write<S: Sink>(&self, out: &mut S) {
        out.map(|out| {
            text_if(out, "subject", Some(self.subject));
            text_if(out, "session", Some(&self.session.to_string()));
            out.name("info");
            out.json(self.info.map_or(b"null", |info| info.get().as_bytes()));
        });
    }
}

#[inline]
fn head<S: Sink>(out: &mut S, event: &str, name: Option<Name<'_>>) {
    out.key(Key::Event);
    out.event(event);
    if let Some(name) = name {
        out.key(match name.spelling {
            Spelling::Channel => Key::Channel,
            Spelling::Uri => Key::Uri,
        });
        out.text(name.text);
    }
}

/// A push of the server's own; `data` writes the entries of its data.
fn own<S: Sink>(out: &mut S, event: &str, name: Option<Name<'_>>, data: impl FnOnce(&mut S)) {
    out.map(|out| {
        head(out, event, name);
        write_data(out, data);
    });
}

fn write_data<S: Sink>(out: &mut S, entries: impl FnOnce(&mut S)) {
    out.key(Key::Data);
    out.whole(|out| out.map(entries));
}

fn write_reply<S: Sink>(out: &mut S, id: &RequestId<'_>, reply: &Reply<'_>) {
    out.key(Key::Id);
    match id {
        RequestId::Number(number) => out.json(number.as_bytes()),
        RequestId::Text(text) => out.text(text),
    }
    out.key(Key::Status);
    out.status(!matches!(reply, Reply::Error(_)));
    match reply {
        Reply::Error(failure) => {
            out.key(Key::Error);
            write_failure(out, failure);
        }
        Reply::Done => {}
        Reply::Resource(resource) => write_resource(out, resource),
        reply => write_data(out, |out| write_reply_data(out, reply)),
    }
}

fn write_reply_data<S: Sink>(out: &mut S, reply: &Reply<'_>) {
    match reply {
        Reply::Error(_) | Reply::Done | Reply::Resource(_) => {}
        Reply::Authenticated {
            expires,
            session,
            subject,
            channels,
        } => {
            number(out, "expires", *expires);
            text_if(out, "session", Some(&session.to_string()));
            out.name("subject");
            match subject {
                Some(subject) => out.text(subject),
                None => out.json(b"null"),
            }
            write_channels(out, channels);
        }
        Reply::Subscribed(subscribed) => write_subscribed(out, subscribed),
        Reply::Results(results) => {
            out.name("results");
            out.list(results, |out, result| {
                out.map(|out| write_result(out, result));
            });
        }
        Reply::Published(position) => place(out, *position),
        Reply::Presence { members, total } => {
            out.name("members");
            out.list(members, |out, member| member.write(out));
            number(out, "total", *total as u64);
        }
        Reply::History {
            position,
            publications,
        } => {
            place(out, *position);
            write_publications(out, Some(publications));
        }
        Reply::Time { time } => number(out, "time", *time),
    }
}

fn write_resource<S: Sink>(out: &mut S, resource: &Resource<'_>) {
    out.key(Key::Data);
    out.json(resource.data.unwrap_or(b"null"));
    if let Some(code) = resource.code {
        out.key(Key::Code);
        out.number(code.into());
    }
    text_if(out, "etag", resource.etag);
    out.name("bound");
    match resource.bound {
        Some(uri) => out.text(uri),
        None => out.json(b"false"),
    }
    place(out, resource.position);
    write_recovered(out, resource.recovered);
    write_publications(out, resource.publications);
}

fn write_subscribed<S: Sink>(out: &mut S, subscribed: &Subscribed<'_>) {
    // A reply to `bind` does not repeat its uri.
    if subscribed.name.spelling == Spelling::Channel {
        out.key(Key::Channel);
        out.text(subscribed.name.text);
    }
    place(out, subscribed.position);
    write_recovered(out, subscribed.recovered);
    write_publications(out, subscribed.publications);
}

fn write_result<S: Sink>(out: &mut S, result: &SubscribeResult<'_>) {
    match result {
        SubscribeResult::Ok(subscribed) => write_subscribed(out, subscribed),
        SubscribeResult::Failed { channel, failure } => {
            out.key(Key::Channel);
            out.text(channel);
            out.key(Key::Error);
            write_failure(out, failure);
        }
    }
}

fn welcome<S: Sink>(out: &mut S, welcome: &Welcome<'_>) {
    text_if(out, "session", Some(&welcome.session.to_string()));
    text_if(out, "protocol", Some(welcome.protocol.subprotocol()));
    let interval = milliseconds(welcome.ping_interval);
    number(out, "ping_interval", interval);
    text_if(out, "version", Some(welcome.version));
    text_if(out, "subject", welcome.subject);
    if let Some(expires) = welcome.expires {
        number(out, "expires", expires);
    }
    write_channels(out, welcome.channels);
}

fn write_failure<S: Sink>(out: &mut S, failure: &Failure<'_>) {
    out.map(|out| {
        out.key(Key::Code);
        out.text(failure.code.name());
        out.key(Key::Message);
        out.text(failure.message);
        if let Some(wait) = failure.retry_after {
            number(out, "retry_after_ms", retry_milliseconds(wait));
        }
        if let Some(http) = failure.http {
            number(out, "http", http.into());
        }
        if let Some(details) = failure.details {
            out.name("details");
            out.json(details);
        }
        let outcome = failure.outcome_unknown.then_some("unknown");
        text_if(out, "outcome", outcome);
    });
}

fn write_recovered<S: Sink>(out: &mut S, recovered: Option<bool>) {
    if let Some(recovered) = recovered {
        out.name("recovered");
        out.json(if recovered { b"true" } else { b"false" });
    }
}

fn write_publications<S: Sink>(out: &mut S, publications: Option<&[Past<'_>]>) {
    let Some(publications) = publications else {
        return;
    };
    out.name("publications");
    out.whole(|out| {
        out.list(publications, |out, past| {
            out.map(|out| {
                head(out, past.event, None);
                text_if(out, "item", past.item);
                out.key(Key::Data);
                out.json(past.data);
                out.key(Key::Offset);
                out.number(past.offset);
                number(out, "time", past.time);
            });
        });
    });
}

fn write_channels<S: Sink>(out: &mut S, channels: &[ChannelName]) {
    out.name("channels");
    out.list(channels, |out, channel| out.text(channel.as_str()));
}

/// `epoch` and `offset`, if there is a position.
fn place<S: Sink>(out: &mut S, position: Option<&Position>) {
    if let Some(position) = position {
        out.key(Key::Epoch);
        out.text(&position.epoch);
        out.key(Key::Offset);
        out.number(position.offset);
    }
}

fn number<S: Sink>(out: &mut S, name: &'static str, number: u64) {
    out.name(name);
    out.number(number);
}

#[inline]
fn text_if<S: Sink>(out: &mut S, name: &'static str, text: Option<&str>) {
    if let Some(text) = text {
        out.name(name);
        out.text(text);
    }
}

fn milliseconds(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// Rounded up, so that one who obeys is let in.
fn retry_milliseconds(wait: Duration) -> u64 {
    let rounded = wait.as_nanos().div_ceil(1_000_000);
    u64::try_from(rounded).unwrap_or(u64::MAX).max(1)
}
