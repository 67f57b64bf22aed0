//! What the server says, as far as `pogo subscribe` reads it.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// A frame of the server: a push, or the reply to our only kind of command.
#[derive(Debug, Deserialize)]
pub(super) struct Frame<'a> {
    #[serde(borrow)]
    pub(super) event: Option<Cow<'a, str>>,
    #[serde(borrow, alias = "uri")]
    pub(super) channel: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) data: Option<&'a RawValue>,
    pub(super) offset: Option<u64>,
    #[serde(borrow)]
    pub(super) error: Option<Refusal<'a>>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Refusal<'a> {
    #[serde(borrow)]
    pub(super) code: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) message: Cow<'a, str>,
}

/// The data of `pogo:welcome`.
#[derive(Debug, Deserialize)]
pub(super) struct Welcome {
    pub(super) session: String,
    /// Milliseconds.
    pub(super) ping_interval: u64,
}

/// The data of `pogo:drain`.
#[derive(Debug, Deserialize)]
pub(super) struct Drain {
    pub(super) reconnect_after_ms: u64,
}

/// The data of the reply to a subscription to several channels.
#[derive(Debug, Deserialize)]
pub(super) struct Results<'a> {
    #[serde(borrow)]
    pub(super) results: Vec<Joined<'a>>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Joined<'a> {
    #[serde(borrow, alias = "uri")]
    pub(super) channel: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) epoch: Option<Cow<'a, str>>,
    pub(super) offset: Option<u64>,
    pub(super) recovered: Option<bool>,
    #[serde(borrow, default)]
    pub(super) publications: Vec<Retained<'a>>,
    #[serde(borrow)]
    pub(super) error: Option<Refusal<'a>>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Retained<'a> {
    #[serde(borrow)]
    pub(super) event: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) data: &'a RawValue,
    pub(super) offset: u64,
}

/// A publication as it is printed in JSON.
#[derive(Debug, Serialize)]
pub(super) struct Line<'a> {
    pub(super) channel: &'a str,
    pub(super) event: &'a str,
    pub(super) data: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) epoch: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) offset: Option<u64>,
}
