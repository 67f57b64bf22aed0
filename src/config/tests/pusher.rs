//! Pusher's apps: what is a good one.

use super::*;

const MASTER: &str = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";

fn apps(more: &str) -> Given {
    given(&format!(
        "[[pusher.apps]]\nid = '1'\nkey = 'k'\nsecret = 'the secret'\n{more}\n"
    ))
}

#[test]
fn an_app_is_a_way_in_and_shows_no_secret() {
    let given = apps(&format!("encryption_master_key = '{MASTER}'"));
    let config = given.load();
    let app = config.apps.by_id("1").unwrap();
    assert_eq!(config.apps.by_key("k").unwrap().id, app.id);
    assert!(app.client_events && !app.subscription_count);
    assert_eq!(
        app.shared_secret("private-encrypted-a"),
        "OaSNicEQhvgdc4eu4sum89NyQCnNOMP2wDIA2tge76Y="
    );
    let shown = format!("{config:?}");
    assert!(!shown.contains("the secret") && !shown.contains(MASTER));
    assert_eq!(
        (config.pusher.cookie, config.pusher.max_listed),
        (None, 10_000)
    );
}

#[test]
fn what_could_not_work_is_refused() {
    for (more, said) in [
        (
            "encryption_master_key = 'c2hvcnQ='",
            "is not 32 bytes in base64",
        ),
        ("encryption_master_key = '%'", "is not 32 bytes in base64"),
        (
            "[[pusher.apps]]\nid = '1'\nkey = 'l'\nsecret = 's'",
            "another app has this id",
        ),
        (
            "[[pusher.apps]]\nid = '2'\nkey = 'k'\nsecret = 's'",
            "another app has this key",
        ),
        (
            "[[pusher.apps]]\nid = 'a/b'\nkey = 'l'\nsecret = 's'",
            "letters, digits",
        ),
        ("[auth]\ncookie = 'a b'", "is no name of a cookie"),
        ("[auth]\ncookie = ''", "the text is empty"),
    ] {
        let refused = apps(more).refused();
        assert!(refused.contains(said), "{more}\n{refused}");
    }
}
