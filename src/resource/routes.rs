//! The table of what endpoints cover. It is built once, from endpoints that agree with each
//! other, and swapped whole. Looking up a name that nothing covers allocates nothing.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use super::endpoint::Endpoint;
use super::template::Template;
use super::uri::{self, UriError};
use super::validate::{EndpointError, validate};
use crate::channel::ChannelName;

/// Item or collection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ResourceKind {
    /// One thing: show, update, delete.
    Item,
    /// Many: index, create.
    Collection,
}

/// An endpoint with its templates.
#[derive(Debug)]
struct Route {
    endpoint: Arc<Endpoint>,
    item: Option<Template>,
    collection: Option<Template>,
    affects: Box<[Template]>,
}

impl Route {
    fn template(&self, kind: ResourceKind) -> Option<&Template> {
        match kind {
            ResourceKind::Item => self.item.as_ref(),
            ResourceKind::Collection => self.collection.as_ref(),
        }
    }
}

/// A template of an endpoint.
type Candidate = (ResourceKind, Arc<Route>);

/// The endpoints in force.
#[derive(Debug, Default)]
pub struct Routes {
    endpoints: Box<[Arc<Endpoint>]>,
    /// By what the first segment decodes to, the most literal first.
    by_first: HashMap<Box<str>, Vec<Candidate>>,
}

/// A covered uri.
#[derive(Debug, Clone)]
pub struct Resource {
    /// As it is written everywhere, with its query.
    pub uri: ChannelName,
    /// What covers it.
    pub endpoint: Arc<Endpoint>,
    /// What it is.
    pub kind: ResourceKind,
    route: Arc<Route>,
    values: Box<[Box<str>]>,
}

impl Routes {
    /// The table of these endpoints.
    ///
    /// # Errors
    /// Each reason why they cannot be used, with the endpoint's name and the key.
    pub fn new(endpoints: Vec<Endpoint>) -> Result<Self, Vec<EndpointError>> {
        let mut errors = vec![];
        let mut routes: Vec<Arc<Route>> = vec![];
        for (number, endpoint) in endpoints.into_iter().enumerate() {
            let before = errors.len();
            validate(&endpoint, &mut errors);
            if routes
                .iter()
                .any(|other| other.endpoint.name == endpoint.name)
            {
                let reason = "another endpoint has this name";
                errors.push(EndpointError::new(&endpoint, "name", reason));
            }
            let route = route(endpoint, &mut errors);
            agree(&route, &routes, &mut errors);
            for error in &mut errors[before..] {
                error.number = number;
            }
            routes.push(Arc::new(route));
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        let mut by_first: HashMap<Box<str>, Vec<_>> = HashMap::new();
        for route in &routes {
            for kind in [ResourceKind::Item, ResourceKind::Collection] {
                if let Some(first) = route.template(kind).and_then(Template::first) {
                    let list = by_first.entry(first.into()).or_default();
                    list.push((kind, Arc::clone(route)));
                }
            }
        }
        let literals =
            |(kind, route): &Candidate| route.template(*kind).map_or(0, Template::literals);
        for list in by_first.values_mut() {
            list.sort_by_key(|entry| std::cmp::Reverse(literals(entry)));
        }
        let endpoints = routes.iter().map(|route| Arc::clone(&route.endpoint));
        Ok(Self {
            endpoints: endpoints.collect(),
            by_first,
        })
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.endpoints.is_empty()
    }

    /// All of them, in the order in which they were given.
    pub fn endpoints(&self) -> &[Arc<Endpoint>] {
        &self.endpoints
    }

    /// The endpoint of this name.
    pub fn endpoint(&self, name: &str) -> Option<&Arc<Endpoint>> {
        self.endpoints
            .iter()
            .find(|endpoint| *endpoint.name == *name)
    }

    /// The resource that `uri`, path and query as a client wrote them, names. None: no endpoint
    /// covers it, and where it starts with `/` it is an ordinary channel's name.
    ///
    /// # Errors
    /// [`UriError`]: it lies where an endpoint is, or might for some server, but may not be used;
    /// or it is no uri at all.
    pub fn find(&self, uri: &str) -> Result<Option<Resource>, UriError> {
        let Some(rest) = uri.strip_prefix('/') else {
            return Err(UriError::NotAbsolute);
        };
        if self.is_empty() {
            return Ok(None);
        }
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let Some(candidates) = self.candidates(&rest[..end])? else {
            return uncovered(uri);
        };
        uri::check_text(uri)?;
        let (path, query) = uri::split(uri);
        let segments: Vec<Cow<'_, str>> = path[1..]
            .split('/')
            .map(uri::decode_segment)
            .collect::<Result<_, _>>()?;
        let fits = |(kind, route): &&Candidate| {
            route
                .template(*kind)
                .is_some_and(|template| template.matches(&segments))
        };
        let Some((kind, route)) = candidates.iter().find(fits) else {
            return Ok(None);
        };
        let mut written = String::with_capacity(uri.len());
        for segment in &segments {
            uri::push_segment(&mut written, segment);
        }
        uri::push_query(
            &mut written,
            query.unwrap_or_default(),
            &route.endpoint.query,
        )?;
        let values = route
            .template(*kind)
            .map(|template| template.values(&segments));
        Ok(Some(Resource {
            uri: uri::named(&written)?,
            endpoint: Arc::clone(&route.endpoint),
            kind: *kind,
            route: Arc::clone(route),
            values: values.unwrap_or_default(),
        }))
    }

    /// What starts with this segment.
    fn candidates(&self, raw: &str) -> Result<Option<&[Candidate]>, UriError> {
        if !raw.contains('%') {
            return Ok(self.by_first.get(raw).map(Vec::as_slice));
        }
        match uri::decode_segment(raw) {
            Ok(first) => Ok(self.by_first.get(&*first).map(Vec::as_slice)),
            // Nothing that can be covered, whoever decodes it.
            Err(UriError::Escape | UriError::Utf8 | UriError::Character) => Ok(None),
            Err(trap) => Err(trap),
        }
    }
}

/// A name outside all endpoints is an ordinary channel's, unless a server that tidies paths might
/// see a covered one in it.
fn uncovered(uri: &str) -> Result<Option<Resource>, UriError> {
    let (path, _) = uri::split(uri);
    if path.starts_with("//") {
        return Err(UriError::NotAbsolute);
    }
    if path.contains('\\') {
        return Err(UriError::Character);
    }
    if uri::has_dot_segment(path) {
        return Err(UriError::DotSegment);
    }
    Ok(None)
}

fn route(endpoint: Endpoint, errors: &mut Vec<EndpointError>) -> Route {
    let mut serving = |text: &Option<Box<str>>, field| {
        let parsed = Template::serving(text.as_deref()?);
        parsed
            .map_err(|error| errors.push(EndpointError::new(&endpoint, field, error)))
            .ok()
    };
    let item = serving(&endpoint.item, "item");
    let collection = serving(&endpoint.collection, "collection");
    let templates = [item.as_ref(), collection.as_ref()];
    let known = |name: &str| {
        let mut all = templates
            .iter()
            .flatten()
            .flat_map(|template| template.parameters());
        all.any(|parameter| parameter == name)
    };
    let mut affects = vec![];
    for text in &endpoint.affects {
        match Template::affected(text) {
            Ok(template) => {
                for name in template.parameters().filter(|name| !known(name)) {
                    let reason = format!("`{text}`: no template of the endpoint has `{{{name}}}`");
                    errors.push(EndpointError::new(&endpoint, "affects", reason));
                }
                affects.push(template);
            }
            Err(error) => errors.push(EndpointError::new(&endpoint, "affects", error)),
        }
    }
    if let (Some(item), Some(collection)) = (&item, &collection)
        && item.is_ambiguous_with(collection)
    {
        let reason = "a uri could be the item's and the collection's";
        errors.push(EndpointError::new(&endpoint, "collection", reason));
    }
    Route {
        item,
        collection,
        affects: affects.into(),
        endpoint: Arc::new(endpoint),
    }
}

/// Refuses templates of two endpoints that could mean one uri.
fn agree(route: &Route, others: &[Arc<Route>], errors: &mut Vec<EndpointError>) {
    const KINDS: [(ResourceKind, &str); 2] = [
        (ResourceKind::Item, "item"),
        (ResourceKind::Collection, "collection"),
    ];
    for (kind, field) in KINDS {
        let Some(template) = route.template(kind) else {
            continue;
        };
        for other in others {
            for (their_kind, their_field) in KINDS {
                let theirs = other.template(their_kind);
                if theirs.is_some_and(|theirs| template.is_ambiguous_with(theirs)) {
                    let name = &other.endpoint.name;
                    let reason =
                        format!("a uri could be this one's and the {their_field} of `{name}`");
                    errors.push(EndpointError::new(&route.endpoint, field, reason));
                }
            }
        }
    }
}

impl Resource {
    /// Where its events are published: the path without the query.
    pub fn stream(&self) -> ChannelName {
        match uri::split(self.uri.as_str()) {
            (_, None) => self.uri.clone(),
            // A part of a checked name that starts with `/` is one too.
            (path, Some(_)) => uri::named(path).unwrap_or_else(|_| self.uri.clone()),
        }
    }

