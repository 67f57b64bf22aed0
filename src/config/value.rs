//! Raw values: what a file, the environment or `--set` says, each with its origin.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use toml::de::{DeTable, DeValue};

use super::problem::{Origin, Problem};

/// A value and where it came from.
#[derive(Clone)]
pub(super) struct Node {
    pub(super) value: Value,
    pub(super) origin: Origin,
}

/// A raw value. Has no `Debug`: it may be a secret.
#[derive(Clone, PartialEq)]
pub(super) enum Value {
    Text(String),
    Integer(i64),
    Float(f64),
    Flag(bool),
    /// A date or time, which no setting takes.
    Time,
    List(Vec<Node>),
    Table(Table),
}

/// A table's entries; each key also has its own origin, where its value is a table.
pub(super) type Table = BTreeMap<String, Node>;

impl PartialEq for Node {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl Value {
    /// The kind of value, for messages.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "text",
            Self::Integer(_) => "an integer",
            Self::Float(_) => "a number",
            Self::Flag(_) => "true or false",
            Self::Time => "a date or time",
            Self::List(_) => "a list",
            Self::Table(_) => "a table",
        }
    }
}

/// Reads a TOML file's text; what cannot be read goes to `problems`.
pub(super) fn parse_file(path: &Arc<PathBuf>, text: &str, problems: &mut Vec<Problem>) -> Table {
    let at = |span: std::ops::Range<usize>| {
        let before = text.get(..span.start).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |i| i + 1);
        Origin::File {
            path: path.clone(),
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
        }
    };
    let (table, errors) = DeTable::parse_recoverable(text);
    problems.extend(errors.iter().map(|error| Problem {
        origin: at(error.span().unwrap_or(0..0)),
        key: String::new(),
        message: error.message().lines().collect::<Vec<_>>().join(", "),
    }));
    if errors.is_empty() {
        from_table(table.into_inner(), &at)
    } else {
        Table::new()
    }
}

/// Reads a JSON object; what cannot be read goes to `problems`. JSON has no lines here.
pub(super) fn parse_json(path: &Arc<PathBuf>, text: &str, problems: &mut Vec<Problem>) -> Table {
    let at = |line, column| Origin::File {
        path: path.clone(),
        line,
        column,
    };
    let message = match serde_json::from_str(text) {
        Ok(serde_json::Value::Object(object)) => return from_object(object, &at(0, 0)),
        Ok(_) => (at(0, 0), "expected a JSON object".to_owned()),
        Err(error) => (at(error.line(), error.column()), error.to_string()),
    };
    let (origin, message) = message;
    problems.push(Problem {
        origin,
        key: String::new(),
        message,
    });
    Table::new()
}

/// `null` is as good as not given.
fn from_object(object: serde_json::Map<String, serde_json::Value>, origin: &Origin) -> Table {
    let entries = object.into_iter();
    let entries = entries.filter_map(|(key, value)| Some((key, from_json(value, origin)?)));
    entries.collect()
}

fn from_json(value: serde_json::Value, origin: &Origin) -> Option<Node> {
    use serde_json::Value as Json;
    let value = match value {
        Json::Null => return None,
        Json::Bool(flag) => Value::Flag(flag),
        Json::Number(number) => match number.as_i64() {
            Some(number) => Value::Integer(number),
            None => Value::Float(number.as_f64().unwrap_or(f64::NAN)),
        },
        Json::String(text) => Value::Text(text),
        Json::Array(items) => {
            let items = items.into_iter().filter_map(|item| from_json(item, origin));
            Value::List(items.collect())
        }
        Json::Object(object) => Value::Table(from_object(object, origin)),
    };
    Some(Node {
        value,
        origin: origin.clone(),
    })
}

/// Reads one TOML value, as on the right of `=`.
pub(super) fn parse_value(text: &str, origin: &Origin) -> Option<Node> {
    let value = DeValue::parse(text).ok()?;
    Some(from_value(value.into_inner(), origin.clone(), &|_| {
        origin.clone()
    }))
}

type At<'a> = dyn Fn(std::ops::Range<usize>) -> Origin + 'a;

fn from_table(table: DeTable<'_>, at: &At<'_>) -> Table {
    let entry = |(key, value): (toml::Spanned<_>, toml::Spanned<DeValue<'_>>)| {
        // The key's place, not the value's: it is what one looks for, and a header has only that.
        let origin = at(key.span());
        let key: std::borrow::Cow<'_, str> = key.into_inner();
        (key.into_owned(), from_value(value.into_inner(), origin, at))
    };
    table.into_iter().map(entry).collect()
}

fn from_value(value: DeValue<'_>, origin: Origin, at: &At<'_>) -> Node {
    let value = match value {
        DeValue::String(text) => Value::Text(text.into_owned()),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .map_or(Value::Float(f64::INFINITY), Value::Integer),
        DeValue::Float(number) => Value::Float(number.as_str().parse().unwrap_or(f64::NAN)),
        DeValue::Boolean(flag) => Value::Flag(flag),
        DeValue::Datetime(_) => Value::Time,
        DeValue::Array(items) => {
            let item = |item: toml::Spanned<DeValue<'_>>| {
                let origin = at(item.span());
                from_value(item.into_inner(), origin, at)
            };
            Value::List(items.into_iter().map(item).collect())
        }
        DeValue::Table(table) => Value::Table(from_table(table, at)),
    };
    Node { value, origin }
}
