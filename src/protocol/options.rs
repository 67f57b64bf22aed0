//! The typed parts of a command's `options` and `data`. Unknown keys are ignored, `null` counts
//! as absent, a known key of the wrong type is a [`Fault`], and of duplicates the last counts.

use std::borrow::Cow;
use std::collections::HashMap;

use serde_json::value::RawValue;

use super::Fault;
use super::json::{entries, fields, non_null, string};
use crate::session_id::SessionId;

/// Publications that `channel:history` returns when not told how many.
pub const DEFAULT_HISTORY_LIMIT: usize = 100;

/// Longest option that becomes a header, in bytes.
pub const MAX_HEADER_BYTES: usize = 1024;

/// A position as a client names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct From<'a> {
    /// The epoch.
    pub epoch: Cow<'a, str>,
    /// The last offset that the client has seen.
    pub offset: u64,
    /// With `recover`: the old session, so that what excluded it stays excluded.
    pub session: Option<SessionId>,
}

/// Options of subscribe and bind.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Subscribe<'a> {
    /// Bring what was missed since.
    pub recover: Option<From<'a>>,
    /// Bring the last so many.
    pub rewind: usize,
}

/// Options of a subscribe to several channels.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SubscribeMany<'a> {
    /// For each channel: bring what was missed since.
    pub recover: HashMap<Cow<'a, str>, From<'a>>,
    /// Bring the last so many of each.
    pub rewind: usize,
}

/// Options of `index`, `show`, `create`, `update`, `delete`, and of `bind` to a covered uri.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rest<'a> {
    /// Whether the session is bound to what is answered.
    pub bind: bool,
    /// Bring what was missed since.
    pub recover: Option<From<'a>>,
    /// Bring the last so many events.
    pub rewind: usize,
    /// Of bind: bring the resource.
    pub snapshot: bool,
    /// Becomes `If-Match`: visible ASCII and spaces, at most [`MAX_HEADER_BYTES`].
    pub if_match: Option<Cow<'a, str>>,
    /// Becomes `Idempotency-Key`; the same.
    pub idempotency_key: Option<Cow<'a, str>>,
    /// Whether the session gets its own copy of the event.
    pub echo: bool,
}

/// Options of `channel:history`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct History<'a> {
    /// At most so many.
    pub limit: usize,
    /// Start beyond this position (or, with `reverse`, before it).
    pub from: Option<From<'a>>,
    /// Newest first.
    pub reverse: bool,
}

impl<'a> Subscribe<'a> {
    /// Reads them.
    ///
    /// # Errors
    /// A known key has the wrong type.
    pub fn parse(options: Option<&'a RawValue>) -> Result<Self, Fault> {
        let [recover, rewind] = known(options, ["recover", "rewind"])?;
        Ok(Self {
            recover: recover.map(|raw| From::parse(raw, RECOVER)).transpose()?,
            rewind: rewind
                .map(|raw| count(raw, REWIND))
                .transpose()?
                .unwrap_or(0),
        })
    }
}

impl<'a> SubscribeMany<'a> {
    /// Reads them.
    ///
    /// # Errors
    /// A known key has the wrong type.
    pub fn parse(options: Option<&'a RawValue>) -> Result<Self, Fault> {
        let [recover, rewind] = known(options, ["recover", "rewind"])?;
        let mut positions = HashMap::new();
        if let Some(raw) = recover {
            for (channel, raw) in entries(raw.get()).ok_or(RECOVER_MANY)? {
                positions.insert(channel, non_null(raw));
            }
        }
        let recover = positions
            .into_iter()
            .filter_map(|(channel, raw)| Some((channel, raw?)))
            .map(|(channel, raw)| Ok((channel, From::parse(raw, RECOVER)?)))
            .collect::<Result<_, Fault>>()?;
        let rewind = rewind
            .map(|raw| count(raw, REWIND))
            .transpose()?
            .unwrap_or(0);
        Ok(Self { recover, rewind })
    }
}

impl<'a> Rest<'a> {
    /// Reads them.
    ///
    /// # Errors
    /// A known key has the wrong type, or what becomes a header cannot be one.
    pub fn parse(options: Option<&'a RawValue>) -> Result<Self, Fault> {
        let names = [
            "bind",
            "recover",
            "rewind",
            "snapshot",
            "if_match",
            "idempotency_key",
            "echo",
        ];
        let [
            bind,
            recover,
            rewind,
            snapshot,
            if_match,
            idempotency_key,
            echo,
        ] = known(options, names)?;
        let flag = |raw: Option<&RawValue>, fault| raw.map(|raw| boolean(raw, fault)).transpose();
        let rewind = rewind.map(|raw| count(raw, REWIND)).transpose()?;
        Ok(Self {
            bind: flag(bind, BIND)?.unwrap_or(true),
            recover: recover.map(|raw| From::parse(raw, RECOVER)).transpose()?,
            rewind: rewind.unwrap_or(0),
            snapshot: flag(snapshot, SNAPSHOT)?.unwrap_or(false),
            if_match: if_match.map(|raw| header(raw, IF_MATCH)).transpose()?,
            idempotency_key: idempotency_key
                .map(|raw| header(raw, IDEMPOTENCY_KEY))
                .transpose()?,
            echo: flag(echo, ECHO)?.unwrap_or(true),
        })
    }
}

