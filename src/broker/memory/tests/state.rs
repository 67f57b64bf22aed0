//! The state file: whole or not at all, over restarts.

use std::fs;
use std::path::Path;
use std::time::Duration;

use futures_util::FutureExt;
use proptest::prelude::*;

use super::*;
use crate::auth::{Fingerprint, RevocationTarget};
use crate::resource::{AccessRule, Audience, Credentials, Endpoint, FetchAs, VersionAt};

fn config(path: &Path) -> MemoryConfig {
    MemoryConfig {
        state: Some(path.into()),
        ..MemoryConfig::default()
    }
}

fn try_open(path: &Path) -> Result<MemoryBroker, StateError> {
    let hub = Arc::new(Recording::default());
    MemoryBroker::open(config(path), Arc::new(suite::rule), hub, &Metrics::new())
}

fn revocation(id: &str, target: RevocationTarget) -> Revocation {
    let now = Duration::from_secs(Now::read().unix.as_secs());
    Revocation {
        id: id.into(),
        target,
        reason: "why \"so\"\n".into(),
        created_at: now,
        expires_at: now + Duration::from_secs(60),
    }
}

fn targets() -> [RevocationTarget; 4] {
    let session = |tokens: &[Fingerprint]| RevocationTarget::Session {
        session: "12.34".parse().unwrap(),
        tokens: tokens.into(),
    };
    [
        session(&[]),
        session(&[[7; 16], [8; 16]]),
        RevocationTarget::TokenId("jti\u{1f600}".into()),
        RevocationTarget::Subject {
            subject: "ann\0".into(),
            issued_until: u64::MAX,
        },
    ]
}

/// One in which each part is another than by default.
fn endpoint() -> Endpoint {
    let bases = ["http://blog:8080/v1", "https://[::1]:8443"].map(|url| url.parse().unwrap());
    let mut endpoint = Endpoint::new("posts", Some("/posts/{id}"), None, bases.into());
    endpoint.auth = Credentials::Mint {
        secret: "0123456789abcdef0123456789abcdef".into(),
        audience: Some("blog".into()),
        ttl: Duration::from_millis(1_500),
    };
    endpoint.access = AccessRule::Claims("tenant=a".into());
    endpoint.audience = Audience::Shared;
    endpoint.fetch_as = FetchAs::Service(Some("token".into()));
    endpoint.version = VersionAt::Header("X-Version".into());
    endpoint.upstream.breaker.ratio = 0.1;
    endpoint.upstream.forward = vec![http::HeaderName::from_static("x-tenant")];
    endpoint.cache.max_ttl = Some(Duration::ZERO);
    endpoint.revalidate_every = Some(Duration::from_secs(5));
    endpoint
}

#[test]
fn a_full_store_takes_no_further_endpoint() {
    let config = MemoryConfig {
        max_endpoints: 1,
        ..MemoryConfig::default()
    };
    let hub = Arc::new(Recording::default());
    let broker = MemoryBroker::open(config, Arc::new(suite::rule), hub, &Metrics::new()).unwrap();
    let mut other = endpoint();
    other.name = "other".into();
    now(broker.put_endpoint(endpoint())).unwrap();
    now(broker.put_endpoint(endpoint())).unwrap();
    let refused = now(broker.put_endpoint(other)).unwrap_err();
    assert!(refused.to_string().contains("gateway.max_endpoints"));
}

fn now<T>(future: BrokerFuture<'_, T>) -> Result<T, BrokerError> {
    future.now_or_never().unwrap()
}

