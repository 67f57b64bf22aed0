//! Secrets, keys, and what does not start.

use super::*;
use crate::edge::Origins;

#[test]
fn secrets_come_from_files_too_and_are_never_shown() {
    let given = given("auth.required = true\n");
    let path = given.directory.path().join("secret");
    std::fs::write(&path, format!("{SECRET}\n")).unwrap();
    let flag = format!("auth.secret_file={}", path.display());
    let given = given.set(&[
        &flag,
        "control.keys=[{name='a', secret='a-long-enough-key', scopes=['admin']}]",
    ]);
    let config = given.load();
    assert_eq!(config.signing.as_ref().unwrap().secret.expose(), SECRET);
    assert!(config.files.contains(&path));
    let shown = format!("{config:?} {:?}", given.sources.environment);
    assert!(
        !shown.contains(SECRET) && !shown.contains("a-long-enough-key"),
        "{shown}"
    );

    let both = Given {
        directory: given.directory,
        sources: given.sources,
    }
    .set(&[&flag, &format!("auth.secret={SECRET}")]);
    let refused = both.refused();
    assert!(
        refused.contains("auth.secret_file: secret is given too"),
        "{refused}"
    );
    assert!(!refused.contains(SECRET), "{refused}");
}

#[test]
fn a_secret_in_a_higher_layer_replaces_its_file_below() {
    let file = "auth.secret_file = '/nowhere/at/all'\n";
    let config = given(file).env(&[("POGO__AUTH__SECRET", SECRET)]).load();
    assert_eq!(config.signing.unwrap().secret.expose(), SECRET);
    // A number is a secret like any other.
    let digits = "1".repeat(64);
    let config = given("").env(&[("POGO__AUTH__SECRET", &digits)]).load();
    assert_eq!(config.signing.unwrap().secret.expose(), digits);
}

#[test]
fn nothing_starts_open() {
    let refused = given("auth.required = false\n").refused();
    assert!(refused.contains("there is no key for tokens"), "{refused}");
    let open = with_key("control.listen = '0.0.0.0:8081'\n");
    assert!(given(&open).refused().contains("beyond this machine"));
    let empty = with_key("[control]\nlisten = '[::]:8081'\nkeys = []\n");
    assert!(given(&empty).refused().contains("beyond this machine"));
    let keyed = with_key(
        "[control]\nlisten = '0.0.0.0:8081'\nkeys = [{ name = 'a', secret = '0123456789abcdef', \
         scopes = ['publish:room-*'] }]\n",
    );
    assert!(!given(&keyed).load().control.open);
    assert!(given(&with_key("")).load().control.open, "on loopback");
    let weak = keyed
        .replace("0123456789abcdef'", "short'")
        .replace("publish:", "pubish:");
    let refused = given(&weak).refused();
    assert!(
        refused.contains("control.keys.0.secret: is shorter than 16 bytes"),
        "{refused}"
    );
    assert!(
        refused.contains("control.keys.0.scopes: `pubish:room-*`: a scope is"),
        "{refused}"
    );
}

#[test]
fn dev_fills_in_what_is_not_said() {
    let config = given("").dev().load();
    assert_eq!(config.edge.listen.to_string(), "127.0.0.1:8080");
    assert!(!config.session.auth_required && config.edge.demo_page.is_some());
    assert_eq!(config.control.keys.len(), 1);
    let origins = config.edge.allowed_origins;
    assert!(origins.allow(b"null", "") && origins.allow(b"http://[::1]:3000", ""));
    assert!(!origins.allow(b"http://rebound.example", "rebound.example"));
    let said = format!("{:?}", config.dev);
    assert!(
        !said.contains(config.signing.unwrap().secret.expose()),
        "{said}"
    );

    let file = with_key("[edge]\nlisten = '127.0.0.1:9'\nallowed_origins = []\n");
    let config = given(&file).dev().set(&["auth.required=true"]).load();
    assert_eq!(config.edge.listen.port(), 9);
    assert_eq!(config.edge.allowed_origins, Origins::Listed(vec![]));
    assert!(config.session.auth_required);
    assert_eq!(config.signing.unwrap().secret.expose(), SECRET);
}

#[test]
fn keys_of_tokens_are_judged_where_they_stand() {
    let pem = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    let given = given(
        "[auth]\nsecret = 'short'\n\
         [[auth.issuer]]\nissuer = 'https://a.example'\nsecret = '0123456789abcdef0123456789abcdef'\n\
         algorithms = ['HS512']\n\
         [[auth.issuer]]\nissuer = 'https://b.example'\n\
         [[auth.issuer]]\njwks_url = 'https://user@c.example/keys'\n\
         [[auth.issuer]]\njwks_url = 'https://d.example/keys'\nalgorithms = ['HS256']\n",
    );
    let path = given.directory.path().join("key.pem");
    std::fs::write(&path, pem).unwrap();
    let refused = given
        .set(&[&format!("auth.public_key_file={}", path.display())])
        .refused();
    for line in [
        "--set auth.public_key_file: auth.public_key_file: it is a private key; ",
        "pogo.toml:2:1: auth.secret: is 5 bytes long and could be guessed: at least 32 are needed",
        "pogo.toml:7:1: auth.issuer.1: has no key: set secret, public_key_file or jwks_url",
        "pogo.toml:10:1: auth.issuer.2.jwks_url: must be an http or https address",
        "pogo.toml:12:1: auth.issuer.3.jwks_url: none of its algorithms fits this key",
    ] {
        assert!(refused.contains(line), "{line} is missing in\n{refused}");
    }
    assert!(!refused.contains("there is no key"), "{refused}");
    assert!(
        !refused.contains("auth.issuer.0"),
        "listed is listed: {refused}"
    );
}

#[test]
fn a_short_secret_is_for_this_machine_only() {
    let short = "[edge]\nlisten = '127.0.0.1:9'\n[auth]\nsecret = 'short'\n\
                 [control]\nkeys = [{ name = 'a', secret = 'k', scopes = ['admin'] }]\n";
    assert_eq!(
        given(short).load().signing.unwrap().secret.expose(),
        "short"
    );
    let empty = short.replace("'k'", "''").replace("'short'", "''");
    let refused = given(&empty).refused();
    assert!(
        refused.contains("control.keys.0.secret: the secret is empty"),
        "{refused}"
    );
    assert!(
        refused.contains("auth.secret: the secret is empty"),
        "{refused}"
    );
    let refused = given(&short.replace("127.0.0.1", "0.0.0.0")).refused();
    assert!(
        refused.contains("auth.secret: is 5 bytes long"),
        "{refused}"
    );
}

#[test]
fn a_secret_is_used_with_what_it_is_long_enough_for() {
    use crate::auth::Algorithm::{HS256, HS384, HS512};
    for (length, expected) in [
        (32, vec![HS256]),
        (48, vec![HS256, HS384]),
        (64, vec![HS256, HS384, HS512]),
    ] {
        let config = given("")
            .set(&[&format!("auth.secret={}", "k".repeat(length))])
            .load();
        assert_eq!(config.auth.issuers[0].algorithms, expected);
        assert_eq!(config.signing.unwrap().algorithm, HS256);
    }
}
