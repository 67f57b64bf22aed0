//! Publishing. Everything is checked before anything is published.
//!
//! `data` is a string. Where it is valid JSON, exactly its bytes are the publication's data, so
//! that native clients get that JSON; otherwise they get the string. Pusher clients get the string
//! in either case.

use bytes::Bytes;
use futures_util::future::join_all;
use http::{Response, StatusCode};
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::{Map, Value, json};

use super::super::Pusher;
use super::super::answer::{self, Refused};
use super::info::Info;
use super::{channel_name, unavailable};
use crate::channel::{self, ChannelName};
use crate::node::{NewPublication, PublishError};
use crate::protocol::pairs::Pairs;
use crate::publication::Form;
use crate::session_id::SessionId;

/// Most channels of one event.
const MAX_CHANNELS: usize = 100;
/// Most events of a batch.
const MAX_BATCH: usize = 10;
/// What is asked for in either form.
#[derive(Debug, Default, Deserialize)]
struct Event {
    name: String,
    data: String,
    channel: Option<String>,
    channels: Option<Vec<String>>,
    socket_id: Option<String>,
    info: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Batch {
    batch: Vec<Event>,
}

/// An event that may be published.
struct Checked {
    channels: Vec<ChannelName>,
    /// What each channel gets.
    publication: NewPublication,
    info: Info,
}

impl Pusher {
    /// One event, on one channel or several.
    pub(super) async fn publish(&self, body: &[u8]) -> Result<Value, Refused> {
        let checked = Checked::new(read(body)?, self.max_data())?;
        self.publish_one(&checked).await?;
        if checked.info.is_empty() {
            return Ok(json!({}));
        }
        let mut channels = Map::new();
        for channel in &checked.channels {
            let told = self.attributes(channel, checked.info).await?;
            channels.insert(channel.to_string(), told.into());
        }
        Ok(json!({ "channels": channels }))
    }

    /// Several events, each on one channel, in their order.
    pub(super) async fn publish_batch(&self, body: &[u8]) -> Result<Value, Refused> {
        let Batch { batch } = read(body)?;
        if batch.len() > MAX_BATCH {
            return Err(Refused::bad(format!(
                "Batch too large: {} events, at most {MAX_BATCH}",
                batch.len()
            )));
        }
        let checked = batch.into_iter().map(|event| {
            if event.channels.is_some() {
                return Err(Refused::bad("An event of a batch has one channel"));
            }
            Checked::new(event, self.max_data())
        });
        let checked: Vec<Checked> = checked.collect::<Result<_, _>>()?;
        for event in &checked {
            self.publish_one(event).await?;
        }
        if checked.iter().all(|event| event.info.is_empty()) {
            return Ok(json!({}));
        }
        let mut told = Vec::with_capacity(checked.len());
        for event in &checked {
            for channel in &event.channels {
                told.push(Value::from(self.attributes(channel, event.info).await?));
            }
        }
        Ok(json!({ "batch": told }))
    }

    /// `POST /channels/{c}/events?name=…`, the way before `/events`: the body is the data.
    pub(super) async fn publish_as_before(
        &self,
        channel: &str,
        query: &Pairs,
        body: &[u8],
    ) -> Result<Response<Bytes>, Refused> {
        let event = Event {
            name: query.get("name").unwrap_or_default().into(),
            data: String::from_utf8(body.to_vec())
                .map_err(|_| Refused::bad("The data is no UTF-8"))?,
            channel: Some(channel.into()),
            socket_id: query.get("socket_id").map(Into::into),
            ..Event::default()
        };
        let checked = Checked::new(event, self.max_data())?;
        self.publish_one(&checked).await?;
        Ok(answer::respond(
            StatusCode::ACCEPTED,
            "text/plain; charset=utf-8",
            "202 ACCEPTED\n".into(),
        ))
    }

    /// Longest data in bytes.
    fn max_data(&self) -> usize {
        self.services.shared.settings.load().pusher.max_event_bytes
    }

    async fn publish_one(&self, checked: &Checked) -> Result<(), Refused> {
        let accepted = join_all(checked.channels.iter().map(|channel| {
            self.services.node.publish(NewPublication {
                channel: channel.clone(),
                ..checked.publication.clone()
            })
        }));
        for accepted in accepted.await {
            accepted.map_err(|error| match error {
                PublishError::Broker(error) => unavailable(&error),
                PublishError::Uri(error) => Refused::bad(format!("Invalid channel name: {error}")),
            })?;
        }
        Ok(())
    }
}

impl Checked {
    fn new(event: Event, max_data: usize) -> Result<Self, Refused> {
        if event.data.len() > max_data {
            return Err(Refused::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                format!(
                    "The data content of this event exceeds the allowed maximum ({max_data} bytes)"
                ),
            ));
        }
        channel::check_event(&event.name)
            .map_err(|why| Refused::bad(format!("Invalid event name: {why}")))?;
        let names = match (event.channels, event.channel) {
            (Some(names), _) => names,
            (None, Some(name)) => vec![name],
            (None, None) => Vec::new(),
        };
        let channels = channels(&names)?;
        let Some(channel) = channels.first().cloned() else {
            return Err(Refused::bad("At least one channel is needed"));
        };
        let (form, data) = in_form(event.data);
        Ok(Self {
            channels,
            info: Info::parse(event.info.as_deref())?,
            publication: NewPublication {
                channel,
                event: event.name.into(),
                data,
                ttl: None,
                exclude: session(event.socket_id.as_deref())?,
                form,
                user: None,
                skip_history: false,
                change: None,
                idempotency: None,
            },
        })
    }
}

