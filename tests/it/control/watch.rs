//! `pogo.v1.Events`, `Firewall` and `Nodes`.

use pogo::code::CloseCode;
use pogo::control::proto::{
    AllowRequest, DenyRequest, ListDeniedRequest, ListNodesRequest, WatchRequest,
};
use pogo::hub::{self, SessionAction};
use tokio_stream::StreamExt;
use tonic::Code;

use super::rig::{Rig, fields, refused, soon};

#[tokio::test]
async fn sessions_from_denied_ranges_are_closed() {
    let rig = Rig::start().await;
    let mut clients = rig.clients().await;
    let inside = rig.worker.add(None);
    let outside = rig.worker.add(None);
    rig.worker.change(outside, |info| {
        info.address = "198.51.100.1".parse().unwrap();
    });
    let request = DenyRequest {
        addresses: vec!["192.0.2.9/24".into()],
        ttl: Some(prost_types::Duration {
            seconds: 60,
            nanos: 0,
        }),
        reason: "noise".into(),
    };
    let done = clients.firewall.deny(request).await.unwrap().into_inner();
    assert_eq!(done.sessions_closed, 1);
    let [(id, SessionAction::Close(CloseCode::Forbidden))] = rig.worker.done()[..] else {
        panic!("not closed")
    };
    assert_eq!(id, inside);
}

#[tokio::test]
async fn denied_ranges_are_listed_until_they_are_allowed() {
    let rig = Rig::start().await;
    let mut firewall = rig.clients().await.firewall;
    let deny = |addresses: &[&str], seconds: Option<i64>| DenyRequest {
        addresses: addresses.iter().map(ToString::to_string).collect(),
        ttl: seconds.map(|seconds| prost_types::Duration { seconds, nanos: 0 }),
        reason: "noise".into(),
    };
    firewall
        .deny(deny(&["192.0.2.9/24", "2001:db8::1"], Some(60)))
        .await
        .unwrap();
    firewall
        .deny(deny(&["203.0.113.0/24"], None))
        .await
        .unwrap();

    let mut request = ListDeniedRequest {
        page_size: 2,
        ..Default::default()
    };
    let first = firewall
        .list_denied(request.clone())
        .await
        .unwrap()
        .into_inner();
    request.page_token = first.next_page_token;
    let rest = firewall.list_denied(request).await.unwrap().into_inner();
    assert_eq!(rest.next_page_token, "");
    let rows: Vec<_> = first.denied.into_iter().chain(rest.denied).collect();
    let told: Vec<_> = rows
        .iter()
        .map(|row| (row.address.as_str(), row.expires_at.is_some()))
        .collect();
    let expected = [
        ("192.0.2.0/24", true),
        ("203.0.113.0/24", false),
        ("2001:db8::1/128", true),
    ];
    assert_eq!(told, expected);
    assert_eq!(rows[0].reason, "noise");

    let addresses = vec!["192.0.2.0/24".into(), "10.0.0.0/8".into()];
    let allowed = firewall
        .allow(AllowRequest { addresses })
        .await
        .unwrap()
        .into_inner();
    assert_eq!(allowed.addresses, ["192.0.2.0/24"]);
    let bad = DenyRequest {
        addresses: vec!["10.0.0.1".into(), "here".into()],
        ..Default::default()
    };
    assert_eq!(fields(firewall.deny(bad).await), ["addresses[1]"]);
    assert_eq!(
        fields(firewall.allow(AllowRequest::default()).await),
        ["addresses"]
    );
}

#[tokio::test]
async fn events_are_told_and_taken_up_again() {
    let rig = Rig::start().await;
    let mut clients = rig.clients().await;
    let all = WatchRequest::default();
    let mut watch = clients.events.watch(all).await.unwrap().into_inner();
    rig.join("room-1", "ann").await;
    let addresses = vec!["10.0.0.0/8".into()];
    clients
        .firewall
        .deny(DenyRequest {
            addresses,
            ..Default::default()
        })
        .await
        .unwrap();
    let first = soon(watch.next()).await.unwrap().unwrap();
    assert_eq!(
        (first.kind.as_str(), first.channel.as_deref()),
        ("occupied", Some("room-1"))
    );
    assert_eq!(first.node, rig.node.identity().id.as_ref());
    assert!(first.time.is_some());
    while soon(watch.next()).await.unwrap().unwrap().kind != "denied" {}

    let resumed = WatchRequest {
        kinds: vec!["denied".into()],
        resume_token: Some(first.resume_token.clone()),
    };
    let mut again = clients.events.watch(resumed).await.unwrap().into_inner();
    let denied = soon(again.next()).await.unwrap().unwrap();
    assert_eq!(denied.kind, "denied");
    assert_ne!(denied.resume_token, first.resume_token);
}

#[tokio::test]
async fn a_token_that_leads_nowhere_is_refused_by_reason() {
    let config = hub::Config {
        events: 4,
        ..hub::Config::default()
    };
    let rig = Rig::on(config, |_| {}).await;
    let mut clients = rig.clients().await;
    let node = rig.node.identity().id;
    for i in 0..10 {
        rig.join(&format!("room-{i}"), "ann").await;
    }
    let ask = |token: String| WatchRequest {
        resume_token: Some(token),
        ..Default::default()
    };
    for (token, reason) in [
        (format!("{node}-1"), "RESUME_TOKEN_FORGOTTEN"),
        (format!("{node}-1000"), "RESUME_TOKEN_UNKNOWN"),
        ("another-1".into(), "RESUME_TOKEN_OF_ANOTHER_RUN"),
    ] {
        let details = refused(Code::OutOfRange, clients.events.watch(ask(token)).await);
        assert_eq!(details.error_info().unwrap().reason, reason);
    }
    let garbage = clients.events.watch(ask("garbage".into())).await;
    assert_eq!(fields(garbage), ["resume_token"]);
    let unknown = WatchRequest {
        kinds: vec!["x".into()],
        ..Default::default()
    };
    assert_eq!(fields(clients.events.watch(unknown).await), ["kinds[0]"]);
}

#[tokio::test]
async fn the_node_is_listed() {
    let rig = Rig::start().await;
    let mut clients = rig.clients().await;
    rig.join("room-1", "ann").await;
    rig.join("room-2", "ann").await;
    let nodes = clients
        .nodes
        .list_nodes(ListNodesRequest::default())
        .await
        .unwrap()
        .into_inner();
    let [node] = nodes.nodes.as_slice() else {
        panic!("{nodes:?}")
    };
    assert_eq!((node.sessions, node.channels, node.draining), (2, 2, false));
    assert_eq!(node.version, env!("CARGO_PKG_VERSION"));
    rig.node.drain(std::time::Duration::ZERO);
    let nodes = clients
        .nodes
        .list_nodes(ListNodesRequest::default())
        .await
        .unwrap()
        .into_inner();
    assert!(nodes.nodes[0].draining);
}
