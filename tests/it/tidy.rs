//! The house rules that no compiler checks: which module may import which, what each file says at
//! its top, how long it is, what may not stand in it. Each rule is a function from a file to its
//! violations, and `planted` shows that each finds what it is there for.

mod code;
mod planted;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use code::Code;

/// The layers, lowest first. A module may import from the rows above its own; only in the first
/// row, the vocabulary, may modules also import each other.
const LAYERS: [&[&str]; 11] = [
    &[
        "channel",
        "publication",
        "session_id",
        "code",
        "clock",
        "event_log",
        "notice",
        "metrics",
    ],
    &["protocol", "auth", "limits", "egress"],
    &["resource"],
    &["hub", "broker"],
    &["session", "node"],
    &["gateway"],
    &["edge", "control", "pusher", "admin"],
    &["config"],
    &["server"],
    &["cli"],
    &["main"],
];

const MAX_LINES: usize = 400;
/// Calls that end the process for a mistake, and the lint whose `allow` excuses each.
const PANICS: [(&str, &str); 6] = [
    (".unwrap()", "unwrap_used"),
    (".expect(", "expect_used"),
    (".expect_err(", "expect_used"),
    ("panic!", "panic"),
    ("todo!", "todo"),
    ("unimplemented!", "unimplemented"),
];

/// A file under the rules.
struct File {
    /// From the root of the repository, with `/`.
    path: String,
    text: String,
}

fn row(module: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&module))
}

/// `src/hub/delivery.rs` → `hub`; the crate's own map belongs to no module.
fn module_of(path: &str) -> Option<&str> {
    let inside = path.strip_prefix("src/")?;
    let top = inside.split('/').next()?;
    let name = top.strip_suffix(".rs").unwrap_or(top);
    (name != "lib").then_some(name)
}

fn layering(file: &File) -> Vec<String> {
    let Some(module) = module_of(&file.path) else {
        return vec![];
    };
    let Some(own) = row(module) else {
        return vec![format!(
            "{}: module `{module}` is in no layer of tests/it/tidy.rs",
            file.path
        )];
    };
    let code = Code::new(&file.text);
    let mut found = vec![];
    for (line, used) in code.crate_paths() {
        let allowed = match row(&used) {
            Some(theirs) => theirs < own || used == module || (theirs == 0 && own == 0),
            None => false,
        };
        if !allowed {
            found.push(format!(
                "{}:{line}: `{module}` may not use `crate::{used}`",
                file.path
            ));
        }
    }
    for line in code.lines_with("super::super::super::") {
        found.push(format!(
            "{}:{line}: write `crate::` instead of climbing",
            file.path
        ));
    }
    let top_level = !file.path["src/".len()..].contains('/');
    if top_level && code.without_inline_modules().contains("super::") {
        found.push(format!(
            "{}: `super::` is the crate here: write `crate::`",
            file.path
        ));
    }
    found
}

fn header(file: &File) -> Vec<String> {
    if file.text.starts_with("//! ") {
        return vec![];
    }
    vec![format!("{}:1: starts without `//!`", file.path)]
}

fn length(file: &File) -> Vec<String> {
    let lines = file.text.lines().count();
    if lines <= MAX_LINES {
        return vec![];
    }
    vec![format!("{}: {lines} lines, at most {MAX_LINES}", file.path)]
}

fn no_mod_rs(file: &File) -> Vec<String> {
    if !file.path.ends_with("/mod.rs") {
        return vec![];
    }
    vec![format!("{}: name it after its module", file.path)]
}

/// `unwrap` and its like, outside test code and outside what a reasoned `allow` covers.
fn panics(file: &File, test_modules: &BTreeSet<String>) -> Vec<String> {
    let stem = file.path.strip_suffix(".rs").unwrap_or(&file.path);
    let in_test = |path: &String| stem == path || stem.starts_with(&format!("{path}/"));
    if !file.path.starts_with("src/") || test_modules.iter().any(in_test) {
        return vec![];
    }
    let code = Code::new(&file.text).without_tests();
    let mut found = vec![];
    for (call, lint) in PANICS {
        for line in code.without_allowed(lint).lines_with(call) {
            found.push(format!("{}:{line}: `{call}` outside tests", file.path));
        }
    }
    found
}

