//! Typed access to the merged values. Where a setting is absent, or of the wrong form (which is
//! reported already), its default is read, so that reading goes on to the last problem.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::IpNet;

use super::problem::{Origin, Problem};
use super::secret::Secret;
use super::setting::{self, Fallback, Kind};
use super::table;
use super::value::{Node, Table, Value};

/// What reading gathers.
#[derive(Default)]
pub(super) struct Gathered {
    pub(super) problems: RefCell<Vec<Problem>>,
    /// The settings that were read, as the table spells them.
    pub(super) read: RefCell<BTreeSet<String>>,
    /// The files that were read.
    pub(super) files: RefCell<BTreeSet<PathBuf>>,
}

/// A table of settings, or the root.
pub(super) struct Reader<'a> {
    table: Option<&'a Table>,
    origin: Origin,
    spelled: String,
    shown: String,
    gathered: &'a Gathered,
}

impl<'a> Reader<'a> {
    pub(super) fn new(root: &'a Table, gathered: &'a Gathered) -> Self {
        Self {
            table: Some(root),
            origin: Origin::Default,
            spelled: String::new(),
            shown: String::new(),
            gathered,
        }
    }

    /// The table called `name`; an empty one where there is none.
    pub(super) fn table(&self, name: &str) -> Self {
        let node = self.node(name);
        Self {
            table: node.and_then(|node| match &node.value {
                Value::Table(table) => Some(table),
                _ => None,
            }),
            origin: node.map_or(Origin::Default, |node| node.origin.clone()),
            spelled: format!("{}{name}.", self.spelled),
            shown: format!("{}{name}.", self.shown),
            gathered: self.gathered,
        }
    }

    /// The tables of the list called `name`.
    pub(super) fn items(&self, name: &str) -> Vec<Self> {
        let Some(Value::List(items)) = self.node(name).map(|node| &node.value) else {
            return Vec::new();
        };
        let tables = items.iter().enumerate().filter_map(|(index, item)| {
            let Value::Table(table) = &item.value else {
                return None;
            };
            Some(Self {
                table: Some(table),
                origin: item.origin.clone(),
                spelled: format!("{}{name}[].", self.spelled),
                shown: format!("{}{name}.{index}.", self.shown),
                gathered: self.gathered,
            })
        });
        tables.collect()
    }

    /// Whether `name` is given.
    pub(super) fn has(&self, name: &str) -> bool {
        self.node(name).is_some()
    }

    /// Whether `name` is given as a list without elements.
    pub(super) fn is_empty_list(&self, name: &str) -> bool {
        let node = self.node(name).map(|node| &node.value);
        matches!(node, Some(Value::List(items)) if items.is_empty())
    }

    /// Reports a problem of `name` (empty: of the table itself).
    pub(super) fn refuse(&self, name: &str, message: impl Into<String>) {
        let file = format!("{name}_file");
        let given = self.node(name).or_else(|| self.node(&file));
        let origin = given.map_or_else(|| self.origin.clone(), |node| node.origin.clone());
        let key = format!("{}{name}", self.shown);
        let problem = Problem {
            origin,
            key: key.trim_end_matches('.').to_owned(),
            message: message.into(),
        };
        self.gathered.problems.borrow_mut().push(problem);
    }

    /// Reports a problem of the setting at `path`, where the first of its tables is that is given.
    pub(super) fn refuse_at(&self, path: &str, message: impl Into<String>) {
        match path.split_once('.') {
            Some((name, rest)) if self.table(name).table.is_some() => {
                self.table(name).refuse_at(rest, message);
            }
            Some((name, _)) => self.refuse(name, message),
            None => self.refuse(path, message),
        }
    }

    pub(super) fn text(&self, name: &str) -> Option<String> {
        self.value(name, |value| match value {
            Value::Text(text) => Some(text.clone()),
            _ => None,
        })
    }

    pub(super) fn flag(&self, name: &str) -> bool {
        let flag = self.value(name, |value| match value {
            Value::Flag(flag) => Some(*flag),
            _ => None,
        });
        flag.unwrap_or_default()
    }

    pub(super) fn count_if_set(&self, name: &str) -> Option<usize> {
        self.value(name, |value| match value {
            Value::Integer(number) => usize::try_from(*number).ok(),
            _ => None,
        })
    }

