//! What Pusher's clients are sent.

use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::channel::SIGNED_IN;
use crate::code::CloseCode;
use crate::protocol::json::text::{self, Out, Write};
use crate::publication::{Form, Publication};
use crate::session_id::SessionId;

/// What is said to a client.
#[derive(Debug, Clone, Copy)]
pub enum Event<'a> {
    /// The first frame.
    Established {
        /// The socket's id.
        session: SessionId,
        /// After how much silence the client pings.
        activity_timeout: Duration,
    },
    /// Are you there?
    Ping,
    /// Yes.
    Pong,
    /// The client is on a channel.
    Subscribed {
        /// The channel.
        channel: &'a str,
        /// On presence channels: its members, each once, with what it shows.
        members: Option<&'a [(&'a str, Option<&'a RawValue>)]>,
    },
    /// It is not.
    NotSubscribed {
        /// The channel.
        channel: &'a str,
        /// What kind of error it is.
        kind: &'a str,
        /// Why.
        error: &'a str,
        /// As in HTTP.
        status: u16,
    },
    /// A cache channel holds nothing.
    CacheMiss(&'a str),
    /// An event of a channel, or of none.
    Push {
        /// Its name.
        event: &'a str,
        /// The channel.
        channel: Option<&'a str>,
        /// JSON text.
        data: &'a [u8],
        /// How it is shown.
        form: Form,
    },
    /// The client is signed in; with the `user_data` that it sent.
    SignedIn(&'a str),
    /// Users of its watchlist that are there, and that are not.
    Watchlist {
        /// Who is there.
        online: &'a [&'a str],
        /// Who is not.
        offline: &'a [&'a str],
    },
    /// Something went wrong.
    Error {
        /// Pusher's number of it, where it has one.
        code: Option<u16>,
        /// For people.
        message: &'a str,
    },
}

/// The whole WebSocket frame of `event`.
pub fn encode(event: &Event<'_>) -> Bytes {
    const SUBSCRIBED: &str = "pusher_internal:subscription_succeeded";
    // Most have their data as a string, whose JSON this is.
    let text = |name: &str, channel: Option<&str>, write: &dyn Fn(&mut Vec<u8>)| {
        let mut data = Vec::new();
        write(&mut data);
        frame(name, channel, &data, Form::Json)
    };
    let empty = |data: &mut Vec<u8>| data.raw(b"{}");
    match *event {
        Event::Established {
            session,
            activity_timeout,
        } => text("pusher:connection_established", None, &|data| {
            established(data, session, activity_timeout);
        }),
        Event::Ping => text("pusher:ping", None, &empty),
        Event::Pong => text("pusher:pong", None, &empty),
        Event::Subscribed { channel, members } => match members {
            Some(members) => text(SUBSCRIBED, Some(channel), &|data| roster(data, members)),
            None => text(SUBSCRIBED, Some(channel), &empty),
        },
        Event::NotSubscribed {
            channel,
            kind,
            error,
            status,
        } => text("pusher:subscription_error", Some(channel), &|data| {
            not_subscribed(data, kind, error, status);
        }),
        Event::CacheMiss(channel) => text("pusher:cache_miss", Some(channel), &empty),
        Event::Watchlist { online, offline } => {
            text(WATCHLIST, None, &|data| watchlist(data, online, offline))
        }
        Event::Push {
            event,
            channel,
            data,
            form,
        } => frame(event, channel, data, form),
        Event::SignedIn(user_data) => {
            let mut data = Vec::new();
            data.raw(b"{\"user_data\":");
            data.string(user_data);
            data.raw(b"}");
            frame("pusher:signin_success", None, &data, Form::Client)
        }
        Event::Error { code, message } => {
            let mut data = Vec::new();
            error(&mut data, code, message);
            frame("pusher:error", None, &data, Form::Client)
        }
    }
}

fn established(data: &mut Vec<u8>, session: SessionId, activity_timeout: Duration) {
    data.raw(b"{\"socket_id\":");
    data.string(&session.to_string());
    data.raw(b",\"activity_timeout\":");
    // None at all, or 0, makes clients give up.
    data.number(activity_timeout.as_secs().max(1));
    data.raw(b"}");
}

