//! `pogo.v1.Sessions`.

use std::collections::BTreeSet;

use bytes::Bytes;
use pogo::code::CloseCode;
use pogo::control::proto::revoke_sessions_request::Target;
use pogo::control::proto::{
    DeleteRevocationRequest, GetSessionRequest, ListRevocationsRequest, ListSessionsRequest,
    RevokeSessionsRequest, SendToSessionRequest, SubscribeSessionRequest,
    UnsubscribeSessionRequest, subscribe_session_request, unsubscribe_session_request,
};
use pogo::hub::SessionAction;
use tonic::Code;

use super::rig::{Clients, Rig, fields, refused};

async fn list(clients: &mut Clients, mut request: ListSessionsRequest) -> Vec<String> {
    let mut ids = Vec::new();
    loop {
        let page = clients
            .sessions
            .list_sessions(request.clone())
            .await
            .unwrap()
            .into_inner();
        ids.extend(page.sessions.into_iter().map(|session| session.id));
        if page.next_page_token.is_empty() {
            return ids;
        }
        request.page_token = page.next_page_token;
    }
}

fn revoke(target: Target) -> RevokeSessionsRequest {
    RevokeSessionsRequest {
        target: Some(target),
        reason: "why".into(),
        ..Default::default()
    }
}

#[tokio::test]
async fn sessions_by_page_and_filter() {
    let rig = Rig::start().await;
    let mut clients = rig.clients().await;
    let all: Vec<_> = (0..9)
        .map(|i| rig.worker.add(Some(["ann", "bob"][i % 2])))
        .collect();
    let room = rig.join("room-1", "cat").await;
    rig.worker
        .change(all[3], |info| info.address = "2001:db8::7".parse().unwrap());
    for page_size in [1, 4, 0] {
        let ids = list(
            &mut clients,
            ListSessionsRequest {
                page_size,
                ..Default::default()
            },
        )
        .await;
        assert_eq!(ids.len(), 10);
        assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), 10);
    }
    let by = |subject: &str, channel: &str, address: &str| ListSessionsRequest {
        subject: Some(subject.into()),
        channel: Some(channel.into()),
        address: Some(address.into()),
        page_size: 2,
        page_token: String::new(),
    };
    for (request, expected) in [
        (by("ann", "", ""), 5),
        (by("", "room-1", ""), 1),
        (by("", "", "192.0.2.0/24"), 9),
        (by("", "", "2001:db8::7"), 1),
        (by("ann", "room-1", ""), 0),
        (by("bob", "", "2001:db8::/32"), 1),
    ] {
        assert_eq!(
            list(&mut clients, request.clone()).await.len(),
            expected,
            "{request:?}"
        );
    }
    for (request, wrong) in [
        (by("", "a b", ""), "channel"),
        (by("", "", "here"), "address"),
    ] {
        assert_eq!(
            fields(clients.sessions.list_sessions(request).await),
            [wrong]
        );
    }
    let get = GetSessionRequest {
        id: room.to_string(),
    };
    let session = clients
        .sessions
        .get_session(get)
        .await
        .unwrap()
        .into_inner()
        .session
        .unwrap();
    assert_eq!(
        (session.subject.as_deref(), session.channels.len()),
        (Some("cat"), 1)
    );
    assert_eq!(session.node, rig.node.identity().id.as_ref());
    assert_eq!(session.connected_at.unwrap().seconds, 1_000_000_000);
    assert_eq!(session.expires_at.unwrap().seconds, 2_000_000_000);
    for id in ["1.2", "nobody"] {
        let get = GetSessionRequest { id: id.into() };
        let details = refused(Code::NotFound, clients.sessions.get_session(get).await);
        assert_eq!(details.error_info().unwrap().reason, "SESSION_NOT_FOUND");
    }
}