    pub(super) fn count(&self, name: &str) -> usize {
        self.count_if_set(name).unwrap_or_default()
    }

    /// A part of a whole.
    pub(super) fn part(&self, name: &str) -> f64 {
        self.value(name, setting::part).unwrap_or_default()
    }

    pub(super) fn span_if_set(&self, name: &str) -> Option<Duration> {
        self.text(name).and_then(|text| setting::duration(&text))
    }

    pub(super) fn span(&self, name: &str) -> Duration {
        self.span_if_set(name).unwrap_or_default()
    }

    pub(super) fn address(&self, name: &str) -> SocketAddr {
        let unset = SocketAddr::from(([127, 0, 0, 1], 0));
        self.text(name)
            .and_then(|text| text.parse().ok())
            .unwrap_or(unset)
    }

    pub(super) fn path(&self, name: &str) -> Option<PathBuf> {
        self.text(name).map(PathBuf::from)
    }

    /// A list of texts; empty where it is unset.
    pub(super) fn texts(&self, name: &str) -> Vec<String> {
        let texts = self.value(name, |value| match value {
            Value::List(items) => Some(items.iter().filter_map(text_of).collect()),
            Value::Text(text) => Some(vec![text.clone()]),
            _ => None,
        });
        texts.unwrap_or_default()
    }

    pub(super) fn networks(&self, name: &str) -> Vec<IpNet> {
        self.texts(name)
            .iter()
            .filter_map(|text| setting::network(text))
            .collect()
    }

    /// A secret, from its own setting or from the file that `<name>_file` names.
    pub(super) fn secret(&self, name: &str) -> Option<Secret> {
        let file = format!("{name}_file");
        let path = self.node(&file).and_then(text_of);
        let text = self.text(name);
        let Some(path) = path else {
            return text.map(Secret::new);
        };
        if text.is_some() {
            self.refuse(&file, format!("{name} is given too: one of them must go"));
        }
        let text = self.read_file(&file, Path::new(&path))?;
        // A file written by an editor ends with a line break, which is not meant.
        let text = text.trim_end_matches(['\n', '\r']);
        if text.is_empty() {
            self.refuse(&file, format!("{path} holds no secret"));
            return None;
        }
        Some(Secret::new(text))
    }

    /// The text of the file that the setting `name` names.
    pub(super) fn file(&self, name: &str) -> Option<String> {
        let path = self.path(name)?;
        self.read_file(name, &path)
    }

    /// The file that the setting `name` names, which must be there.
    pub(super) fn existing(&self, name: &str) -> Option<PathBuf> {
        let path = self.path(name)?;
        self.read_file(name, &path);
        Some(path)
    }

    fn read_file(&self, name: &str, path: &Path) -> Option<String> {
        self.gathered.files.borrow_mut().insert(path.to_owned());
        match std::fs::read_to_string(path) {
            Ok(text) => Some(text),
            Err(error) => {
                self.refuse(name, format!("{} cannot be read: {error}", path.display()));
                None
            }
        }
    }

    fn node(&self, name: &str) -> Option<&'a Node> {
        self.table?.get(name)
    }

    /// What `read` makes of the value, or else of the default.
    fn value<T>(&self, name: &str, read: impl Fn(&Value) -> Option<T>) -> Option<T> {
        let spelled = format!("{}{name}", self.spelled);
        let setting = table::find(&spelled);
        self.gathered.read.borrow_mut().insert(spelled);
        let setting = setting?;
        let given = self.node(name).map(|node| &node.value);
        let fits = |value: &&Value| match (setting.kind, value) {
            (Kind::List(item), Value::Text(_)) => item.check(value).is_ok(),
            (kind, value) => kind.check(value).is_ok(),
        };
        if let Some(value) = given.filter(fits) {
            return read(value);
        }
        match setting.default {
            Fallback::Value(raw) => read(&setting.kind.interpret(raw, &Origin::Default).value),
            _ => None,
        }
    }
}

fn text_of(node: &Node) -> Option<String> {
    match &node.value {
        Value::Text(text) => Some(text.clone()),
        _ => None,
    }
}