    /// Whether it is a query.
    pub fn has_query(&self) -> bool {
        self.uri.as_str().contains('?')
    }

    /// Of an item: the collection that it is in. None: the endpoint has no template for it, or
    /// one that needs other parameters.
    pub fn collection(&self) -> Option<ChannelName> {
        match self.kind {
            ResourceKind::Collection => None,
            ResourceKind::Item => {
                let template = self.route.collection.as_ref()?;
                template.fill(|name| self.param(name), None)
            }
        }
    }

    /// Of a collection: its item with this id. None: the endpoint has no template for it, or one
    /// that needs more than the id; or the id cannot stand in a path.
    pub fn item(&self, id: &str) -> Option<ChannelName> {
        if self.kind == ResourceKind::Item {
            return None;
        }
        let template = self.route.item.as_ref()?;
        let mut missing = template
            .parameters()
            .filter(|name| self.param(name).is_none());
        let own = missing.next()?;
        if missing.next().is_some() {
            return None;
        }
        template.fill(
            |name| {
                if name == own {
                    Some(id)
                } else {
                    self.param(name)
                }
            },
            None,
        )
    }

    /// What a parameter of the template stands for, decoded.
    pub fn param(&self, name: &str) -> Option<&str> {
        let template = self.route.template(self.kind)?;
        let at = template
            .parameters()
            .position(|parameter| parameter == name)?;
        self.values.get(at).map(|value| &**value)
    }

    /// Path and query to send behind a base of the upstream.
    pub fn upstream_path(&self) -> &str {
        self.uri.as_str()
    }

    /// Other uris that a write of it changes, by the endpoint's `affects`; `body` is what was
    /// written or answered. A template whose values are not all there is left out.
    pub fn affected(&self, body: Option<&serde_json::Value>) -> Vec<ChannelName> {
        let fill = |template: &Template| template.fill(|name| self.param(name), body);
        self.route.affects.iter().filter_map(fill).collect()
    }
}

#[cfg(test)]
mod tests;
