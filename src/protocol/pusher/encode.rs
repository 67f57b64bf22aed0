//! Frames for Pusher's clients.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::channel::SIGNED_IN;
use crate::protocol::json::text::{self, Out, Write};
use crate::publication::{Form, Publication};

/// The whole WebSocket frame of a push, not compressed.
pub fn encode_publication(publication: &Publication) -> Bytes {
    let channel = publication.channel.as_str();
    let change = match &*publication.event {
        "pogo:join" => Some(true),
        "pogo:leave" => Some(false),
        _ => None,
    };
    let (event, data) = match change {
        None => {
            return text::frame(&Push {
                event: &publication.event,
                channel: Some(channel),
                data: &publication.data,
                form: publication.form,
                user: publication.user.as_deref(),
            });
        }
        Some(joins) => match channel.strip_prefix(SIGNED_IN) {
            Some(user) => watchlist(user, joins),
            None => member(&publication.data, joins),
        },
    };
    text::frame(&Push {
        event,
        channel: Some(channel).filter(|name| !name.starts_with(SIGNED_IN)),
        data: &data,
        form: Form::Json,
        user: None,
    })
}

/// What is told of a user whom a watchlist names.
fn watchlist(user: &str, online: bool) -> (&'static str, Vec<u8>) {
    let name = if online { "online" } else { "offline" };
    let mut data = Vec::new();
    data.raw(b"{\"events\":[{\"name\":");
    data.string(name);
    data.raw(b",\"user_ids\":[");
    data.string(user);
    data.raw(b"]}]}");
    ("pusher_internal:watchlist_events", data)
}

/// What is told of a member that comes or goes, from the native push that tells of it.
fn member(push: &[u8], joins: bool) -> (&'static str, Vec<u8>) {
    #[derive(Deserialize)]
    struct Native<'a> {
        subject: String,
        #[serde(borrow)]
        info: Option<&'a RawValue>,
    }
    let mut data = Vec::new();
    // The broker has written it: it can be read.
    if let Ok(native) = serde_json::from_slice::<Native<'_>>(push) {
        data.raw(b"{\"user_id\":");
        data.string(&native.subject);
        if joins {
            data.raw(b",\"user_info\":");
            data.raw(native.info.map_or("{}", RawValue::get).as_bytes());
        }
        data.raw(b"}");
    }
    let event = if joins {
        "pusher_internal:member_added"
    } else {
        "pusher_internal:member_removed"
    };
    (event, data)
}

/// An event with its data.
struct Push<'a> {
    event: &'a str,
    channel: Option<&'a str>,
    data: &'a [u8],
    form: Form,
    user: Option<&'a str>,
}

impl Write for Push<'_> {
    fn write<O: Out>(&self, out: &mut O) {
        out.raw(b"{\"event\":");
        out.string(self.event);
        if let Some(channel) = self.channel {
            out.raw(b",\"channel\":");
            out.string(channel);
        }
        out.raw(b",\"data\":");
        match self.form {
            Form::Json => out.quoted(self.data),
            Form::Text | Form::Client => out.raw(self.data),
        }
        if let Some(user) = self.user {
            out.raw(b",\"user_id\":");
            out.string(user);
        }
        out.raw(b"}");
    }
}
