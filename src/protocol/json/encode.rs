//! Events as JSON text. Keys come in a fixed order; a key without a value is left out.

use bytes::Bytes;

use super::text::{self, Out, Write};
use crate::channel::ChannelName;
use crate::protocol::event::{
    Event, Failure, Member, Name, Past, Reply, Resource, SubscribeResult, Subscribed, Welcome,
};
use crate::protocol::{RequestId, Spelling};
use crate::publication::Position;

/// The whole frame of `event`.
pub(in crate::protocol) fn encode(event: &Event<'_>) -> Bytes {
    text::frame(event)
}

/// The JSON text of `member`.
pub(in crate::protocol) fn member_data(member: Member<'_>) -> Bytes {
    text::bytes(&member)
}

impl Write for Event<'_> {
    fn write<O: Out>(&self, out: &mut O) {
        match self {
            Event::Push {
                event,
                name,
                data,
                offset,
                item,
                re,
            } => {
                out.raw(b"{\"event\":");
                out.string(event);
                if let Some(name) = name {
                    comma_name(out, *name);
                }
                comma_item(out, *item);
                out.raw(b",\"data\":");
                out.raw(data);
                if let Some(re) = re {
                    out.raw(b",\"re\":");
                    out.raw(re);
                }
                if let Some(offset) = offset {
                    out.raw(b",\"offset\":");
                    out.number(*offset);
                }
                out.raw(b"}");
            }
            Event::Welcome(welcome) => server_event(out, "pogo:welcome", None, welcome),
            Event::Expiring { expires } => {
                server_event(out, "pogo:expiring", None, &Number("expires", *expires));
            }
            Event::Subscribed { name, position } => {
                server_event(out, "pogo:subscribed", Some(*name), &Place(*position));
            }
            Event::Unsubscribed { name, reason } => {
                server_event(out, "pogo:unsubscribed", Some(*name), &Reason(reason));
            }
            Event::Gap { name, before } => {
                server_event(out, "pogo:gap", Some(*name), &Place(*before));
            }
            Event::Drain { reconnect_after } => {
                let wait = Number("reconnect_after_ms", milliseconds(*reconnect_after));
                server_event(out, "pogo:drain", None, &wait);
            }
            Event::Reply { id, reply } => write_reply(out, id, reply),
        }
    }
}

/// A push of the server's own.
fn server_event<O: Out>(out: &mut O, event: &str, name: Option<Name<'_>>, data: &impl Write) {
    out.raw(b"{\"event\":");
    out.string(event);
    if let Some(name) = name {
        comma_name(out, name);
    }
    out.raw(b",\"data\":");
    data.write(out);
    out.raw(b"}");
}

fn write_reply<O: Out>(out: &mut O, id: &RequestId<'_>, reply: &Reply<'_>) {
    out.raw(b"{\"id\":");
    match id {
        RequestId::Number(number) => out.raw(number.as_bytes()),
        RequestId::Text(text) => out.string(text),
    }
    match reply {
        Reply::Error(failure) => {
            out.raw(b",\"status\":\"error\",\"error\":");
            failure.write(out);
        }
        Reply::Done => out.raw(b",\"status\":\"ok\""),
        Reply::Resource(resource) => write_resource(out, resource),
        reply => {
            out.raw(b",\"status\":\"ok\",\"data\":");
            write_reply_data(out, reply);
        }
    }
    out.raw(b"}");
}

fn write_reply_data<O: Out>(out: &mut O, reply: &Reply<'_>) {
    match reply {
        Reply::Error(_) | Reply::Done | Reply::Resource(_) => {}
        Reply::Authenticated {
            expires,
            session,
            subject,
            channels,
        } => {
            out.raw(b"{\"expires\":");
            out.number(*expires);
            out.raw(b",\"session\":");
            out.string(&session.to_string());
            out.raw(b",\"subject\":");
            match subject {
                Some(subject) => out.string(subject),
                None => out.raw(b"null"),
            }
            out.raw(b",\"channels\":");
            list(out, channels);
            out.raw(b"}");
        }
        Reply::Subscribed(subscribed) => subscribed.write(out),
        Reply::Results(results) => {
            out.raw(b"{\"results\":");
            list(out, results);
            out.raw(b"}");
        }
        Reply::Published(position) => Place(*position).write(out),
        Reply::Presence { members, total } => {
            out.raw(b"{\"members\":");
            list(out, members);
            out.raw(b",\"total\":");
            out.number(*total as u64);
            out.raw(b"}");
        }
        Reply::History {
            position,
            publications,
        } => {
            out.raw(b"{");
            if let Some(position) = position {
                write_position(out, position);
                out.raw(b",");
            }
            out.raw(b"\"publications\":");
            list(out, publications);
            out.raw(b"}");
        }
        Reply::Time { time } => Number("time", *time).write(out),
    }
}

fn write_resource<O: Out>(out: &mut O, resource: &Resource<'_>) {
    out.raw(b",\"status\":\"ok\",\"data\":");
    out.raw(resource.data.unwrap_or(b"null"));
    if let Some(code) = resource.code {
        out.raw(b",\"code\":");
        out.number(code.into());
    }
    if let Some(etag) = resource.etag {
        out.raw(b",\"etag\":");
        out.string(etag);
    }
    out.raw(b",\"bound\":");
    match resource.bound {
        Some(uri) => out.string(uri),
        None => out.raw(b"false"),
    }
    if let Some(position) = resource.position {
        out.raw(b",");
        write_position(out, position);
    }
    if let Some(recovered) = resource.recovered {
        out.raw(b",");
        write_recovered(out, recovered);
    }
    if let Some(publications) = resource.publications {
        out.raw(b",\"publications\":");
        list(out, publications);
    }
}

