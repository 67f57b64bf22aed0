//! `pogo.v1.json` and `pogo.v1.cjson`: one JSON object a text frame.
//!
//! An object is scanned once for the spans of its known keys; only short strings are decoded
//! after that, and one without escapes is borrowed. Nothing recurses, so nesting is harmless.
//! Of duplicate keys the last counts, whatever the types of the others.

mod encode;
pub(in crate::protocol) mod text;

pub(super) use encode::{encode, member_data};

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::command::{Command, Fault, RequestId};
use super::sink::{Key, LETTERS, MARK};

const fn keys(compact: bool) -> [&'static str; 7] {
    [
        Key::Id.text(compact),
        Key::Event.text(compact),
        Key::Channel.text(compact),
        Key::Uri.text(compact),
        "channels",
        Key::Data.text(compact),
        Key::Options.text(compact),
    ]
}

/// Decodes a command, its envelope in full or `compact`; `None` if the text is no object with an
/// event.
pub(super) fn decode(message: &str, compact: bool) -> Option<Command<'_>> {
    let [id, event, channel, uri, channels, data, options] = fields(message, keys(compact))?;
    let mut event = event.and_then(string)?;
    let mut fault = None;
    if compact {
        match name(&event) {
            Some(name) => event = name,
            None => fault = Some(EVENT),
        }
    }
    let id = typed(
        id,
        request_id,
        "`id` must be a number or a string",
        &mut fault,
    );
    let channel = typed(channel, string, "`channel` must be a string", &mut fault);
    let uri = typed(uri, string, "`uri` must be a string", &mut fault);
    let channels = typed(
        channels,
        strings,
        "`channels` must be a list of strings",
        &mut fault,
    );
    let options = typed(options, object, "`options` must be an object", &mut fault);
    Some(Command {
        id,
        event,
        channel,
        uri,
        channels,
        data,
        options,
        fault,
    })
}

const EVENT: Fault = Fault("an event is a letter of the table or starts with `:`");

/// The event that a compact message names.
fn name<'a>(event: &Cow<'a, str>) -> Option<Cow<'a, str>> {
    if let Some((name, _)) = LETTERS.iter().find(|(_, letter)| letter == event) {
        return Some(Cow::Borrowed(name));
    }
    Some(match event {
        Cow::Borrowed(text) => Cow::Borrowed(text.strip_prefix(MARK)?),
        Cow::Owned(text) => Cow::Owned(text.strip_prefix(MARK)?.to_owned()),
    })
}

/// Converts a known key's value; `null` counts as absent, a wrong type is the fault (the first
/// one found is kept).
fn typed<'a, T>(
    raw: Option<&'a RawValue>,
    convert: fn(&'a RawValue) -> Option<T>,
    expected: &'static str,
    fault: &mut Option<Fault>,
) -> Option<T> {
    let converted = convert(raw.and_then(non_null)?);
    if converted.is_none() {
        fault.get_or_insert(Fault(expected));
    }
    converted
}

fn request_id(raw: &RawValue) -> Option<RequestId<'_>> {
    match raw.get().as_bytes().first()? {
        b'"' => string(raw).map(RequestId::Text),
        b'-' | b'0'..=b'9' => Some(RequestId::Number(Cow::Borrowed(raw.get()))),
        _ => None,
    }
}

fn object(raw: &RawValue) -> Option<&RawValue> {
    raw.get().starts_with('{').then_some(raw)
}

fn strings(raw: &RawValue) -> Option<Vec<Cow<'_, str>>> {
    let texts: Vec<Text<'_>> = serde_json::from_str(raw.get()).ok()?;
    Some(texts.into_iter().map(|text| text.0).collect())
}

/// `raw` unless it is `null`.
pub(in crate::protocol) fn non_null(raw: &RawValue) -> Option<&RawValue> {
    (raw.get() != "null").then_some(raw)
}

/// The string that `raw` is.
pub(in crate::protocol) fn string(raw: &RawValue) -> Option<Cow<'_, str>> {
    let text = raw.get();
    match text.strip_prefix('"')?.strip_suffix('"') {
        Some(inner) if !inner.contains('\\') => Some(Cow::Borrowed(inner)),
        _ => serde_json::from_str(text).ok().map(Cow::Owned),
    }
}

/// The values of the keys `names` in the object that `text` is; `None` if it is none.
pub(in crate::protocol) fn fields<'a, const N: usize>(
    text: &'a str,
    names: [&str; N],
) -> Option<[Option<&'a RawValue>; N]> {
    let mut found = [None; N];
    scan(text, |key, value| {
        if let Some(index) = names.iter().position(|name| **name == *key) {
            found[index] = Some(value);
        }
    })?;
    Some(found)
}

/// Every entry of the object that `text` is, duplicates included; `None` if it is none.
pub(super) fn entries(text: &str) -> Option<Vec<(Cow<'_, str>, &RawValue)>> {
    let mut entries = Vec::new();
    scan(text, |key, value| entries.push((key, value)))?;
    Some(entries)
}

/// Hands every entry of the object that `text` is to `take`; `None` if it is none.
fn scan<'a>(text: &'a str, take: impl FnMut(Cow<'a, str>, &'a RawValue)) -> Option<()> {
    let mut json = serde_json::Deserializer::from_str(text);
    json.deserialize_map(Scan(take)).ok()?;
    json.end().ok()
}

struct Scan<F>(F);

impl<'a, F: FnMut(Cow<'a, str>, &'a RawValue)> Visitor<'a> for Scan<F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<M: MapAccess<'a>>(mut self, mut map: M) -> Result<(), M::Error> {
        while let Some((key, value)) = map.next_entry::<Text<'a>, &'a RawValue>()? {
            (self.0)(key.0, value);
        }
        Ok(())
    }
}

/// A string, borrowed where it has no escapes (serde's own `Cow` never borrows).
struct Text<'a>(Cow<'a, str>);

impl<'a> Deserialize<'a> for Text<'a> {
    fn deserialize<D: Deserializer<'a>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(TextVisitor)
    }
}

struct TextVisitor;

impl<'a> Visitor<'a> for TextVisitor {
    type Value = Text<'a>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_borrowed_str<E>(self, text: &'a str) -> Result<Text<'a>, E> {
        Ok(Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Text<'a>, E> {
        Ok(Text(Cow::Owned(text.to_owned())))
    }
}

#[cfg(test)]
mod tests;
