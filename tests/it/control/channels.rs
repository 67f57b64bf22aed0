//! `pogo.v1.Channels`: lists, members and history.

use std::collections::BTreeSet;

use pogo::control::Limits;
use pogo::control::proto::{
    GetChannelRequest, ListChannelsRequest, ListMembersRequest, Position, PurgeHistoryRequest,
    ReadHistoryRequest,
};
use tonic::Code;

use super::rig::{Clients, Rig, fields, number_on, refused};

fn named(name: &str) -> GetChannelRequest {
    GetChannelRequest { name: name.into() }
}

async fn list(clients: &mut Clients, pattern: &str, size: i32) -> Vec<String> {
    let mut request = ListChannelsRequest {
        pattern: pattern.into(),
        page_size: size,
        ..Default::default()
    };
    let mut names = Vec::new();
    loop {
        let page = clients
            .channels
            .list_channels(request.clone())
            .await
            .unwrap()
            .into_inner();
        assert!(page.channels.len() <= usize::try_from(size).unwrap());
        names.extend(page.channels.into_iter().map(|channel| channel.name));
        if page.next_page_token.is_empty() {
            return names;
        }
        request.page_token = page.next_page_token;
    }
}

#[tokio::test]
async fn channels_with_a_subscriber_or_history_are_listed_by_name() {
    let rig = Rig::start().await;
    let mut clients = rig.clients().await;
    for name in ["room-2", "room-4", "room/a", "room/a/x"] {
        clients.publish(name, 1).await;
    }
    clients.publish("forgotten", 1).await;
    for name in ["room-1", "room-2", "plain", "other/x"] {
        rig.join(name, "ann").await;
    }
    let all = [
        "other/x", "plain", "room-1", "room-2", "room-4", "room/a", "room/a/x",
    ];
    for size in [1, 2, 3, 100] {
        assert_eq!(list(&mut clients, "", size).await, all);
    }
    assert_eq!(
        list(&mut clients, "room*", 2).await,
        ["room-1", "room-2", "room-4"]
    );
    assert_eq!(list(&mut clients, "**/x", 1).await, ["other/x", "room/a/x"]);
    assert_eq!(list(&mut clients, "plain", 1).await, ["plain"]);
    assert_eq!(list(&mut clients, "nothing-*", 1).await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_stays_is_listed_while_the_set_changes() {
    let rig = Rig::start().await;
    let mut clients = rig.clients().await;
    let stays: BTreeSet<_> = (0..60).map(|i| format!("room-{i:02}")).collect();
    for name in &stays {
        clients.publish(name, 1).await;
    }
    let mut churn = clients.clone();
    let churn = tokio::spawn(async move {
        for i in (0..).map(|i| i % 60) {
            let channel = format!("room-{i:02}-{}", i % 7);
            churn.publish(&channel, 1).await;
            churn
                .channels
                .purge_history(PurgeHistoryRequest { channel })
                .await
                .unwrap();
        }
    });
    for size in [1, 3, 7, 50] {
        let names = list(&mut clients, "room-*", size).await;
        assert!(
            names.is_sorted_by(|a, b| a < b),
            "in order and without doubles: {names:?}"
        );
        let names: BTreeSet<_> = names.into_iter().collect();
        assert!(
            stays.is_subset(&names),
            "{:?} left out",
            stays.difference(&names)
        );
    }
    churn.abort();
}

#[tokio::test]
async fn a_page_token_is_ours_and_of_this_list() {
    let rig = Rig::start().await;
    let mut clients = rig.clients().await;
    for i in 0..3 {
        clients.publish(&format!("room-{i}"), 1).await;
    }
    let ask = |pattern: &str, page_size, page_token: &str| ListChannelsRequest {
        pattern: pattern.into(),
        page_size,
        page_token: page_token.into(),
    };
    let page = clients
        .channels
        .list_channels(ask("room-*", 1, ""))
        .await
        .unwrap()
        .into_inner();
    let token = page.next_page_token;
    for request in [
        ask("", 1, &token),
        ask("room-*", 1, "garbage"),
        ask("room-*", 1, "AAAAAAAAAAAA"),
        ask("room-*", 1, &format!("{token}A")),
    ] {
        assert_eq!(
            fields(clients.channels.list_channels(request).await),
            ["page_token"]
        );
    }
    clients
        .channels
        .list_channels(ask("room-*", 50, &token))
        .await
        .unwrap();
    let negative = clients.channels.list_channels(ask("", -1, "")).await;
    assert_eq!(fields(negative), ["page_size"]);
    let bad = clients.channels.list_channels(ask("a b", 0, "")).await;
    assert_eq!(fields(bad), ["pattern"]);
}

#[tokio::test]
async fn a_channel_with_its_counts() {
    let rig = Rig::start().await;
    let mut clients = rig.clients().await;
    refused(
        Code::NotFound,
        clients.channels.get_channel(named("room-1")).await,
    );
    assert_eq!(
        fields(clients.channels.get_channel(named("")).await),
        ["name"]
    );
    rig.join("room-1", "ann").await;
    rig.join("room-1", "ann").await;
    let gone = rig.join("room-1", "bob").await;
    rig.leave("room-1", gone).await;
    for number in 0..4 {
        clients.publish("room-1", number).await;
    }
    let channel = clients
        .channels
        .get_channel(named("room-1"))
        .await
        .unwrap()
        .into_inner();
    let channel = channel.channel.unwrap();
    assert_eq!(
        (
            channel.subscribers,
            channel.presence_count,
            channel.history_count
        ),
        (2, 1, 4)
    );
    assert_eq!(channel.position.unwrap().offset, 4);
}

#[tokio::test]
async fn members_by_session() {
    let rig = Rig::start().await;
    let mut clients = rig.clients().await;
    let mut expected = BTreeSet::new();
    for i in 0..7 {
        expected.insert(
            rig.join("room-1", ["ann", "bob", "cat"][i % 3])
                .await
                .to_string(),
        );
    }
    let mut request = ListMembersRequest {
        channel: "room-1".into(),
        page_size: 2,
        ..Default::default()
    };
    let mut listed = Vec::new();
    loop {
        let page = clients
            .channels
            .list_members(request.clone())
            .await
            .unwrap()
            .into_inner();
        assert_eq!(page.total, 3);
        listed.extend(page.members.into_iter().map(|member| member.session));
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    assert_eq!(listed.len(), 7);
    assert_eq!(listed.into_iter().collect::<BTreeSet<_>>(), expected);
}

/// What a request brings: the numbers, and whether that is complete.
async fn read(clients: &mut Clients, request: ReadHistoryRequest) -> (Vec<u64>, bool) {
    let read = clients
        .channels
        .read_history(request)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(read.position.unwrap().offset, 11);
    let numbers = read.publications.into_iter().map(|kept| {
        assert!(kept.time.is_some() && kept.event == "number");
        std::str::from_utf8(&kept.data).unwrap().parse().unwrap()
    });
    (numbers.collect(), read.complete)
}

#[tokio::test]
async fn history_forwards_backwards_and_from_a_position() {
    let rig = Rig::start().await;
    let mut clients = rig.clients().await;
    for number in 0..10 {
        clients.publish("room-1", number).await;
    }
    let at = clients.publish("room-1", 10).await.position.unwrap();
    let ask = |offset: Option<u64>, limit, reverse| {
        let from = offset.map(|offset| Position {
            offset,
            ..at.clone()
        });
        ReadHistoryRequest {
            channel: "room-1".into(),
            from,
            limit,
            reverse,
        }
    };
    for (request, expected) in [
        (ask(None, 3, false), vec![0, 1, 2]),
        (ask(None, 3, true), vec![10, 9, 8]),
        (ask(None, 0, false), (0..11).collect()),
        (ask(Some(8), 0, false), vec![8, 9, 10]),
        (ask(Some(3), 0, true), vec![1, 0]),
        (ask(Some(11), 0, false), vec![]),
    ] {
        assert_eq!(
            read(&mut clients, request.clone()).await.0,
            expected,
            "{request:?}"
        );
    }
    assert!(read(&mut clients, ask(Some(3), 2, false)).await.1);
    let mut lost = ask(Some(3), 0, false);
    lost.from.as_mut().unwrap().epoch = "another".into();
    assert!(!read(&mut clients, lost).await.1);
    let negative = clients.channels.read_history(ask(None, -1, false)).await;
    assert_eq!(fields(negative), ["limit"]);
}

#[tokio::test]
async fn purged_is_gone_and_positions_go_on() {
    let rig = Rig::start().await;
    let mut clients = rig.clients().await;
    for number in 0..3 {
        clients.publish("room-1", number).await;
    }
    let purge = PurgeHistoryRequest {
        channel: "room-1".into(),
    };
    let removed = clients
        .channels
        .purge_history(purge.clone())
        .await
        .unwrap()
        .into_inner();
    assert_eq!(removed.removed, 3);
    assert_eq!(
        clients
            .channels
            .purge_history(purge)
            .await
            .unwrap()
            .into_inner()
            .removed,
        0
    );
    assert_eq!(list(&mut clients, "", 10).await, [""; 0]);
    let channel = clients
        .channels
        .get_channel(named("room-1"))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(channel.channel.unwrap().history_count, 0);
    assert_eq!(
        clients.publish("room-1", 3).await.position.unwrap().offset,
        4
    );
}

#[tokio::test]
async fn a_long_history_comes_in_parts_that_fit_a_message() {
    let limits = Limits {
        response_bytes: 200 << 10,
        ..Limits::default()
    };
    let rig = Rig::with(|config| config.limits = limits).await;
    let mut clients = rig.clients().await;
    for _ in 0..20 {
        let mut request = number_on("room-1", 0);
        request.data = format!("\"{}\"", "x".repeat(60_000)).into();
        clients.publisher.publish(request).await.unwrap();
    }
    let mut request = ReadHistoryRequest {
        channel: "room-1".into(),
        ..Default::default()
    };
    let mut offsets = Vec::new();
    while offsets.len() < 20 {
        let read = clients
            .channels
            .read_history(request.clone())
            .await
            .unwrap()
            .into_inner();
        assert!(!read.publications.is_empty());
        let positions = read
            .publications
            .into_iter()
            .map(|kept| kept.position.unwrap());
        let positions: Vec<_> = positions.collect();
        offsets.extend(positions.iter().map(|position| position.offset));
        request.from = positions.last().cloned();
    }
    assert_eq!(offsets, (1..=20).collect::<Vec<_>>());
}