impl<'a> History<'a> {
    /// Reads them.
    ///
    /// # Errors
    /// A known key has the wrong type.
    pub fn parse(options: Option<&'a RawValue>) -> Result<Self, Fault> {
        let [limit, from, reverse] = known(options, ["limit", "from", "reverse"])?;
        Ok(Self {
            limit: limit
                .map(|raw| count(raw, LIMIT))
                .transpose()?
                .unwrap_or(DEFAULT_HISTORY_LIMIT),
            from: from.map(|raw| From::parse(raw, FROM)).transpose()?,
            reverse: reverse
                .map(|raw| boolean(raw, REVERSE))
                .transpose()?
                .unwrap_or(false),
        })
    }
}

/// Reads a publication's `options.echo`: whether the publisher gets its copy, if subscribed.
///
/// # Errors
/// It is no boolean.
pub fn echo(options: Option<&RawValue>) -> Result<bool, Fault> {
    let [echo] = known(options, ["echo"])?;
    Ok(echo
        .map(|raw| boolean(raw, ECHO))
        .transpose()?
        .unwrap_or(true))
}

/// Reads the token of `auth` from its `data`.
///
/// # Errors
/// There is none, or it is no string.
pub fn token(data: Option<&RawValue>) -> Result<Cow<'_, str>, Fault> {
    let [token] = data
        .and_then(|raw| fields(raw.get(), ["token"]))
        .ok_or(TOKEN)?;
    token.and_then(string).ok_or(TOKEN)
}

const OPTIONS: Fault = Fault("`options` must be an object");
const RECOVER: Fault = Fault(
    "`recover` must be an object with `epoch` (a string), `offset` (a whole number) and \
     `session` (a session's id) if any",
);
const RECOVER_MANY: Fault = Fault("with `channels`, `recover` must be an object keyed by channel");
const REWIND: Fault = Fault("`rewind` must be a whole number");
const LIMIT: Fault = Fault("`limit` must be a whole number");
const FROM: Fault =
    Fault("`from` must be an object with `epoch` (a string) and `offset` (a whole number)");
const REVERSE: Fault = Fault("`reverse` must be a boolean");
const ECHO: Fault = Fault("`echo` must be a boolean");
const BIND: Fault = Fault("`bind` must be a boolean");
const SNAPSHOT: Fault = Fault("`snapshot` must be a boolean");
const IF_MATCH: Fault =
    Fault("`if_match` must be a string of visible ASCII, of at most 1,024 bytes");
const IDEMPOTENCY_KEY: Fault =
    Fault("`idempotency_key` must be a string of visible ASCII, of at most 1,024 bytes");
const TOKEN: Fault = Fault("`data.token` must be a string");

impl<'a> From<'a> {
    fn parse(raw: &'a RawValue, fault: Fault) -> Result<Self, Fault> {
        let [epoch, offset, session] =
            fields(raw.get(), ["epoch", "offset", "session"]).ok_or(fault)?;
        let session = match session.and_then(non_null) {
            Some(raw) => Some(
                string(raw)
                    .and_then(|text| text.parse().ok())
                    .ok_or(fault)?,
            ),
            None => None,
        };
        Ok(Self {
            epoch: epoch.and_then(string).ok_or(fault)?,
            offset: offset.and_then(|raw| raw.get().parse().ok()).ok_or(fault)?,
            session,
        })
    }
}

/// The values of `names` in `options`, without those that are `null`.
fn known<'a, const N: usize>(
    options: Option<&'a RawValue>,
    names: [&str; N],
) -> Result<[Option<&'a RawValue>; N], Fault> {
    let Some(raw) = options.and_then(non_null) else {
        return Ok([None; N]);
    };
    let found = fields(raw.get(), names).ok_or(OPTIONS)?;
    Ok(found.map(|raw| raw.and_then(non_null)))
}

/// A whole number; one beyond what the machine counts is as good as the largest.
fn count(raw: &RawValue, fault: Fault) -> Result<usize, Fault> {
    let text = raw.get();
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(fault);
    }
    Ok(text.parse().unwrap_or(usize::MAX))
}

fn boolean(raw: &RawValue, fault: Fault) -> Result<bool, Fault> {
    raw.get().parse().map_err(|_| fault)
}

/// A string that can be a header's value.
fn header(raw: &RawValue, fault: Fault) -> Result<Cow<'_, str>, Fault> {
    let fits = |text: &Cow<'_, str>| {
        (1..=MAX_HEADER_BYTES).contains(&text.len())
            && text.bytes().all(|byte| (0x20..0x7f).contains(&byte))
    };
    string(raw).filter(fits).ok_or(fault)
}

#[cfg(test)]
mod tests;