impl Write for Welcome<'_> {
    fn write<O: Out>(&self, out: &mut O) {
        out.raw(b"{\"session\":");
        out.string(&self.session.to_string());
        out.raw(b",\"protocol\":");
        out.string(self.protocol.subprotocol());
        out.raw(b",\"ping_interval\":");
        out.number(milliseconds(self.ping_interval));
        out.raw(b",\"version\":");
        out.string(self.version);
        if let Some(subject) = self.subject {
            out.raw(b",\"subject\":");
            out.string(subject);
        }
        if let Some(expires) = self.expires {
            out.raw(b",\"expires\":");
            out.number(expires);
        }
        out.raw(b",\"channels\":");
        list(out, self.channels);
        out.raw(b"}");
    }
}

impl Write for Subscribed<'_> {
    fn write<O: Out>(&self, out: &mut O) {
        out.raw(b"{");
        let mut comma: &[u8] = b"";
        // A reply to `bind` does not repeat its uri.
        if self.name.spelling == Spelling::Channel {
            out.raw(b"\"channel\":");
            out.string(self.name.text);
            comma = b",";
        }
        if let Some(position) = self.position {
            out.raw(comma);
            write_position(out, position);
            comma = b",";
        }
        if let Some(recovered) = self.recovered {
            out.raw(comma);
            write_recovered(out, recovered);
            comma = b",";
        }
        if let Some(publications) = self.publications {
            out.raw(comma);
            out.raw(b"\"publications\":");
            list(out, publications);
        }
        out.raw(b"}");
    }
}

impl Write for SubscribeResult<'_> {
    fn write<O: Out>(&self, out: &mut O) {
        match self {
            SubscribeResult::Ok(subscribed) => subscribed.write(out),
            SubscribeResult::Failed { channel, failure } => {
                out.raw(b"{\"channel\":");
                out.string(channel);
                out.raw(b",\"error\":");
                failure.write(out);
                out.raw(b"}");
            }
        }
    }
}

impl Write for Failure<'_> {
    fn write<O: Out>(&self, out: &mut O) {
        out.raw(b"{\"code\":");
        out.string(self.code.name());
        out.raw(b",\"message\":");
        out.string(self.message);
        if let Some(wait) = self.retry_after {
            out.raw(b",\"retry_after_ms\":");
            out.number(milliseconds(wait));
        }
        if let Some(http) = self.http {
            out.raw(b",\"http\":");
            out.number(http.into());
        }
        if let Some(details) = self.details {
            out.raw(b",\"details\":");
            out.raw(details);
        }
        if self.outcome_unknown {
            out.raw(b",\"outcome\":\"unknown\"");
        }
        out.raw(b"}");
    }
}

impl Write for Member<'_> {
    fn write<O: Out>(&self, out: &mut O) {
        out.raw(b"{\"subject\":");
        out.string(self.subject);
        out.raw(b",\"session\":");
        out.string(&self.session.to_string());
        out.raw(b",\"info\":");
        out.raw(self.info.map_or(b"null", |info| info.get().as_bytes()));
        out.raw(b"}");
    }
}

impl Write for Past<'_> {
    fn write<O: Out>(&self, out: &mut O) {
        out.raw(b"{\"event\":");
        out.string(self.event);
        comma_item(out, self.item);
        out.raw(b",\"data\":");
        out.raw(self.data);
        out.raw(b",\"offset\":");
        out.number(self.offset);
        out.raw(b",\"time\":");
        out.number(self.time);
        out.raw(b"}");
    }
}

impl Write for ChannelName {
    fn write<O: Out>(&self, out: &mut O) {
        out.string(self.as_str());
    }
}

/// `{epoch?, offset?}`
struct Place<'a>(Option<&'a Position>);

impl Write for Place<'_> {
    fn write<O: Out>(&self, out: &mut O) {
        out.raw(b"{");
        if let Some(position) = self.0 {
            write_position(out, position);
        }
        out.raw(b"}");
    }
}

/// `{<key>: number}`; the key needs no escapes.
struct Number(&'static str, u64);

impl Write for Number {
    fn write<O: Out>(&self, out: &mut O) {
        out.raw(b"{");
        out.string(self.0);
        out.raw(b":");
        out.number(self.1);
        out.raw(b"}");
    }
}

/// `{reason}`
struct Reason<'a>(&'a str);

impl Write for Reason<'_> {
    fn write<O: Out>(&self, out: &mut O) {
        out.raw(b"{\"reason\":");
        out.string(self.0);
        out.raw(b"}");
    }
}

fn write_position<O: Out>(out: &mut O, position: &Position) {
    out.raw(b"\"epoch\":");
    out.string(&position.epoch);
    out.raw(b",\"offset\":");
    out.number(position.offset);
}

fn write_recovered<O: Out>(out: &mut O, recovered: bool) {
    out.raw(if recovered {
        b"\"recovered\":true"
    } else {
        b"\"recovered\":false"
    });
}

fn comma_item<O: Out>(out: &mut O, item: Option<&str>) {
    if let Some(item) = item {
        out.raw(b",\"item\":");
        out.string(item);
    }
}

fn comma_name<O: Out>(out: &mut O, name: Name<'_>) {
    out.raw(match name.spelling {
        Spelling::Channel => b",\"channel\":",
        Spelling::Uri => b",\"uri\":",
    });
    out.string(name.text);
}

fn list<O: Out>(out: &mut O, items: &[impl Write]) {
    out.raw(b"[");
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.raw(b",");
        }
        item.write(out);
    }
    out.raw(b"]");
}

fn milliseconds(span: std::time::Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
