//! Settings whose feature comes with a later version: known by name, refused when used.

use super::super::setting::{Kind, Setting};
use super::{optional, required};

/// The feature that `key` (as the table spells it) waits for.
pub(in crate::config) fn later(key: &str) -> Option<&'static str> {
    let features = [
        ("endpoint", "the REST gateway"),
        ("broker.url", "a broker other than memory"),
    ];
    features
        .into_iter()
        .find(|(name, _)| *name == key)
        .map(|(_, feature)| feature)
}

pub(super) const SETTINGS: &[Setting] = &[
    optional("broker.url", Kind::Text, "Where the broker is"),
    required("endpoint[].name", Kind::Text, "The endpoint's name"),
    optional("endpoint[].item", Kind::Text, "Template of an item's uri"),
    optional(
        "endpoint[].collection",
        Kind::Text,
        "Template of the collection's uri",
    ),
    optional(
        "endpoint[].methods",
        Kind::List(&Kind::Text),
        "Methods that are allowed",
    ),
    optional("endpoint[].upstream", Kind::Any, "The REST API behind it"),
    optional(
        "endpoint[].auth",
        Kind::Any,
        "How the upstream learns who asks",
    ),
    optional("endpoint[].access", Kind::Any, "Who may subscribe"),
    optional("endpoint[].audience", Kind::Any, "Who may share a reply"),
    optional("endpoint[].fetch_as", Kind::Text, "Whose credentials fetch"),
    optional("endpoint[].id", Kind::Text, "Where an item's id is"),
    optional(
        "endpoint[].version",
        Kind::Text,
        "Where an item's version is",
    ),
    optional(
        "endpoint[].ordered",
        Kind::Flag,
        "Whether events are ordered for each uri",
    ),
    optional(
        "endpoint[].write_returns",
        Kind::Text,
        "What a write's reply holds",
    ),
    optional(
        "endpoint[].query",
        Kind::Any,
        "Which query keys are allowed",
    ),
    optional(
        "endpoint[].affects",
        Kind::List(&Kind::Text),
        "Other uris that a write changes",
    ),
    optional("endpoint[].publish", Kind::Text, "Who tells of changes"),
    optional("endpoint[].autobind", Kind::Flag, "Whether a reply binds"),
    optional("endpoint[].cache", Kind::Any, "How long replies are kept"),
    optional(
        "endpoint[].revalidate_every",
        Kind::Any,
        "How often the upstream is polled",
    ),
];