#[test]
fn records_survive_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("new/state");
    let broker = try_open(&path).unwrap();
    let mut expected = vec![];
    for (number, target) in targets().into_iter().enumerate() {
        let record = revocation(&number.to_string(), target);
        now(broker.revoke(record.clone())).unwrap();
        expected.push(record);
    }
    let denied = vec![
        Denied {
            range: "10.0.0.0/8".parse().unwrap(),
            reason: "x".into(),
            expires_at: None,
        },
        Denied {
            range: "2001:db8::/64".parse().unwrap(),
            reason: "y".into(),
            expires_at: Some(expected[0].expires_at),
        },
    ];
    now(broker.deny(denied.clone())).unwrap();
    let endpoint = endpoint();
    now(broker.put_endpoint(endpoint.clone())).unwrap();
    drop(broker);
    let broker = try_open(&path).unwrap();
    assert_eq!(now(broker.endpoints()).unwrap(), [endpoint]);
    assert_eq!(now(broker.revocations("", 9)).unwrap(), expected);
    assert_eq!(now(broker.denied()).unwrap(), denied);
    assert!(now(broker.unrevoke("1")).unwrap());
    now(broker.allow(vec![denied[0].range])).unwrap();
    drop(broker);
    let broker = try_open(&path).unwrap();
    assert_eq!(now(broker.revocations("", 9)).unwrap().len(), 3);
    assert_eq!(now(broker.denied()).unwrap(), denied[1..]);
    use std::os::unix::fs::PermissionsExt;
    let mode = fs::metadata(path.join("state.json")).unwrap().permissions();
    assert_eq!(mode.mode() & 0o777, 0o600);
    assert_eq!(fs::read_dir(&path).unwrap().count(), 1, "no leftovers");
}

#[test]
fn a_path_may_name_a_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("pogo.state");
    fs::write(&path, r#"{"pogo_state":1,"revocations":[],"denied":[]}"#).unwrap();
    let broker = try_open(&path).unwrap();
    let [record, ..] = targets();
    now(broker.revoke(revocation("1", record))).unwrap();
    assert!(fs::read_to_string(&path).unwrap().contains("12.34"));

    let path = directory.path().join("new/pogo.json");
    let broker = try_open(&path).unwrap();
    let [record, ..] = targets();
    now(broker.revoke(revocation("1", record))).unwrap();
    assert!(path.is_file());
    assert_eq!(
        now(try_open(&path).unwrap().revocations("", 9))
            .unwrap()
            .len(),
        1
    );
}

#[test]
fn a_session_is_revoked_as_earlier_versions_wrote_it() {
    let directory = tempfile::tempdir().unwrap();
    let row = r#"{"pogo_state":1,"denied":[],"revocations":[{"id":"1","target":"session",
        "session":"12.34","token":"BwcHBwcHBwcHBwcHBwcHBw","reason":"","created_at_ms":0,
        "expires_at_ms":9000000000000}]}"#;
    fs::write(directory.path().join("state.json"), row).unwrap();
    let broker = try_open(directory.path()).unwrap();
    let read = now(broker.revocations("", 9)).unwrap().remove(0);
    let expected = RevocationTarget::Session {
        session: "12.34".parse().unwrap(),
        tokens: [[7; 16]].into(),
    };
    assert_eq!(read.target, expected);
}

#[test]
fn what_cannot_be_read_stops_the_start() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.json");
    for damaged in [
        "",
        "{",
        "null",
        "{}",
        r#"{"pogo_state":1}"#,
        r#"{"pogo_state":1,"revocations":[{}],"denied":[]}"#,
        r#"{"pogo_state":1,"revocations":[],"denied":[{"range":"x","reason":"","expires_at_ms":null}]}"#,
        r#"{"pogo_state":1,"revocations":[],"denied":[]}x"#,
    ] {
        fs::write(&path, damaged).unwrap();
        let error = try_open(directory.path()).unwrap_err();
        assert!(matches!(error, StateError::Damaged { .. }), "{damaged}");
        assert_eq!(fs::read_to_string(&path).unwrap(), damaged, "left alone");
    }
    fs::write(&path, r#"{"pogo_state":2,"anything":[]}"#).unwrap();
    let error = try_open(directory.path()).unwrap_err();
    assert!(matches!(error, StateError::Newer { version: 2, .. }));
    assert!(error.to_string().contains("version 2"));
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    let error = try_open(directory.path()).unwrap_err();
    assert!(matches!(error, StateError::Unreadable { .. }));
}

