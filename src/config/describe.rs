//! The table of settings for people and machines: `pogo config default`, `pogo config schema`,
//! the reference in `docs/configuration.md`; and what a reload cannot change.

mod schema;

use std::fmt::Write as _;

use super::problem::Origin;
use super::setting::{Fallback, Kind, Setting};
use super::table;
use super::value::{Table, Value};

pub use schema::json_schema;

/// A table header and the settings that stand below it, as keys relative to it.
struct Group {
    header: String,
    is_list: bool,
    settings: Vec<(&'static str, &'static Setting)>,
}

/// The settings by TOML table, in order.
fn groups() -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for setting in table::all() {
        let (header, key, is_list) = match setting.key.rsplit_once("[].") {
            Some((list, key)) => (list.replace("[]", ""), key, true),
            None => {
                let (section, key) = setting.key.split_once('.').unwrap_or(("", setting.key));
                (section.to_owned(), key, false)
            }
        };
        match groups
            .iter_mut()
            .find(|group| group.header == header && group.is_list == is_list)
        {
            Some(group) => group.settings.push((key, setting)),
            None => groups.push(Group {
                header,
                is_list,
                settings: vec![(key, setting)],
            }),
        }
    }
    groups
}

/// Every setting with its default and its meaning, as a TOML file. Lines that start with `#`
/// and a letter are settings without a default.
pub fn default_toml() -> String {
    let mut text = format!(
        "# Every setting of pogo {}, with its default. What has none is commented out.\n\
         # Durations: \"500ms\", \"25s\", \"5m\", \"12h\", \"30d\". A secret may also be given as \
         <name>_file.\n",
        env!("CARGO_PKG_VERSION")
    );
    for group in groups() {
        let header = if group.is_list {
            format!("#[[{}]]", group.header)
        } else {
            format!("[{}]", group.header)
        };
        let _ = write!(text, "\n{header}\n");
        for (key, setting) in &group.settings {
            let about = wrapped(&format!("{}. {}.", setting.about, note(setting)));
            let _ = writeln!(text, "{about}{}", assignment(group.is_list, key, setting));
        }
    }
    text
}

fn assignment(in_list: bool, key: &str, setting: &Setting) -> String {
    match setting.default {
        Fallback::Value(raw) if !in_list => {
            let node = setting.kind.interpret(raw, &Origin::Default);
            format!("{key} = {}", toml_text(&node.value))
        }
        Fallback::Value(raw) => {
            let node = setting.kind.interpret(raw, &Origin::Default);
            format!("#{key} = {}", toml_text(&node.value))
        }
        _ => format!("#{key} = {}", example(setting.kind)),
    }
}

/// What the reader should know besides the meaning.
fn note(setting: &Setting) -> String {
    let kind = setting.kind.describe();
    let kind = kind[..1].to_uppercase() + &kind[1..];
    let reload = if setting.live {
        "changes live"
    } else {
        "read at start"
    };
    match setting.default {
        Fallback::Computed(how) => format!("{kind}; default: {how}; {reload}"),
        Fallback::Required => format!("{kind}; required; {reload}"),
        _ => format!("{kind}; {reload}"),
    }
}

/// A comment, in lines of at most 100 columns.
fn wrapped(text: &str) -> String {
    let mut lines = String::from("#");
    let mut column = 1;
    for word in text.split(' ') {
        if column + 1 + word.len() > 100 {
            lines.push_str("\n#");
            column = 1;
        }
        lines.push(' ');
        lines.push_str(word);
        column += 1 + word.len();
    }
    lines.push('\n');
    lines
}

