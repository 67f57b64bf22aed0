//! The state file: poisoned, or on a disk that takes no more.

use pogo::control::proto::revoke_sessions_request::Target;
use pogo::control::proto::{ListRevocationsRequest, RevokeSessionsRequest};
use serde_json::json;
use tempfile::TempDir;

use crate::support::process::{free_address, whole};
use crate::support::{Client, TestServer, Token};

#[test]
fn a_poisoned_state_file_stops_the_start_and_stays() {
    let folder = TempDir::new().unwrap();
    let (config, state) = (
        folder.path().join("pogo.toml"),
        folder.path().join("state.json"),
    );
    let settings = format!("[state]\npath = {state:?}");
    std::fs::write(&config, whole(free_address(), &settings)).unwrap();
    for poison in [
        "",
        "{",
        "null",
        "[]",
        "{\"pogo_state\": 99}",
        "{\"pogo_state\": -1}",
        "{\"pogo_state\":1,\"revocations\":[{}],\"denied\":[]}",
        "{\"pogo_state\":1,\"revocations\":[],\"denied\":[{\"range\":\"everyone\",\"reason\":\"\",\"expires_at_ms\":null}]}",
    ] {
        std::fs::write(&state, poison).unwrap();
        let ended = std::process::Command::new(env!("CARGO_BIN_EXE_pogo"))
            .args(["serve", "--config"])
            .arg(&config)
            .output()
            .unwrap();
        let said = String::from_utf8(ended.stderr).unwrap();
        assert!(!ended.status.success(), "{poison}");
        assert!(said.contains("state.json"), "{poison}: {said}");
        assert!(!said.contains("panicked"), "{said}");
        assert_eq!(
            std::fs::read_to_string(&state).unwrap(),
            poison,
            "it is never overwritten"
        );
    }
}

/// Times at their ends are no reason to fall over.
#[tokio::test]
async fn a_state_with_times_at_their_ends_is_read() {
    let builder = TestServer::builder().config("[state]\npath = \"{folder}/state.json\"");
    let (most, row) = (u64::MAX, "\"reason\":\"\",\"created_at_ms\":0");
    let text = format!(
        "{{\"pogo_state\":1,\"revocations\":[{{\"id\":\"a\",\"target\":\"token_id\",\"token_id\":\"t\",{row},\"expires_at_ms\":{most}}},\
         {{\"id\":\"b\",\"target\":\"subject\",\"subject\":\"s\",\"issued_until\":{most},{row},\"expires_at_ms\":{most}}}],\
         \"denied\":[{{\"range\":\"192.0.2.0/24\",\"reason\":\"\",\"expires_at_ms\":{most}}}]}}"
    );
    std::fs::write(builder.folder_path().join("state.json"), text).unwrap();
    let server = builder.start().await;
    let mut control = server.control().await;
    let listed = control
        .sessions
        .list_revocations(ListRevocationsRequest::default())
        .await;
    assert_eq!(listed.unwrap().into_inner().revocations.len(), 2);
    control
        .firewall
        .list_denied(pogo::control::proto::ListDeniedRequest::default())
        .await
        .unwrap();
}

#[tokio::test]
async fn what_cannot_be_recorded_is_an_error_and_loses_nothing() {
    let builder = TestServer::builder().config("[state]\npath = \"{folder}/state\"");
    let state = builder.folder_path().join("state");
    let server = builder.start().await;
    let mut control = server.control().await;
    let revoke = |subject: &str| RevokeSessionsRequest {
        target: Some(Target::Subject(subject.into())),
        ..RevokeSessionsRequest::default()
    };
    control.revoke(revoke("first")).await;
    let mut session = Client::with(&server, &Token::of("second").sign()).await;
    // Nothing can be written here any more, whoever asks.
    let aside = state.with_extension("aside");
    std::fs::rename(&state, &aside).unwrap();
    std::fs::write(&state, "in the way").unwrap();
    let refused = control
        .sessions
        .revoke_sessions(revoke("second"))
        .await
        .unwrap_err();
    assert!(
        matches!(
            refused.code(),
            tonic::Code::Unavailable | tonic::Code::Internal
        ),
        "{refused:?}"
    );
    assert!(refused.message().contains("state"), "{refused:?}");
    session.ok(json!({"event": "ping"})).await;
    assert_eq!(server.admin("/healthz").await.0, 200);
    std::fs::remove_file(&state).unwrap();
    std::fs::rename(&aside, &state).unwrap();
    assert_eq!(control.revoke(revoke("second")).await.sessions_closed, 1);
    assert_eq!(session.closed().await.0, 4002);
    drop(control);

    let folder = server.stopped().await;
    let again = TestServer::builder()
        .config(&format!("[state]\npath = {state:?}"))
        .start()
        .await;
    let mut control = again.control().await;
    let listed = control
        .sessions
        .list_revocations(ListRevocationsRequest::default())
        .await;
    assert_eq!(listed.unwrap().into_inner().revocations.len(), 2);
    drop(folder);
}
