//! What an attacker does to a whole server, and what it gets for it. `docs/security.md` says which
//! attack is shown where.

mod crowds;
mod memory;
mod names;
mod odd;
mod secrets;
mod state;

/// The table in `docs/security.md` names tests that are there.
#[test]
fn every_test_of_the_table_exists() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let table = std::fs::read_to_string(root.join("docs/security.md")).unwrap();
    let mut seen = 0;
    for reference in table.split('`').filter(|text| text.contains(".rs::")) {
        let (path, name) = reference.split_once("::").unwrap();
        let text = std::fs::read_to_string(root.join(path.replace('…', "src/")));
        let text = text.unwrap_or_else(|error| panic!("{path}: {error}"));
        assert!(text.contains(&format!("fn {name}(")), "{reference}");
        seen += 1;
    }
    assert!(seen > 70, "{seen}");
}