#[test]
fn what_cannot_be_written_is_not_done() {
    let directory = tempfile::tempdir().unwrap();
    let broker = try_open(directory.path()).unwrap();
    let [first, second, ..] = targets();
    now(broker.revoke(revocation("1", first))).unwrap();
    let file = directory.path().join("state.json");
    let before = fs::read(&file).unwrap();
    // As if the disk refused: the temporary file cannot be made.
    let blocked = directory.path().join("state.json.tmp");
    fs::create_dir_all(blocked.join("x")).unwrap();
    let error = now(broker.revoke(revocation("2", second.clone()))).unwrap_err();
    assert!(matches!(error, BrokerError::State { .. }));
    assert!(now(broker.unrevoke("1")).is_err());
    assert_eq!(now(broker.revocations("", 9)).unwrap().len(), 1);
    assert_eq!(fs::read(&file).unwrap(), before);
    fs::remove_dir_all(&blocked).unwrap();
    now(broker.revoke(revocation("2", second))).unwrap();
}

#[test]
fn a_full_disk_is_an_error_and_leaves_the_file() {
    // A write beyond the device's end: the kernel's own full device stands for the disk.
    let directory = tempfile::tempdir().unwrap();
    let file = state_file::StateFile::open(directory.path()).unwrap();
    let records = records::Records::default();
    file.write(&records).unwrap();
    let before = fs::read(directory.path().join("state.json")).unwrap();
    let full = fs::OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .unwrap();
    assert!(state_file::write_to(full, &records).is_err());
    assert_eq!(
        fs::read(directory.path().join("state.json")).unwrap(),
        before
    );
}

#[test]
fn full_is_an_error_and_never_an_eviction() {
    let config = MemoryConfig {
        max_revocations: 2,
        max_denied: 2,
        ..MemoryConfig::default()
    };
    let (broker, clock, _) = open(config);
    let [target, ..] = targets();
    let record = |id| revocation(id, target.clone());
    now(broker.revoke(record("1"))).unwrap();
    now(broker.revoke(record("2"))).unwrap();
    let full = now(broker.revoke(record("3"))).unwrap_err();
    assert!(full.to_string().contains("broker.max_revocations"));
    now(broker.revoke(record("2"))).unwrap();
    assert_eq!(now(broker.revocations("", 9)).unwrap().len(), 2);

    let row = |range: &str| Denied {
        range: range.parse().unwrap(),
        reason: "".into(),
        expires_at: Some(Now::read().unix + Duration::from_secs(60)),
    };
    now(broker.deny(vec![row("10.0.0.1/32")])).unwrap();
    let two = vec![row("10.0.0.2/32"), row("10.0.0.3/32")];
    assert!(now(broker.deny(two.clone())).is_err());
    assert_eq!(now(broker.denied()).unwrap().len(), 1, "all or nothing");
    clock.advance(Duration::from_secs(61));
    now(broker.deny(two)).unwrap();
    now(broker.revoke(record("4"))).unwrap();
    broker.sweep(clock.now());
    assert!(now(broker.revocations("", 9)).unwrap().is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn any_damage_is_noticed_or_harmless(at in 0usize..200, byte: u8) {
        let directory = tempfile::tempdir().unwrap();
        let broker = try_open(directory.path()).unwrap();
        let [target, ..] = targets();
        let record = revocation("1", target);
        now(broker.revoke(record)).unwrap();
        drop(broker);
        let path = directory.path().join("state.json");
        let mut text = fs::read(&path).unwrap();
        text.truncate(at);
        text.push(byte);
        fs::write(&path, text).unwrap();
        // A cut file is never taken for a state without the record.
        if let Ok(broker) = try_open(directory.path()) {
            prop_assert_eq!(now(broker.revocations("", 9)).unwrap().len(), 1);
        }
    }
}
