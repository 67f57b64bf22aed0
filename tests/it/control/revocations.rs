//! `pogo.v1.Sessions`: revocations.

use std::collections::BTreeSet;

use pogo::code::CloseCode;
use pogo::control::proto::revoke_sessions_request::Target;
use pogo::control::proto::{
    DeleteRevocationRequest, ListRevocationsRequest, Revocation, RevokeSessionsRequest,
    RevokeSessionsResponse,
};
use pogo::hub::SessionAction;
use tonic::Code;

use super::rig::{Clients, Rig, fields, refused};

fn revoke(target: Target) -> RevokeSessionsRequest {
    RevokeSessionsRequest {
        target: Some(target),
        reason: "why".into(),
        ..Default::default()
    }
}

async fn revoked(clients: &mut Clients, request: RevokeSessionsRequest) -> RevokeSessionsResponse {
    clients
        .sessions
        .revoke_sessions(request)
        .await
        .unwrap()
        .into_inner()
}

async fn listed(clients: &mut Clients, page_size: i32) -> Vec<Revocation> {
    let mut request = ListRevocationsRequest {
        page_size,
        ..Default::default()
    };
    let mut rows = Vec::new();
    loop {
        let page = clients
            .sessions
            .list_revocations(request.clone())
            .await
            .unwrap()
            .into_inner();
        rows.extend(page.revocations);
        if page.next_page_token.is_empty() {
            return rows;
        }
        request.page_token = page.next_page_token;
    }
}

#[tokio::test]
async fn a_dry_run_only_counts() {
    let rig = Rig::start().await;
    let mut clients = rig.clients().await;
    rig.worker.add(Some("ann"));
    rig.worker.add(Some("ann"));
    rig.worker.add(Some("bob"));
    let request = RevokeSessionsRequest {
        dry_run: true,
        ..revoke(Target::Subject("ann".into()))
    };
    assert_eq!(revoked(&mut clients, request).await.sessions_closed, 2);
    assert!(rig.worker.done().is_empty());
    assert_eq!(listed(&mut clients, 0).await, []);
}

#[tokio::test]
async fn a_subjects_sessions_are_closed_and_recorded_until_taken_back() {
    let rig = Rig::start().await;
    let mut clients = rig.clients().await;
    let ann = BTreeSet::from([rig.worker.add(Some("ann")), rig.worker.add(Some("ann"))]);
    rig.worker.add(Some("bob"));
    let request = RevokeSessionsRequest {
        issued_before: Some(prost_types::Timestamp {
            seconds: 1_500_000_000,
            nanos: 0,
        }),
        ..revoke(Target::Subject("ann".into()))
    };
    let done = revoked(&mut clients, request).await;
    assert_eq!(
        (done.sessions_closed, done.nodes_confirmed, done.nodes_total),
        (2, 1, 1)
    );
    let mut closed = BTreeSet::new();
    for (id, action) in rig.worker.done() {
        assert!(
            matches!(action, SessionAction::Close(CloseCode::Revoked)),
            "{action:?}"
        );
        closed.insert(id);
    }
    assert_eq!(closed, ann);

    let row = listed(&mut clients, 0).await.remove(0);
    assert_eq!(
        (row.subject.as_deref(), row.reason.as_str()),
        (Some("ann"), "why")
    );
    assert_eq!(row.issued_before.unwrap().seconds, 1_500_000_000);
    assert!(row.created_at.unwrap().seconds < row.expires_at.unwrap().seconds);

    let delete = DeleteRevocationRequest { id: row.id };
    clients
        .sessions
        .delete_revocation(delete.clone())
        .await
        .unwrap();
    refused(
        Code::NotFound,
        clients.sessions.delete_revocation(delete).await,
    );
    assert_eq!(listed(&mut clients, 0).await, []);
}

#[tokio::test]
async fn a_session_or_a_token() {
    let rig = Rig::start().await;
    let mut clients = rig.clients().await;
    let (bob, cat) = (rig.worker.add(Some("bob")), rig.worker.add(Some("cat")));
    rig.worker
        .change(cat, |info| info.token_id = Some("t1".into()));
    for target in [
        Target::Session(bob.to_string()),
        Target::TokenId("t1".into()),
    ] {
        assert_eq!(
            revoked(&mut clients, revoke(target)).await.sessions_closed,
            1
        );
    }
    let rows = listed(&mut clients, 1).await;
    assert_eq!(rows.len(), 2);
    assert!(rows.iter().any(|row| row.session == Some(bob.to_string())));
    assert!(rows.iter().any(|row| row.token_id.as_deref() == Some("t1")));
}

#[tokio::test]
async fn a_full_store_refuses_and_evicts_nothing() {
    let rig = Rig::start().await;
    let mut clients = rig.clients().await;
    for i in 0..50 {
        revoked(&mut clients, revoke(Target::TokenId(format!("t{i}")))).await;
    }
    let one_more = revoke(Target::TokenId("one more".into()));
    let details = refused(
        Code::ResourceExhausted,
        clients.sessions.revoke_sessions(one_more).await,
    );
    assert_eq!(details.error_info().unwrap().reason, "STORE_FULL");
    assert!(details.retry_info().is_some());
    let ids: BTreeSet<_> = listed(&mut clients, 7)
        .await
        .into_iter()
        .map(|row| row.id)
        .collect();
    assert_eq!(ids.len(), 50);
}

#[tokio::test]
async fn what_cannot_be_revoked() {
    let rig = Rig::start().await;
    let mut clients = rig.clients().await;
    let mut with_time = revoke(Target::TokenId("t".into()));
    with_time.issued_before = Some(prost_types::Timestamp {
        seconds: 1,
        nanos: 0,
    });
    let mut too_early = revoke(Target::Subject("ann".into()));
    too_early.issued_before = Some(prost_types::Timestamp {
        seconds: -1,
        nanos: 0,
    });
    let mut wordy = revoke(Target::Subject("ann".into()));
    wordy.reason = "x".repeat(1_025);
    let too_long = "x".repeat(8_193);
    for (request, wrong) in [
        (RevokeSessionsRequest::default(), "target"),
        (revoke(Target::Subject(too_long.clone())), "subject"),
        (revoke(Target::TokenId(too_long)), "token_id"),
        (revoke(Target::Subject(String::new())), "subject"),
        (revoke(Target::Session(String::new())), "session"),
        (with_time, "issued_before"),
        (too_early, "issued_before"),
        (wordy, "reason"),
    ] {
        assert_eq!(
            fields(clients.sessions.revoke_sessions(request).await),
            [wrong]
        );
    }
    let gone = revoke(Target::Session("1.2".into()));
    refused(Code::NotFound, clients.sessions.revoke_sessions(gone).await);
    let empty = DeleteRevocationRequest::default();
    assert_eq!(
        fields(clients.sessions.delete_revocation(empty).await),
        ["id"]
    );
}
