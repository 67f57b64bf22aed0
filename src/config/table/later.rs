//! Settings whose feature comes with a later version: known by name, refused when used.

use super::super::setting::{Kind, Setting};
use super::optional;

/// The feature that `key` (as the table spells it) waits for.
pub(in crate::config) fn later(key: &str) -> Option<&'static str> {
    let features = [("broker.url", "a broker other than memory")];
    features
        .into_iter()
        .find(|(name, _)| *name == key)
        .map(|(_, feature)| feature)
}

pub(super) const SETTINGS: &[Setting] =
    &[optional("broker.url", Kind::Text, "Where the broker is")];
