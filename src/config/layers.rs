//! Layers: the file, the environment over it, `--set` over that. The last one that says
//! something about a setting counts; lists are replaced whole or changed by index.

use std::sync::Arc;

use super::problem::{Origin, Problem};
use super::table;
use super::value::{self, Node, Table, Value};

/// The environment variables' prefix. One underscore (`POGO_KEY`) is the command line's own.
const PREFIX: &str = "POGO__";

/// The layer of the environment: `POGO__EDGE__LISTEN`, `POGO__CHANNEL__0__PATTERN`.
pub(super) fn from_environment(
    variables: &[(String, Option<String>)],
    problems: &mut Vec<Problem>,
) -> Table {
    let mut layer = Table::new();
    for (name, value) in variables {
        let Some(rest) = name.strip_prefix(PREFIX) else {
            continue;
        };
        let origin = Origin::Environment(name.as_str().into());
        let key = rest.to_ascii_lowercase().replace("__", ".");
        match value {
            Some(value) => put(&mut layer, &key, value, &origin, problems),
            None => problems.push(Problem {
                origin,
                key,
                message: "is not UTF-8".into(),
            }),
        }
    }
    layer
}

/// The layer of `--set key=value`.
pub(super) fn from_flags(flags: &[String], problems: &mut Vec<Problem>) -> Table {
    let mut layer = Table::new();
    for flag in flags {
        let (key, value) = match flag.split_once('=') {
            Some((key, value)) if !key.trim().is_empty() => (key.trim(), value),
            _ => {
                let key: Arc<str> = flag.split('=').next().unwrap_or_default().into();
                let message = "expected key=value, like edge.listen=0.0.0.0:80".into();
                problems.push(Problem {
                    origin: Origin::Flag(key),
                    key: String::new(),
                    message,
                });
                continue;
            }
        };
        put(&mut layer, key, value, &Origin::Flag(key.into()), problems);
    }
    layer
}

/// Puts one value into a layer. Indexes are kept as names of a table until they are merged.
fn put(layer: &mut Table, key: &str, raw: &str, origin: &Origin, problems: &mut Vec<Problem>) {
    let mut refuse = |message: &str| {
        let message = message.to_owned();
        problems.push(Problem {
            origin: origin.clone(),
            key: key.to_owned(),
            message,
        });
    };
    let names: Vec<&str> = key.split('.').collect();
    let Some((last, path)) = names.split_last() else {
        return;
    };
    if names.iter().any(|name| name.is_empty()) {
        return refuse("a part of the key is empty");
    }
    let node = match table::kind_of(key) {
        Some(kind) => kind.interpret(raw, origin),
        None => value::parse_value(raw, origin).unwrap_or_else(|| Node {
            value: Value::Text(raw.into()),
            origin: origin.clone(),
        }),
    };
    let mut at = layer;
    for name in path {
        let entry = at.entry((*name).to_owned()).or_insert_with(|| Node {
            value: Value::Table(Table::new()),
            origin: origin.clone(),
        });
        let Value::Table(table) = &mut entry.value else {
            return refuse("another value of the same source stands in its way");
        };
        at = table;
    }
    match at.get_mut(*last) {
        Some(there) => merge_node(there, node, key, problems),
        None => {
            at.insert((*last).to_owned(), node);
        }
    }
}

/// Lays `over` on `base`.
pub(super) fn merge(base: &mut Table, over: Table, path: &str, problems: &mut Vec<Problem>) {
    // A secret given here replaces one given below, in whichever of its two forms.
    let keys: Vec<String> = over.keys().cloned().collect();
    for key in &keys {
        let sibling = key
            .strip_suffix("_file")
            .map_or_else(|| format!("{key}_file"), ToOwned::to_owned);
        if !over.contains_key(&sibling) && table::is_secret_pair(path, key) {
            base.remove(&sibling);
        }
    }
    for (key, node) in over {
        let path = if path.is_empty() {
            key.clone()
        } else {
            format!("{path}.{key}")
        };
        let there = base.entry(key).or_insert_with(|| Node {
            // Something to merge into: a list if all names are numbers.
            value: if indexes(&node.value) {
                Value::List(Vec::new())
            } else {
                Value::Table(Table::new())
            },
            origin: node.origin.clone(),
        });
        merge_node(there, node, &path, problems);
    }
}

fn merge_node(base: &mut Node, over: Node, path: &str, problems: &mut Vec<Problem>) {
    match (&mut base.value, over.value) {
        (Value::List(items), Value::Table(table)) if is_indexes(&table) => {
            let mut entries: Vec<_> = table
                .into_iter()
                .map(|(name, node)| (name.parse().unwrap_or(usize::MAX), node))
                .collect();
            entries.sort_by_key(|(index, _)| *index);
            for (index, node) in entries {
                merge_item(items, index, node, path, problems);
            }
        }
        (Value::Table(there), Value::Table(table)) => merge(there, table, path, problems),
        (_, value) => {
            *base = Node {
                value,
                origin: over.origin,
            }
        }
    }
}

fn merge_item(
    items: &mut Vec<Node>,
    index: usize,
    node: Node,
    path: &str,
    problems: &mut Vec<Problem>,
) {
    let path = format!("{path}.{index}");
    let count = items.len();
    if index > count {
        let message = format!("there is no element {index}: the list has {count}");
        problems.push(Problem {
            origin: node.origin,
            key: path,
            message,
        });
        return;
    }
    if index == count {
        let value = Value::Table(Table::new());
        items.push(Node {
            value,
            origin: node.origin.clone(),
        });
    }
    merge_node(&mut items[index], node, &path, problems);
}

fn indexes(value: &Value) -> bool {
    matches!(value, Value::Table(table) if is_indexes(table))
}

fn is_indexes(table: &Table) -> bool {
    !table.is_empty()
        && table
            .keys()
            .all(|name| name.bytes().all(|b| b.is_ascii_digit()))
}
