//! Planted violations: each rule finds its own, and nothing where there is none.

use std::collections::BTreeSet;

use super::{
    File, MAX_LINES, check_rust, environment, header, layering, length, machine_paths, no_mod_rs,
    panics, test_modules,
};

fn file(path: &str, text: &str) -> File {
    File {
        path: path.into(),
        text: text.into(),
    }
}

fn layers(path: &str, text: &str) -> usize {
    layering(&file(path, text)).len()
}

#[test]
fn an_import_upwards_is_found() {
    assert_eq!(
        layers("src/session.rs", "use crate::node::Node;"),
        1,
        "a neighbour"
    );
    assert_eq!(
        layers("src/session/open.rs", "fn f() { crate::edge::listen() }"),
        1,
        "no `use`"
    );
    assert_eq!(
        layers(
            "src/hub.rs",
            "use crate::{channel::Pattern, node::{Node, Join}};"
        ),
        1
    );
    assert_eq!(
        layers("src/hub.rs", "use crate::{\n  edge,\n  config::Config,\n};"),
        2
    );
    assert_eq!(layers("src/hub.rs", "pub(in crate::node) fn f() {}"), 1);
    assert_eq!(layers("src/server.rs", "use crate::cli;"), 1);
    assert_eq!(layers("src/nowhere.rs", ""), 1, "a module without a layer");
    assert_eq!(
        layers("src/hub.rs", "use crate::Thing;"),
        1,
        "only modules are imported"
    );
    assert_eq!(
        layers("src/hub.rs", "use super::node::Node;"),
        1,
        "the crate by another name"
    );
    assert_eq!(
        layers("src/hub/deep/er.rs", "use super::super::super::node::Node;"),
        1
    );
}

#[test]
fn an_import_downwards_or_no_import_passes() {
    assert_eq!(
        layers(
            "src/node.rs",
            "use crate::{hub::Hub, broker, auth::{Grant, Op}};"
        ),
        0
    );
    assert_eq!(
        layers("src/publication.rs", "use crate::channel::ChannelName;"),
        0,
        "vocabulary"
    );
    assert_eq!(
        layers(
            "src/hub/shard.rs",
            "use crate::hub::message::Worker;\nuse super::Hub;"
        ),
        0
    );
    assert_eq!(
        layers(
            "src/hub.rs",
            "// crate::node\n/* crate::node */ let a = \"crate::node\";"
        ),
        0
    );
    assert_eq!(
        layers(
            "src/hub.rs",
            "let a = r#\"crate::node \" \"#; let q = '\"'; // '"
        ),
        0
    );
    assert_eq!(
        layers(
            "src/hub.rs",
            "mod tests { use super::*; }\nfn f<'a>(x: &'a str) {}"
        ),
        0
    );
    assert_eq!(
        layers("src/lib.rs", "use crate::cli;"),
        0,
        "the map names all"
    );
}

#[test]
fn a_missing_header_is_found() {
    assert_eq!(
        header(&file("src/a.rs", "use std::fmt;\n//! late")).len(),
        1
    );
    assert_eq!(header(&file("src/a.rs", "/// an item\nstruct A;")).len(), 1);
    assert_eq!(header(&file("src/a.rs", "//! Why it is here.\n")).len(), 0);
}

#[test]
fn length_and_names_are_found() {
    assert_eq!(
        length(&file("src/a.rs", &"\n".repeat(MAX_LINES + 1))).len(),
        1
    );
    assert_eq!(length(&file("src/a.rs", &"\n".repeat(MAX_LINES))).len(), 0);
    assert_eq!(no_mod_rs(&file("src/hub/mod.rs", "")).len(), 1);
    assert_eq!(no_mod_rs(&file("src/hub.rs", "")).len(), 0);
}

fn panicking(text: &str) -> usize {
    panics(&file("src/hub.rs", text), &BTreeSet::new()).len()
}

#[test]
fn a_panic_outside_tests_is_found() {
    assert_eq!(panicking("fn f() { a.unwrap(); b.expect(\"x\"); }"), 2);
    assert_eq!(
        panicking("fn f() { panic!(\"x\") }\nfn g() { todo!() }\nfn h() { unimplemented!() }"),
        3
    );
    let unreasoned = "#[allow(clippy::unwrap_used)]\nfn f() { a.unwrap() }";
    assert_eq!(panicking(unreasoned), 1, "an allow needs a reason");
    let other = "#[allow(clippy::expect_used, reason = \"x\")]\nfn f() { a.unwrap() }";
    assert_eq!(panicking(other), 1, "an allow of another lint");
    let next = "#[allow(clippy::unwrap_used, reason = \"x\")]\nfn f() {}\nfn g() { a.unwrap() }";
    assert_eq!(panicking(next), 1, "an allow covers its own item only");
    let after = "#[cfg(test)]\nmod tests { fn f() { a.unwrap() } }\nfn g() { b.unwrap() }";
    assert_eq!(panicking(after), 1, "code after the tests");
}

#[test]
fn a_panic_in_tests_or_with_a_reason_passes() {
    assert_eq!(
        panicking("#[cfg(test)]\nmod tests {\n fn f() { a.unwrap(); }\n}"),
        0
    );
    assert_eq!(
        panicking("#[allow(clippy::expect_used, reason = \"x\")]\nfn f() { a.expect(\"y\") }"),
        0
    );
    assert_eq!(
        panicking("// .unwrap()\nlet a = \".unwrap()\"; a.unwrap_or(b); std::panic::x();"),
        0
    );
    let all = [
        file("src/hub.rs", "//! x\n#[cfg(test)]\nmod suite;\nmod real;"),
        file("src/hub/suite.rs", "//! x\nfn f() { a.unwrap() }"),
        file("src/hub/suite/more.rs", "//! x\nfn f() { a.unwrap() }"),
        file("src/hub/real.rs", "//! x\nfn f() { a.unwrap() }"),
    ];
    assert_eq!(
        test_modules(&all),
        BTreeSet::from(["src/hub/suite".to_owned()])
    );
    assert_eq!(
        check_rust(&all),
        ["src/hub/real.rs:2: `.unwrap()` outside tests"]
    );
}

#[test]
fn the_environment_is_read_in_one_place() {
    assert_eq!(
        environment(&file("src/edge.rs", "let a = std::env::var(\"A\");")).len(),
        1
    );
    assert_eq!(
        environment(&file("src/config/overlay.rs", "let a = std::env::vars();")).len(),
        0
    );
}

#[test]
fn a_path_of_a_machine_is_found() {
    let planted = format!("see `/{}/me/notes`", "home");
    assert_eq!(machine_paths(&file("README.md", &planted)).len(), 1);
    let harmless = format!("GET https://example.com/{}/1 and ~/.cache", "home");
    assert_eq!(machine_paths(&file("README.md", &harmless)).len(), 0);
}
