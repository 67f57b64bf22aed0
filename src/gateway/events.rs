//! What is published when a resource has changed, whoever says so: a write through the gateway or
//! a service that publishes on a covered uri. The one place that knows what follows from what.
//!
//! | happened | its own stream | then |
//! |---|---|---|
//! | an item's `create`, `update`, `delete` | as it is | its collection, with `item`; `affects` |
//! | a collection's `create` | with `item`, where it is known | `affects` |
//! | a collection's `update`, `delete` | with `item`, where it is known | that item; `affects` |
//! | any other name | as it is | nothing |
//!
//! Invariant: where the audience is not shared nothing of the data leaves this function; nor does
//! that of a `delete`, which has no state to tell.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::Value;

use super::version;
use crate::channel::ChannelName;
use crate::node::NewPublication;
use crate::publication::{Change, Form};
use crate::resource::{Audience, Endpoint, Resource, ResourceKind, Routes, UriError};

/// What stands for no data.
pub(super) const NULL: Bytes = Bytes::from_static(b"null");

/// The events that say that a resource has changed.
pub(super) fn is_change(event: &str) -> bool {
    matches!(event, "create" | "update" | "delete")
}

/// Something has happened to a resource.
pub(super) struct Happened<'a> {
    /// To this one.
    pub(super) resource: &'a Resource,
    /// Of a collection: to this item of it, where that is known.
    pub(super) item: Option<ChannelName>,
    /// Everything that is to be the same in all that is published: name, ttl, who is left out, who
    /// wrote; and the data, `null` where it is not the resource's state.
    pub(super) publication: NewPublication,
    /// What was answered, or else sent: for what `affects` looks up in it, and nothing else. What
    /// a client sends is not what there is now.
    pub(super) body: Option<&'a Value>,
    /// The version that it has now, where that is known.
    pub(super) version: Option<u64>,
}

/// What a publisher's publication on a covered uri becomes; none: nothing covers it.
///
/// # Errors
/// The name lies where an endpoint is, but is no uri that it serves.
pub(super) fn of_publisher(
    routes: &Routes,
    publication: &NewPublication,
) -> Result<Option<Vec<NewPublication>>, UriError> {
    if routes.is_empty() || !publication.channel.is_uri() {
        return Ok(None);
    }
    let Some(resource) = routes.find(publication.channel.as_str())? else {
        return Ok(None);
    };
    let body = is_change(&publication.event)
        .then(|| serde_json::from_slice::<Value>(&publication.data).ok())
        .flatten();
    let collection = resource.kind == ResourceKind::Collection;
    let item = body.as_ref().filter(|_| collection);
    let happened = Happened {
        resource: &resource,
        item: item.and_then(|body| item_in(&resource, body)),
        publication: publication.clone(),
        body: body.as_ref(),
        version: version::of(&resource.endpoint.version, None, body.as_ref()),
    };
    Ok(Some(publications(routes, happened)))
}

/// What is published, the resource's own event first.
pub(super) fn publications(routes: &Routes, happened: Happened<'_>) -> Vec<NewPublication> {
    let Happened {
        resource,
        item,
        mut publication,
        body,
        version,
    } = happened;
    let endpoint = &*resource.endpoint;
    let writer = publication.change.take();
    let writer = writer.and_then(|change| change.writer.clone());
    let change = Change {
        writer,
        ..Change::default()
    };
    publication.form = Form::Json;
    if endpoint.audience != Audience::Shared || &*publication.event == "delete" {
        publication.data = NULL;
    }
    let own = resource.stream();
    if !is_change(&publication.event) {
        return vec![on(own, None, &publication, change)];
    }
    // What a `delete` was answered with is what was there before.
    let version = version.filter(|_| &*publication.event != "delete");
    let change = Change { version, ..change };
    let mut all = match resource.kind {
        ResourceKind::Item => {
            let collection = resource.collection();
            let collection = collection.filter(|uri| is_alike(routes, resource, uri));
            of_item((own, collection), &publication, change)
        }
        ResourceKind::Collection => {
            let item = item.filter(|uri| is_alike(routes, resource, uri));
            of_collection((own, item), &publication, change)
        }
    };
    affected(routes, resource, body, &publication, &mut all);
    all
}

/// Whether `uri` is of the same endpoint: a more literal template of another may have taken it.
fn is_alike(routes: &Routes, resource: &Resource, uri: &ChannelName) -> bool {
    let found = routes.find(uri.as_str()).ok().flatten();
    found.is_some_and(|found| Arc::ptr_eq(&found.endpoint, &resource.endpoint))
}

fn of_item(
    (own, collection): (ChannelName, Option<ChannelName>),
    publication: &NewPublication,
    change: Change,
) -> Vec<NewPublication> {
    let collection =
        collection.map(|collection| on(collection, Some(own.clone()), publication, change.clone()));
    let mut all = vec![on(own, None, publication, change)];
    all.extend(collection);
    all
}

fn of_collection(
    (own, item): (ChannelName, Option<ChannelName>),
    publication: &NewPublication,
    change: Change,
) -> Vec<NewPublication> {
    // Nobody can have bound to what has just been made.
    let told = item.clone().filter(|_| &*publication.event != "create");
    let told = told.map(|item| on(item, None, publication, change.clone()));
    let mut all = vec![on(own, item, publication, change)];
    all.extend(told);
    all
}

/// The item of a collection that `body` is about.
fn item_in(resource: &Resource, body: &Value) -> Option<ChannelName> {
    resource.item(&id_in(&resource.endpoint, body)?)
}

/// The id in a body, as it stands in a uri.
pub(super) fn id_in(endpoint: &Endpoint, body: &Value) -> Option<String> {
    match body.pointer(&endpoint.id)? {
        Value::String(id) => Some(id.clone()),
        Value::Number(id) => Some(id.to_string()),
        _ => None,
    }
}

/// Others that the change touches: they are told that something has happened, not what.
fn affected(
    routes: &Routes,
    resource: &Resource,
    body: Option<&Value>,
    publication: &NewPublication,
    all: &mut Vec<NewPublication>,
) {
    for uri in resource.affected(body) {
        let Ok(Some(other)) = routes.find(uri.as_str()) else {
            continue;
        };
        let stream = other.stream();
        if all.iter().any(|one| one.channel == stream) {
            continue;
        }
        let publication = NewPublication {
            event: "update".into(),
            data: NULL,
            ..publication.clone()
        };
        all.push(on(stream, None, &publication, Change::default()));
    }
}

fn on(
    channel: ChannelName,
    item: Option<ChannelName>,
    publication: &NewPublication,
    change: Change,
) -> NewPublication {
    NewPublication {
        channel,
        change: Some(Arc::new(Change {
            item,
            unkept: publication.skip_history,
            ..change
        })),
        ..publication.clone()
    }
}

#[cfg(test)]
mod tests;