fn not_subscribed(data: &mut Vec<u8>, kind: &str, error: &str, status: u16) {
    data.raw(b"{\"type\":");
    data.string(kind);
    data.raw(b",\"error\":");
    data.string(error);
    data.raw(b",\"status\":");
    data.number(status.into());
    data.raw(b"}");
}

/// What is said before a close frame with `code` to a client that may not read it; `None`: the
/// code is WebSocket's own.
pub fn encode_close(code: CloseCode) -> Option<Bytes> {
    let (number, message) = code.pusher();
    let code = Some(number);
    (number >= 4000).then(|| encode(&Event::Error { code, message }))
}

/// The whole WebSocket frame of a push, not compressed.
pub fn encode_publication(publication: &Publication) -> Bytes {
    let channel = publication.channel.as_str();
    let joins = match &*publication.event {
        "pogo:join" => true,
        "pogo:leave" => false,
        event => {
            return text::frame(&Push {
                event,
                channel: Some(channel),
                data: &publication.data,
                form: publication.form,
                user: publication.user.as_deref(),
            });
        }
    };
    let mut data = Vec::new();
    if let Some(user) = channel.strip_prefix(SIGNED_IN) {
        let (online, offline): (&[&str], &[&str]) = if joins {
            (&[user], &[])
        } else {
            (&[], &[user])
        };
        watchlist(&mut data, online, offline);
        return frame(WATCHLIST, None, &data, Form::Json);
    }
    member(&mut data, &publication.data, joins);
    let event = if joins {
        "pusher_internal:member_added"
    } else {
        "pusher_internal:member_removed"
    };
    frame(event, Some(channel), &data, Form::Json)
}

const WATCHLIST: &str = "pusher_internal:watchlist_events";

fn frame(event: &str, channel: Option<&str>, data: &[u8], form: Form) -> Bytes {
    text::frame(&Push {
        event,
        channel,
        data,
        form,
        user: None,
    })
}

fn error(data: &mut Vec<u8>, code: Option<u16>, message: &str) {
    data.raw(b"{\"code\":");
    match code {
        Some(code) => data.number(code.into()),
        None => data.raw(b"null"),
    }
    data.raw(b",\"message\":");
    data.string(message);
    data.raw(b"}");
}

fn roster(data: &mut Vec<u8>, members: &[(&str, Option<&RawValue>)]) {
    data.raw(b"{\"presence\":{\"ids\":[");
    separated(data, members, |data, (id, _)| data.string(id));
    data.raw(b"],\"hash\":{");
    separated(data, members, |data, (id, info)| {
        data.string(id);
        data.raw(b":");
        data.raw(info.map_or("{}", RawValue::get).as_bytes());
    });
    data.raw(b"},\"count\":");
    data.number(members.len() as u64);
    data.raw(b"}}");
}

fn watchlist(data: &mut Vec<u8>, online: &[&str], offline: &[&str]) {
    let lists = [("online", online), ("offline", offline)];
    let told: Vec<_> = lists
        .iter()
        .filter(|(_, users)| !users.is_empty())
        .collect();
    data.raw(b"{\"events\":[");
    separated(data, &told, |data, (name, users)| {
        data.raw(b"{\"name\":");
        data.string(name);
        data.raw(b",\"user_ids\":[");
        separated(data, users, |data, user| data.string(user));
        data.raw(b"]}");
    });
    data.raw(b"]}");
}

/// A member that comes or goes, from the native push that tells of it.
fn member(data: &mut Vec<u8>, push: &[u8], joins: bool) {
    #[derive(Deserialize)]
    struct Native<'a> {
        subject: String,
        #[serde(borrow)]
        info: Option<&'a RawValue>,
    }
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
}

fn separated<T>(data: &mut Vec<u8>, items: &[T], mut write: impl FnMut(&mut Vec<u8>, &T)) {
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            data.raw(b",");
        }
        write(data, item);
    }
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
            Form::Json | Form::Count => out.quoted(self.data),
            Form::Text | Form::Client => out.raw(self.data),
        }
        if let Some(user) = self.user {
            out.raw(b",\"user_id\":");
            out.string(user);
        }
        out.raw(b"}");
    }
}
