//! The table of all settings: the one source of the reader, the docs, the schema and
//! `config default`. A test sees to it that every setting here is read, and every one that is
//! read is here.

mod access;
mod edge;
mod endpoint;
mod gateway;
mod later;
mod limits;
mod pusher;
mod rest;
mod services;
mod webhook;

use super::setting::{Fallback, Kind, Setting};

pub(super) use later::later;

const fn setting(
    key: &'static str,
    kind: Kind,
    default: &'static str,
    about: &'static str,
) -> Setting {
    Setting {
        key,
        kind,
        default: Fallback::Value(default),
        live: false,
        about,
    }
}

const fn optional(key: &'static str, kind: Kind, about: &'static str) -> Setting {
    Setting {
        key,
        kind,
        default: Fallback::Unset,
        live: false,
        about,
    }
}

const fn required(key: &'static str, kind: Kind, about: &'static str) -> Setting {
    Setting {
        key,
        kind,
        default: Fallback::Required,
        live: false,
        about,
    }
}

impl Setting {
    const fn live(self) -> Self {
        Self { live: true, ..self }
    }

    const fn computed(self, how: &'static str) -> Self {
        Self {
            default: Fallback::Computed(how),
            ..self
        }
    }
}

/// Every setting, section by section.
pub(super) fn all() -> impl Iterator<Item = &'static Setting> {
    let sections = [
        edge::SETTINGS,
        services::SETTINGS,
        access::SETTINGS,
        limits::SETTINGS,
        rest::SETTINGS,
        pusher::SETTINGS,
        webhook::SETTINGS,
        gateway::SETTINGS,
        endpoint::SETTINGS,
        later::SETTINGS,
    ];
    sections.into_iter().flatten()
}

/// The setting of a key as the table spells it.
pub(super) fn find(key: &str) -> Option<&'static Setting> {
    all().find(|setting| setting.key == key)
}

/// What a name stands for in the table.
pub(super) struct Place {
    /// A setting of its own.
    pub(super) leaf: Option<&'static Setting>,
    /// The text of this secret, in a file.
    pub(super) file_of: Option<&'static Setting>,
    /// A table of settings.
    pub(super) table: bool,
    /// A list of tables.
    pub(super) list: bool,
}

/// What `key` (as the table spells it) stands for.
pub(super) fn place(key: &str) -> Place {
    let below = |rest: &str| {
        all().any(|s| {
            s.key
                .strip_prefix(key)
                .is_some_and(|tail| tail.starts_with(rest))
        })
    };
    Place {
        leaf: find(key),
        file_of: key
            .strip_suffix("_file")
            .and_then(find)
            .filter(|s| s.kind == Kind::Secret),
        table: below("."),
        list: below("[]."),
    }
}

/// The names that may stand under `prefix` (`""`, `edge.`, `channel[].`), in order.
pub(super) fn names(prefix: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut add = |name: &str| {
        if !names.iter().any(|there| there == name) {
            names.push(name.to_owned());
        }
    };
    for setting in all() {
        let Some(rest) = setting.key.strip_prefix(prefix) else {
            continue;
        };
        let name = rest.split('.').next().unwrap_or(rest);
        add(name.trim_end_matches("[]"));
        if setting.kind == Kind::Secret && !rest.contains('.') {
            add(&format!("{rest}_file"));
        }
    }
    names
}

/// `channel.0.pattern` as the table spells it: `channel[].pattern`.
pub(super) fn spelling(key: &str) -> String {
    let mut spelled = String::with_capacity(key.len() + 2);
    for name in key.split('.') {
        if name.bytes().all(|b| b.is_ascii_digit()) && !spelled.is_empty() {
            spelled.push_str("[]");
            continue;
        }
        if !spelled.is_empty() {
            spelled.push('.');
        }
        spelled.push_str(name);
    }
    spelled
}

/// The kind of value that a key takes, given as `channel.0.pattern`.
pub(super) fn kind_of(key: &str) -> Option<Kind> {
    let spelled = spelling(key);
    if let Some(setting) = find(&spelled) {
        return Some(setting.kind);
    }
    let place = place(&spelled);
    if place.file_of.is_some() {
        return Some(Kind::Path);
    }
    // One element of a list.
    match find(spelled.strip_suffix("[]")?)?.kind {
        Kind::List(item) => Some(*item),
        _ => None,
    }
}

/// Whether `key` in the table at `path` is one of a secret's two forms.
pub(super) fn is_secret_pair(path: &str, key: &str) -> bool {
    let full = if path.is_empty() {
        key.to_owned()
    } else {
        format!("{path}.{key}")
    };
    let place = place(&spelling(&full));
    place.file_of.is_some() || place.leaf.is_some_and(|leaf| leaf.kind == Kind::Secret)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_fits_its_kind_and_no_key_stands_twice() {
        let mut keys = std::collections::BTreeSet::new();
        for setting in all() {
            assert!(keys.insert(setting.key), "{} stands twice", setting.key);
            assert!(
                !setting.about.ends_with('.'),
                "{} ends with a full stop",
                setting.key
            );
            let Fallback::Value(raw) = setting.default else {
                continue;
            };
            let node = setting.kind.interpret(raw, &crate::config::Origin::Default);
            assert_eq!(setting.kind.check(&node.value), Ok(()), "{}", setting.key);
        }
    }

    #[test]
    fn names_and_spellings() {
        assert_eq!(spelling("channel.0.history.size"), "channel[].history.size");
        assert!(names("control.keys[].").contains(&"secret_file".to_owned()));
        assert!(names("").contains(&"channel".to_owned()));
        assert_eq!(kind_of("auth.secret_file"), Some(Kind::Path));
        assert_eq!(kind_of("edge.allowed_origins.0"), Some(Kind::Text));
        assert!(is_secret_pair("control.keys.0", "secret"));
    }
}