/// Only `config` reads the environment.
fn environment(file: &File) -> Vec<String> {
    if !file.path.starts_with("src/") || module_of(&file.path) == Some("config") {
        return vec![];
    }
    let code = Code::new(&file.text).without_tests();
    let mut found = vec![];
    for call in ["env::var(", "env::vars(", "env::var_os(", "env::vars_os("] {
        for line in code.lines_with(call) {
            found.push(format!(
                "{}:{line}: only `config` reads the environment",
                file.path
            ));
        }
    }
    found
}

/// Paths of somebody's machine.
fn machine_paths(file: &File) -> Vec<String> {
    let places = ["work", "root", "home", "Users"].map(|place| format!("/{place}/"));
    let starts_path =
        |before: Option<char>| before.is_none_or(|c| c.is_whitespace() || "\"'`(=:[<>".contains(c));
    let mut found = vec![];
    for (number, line) in file.text.lines().enumerate() {
        for place in &places {
            let hit = line
                .match_indices(place.as_str())
                .any(|(at, _)| starts_path(line[..at].chars().next_back()));
            if hit {
                found.push(format!(
                    "{}:{}: a path of one machine ({place})",
                    file.path,
                    number + 1
                ));
            }
        }
    }
    found
}

/// Modules declared `#[cfg(test)] mod name;`, as paths without `.rs`.
fn test_modules(files: &[File]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for file in files.iter().filter(|file| file.path.starts_with("src/")) {
        let stem = file.path.strip_suffix(".rs").unwrap_or(&file.path);
        let folder = if stem == "src/lib" || stem == "src/main" {
            "src"
        } else {
            stem
        };
        for name in Code::new(&file.text).test_module_files() {
            found.insert(format!("{folder}/{name}"));
        }
    }
    found
}

fn check_rust(files: &[File]) -> Vec<String> {
    let tests = test_modules(files);
    let rules = [
        layering,
        header,
        length,
        no_mod_rs,
        environment,
        machine_paths,
    ];
    let one = |file: &File| -> Vec<String> {
        let all = rules.iter().flat_map(|rule| rule(file));
        all.chain(panics(file, &tests)).collect()
    };
    files.iter().flat_map(one).collect()
}

/// The repository's files below `folder` that end in one of `endings`.
fn files(folder: &Path, endings: &[&str]) -> Vec<File> {
    let mut found = vec![];
    let mut waiting = vec![folder.to_path_buf()];
    while let Some(path) = waiting.pop() {
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        if path.is_dir() {
            if !["target", ".git", "node_modules", "__pycache__"].contains(&name) {
                waiting.extend(
                    fs::read_dir(&path)
                        .unwrap()
                        .map(|entry| entry.unwrap().path()),
                );
            }
        } else if endings.iter().any(|ending| name.ends_with(ending)) {
            let text = fs::read_to_string(&path).unwrap();
            let inside = path.strip_prefix(root()).unwrap();
            found.push(File {
                path: inside.to_str().unwrap().replace('\\', "/"),
                text,
            });
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn assert_none(found: &[String]) {
    assert!(
        found.is_empty(),
        "{} broken rules:\n{}",
        found.len(),
        found.join("\n")
    );
}

#[test]
fn the_source_keeps_the_house_rules() {
    let mut all = files(&root().join("src"), &[".rs"]);
    assert!(all.len() > 20, "the walk finds the source");
    all.extend(files(&root().join("tests"), &[".rs"]));
    assert_none(&check_rust(&all));
}

#[test]
fn nothing_else_names_a_machine_or_grows_too_long() {
    let endings = [
        ".md", ".toml", ".py", ".proto", ".html", ".json", ".yaml", ".sh", "run", "test",
    ];
    let all = files(&root(), &endings);
    let mut found: Vec<String> = all.iter().flat_map(machine_paths).collect();
    found.extend(
        all.iter()
            .filter(|file| file.path.ends_with(".py"))
            .flat_map(length),
    );
    assert_none(&found);
}

#[test]
fn every_module_of_the_crate_has_a_layer() {
    let source = fs::read_to_string(root().join("src/lib.rs")).unwrap();
    let declared: Vec<&str> = source
        .lines()
        .filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'))
        .collect();
    assert!(!declared.is_empty());
    for module in declared {
        assert!(row(module).is_some(), "`{module}` is in no layer");
    }
}
