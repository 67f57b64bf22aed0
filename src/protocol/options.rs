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

#[cfg(test)]
mod tests;
