//! `pogo.v1.Sessions`: who is connected, and what is done to them.

use std::collections::BTreeSet;

use bytes::Bytes;
use pogo::control::proto::{
    GetSessionRequest, ListSessionsRequest, SendToSessionRequest, SubscribeSessionRequest,
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

#[tokio::test]
async fn every_session_is_on_one_page() {
    let rig = Rig::start().await;
    let mut clients = rig.clients().await;
    let expected: BTreeSet<_> = (0..10).map(|_| rig.worker.add(None).to_string()).collect();
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
        assert_eq!(ids.into_iter().collect::<BTreeSet<_>>(), expected);
    }
}

#[tokio::test]
async fn all_that_a_filter_says_must_match() {
    let rig = Rig::start().await;
    let mut clients = rig.clients().await;
    let all: Vec<_> = (0..9)
        .map(|i| rig.worker.add(Some(["ann", "bob"][i % 2])))
        .collect();
    rig.join("room-1", "cat").await;
    rig.worker
        .change(all[3], |info| info.address = "2001:db8::7".parse().unwrap());
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
    let mut page = by("ann", "", "");
    page.page_token = clients
        .sessions
        .list_sessions(page.clone())
        .await
        .unwrap()
        .into_inner()
        .next_page_token;
    page.subject = Some("bob".into());
    assert_eq!(
        fields(clients.sessions.list_sessions(page).await),
        ["page_token"]
    );
}

#[tokio::test]
async fn one_session() {
    let rig = Rig::start().await;
    let mut clients = rig.clients().await;
    let room = rig.join("room-1", "cat").await;
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
async fn the_server_subscribes_and_unsubscribes() {
    let rig = Rig::start().await;
    let mut clients = rig.clients().await;
    rig.worker.add(Some("ann"));
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
    let channel = "room-1".to_owned();
    let request = UnsubscribeSessionRequest {
        target,
        channel,
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

#[tokio::test]
async fn the_server_sends_to_one_session() {
    let rig = Rig::start().await;
    let mut clients = rig.clients().await;
    let one = rig.worker.add(Some("ann"));
    rig.worker.add(Some("ann"));
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
}
