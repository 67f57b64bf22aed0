//! What is printed from the table reads back, and the docs do not drift from it.

use super::*;
use crate::config::problem::Problem;
use crate::config::{check, value};

fn parse(text: &str) -> (Table, Vec<Problem>) {
    let mut problems = Vec::new();
    let path = std::sync::Arc::new("default.toml".into());
    let table = value::parse_file(&path, text, &mut problems);
    check::check(&table, &mut problems);
    (table, problems)
}

#[test]
fn the_default_file_reads_back_and_says_nothing_new() {
    let (table, problems) = parse(&default_toml());
    assert_eq!(problems, []);
    assert_eq!(changed(&Table::new(), &table), Vec::<String>::new());
}

/// Every line that is commented out is a setting that may be given.
#[test]
fn the_default_file_uncommented_holds_every_setting() {
    let text: String = default_toml()
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(rest) if rest.starts_with(|c: char| c.is_ascii_lowercase() || c == '[') => rest,
            _ => line,
        })
        // Each is a value here, a table or a list of tables below.
        .filter(|line| !["issuer = \"…\"", "access = \"…\"", "cache = true"].contains(line))
        .fold(String::new(), |text, line| text + line + "\n");
    let (_, problems) = parse(&text);
    let unexpected: Vec<_> = problems
        .iter()
        .filter(|problem| !problem.message.contains("is not available in this version"))
        .collect();
    assert!(unexpected.is_empty(), "{unexpected:#?}\n{text}");
}

#[test]
fn the_schema_names_every_setting() {
    let schema = json_schema();
    for setting in table::all() {
        let mut at = &schema;
        for name in setting.key.split('.') {
            // Of a value and a table, what goes on is the table.
            if at["anyOf"].is_array() {
                at = at["anyOf"].as_array().unwrap().last().unwrap();
            }
            let plain = name.trim_end_matches("[]");
            at = &at["properties"][plain];
            if at["anyOf"].is_array() && (name.ends_with("[]")) {
                at = at["anyOf"].as_array().unwrap().last().unwrap();
            }
            if name.ends_with("[]") {
                at = &at["items"];
            }
        }
        assert!(!at.is_null(), "{} is missing", setting.key);
    }
    assert_eq!(
        schema["properties"]["edge"]["properties"]["listen"]["default"],
        "0.0.0.0:8080"
    );
}

const DOCS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/configuration.md");
const START: &str = "<!-- settings: written by `cargo test docs_hold -- --ignored` -->\n";

fn with_reference(docs: &str) -> String {
    let head = docs.split(START).next().unwrap();
    format!(
        "{head}{START}\n{}",
        reference().trim_end().to_owned() + "\n"
    )
}

#[test]
fn docs_list_every_setting_as_it_is() {
    let docs = std::fs::read_to_string(DOCS).unwrap();
    assert!(
        docs == with_reference(&docs),
        "docs/configuration.md has drifted: cargo test --lib docs_hold -- --ignored"
    );
}

#[test]
#[ignore = "writes docs/configuration.md"]
fn docs_hold_what_the_table_says() {
    let docs = std::fs::read_to_string(DOCS).unwrap();
    std::fs::write(DOCS, with_reference(&docs)).unwrap();
}
