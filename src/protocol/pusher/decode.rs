//! What Pusher's clients say. Unknown keys are ignored, `null` counts as absent, and of duplicate
//! keys the last counts.

use std::borrow::Cow;
use std::sync::Arc;

use serde_json::value::RawValue;

use crate::protocol::json::{fields, non_null, string};

/// A frame that is not what it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(&'static str);

/// A client's frame.
#[derive(Debug)]
pub struct Frame<'a> {
    /// What it asks for, or the name of an event of its own.
    pub event: Cow<'a, str>,
    /// Where an event of its own goes.
    pub channel: Option<Cow<'a, str>>,
    /// What belongs to it.
    pub data: Option<&'a RawValue>,
}

/// Of `pusher:subscribe`.
#[derive(Debug, PartialEq, Eq)]
pub struct Subscribe {
    /// The channel.
    pub channel: Box<str>,
    /// The signature; public channels have an empty one, or none.
    pub auth: Option<Box<str>>,
    /// What presence shows, exactly as it was signed.
    pub channel_data: Option<Box<str>>,
}

/// Of `pusher:signin`.
#[derive(Debug, PartialEq, Eq)]
pub struct SignIn {
    /// The signature.
    pub auth: Box<str>,
    /// Who it is, exactly as it was signed.
    pub user_data: Box<str>,
}

/// What `channel_data` tells of a member.
#[derive(Debug, Clone)]
pub struct Identity {
    /// A number counts as its text.
    pub id: Arc<str>,
    /// Any JSON.
    pub info: Option<Arc<RawValue>>,
}

/// What `user_data` tells of a user.
#[derive(Debug, Clone)]
pub struct User {
    /// Who it is.
    pub identity: Identity,
    /// Whose coming and going it wants to hear of.
    pub watchlist: Vec<Arc<str>>,
}

impl<'a> Frame<'a> {
    /// Reads a frame.
    ///
    /// # Errors
    /// It is none.
    pub fn decode(text: &'a str) -> Result<Self, Malformed> {
        let [event, channel, data] = fields(text, ["event", "channel", "data"])
            .ok_or(Malformed("a message is a JSON object"))?;
        let event = event.and_then(string);
        Ok(Self {
            event: event.ok_or(Malformed("a message has an `event`"))?,
            channel: match channel.and_then(non_null) {
                Some(raw) => Some(string(raw).ok_or(Malformed("`channel` must be a string"))?),
                None => None,
            },
            data: data.and_then(non_null),
        })
    }

    /// The values of these keys of `data`.
    fn data<const N: usize>(&self, names: [&str; N]) -> Result<[Option<Box<str>>; N], Malformed> {
        let raw = self.data.ok_or(Malformed("`data` is missing"))?;
        let text = string(raw).unwrap_or(Cow::Borrowed(raw.get()));
        let found = fields(&text, names).ok_or(Malformed("`data` must be an object"))?;
        let mut texts = [const { None }; N];
        for (text, raw) in texts.iter_mut().zip(found) {
            if let Some(raw) = raw.and_then(non_null) {
                let value = string(raw).ok_or(Malformed("the fields of `data` are strings"))?;
                *text = Some(value.into());
            }
        }
        Ok(texts)
    }

    /// Of `pusher:subscribe`.
    ///
    /// # Errors
    /// Its data is wrong.
    pub fn subscribe(&self) -> Result<Subscribe, Malformed> {
        let [channel, auth, channel_data] = self.data(["channel", "auth", "channel_data"])?;
        Ok(Subscribe {
            channel: channel.ok_or(NO_CHANNEL)?,
            auth,
            channel_data,
        })
    }

    /// Of `pusher:unsubscribe`.
    ///
    /// # Errors
    /// Its data is wrong.
    pub fn unsubscribe(&self) -> Result<Box<str>, Malformed> {
        let [channel] = self.data(["channel"])?;
        channel.ok_or(NO_CHANNEL)
    }

    /// Of `pusher:signin`.
    ///
    /// # Errors
    /// Its data is wrong.
    pub fn sign_in(&self) -> Result<SignIn, Malformed> {
        match self.data(["auth", "user_data"])? {
            [Some(auth), Some(user_data)] => Ok(SignIn { auth, user_data }),
            _ => Err(Malformed("`data` has an `auth` and a `user_data`")),
        }
    }
}

const NO_CHANNEL: Malformed = Malformed("`data` names a `channel`");
const NO_ID: Malformed = Malformed("the id of a user is a string or a number, and not empty");

impl Identity {
    /// Reads `channel_data`.
    ///
    /// # Errors
    /// It does not say who it is.
    pub fn decode(text: &str) -> Result<Self, Malformed> {
        let [id, info] = fields(text, ["user_id", "user_info"])
            .ok_or(Malformed("`channel_data` is no object"))?;
        Ok(Self {
            id: id.and_then(user_id).ok_or(NO_ID)?,
            info: info.and_then(non_null).map(|raw| raw.to_owned().into()),
        })
    }
}

impl User {
    /// Reads `user_data`.
    ///
    /// # Errors
    /// It does not say who it is.
    pub fn decode(text: &str) -> Result<Self, Malformed> {
        let [id, info, watchlist] = fields(text, ["id", "user_info", "watchlist"])
            .ok_or(Malformed("`user_data` is no object"))?;
        let watchlist = match watchlist.and_then(non_null) {
            Some(raw) => ids(raw).ok_or(Malformed("`watchlist` is a list of ids"))?,
            None => Vec::new(),
        };
        Ok(Self {
            identity: Identity {
                id: id.and_then(user_id).ok_or(NO_ID)?,
                info: info.and_then(non_null).map(|raw| raw.to_owned().into()),
            },
            watchlist,
        })
    }
}

/// A string, or a number as it is written.
fn user_id(raw: &RawValue) -> Option<Arc<str>> {
    let id = match raw.get().as_bytes().first()? {
        b'"' => string(raw)?,
        b'-' | b'0'..=b'9' => Cow::Borrowed(raw.get()),
        _ => return None,
    };
    (!id.is_empty()).then(|| id.as_ref().into())
}

fn ids(raw: &RawValue) -> Option<Vec<Arc<str>>> {
    let list: Vec<&RawValue> = serde_json::from_str(raw.get()).ok()?;
    list.into_iter().map(user_id).collect()
}
