//! What a replica knows of its resource, and how a collection is compared.
//!
//! What counts as a collection: a JSON array, or an object with exactly one member that is an
//! array (`data`, `items`, …), whose elements all have different ids, strings or whole numbers.
//! The order of the elements and what else the object holds are not compared. Time and memory grow
//! with the size of the body only.

use std::collections::{HashMap, HashSet};
use std::time::Instant;

use bytes::Bytes;
use serde_json::Value;
use serde_json::value::RawValue;

use super::words::{Moment, Settings, Snapshot};
use crate::channel::ChannelName;
use crate::gateway::version;

/// The resource as last known.
#[derive(Debug)]
pub(super) struct State {
    pub(super) code: u16,
    /// None: events have changed items of the collection since it was fetched.
    pub(super) body: Option<Bytes>,
    pub(super) etag: Option<Box<str>>,
    pub(super) version: Option<u64>,
    /// Of a collection that can be compared.
    pub(super) items: Option<HashMap<ChannelName, Element>>,
    /// The generation in which it was asked for.
    pub(super) generation: u64,
    /// When it came.
    pub(super) came: Instant,
    /// Until then it may be given to whoever asks.
    pub(super) until: Option<Instant>,
}

/// An item of a collection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Element {
    pub(super) text: Bytes,
    pub(super) version: Option<u64>,
}

/// A difference between two collections.
#[derive(Debug)]
pub(super) struct Difference {
    pub(super) event: &'static str,
    pub(super) item: ChannelName,
    pub(super) data: Bytes,
}

/// The elements of a fetched collection in their order.
pub(super) type Elements = Vec<(ChannelName, Element)>;

impl State {
    pub(super) fn new(
        snapshot: Snapshot,
        items: Option<Elements>,
        (generation, came): (u64, Instant),
    ) -> Self {
        Self {
            came,
            until: snapshot.until,
            code: snapshot.code,
            body: Some(snapshot.body),
            etag: snapshot.etag,
            version: snapshot.version,
            items: items.map(|items| items.into_iter().collect()),
            generation,
        }
    }

    /// An event's data has been taken. If the event alone has raised the generation, that is all
    /// there is to know of it; what a write has raised it for, another event may bring.
    pub(super) fn follow(&mut self, now: Moment) {
        if self.generation + 1 == now.generation {
            self.generation = now.generation;
        }
    }
}

/// The elements of a body; none: it cannot be compared by id.
pub(super) fn elements(body: &Bytes, settings: &Settings) -> Option<Elements> {
    if body.len() > settings.bounds.body {
        return None;
    }
    let uri = settings.item.as_ref()?;
    let mut elements = Elements::new();
    for raw in array(body)? {
        let text = body.slice_ref(raw.get().as_bytes());
        let value: Value = serde_json::from_str(raw.get()).ok()?;
        let id = match value.pointer(&settings.id)? {
            Value::String(id) => id.clone(),
            Value::Number(id) if !id.is_f64() => id.to_string(),
            _ => return None,
        };
        let version = version_of(&value, settings);
        elements.push((uri(&id)?, Element { text, version }));
    }
    let mut names: Vec<&ChannelName> = elements.iter().map(|(name, _)| name).collect();
    names.sort_unstable();
    let unique = names.windows(2).all(|pair| pair[0] != pair[1]);
    unique.then_some(elements)
}

fn version_of(value: &Value, settings: &Settings) -> Option<u64> {
    version::number(value.pointer(settings.version.as_ref()?)?)
}

fn array(body: &[u8]) -> Option<Vec<&RawValue>> {
    let text = std::str::from_utf8(body).ok()?.trim_ascii();
    if text.starts_with('[') {
        return serde_json::from_str(text).ok();
    }
    let members: HashMap<std::borrow::Cow<'_, str>, &RawValue> = serde_json::from_str(text).ok()?;
    let mut arrays = members
        .into_values()
        .filter(|member| member.get().starts_with('['));
    let array = arrays.next()?;
    match arrays.next() {
        None => serde_json::from_str(array.get()).ok(),
        Some(_) => None,
    }
}

/// What leads from `old` to `new`: what went, then what came or changed in the order of `new`.
pub(super) fn differences(old: &HashMap<ChannelName, Element>, new: &Elements) -> Vec<Difference> {
    let stays: HashSet<&ChannelName> = new.iter().map(|(item, _)| item).collect();
    let mut gone: Vec<&ChannelName> = old.keys().filter(|item| !stays.contains(item)).collect();
    gone.sort_unstable();
    let gone = gone.into_iter().map(|item| Difference {
        event: "delete",
        item: item.clone(),
        data: Bytes::from_static(b"null"),
    });
    let come = new.iter().filter_map(|(item, element)| {
        let event = match old.get(item) {
            Some(known) if known.text == element.text => return None,
            Some(_) => "update",
            None => "create",
        };
        Some(Difference {
            event,
            item: item.clone(),
            // Kept for a while: not the whole body along with it.
            data: Bytes::copy_from_slice(&element.text),
        })
    });
    gone.chain(come).collect()
}
