//! The form of a configuration: every name is known, every value is of its setting's kind and in
//! its range, what must be there is. What settings mean together is judged when they are built.

use super::problem::{Origin, Problem};
use super::setting::{Fallback, Kind, Setting};
use super::table;
use super::value::{Node, Table, Value};

/// Checks the form of all of `root`.
pub(super) fn check(root: &Table, problems: &mut Vec<Problem>) {
    let mut walk = Walk { problems };
    walk.table(root, "", "", &Origin::Default);
}

struct Walk<'a> {
    problems: &'a mut Vec<Problem>,
}

impl Walk<'_> {
    fn refuse(&mut self, origin: &Origin, key: &str, message: String) {
        self.problems.push(Problem {
            origin: origin.clone(),
            key: key.to_owned(),
            message,
        });
    }

    /// `spelled` and `shown` are the table's own key with what follows it (`channel[].` and
    /// `channel.0.`), or empty for the root.
    fn table(&mut self, table: &Table, spelled: &str, shown: &str, origin: &Origin) {
        for (name, node) in table {
            self.entry(node, name, spelled, shown);
        }
        for setting in table::all() {
            let Some(name) = setting.key.strip_prefix(spelled) else {
                continue;
            };
            if setting.default != Fallback::Required || name.contains('.') {
                continue;
            }
            let file = format!("{name}_file");
            let in_file = setting.kind == Kind::Secret && table.contains_key(&file);
            if !table.contains_key(name) && !in_file {
                let also = if setting.kind == Kind::Secret {
                    format!(" (or {file})")
                } else {
                    String::new()
                };
                let message = format!("is missing: {}{also}", setting.about);
                self.refuse(origin, &format!("{shown}{name}"), message);
            }
        }
    }

    fn entry(&mut self, node: &Node, name: &str, spelled: &str, shown: &str) {
        let key = format!("{spelled}{name}");
        let shown_key = format!("{shown}{name}");
        let place = table::place(&key);
        if let Some(feature) = table::later(&key)
            && !is_empty(&node.value)
        {
            let message = format!("is not available in this version: it belongs to {feature}");
            self.refuse(&node.origin, &shown_key, message);
        }
        match &node.value {
            Value::List(items) if place.list => {
                for (index, item) in items.iter().enumerate() {
                    let shown = format!("{shown_key}.{index}");
                    match &item.value {
                        Value::Table(table) => {
                            let (spelled, shown) = (format!("{key}[]."), format!("{shown}."));
                            self.table(table, &spelled, &shown, &item.origin);
                        }
                        other => {
                            let message = format!("expected a table, found {}", other.kind());
                            self.refuse(&item.origin, &shown, message);
                        }
                    }
                }
            }
            Value::Table(table) if place.table => {
                let (spelled, shown) = (format!("{key}."), format!("{shown_key}."));
                self.table(table, &spelled, &shown, &node.origin);
            }
            _ if place.leaf.is_some() || place.file_of.is_some() => {
                self.leaf(node, &shown_key, place.leaf);
            }
            other if place.list || place.table => {
                let wanted = if place.list {
                    "a list of tables"
                } else {
                    "a table"
                };
                let message = format!("expected {wanted}, found {}", other.kind());
                self.refuse(&node.origin, &shown_key, message);
            }
            _ => self.unknown(node, name, spelled, shown),
        }
    }

    fn leaf(&mut self, node: &Node, shown: &str, setting: Option<&Setting>) {
        let kind = setting.map_or(Kind::Path, |setting| setting.kind);
        match (kind, &node.value) {
            (Kind::List(item), Value::List(items)) => {
                for (index, one) in items.iter().enumerate() {
                    if let Err(message) = item.check(&one.value) {
                        self.refuse(&one.origin, &format!("{shown}.{index}"), message);
                    }
                }
            }
            // A list of one may be written without brackets.
            (Kind::List(item), Value::Text(_)) => {
                if let Err(message) = item.check(&node.value) {
                    self.refuse(&node.origin, shown, message);
                }
            }
            (kind, value) => {
                if let Err(message) = kind.check(value) {
                    self.refuse(&node.origin, shown, message);
                }
            }
        }
    }

    fn unknown(&mut self, node: &Node, name: &str, spelled: &str, shown: &str) {
        let names = table::names(spelled);
        let near = nearest(name, &names);
        let guess = near.map_or_else(String::new, |near| format!("did you mean `{near}`? "));
        let message = format!(
            "unknown setting: {guess}expected one of {}",
            names.join(", ")
        );
        self.refuse(&node.origin, &format!("{shown}{name}"), message);
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::List(items) => items.is_empty(),
        Value::Table(table) => table.values().all(|node| is_empty(&node.value)),
        _ => false,
    }
}

/// The name that differs least from `name`, if that is little enough to be a slip.
fn nearest<'a>(name: &str, names: &'a [String]) -> Option<&'a str> {
    let most = (name.chars().count() / 3).max(1);
    let scored = names
        .iter()
        .map(|candidate| (distance(name, candidate), candidate.as_str()));
    scored
        .filter(|(d, _)| *d <= most)
        .min()
        .map(|(_, candidate)| candidate)
}

/// How many letters must be put in, taken out, changed or swapped with their neighbour.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    // A name of any length is compared; a wrong one that is very long is no slip.
    if a.len().abs_diff(b.len()) > 8 {
        return usize::MAX;
    }
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            rows[i][j] = if i == 0 || j == 0 {
                i + j
            } else {
                let change = usize::from(a[i - 1] != b[j - 1]);
                let least = (rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
                let least = least.min(rows[i - 1][j - 1] + change);
                let swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
                if swapped {
                    least.min(rows[i - 2][j - 2] + 1)
                } else {
                    least
                }
            };
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_its_name() {
        let names: Vec<String> = table::names("edge.");
        assert_eq!(nearest("lisen", &names), Some("listen"));
        assert_eq!(nearest("pnig_interval", &names), Some("ping_interval"));
        assert_eq!(nearest("allowed_origin", &names), Some("allowed_origins"));
        assert_eq!(nearest("colour", &names), None);
    }
}