#[tokio::test]
async fn revoking_closes_records_and_can_be_taken_back() {
    let rig = Rig::start().await;
    let mut clients = rig.clients().await;
    let (ann, bob, cat) = (
        rig.worker.add(Some("ann")),
        rig.worker.add(Some("bob")),
        rig.worker.add(Some("cat")),
    );
    rig.worker.add(Some("ann"));
    rig.worker
        .change(cat, |info| info.token_id = Some("t1".into()));

    let mut request = revoke(Target::Subject("ann".into()));
    request.dry_run = true;
    let dry = clients
        .sessions
        .revoke_sessions(request.clone())
        .await
        .unwrap()
        .into_inner();
    assert_eq!((dry.sessions_closed, rig.worker.done().len()), (2, 0));
    let none = ListRevocationsRequest::default();
    let listed = clients
        .sessions
        .list_revocations(none.clone())
        .await
        .unwrap()
        .into_inner();
    assert_eq!(listed.revocations, []);

    request.dry_run = false;
    request.issued_before = Some(prost_types::Timestamp {
        seconds: 1_500_000_000,
        nanos: 0,
    });
    let done = clients
        .sessions
        .revoke_sessions(request)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        (done.sessions_closed, done.nodes_confirmed, done.nodes_total),
        (2, 1, 1)
    );
    let closed = rig.worker.done();
    assert!(closed.iter().any(|(id, _)| *id == ann));
    for (_, action) in &closed {
        assert!(
            matches!(action, SessionAction::Close(CloseCode::Revoked)),
            "{action:?}"
        );
    }
    for target in [
        Target::Session(bob.to_string()),
        Target::TokenId("t1".into()),
    ] {
        let done = clients
            .sessions
            .revoke_sessions(revoke(target))
            .await
            .unwrap()
            .into_inner();
        assert_eq!(done.sessions_closed, 1);
    }

    let listed = clients
        .sessions
        .list_revocations(none.clone())
        .await
        .unwrap()
        .into_inner();
    let find = |test: &dyn Fn(&pogo::control::proto::Revocation) -> bool| {
        listed
            .revocations
            .iter()
            .find(|row| test(row))
            .unwrap()
            .clone()
    };
    let subject = find(&|row| row.subject.as_deref() == Some("ann"));
    assert_eq!(subject.issued_before.unwrap().seconds, 1_500_000_000);
    assert_eq!(subject.reason, "why");
    assert!(subject.created_at.unwrap().seconds < subject.expires_at.unwrap().seconds);
    find(&|row| row.session == Some(bob.to_string()));
    find(&|row| row.token_id.as_deref() == Some("t1"));

    let delete = DeleteRevocationRequest { id: subject.id };
    clients
        .sessions
        .delete_revocation(delete.clone())
        .await
        .unwrap();
    refused(
        Code::NotFound,
        clients.sessions.delete_revocation(delete).await,
    );
    let listed = clients
        .sessions
        .list_revocations(none)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(listed.revocations.len(), 2);
}

#[tokio::test]
async fn a_full_store_refuses_and_evicts_nothing() {
    let rig = Rig::start().await;
    let mut clients = rig.clients().await;
    for i in 0..50 {
        let target = Target::TokenId(format!("t{i}"));
        clients
            .sessions
            .revoke_sessions(revoke(target))
            .await
            .unwrap();
    }
    let one_more = revoke(Target::TokenId("one more".into()));
    let details = refused(
        Code::ResourceExhausted,
        clients.sessions.revoke_sessions(one_more).await,
    );
    assert_eq!(details.error_info().unwrap().reason, "STORE_FULL");
    assert!(details.retry_info().is_some());
    let mut request = ListRevocationsRequest {
        page_size: 7,
        ..Default::default()
    };
    let mut ids = BTreeSet::new();
    loop {
        let page = clients
            .sessions
            .list_revocations(request.clone())
            .await
            .unwrap()
            .into_inner();
        ids.extend(page.revocations.into_iter().map(|row| row.token_id));
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
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
    for (request, wrong) in [
        (RevokeSessionsRequest::default(), "target"),
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

#[tokio::test]
async fn the_server_subscribes_unsubscribes_and_sends() {
    let rig = Rig::start().await;
    let mut clients = rig.clients().await;
    let one = rig.worker.add(Some("ann"));
    let two = rig.join("room-1", "ann").await;

    let target = Some(subscribe_session_request::Target::Subject("ann".into()));
    let request = SubscribeSessionRequest {
        target,
        channel: "room-1".into(),
    };
    let done = clients
        .sessions
        .subscribe_session(request)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(done.sessions, 2);
    let actions = rig.worker.done();
    assert!(
        actions
            .iter()
            .all(|(_, action)| matches!(action, SessionAction::Subscribe(_)))
    );

    // Only who is on the channel is unsubscribed.
    let target = Some(unsubscribe_session_request::Target::Subject("ann".into()));
    let request = UnsubscribeSessionRequest {
        target,
        channel: "room-1".into(),
        ..Default::default()
    };
    let done = clients
        .sessions
        .unsubscribe_session(request)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(done.sessions, 1);
    let [(id, SessionAction::Unsubscribe(channel, reason))] = &rig.worker.done()[..] else {
        panic!("not unsubscribed")
    };
    assert_eq!(
        (*id, channel.as_str(), reason.is_empty()),
        (two, "room-1", false)
    );

    let send = |session: String, event: &str, data: &'static str| SendToSessionRequest {
        session,
        event: event.into(),
        data: Bytes::from_static(data.as_bytes()),
    };
    let sent = clients
        .sessions
        .send_to_session(send(one.to_string(), "hi", "[1]"))
        .await
        .unwrap();
    assert_eq!(sent.into_inner().sessions, 1);
    assert!(matches!(&rig.worker.done()[..], [(id, SessionAction::Send { .. })] if *id == one));
    for nobody in ["1.2", "nobody"] {
        let sent = clients
            .sessions
            .send_to_session(send(nobody.into(), "hi", "1"))
            .await
            .unwrap();
        assert_eq!(sent.into_inner().sessions, 0);
    }
    let bad = clients
        .sessions
        .send_to_session(send(one.to_string(), "pogo:x", "{"))
        .await;
    assert_eq!(fields(bad), ["event", "data"]);
    let nobody = SubscribeSessionRequest {
        target: None,
        channel: "room-1".into(),
    };
    assert_eq!(
        fields(clients.sessions.subscribe_session(nobody).await),
        ["target"]
    );
    let nowhere = UnsubscribeSessionRequest::default();
    assert_eq!(
        fields(clients.sessions.unsubscribe_session(nowhere).await),
        ["channel"]
    );
}
