//! What a client asks for, whatever the encoding. Text is borrowed from the message; payload
//! data and options stay raw JSON.

use std::borrow::Cow;
use std::fmt;

use serde_json::value::RawValue;

/// One command.
#[derive(Clone)]
pub struct Command<'a> {
    /// Echoed in the reply; without it there is none.
    pub id: Option<RequestId<'a>>,
    /// What to do, or the event to publish.
    pub event: Cow<'a, str>,
    /// The channel by name.
    pub channel: Option<Cow<'a, str>>,
    /// The channel as a uri.
    pub uri: Option<Cow<'a, str>>,
    /// Several channels.
    pub channels: Option<Vec<Cow<'a, str>>>,
    /// The payload; a `null` that is there is `Some`.
    pub data: Option<&'a RawValue>,
    /// Options, see [`super::options`].
    pub options: Option<&'a RawValue>,
    /// A known key of the wrong type, which makes the command a `bad_request`. Its field is
    /// `None`; the others, `id` above all, are as sent.
    pub fault: Option<Fault>,
}

/// Why a part of a command cannot be used; its text is fit for the reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Fault(pub &'static str);

/// What a reply repeats so that the client knows what it answers.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum RequestId<'a> {
    /// A number in JSON's notation, as it was sent.
    Number(Cow<'a, str>),
    /// A string.
    Text(Cow<'a, str>),
}

impl RequestId<'_> {
    /// The same in its own memory, to keep beyond the message.
    pub fn into_owned(self) -> RequestId<'static> {
        match self {
            Self::Number(text) => RequestId::Number(Cow::Owned(text.into_owned())),
            Self::Text(text) => RequestId::Text(Cow::Owned(text.into_owned())),
        }
    }
}

// By hand, because data may hold a token that must not reach a log.
impl fmt::Debug for Command<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Command")
            .field("id", &self.id)
            .field("event", &self.event)
            .field("channel", &self.channel)
            .field("uri", &self.uri)
            .field("channels", &self.channels)
            .field("fault", &self.fault)
            .finish_non_exhaustive()
    }
}