fn toml_text(value: &Value) -> String {
    match value {
        Value::Text(text) => format!("{text:?}"),
        Value::Integer(number) => number.to_string(),
        Value::Float(number) => number.to_string(),
        Value::Flag(flag) => flag.to_string(),
        Value::List(items) => {
            let items: Vec<_> = items.iter().map(|item| toml_text(&item.value)).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Time | Value::Table(_) => "{}".to_owned(),
    }
}

/// A value of the kind, for settings without a default.
fn example(kind: Kind) -> String {
    match kind {
        Kind::Text | Kind::Secret => "\"…\"".into(),
        Kind::Path => "\"path/to/file\"".into(),
        Kind::Url => "\"https://example.com/\"".into(),
        Kind::Flag => "true".into(),
        Kind::Count { min, .. } | Kind::Bytes { min, .. } => min.to_string(),
        Kind::Span { min, .. } => format!("\"{}\"", super::spell(min)),
        Kind::Address => "\"127.0.0.1:8080\"".into(),
        Kind::Network => "\"10.0.0.0/8\"".into(),
        Kind::Pattern => "\"room-*\"".into(),
        Kind::Choice(choices) => format!("{:?}", choices.first().unwrap_or(&"")),
        Kind::List(item) => format!("[{}]", example(*item)),
        Kind::Part => "0.5".into(),
    }
}

/// The reference as Markdown: a table for each TOML table.
pub fn reference() -> String {
    let mut text = String::new();
    for group in groups() {
        let header = if group.is_list {
            format!("[[{}]]", group.header)
        } else {
            format!("[{}]", group.header)
        };
        let _ = write!(text, "### `{header}`\n\n");
        let section = group.header.split('.').next().unwrap_or_default();
        if let Some(feature) = table::later(section) {
            let _ = write!(
                text,
                "Not available in this version: it belongs to {feature}.\n\n"
            );
        }
        text.push_str("| setting | value | default | live | meaning |\n|---|---|---|---|---|\n");
        for (key, setting) in &group.settings {
            let default = match setting.default {
                Fallback::Unset => "unset".to_owned(),
                Fallback::Required => "required".to_owned(),
                Fallback::Computed(how) => how.to_owned(),
                Fallback::Value(raw) => {
                    let node = setting.kind.interpret(raw, &Origin::Default);
                    format!("`{}`", toml_text(&node.value))
                }
            };
            let also = if setting.kind == Kind::Secret {
                format!(", `{key}_file`")
            } else {
                String::new()
            };
            let later = table::later(setting.key).map_or("", |_| " (not in this version)");
            let live = if setting.live { "yes" } else { "no" };
            let _ = writeln!(
                text,
                "| `{key}`{also} | {} | {default} | {live} | {}{later} |",
                setting.kind.describe(),
                setting.about
            );
        }
        text.push('\n');
    }
    text
}

/// The settings that are read at start only and differ.
pub(super) fn changed(before: &Table, after: &Table) -> Vec<String> {
    let fixed = table::all().filter(|setting| !setting.live);
    let differ = fixed.filter(|setting| in_force(before, setting) != in_force(after, setting));
    differ.map(|setting| setting.key.to_owned()).collect()
}

/// The values of a setting, one for each element of the list it stands in.
fn in_force(root: &Table, setting: &Setting) -> Vec<Value> {
    let mut tables = vec![root];
    let names: Vec<&str> = setting.key.split('.').collect();
    let Some((last, path)) = names.split_last() else {
        return Vec::new();
    };
    for name in path {
        let nodes = tables
            .iter()
            .filter_map(|table| table.get(name.trim_end_matches("[]")));
        tables = nodes
            .flat_map(|node| match &node.value {
                Value::Table(table) => vec![table],
                Value::List(items) => {
                    let tables = items.iter().filter_map(|item| match &item.value {
                        Value::Table(table) => Some(table),
                        _ => None,
                    });
                    tables.collect()
                }
                _ => Vec::new(),
            })
            .collect();
    }
    let default = || match setting.default {
        Fallback::Value(raw) => Some(setting.kind.interpret(raw, &Origin::Default).value),
        _ => None,
    };
    if tables.is_empty() && !setting.key.contains("[]") {
        return default().into_iter().collect();
    }
    let value = |table: &&Table| {
        table
            .get(*last)
            .map(|node| node.value.clone())
            .or_else(default)
    };
    tables.iter().filter_map(value).collect()
}

#[cfg(test)]
mod tests;