/// A publication's data: JSON in any case.
fn in_form(text: String) -> (Form, Bytes) {
    if serde_json::from_str::<IgnoredAny>(&text).is_ok() {
        (Form::Json, text.into())
    } else {
        (Form::Text, Value::String(text).to_string().into())
    }
}

/// The channels, each once.
fn channels(names: &[String]) -> Result<Vec<ChannelName>, Refused> {
    if names.len() > MAX_CHANNELS {
        return Err(Refused::bad(format!(
            "An event may be triggered on at most {MAX_CHANNELS} channels"
        )));
    }
    let mut channels = Vec::with_capacity(names.len());
    for name in names {
        let name = channel_name(name)?;
        if !channels.contains(&name) {
            channels.push(name);
        }
    }
    Ok(channels)
}

/// The session that must not get it; some libraries send an empty one for none.
fn session(text: Option<&str>) -> Result<Option<SessionId>, Refused> {
    match text {
        None | Some("") => Ok(None),
        Some(text) => {
            let id = text.parse();
            id.map(Some)
                .map_err(|_| Refused::bad("Invalid socket_id: it looks like 123.456"))
        }
    }
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refused> {
    serde_json::from_slice(body).map_err(|why| Refused::bad(format!("Invalid body: {why}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(body: &Value) -> Result<Checked, Refused> {
        Checked::new(read(body.to_string().as_bytes())?, 10_240)
    }

    fn event(data: &str) -> Value {
        json!({ "name": "e", "channel": "c", "data": data })
    }

    #[test]
    fn json_stays_as_it_was_written_and_anything_else_becomes_a_string() {
        for (text, form, data) in [
            ("{\"a\" : 1.0}", Form::Json, "{\"a\" : 1.0}"),
            ("1", Form::Json, "1"),
            ("\"x\"", Form::Json, "\"x\""),
            ("hello", Form::Text, "\"hello\""),
            ("", Form::Text, "\"\""),
            ("{\"a\":", Form::Text, "\"{\\\"a\\\":\""),
            ("1 2", Form::Text, "\"1 2\""),
        ] {
            let publication = checked(&event(text)).ok().unwrap().publication;
            assert_eq!(publication.form, form, "{text}");
            assert_eq!(publication.data, data, "{text}");
        }
    }

    #[test]
    fn limits_are_those_of_pusher() {
        let status = |body: Value| checked(&body).err().map(|refused| refused.status.as_u16());
        assert_eq!(status(event(&"x".repeat(10_240))), None);
        let long = checked(&event(&"x".repeat(10_241))).err().unwrap();
        assert_eq!(long.status, 413);
        assert!(long.says.contains("content of this event"));
        let names = |count| (0..count).map(|n| format!("c{n}")).collect::<Vec<_>>();
        let several = |count| json!({ "name": "e", "channels": names(count), "data": "" });
        assert_eq!(status(several(100)), None);
        assert_eq!(status(several(101)), Some(400));
        assert_eq!(status(several(0)), Some(400));
        assert_eq!(status(json!({ "name": "e", "data": "" })), Some(400));
        for (field, good, bad) in [
            ("name", "x".repeat(200), "x".repeat(201)),
            ("name", "client-a".into(), "pusher:a".into()),
            ("channel", "x".repeat(200), "x".repeat(201)),
            ("channel", "aB0_-=@,.;".into(), "a b".into()),
            ("channel", "#server-to-user-7".into(), "#user-7".into()),
            ("channel", "private-a".into(), "/posts/1".into()),
            ("channel", "private-a".into(), "é".into()),
            ("socket_id", "1.2".into(), "1".into()),
            ("socket_id", String::new(), "1.2:".into()),
            ("info", "user_count".into(), "colour".into()),
        ] {
            for (value, expected) in [(good, None), (bad, Some(400))] {
                let mut body = event("");
                body[field] = value.clone().into();
                assert_eq!(status(body), expected, "{field} {value}");
            }
        }
        let mut body = event("");
        body["data"] = json!({ "an": "object" });
        assert_eq!(status(body), Some(400));
    }

    #[test]
    fn a_channel_that_is_named_twice_gets_it_once() {
        let body = json!({ "name": "e", "channels": ["a", "b", "a"], "data": "" });
        assert_eq!(checked(&body).ok().unwrap().channels.len(), 2);
    }
}
