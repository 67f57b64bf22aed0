//! `pogo.v1.Publisher`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use pogo::control::proto::{
    GetChannelRequest, PublishBatchRequest, PublishRequest, PublishStreamRequest,
    publish_batch_result, publish_stream_response,
};
use tokio_stream::StreamExt;
use tonic::Code;
use tonic::transport::Endpoint;

use super::rig::{ADMIN, Clients, NEWS, Rig, fields, number_on, refused, soon};

#[tokio::test]
async fn a_receipt_for_each_channel() {
    let rig = Rig::start().await;
    rig.join("room-1", "ann").await;
    rig.join("room-1", "bob").await;
    let mut clients = rig.clients().await;
    let mut request = number_on("room-1", 1);
    request.channels.push("plain".into());
    let receipts = clients
        .publisher
        .publish(request)
        .await
        .unwrap()
        .into_inner()
        .receipts;
    let [room, plain] = receipts.as_slice() else {
        panic!("{receipts:?}")
    };
    assert_eq!(
        (room.channel.as_str(), room.receivers, room.deduplicated),
        ("room-1", 2, false)
    );
    assert_eq!(room.position.as_ref().unwrap().offset, 1);
    assert_eq!((plain.channel.as_str(), plain.receivers), ("plain", 0));
    assert!(plain.position.is_none());
    assert_eq!(
        clients.publish("room-1", 2).await.position.unwrap().offset,
        2
    );
}

#[tokio::test]
async fn a_bad_field_publishes_nothing_and_is_named() {
    let rig = Rig::start().await;
    let mut clients = rig.clients().await;
    let good = number_on("room-1", 1);
    let seconds = |seconds| Some(prost_types::Duration { seconds, nanos: 0 });
    let many: Vec<String> = (0..101).map(|i| format!("room-{i}")).collect();
    let with = |change: &dyn Fn(&mut PublishRequest)| {
        let mut request = good.clone();
        change(&mut request);
        request
    };
    for (request, wrong) in [
        (with(&|r| r.channels.clear()), "channels"),
        (with(&|r| r.channels = many.clone()), "channels"),
        (with(&|r| r.channels.push("a b".into())), "channels[1]"),
        (with(&|r| r.channels.push("room-1".into())), "channels[1]"),
        (with(&|r| r.channels.push("pogo:x".into())), "channels[1]"),
        (with(&|r| r.event = "pusher:x".into()), "event"),
        (with(&|r| r.event = String::new()), "event"),
        (with(&|r| r.data = Bytes::from_static(b"{")), "data"),
        (with(&|r| r.data = Bytes::new()), "data"),
        (
            with(&|r| r.data = format!("\"{}\"", "x".repeat(65_535)).into()),
            "data",
        ),
        (with(&|r| r.ttl = seconds(0)), "ttl"),
        (with(&|r| r.ttl = seconds(-1)), "ttl"),
        (
            with(&|r| r.exclude_session = Some("me".into())),
            "exclude_session",
        ),
        (
            with(&|r| r.idempotency_key = Some("k".repeat(129))),
            "idempotency_key",
        ),
    ] {
        assert_eq!(fields(clients.publisher.publish(request).await), [wrong]);
    }
    assert_eq!(
        clients.publish("room-1", 1).await.position.unwrap().offset,
        1
    );
}

#[tokio::test]
async fn a_pattern_scope_holds_for_every_channel() {
    let rig = Rig::start().await;
    let mut news = rig.clients_of(Some(NEWS)).await;
    news.publish("news-1", 1).await;
    let mut both = number_on("news-1", 2);
    both.channels.push("sport".into());
    let details = refused(
        Code::PermissionDenied,
        news.publisher.publish(both.clone()).await,
    );
    assert_eq!(details.error_info().unwrap().reason, "SCOPE_MISSING");
    let batch = PublishBatchRequest {
        requests: vec![both],
    };
    let mut results = news
        .publisher
        .publish_batch(batch)
        .await
        .unwrap()
        .into_inner()
        .results;
    let Some(publish_batch_result::Result::Status(status)) = results.remove(0).result else {
        panic!("a batch is bound by the same scope")
    };
    assert_eq!(status.code, Code::PermissionDenied as i32);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idempotency_key_counts_once_for_each_caller_and_channel() {
    let rig = Rig::start().await;
    let clients = rig.clients().await;
    let mut request = number_on("room-1", 1);
    request.idempotency_key = Some("once".into());
    let calls = (0..50).map(|_| {
        let (mut publisher, request) = (clients.publisher.clone(), request.clone());
        tokio::spawn(async move { publisher.publish(request).await.unwrap().into_inner() })
    });
    let (mut first, mut offsets) = (0, BTreeSet::new());
    for call in calls.collect::<Vec<_>>() {
        let receipt = soon(call).await.unwrap().receipts.remove(0);
        first += usize::from(!receipt.deduplicated);
        offsets.insert(receipt.position.unwrap().offset);
    }
    assert_eq!((first, offsets), (1, BTreeSet::from([1])));

    let mut clients = clients;
    request.channels = vec!["news-1".into()];
    let other_channel = clients
        .publisher
        .publish(request.clone())
        .await
        .unwrap()
        .into_inner();
    assert!(!other_channel.receipts[0].deduplicated);
    let mut news = rig.clients_of(Some(NEWS)).await;
    let other_caller = news.publisher.publish(request).await.unwrap().into_inner();
    assert!(!other_caller.receipts[0].deduplicated);
}

#[tokio::test]
async fn a_batch_goes_on_after_a_refusal() {
    let rig = Rig::start().await;
    let mut clients = rig.clients().await;
    let mut bad = number_on("room-1", 2);
    bad.data = Bytes::from_static(b"{");
    let requests = vec![number_on("room-1", 1), bad, number_on("room-1", 3)];
    let batch = PublishBatchRequest { requests };
    let results = clients
        .publisher
        .publish_batch(batch)
        .await
        .unwrap()
        .into_inner()
        .results;
    let offsets: Vec<_> = results
        .into_iter()
        .map(|result| match result.result.unwrap() {
            publish_batch_result::Result::Response(mut response) => {
                Ok(response.receipts.remove(0).position.unwrap().offset)
            }
            publish_batch_result::Result::Status(status) => {
                Err((status.code, status.details.len()))
            }
        })
        .collect();
    assert_eq!(
        offsets,
        [Ok(1), Err((Code::InvalidArgument as i32, 2)), Ok(2)]
    );

    let empty = PublishBatchRequest::default();
    assert_eq!(
        fields(clients.publisher.publish_batch(empty).await),
        ["requests"]
    );
    let many = PublishBatchRequest {
        requests: vec![number_on("x", 1); 1_001],
    };
    assert_eq!(
        fields(clients.publisher.publish_batch(many).await),
        ["requests"]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_answers_each_request_and_keeps_each_channels_order() {
    const COUNT: u64 = 5_000;
    let rig = Rig::start().await;
    let mut clients = rig.clients().await;
    let requests = tokio_stream::iter((0..COUNT).map(|i| PublishStreamRequest {
        sequence: i * 7,
        publish: match i % 100 {
            13 => None,
            14 => Some(number_on("not a channel", i)),
            _ => Some(number_on(&format!("room-{}", i % 3), i)),
        },
    }));
    let mut responses = clients
        .publisher
        .publish_stream(requests)
        .await
        .unwrap()
        .into_inner();
    let mut last: BTreeMap<String, u64> = BTreeMap::new();
    let mut seen = 0;
    while let Some(response) = soon(responses.next()).await {
        let response = response.unwrap();
        assert_eq!(response.sequence, seen * 7);
        match response.result.unwrap() {
            publish_stream_response::Result::Response(mut published) => {
                let receipt = published.receipts.remove(0);
                let offset = receipt.position.unwrap().offset;
                let before = last.insert(receipt.channel, offset).unwrap_or(0);
                assert_eq!(offset, before + 1);
            }
            publish_stream_response::Result::Status(status) => {
                assert_eq!(status.code, Code::InvalidArgument as i32);
                assert!(matches!(seen % 100, 13 | 14));
            }
        }
        seen += 1;
    }
    assert_eq!(seen, COUNT);
    assert_eq!(last.values().sum::<u64>(), COUNT - COUNT / 50);
}

#[tokio::test]
async fn the_end_of_the_server_ends_a_stream_after_its_last_answer() {
    let mut rig = Rig::start().await;
    let mut clients = rig.clients().await;
    let (send, requests) = tokio::sync::mpsc::channel(8);
    let requests = tokio_stream::wrappers::ReceiverStream::new(requests);
    let mut responses = clients
        .publisher
        .publish_stream(requests)
        .await
        .unwrap()
        .into_inner();
    let publish = Some(number_on("room-1", 1));
    send.send(PublishStreamRequest {
        sequence: 1,
        publish,
    })
    .await
    .unwrap();
    assert_eq!(soon(responses.next()).await.unwrap().unwrap().sequence, 1);
    rig.stop();
    let details = refused(Code::Unavailable, soon(responses.next()).await.unwrap());
    assert_eq!(details.error_info().unwrap().reason, "DRAINING");
    assert!(details.retry_info().is_some());
    soon(&mut rig.task).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_whose_answers_nobody_reads_is_slowed_down_and_loses_nothing() {
    const MANY: u64 = 50_000;
    let rig = Rig::start().await;
    let endpoint = Endpoint::from_shared(format!("http://{}", rig.address)).unwrap();
    let endpoint = endpoint.initial_stream_window_size(65_535);
    let mut clients = Clients::over(endpoint.connect().await.unwrap(), Some(ADMIN));
    let requests = tokio_stream::iter((0..MANY).map(|sequence| PublishStreamRequest {
        sequence,
        publish: Some(number_on("room-1", sequence)),
    }));
    let mut responses = clients
        .publisher
        .publish_stream(requests)
        .await
        .unwrap()
        .into_inner();
    // The server comes to rest when the answers fill the buffers on the way. Other calls on the
    // connection go on.
    let (mut before, mut now) = (0, 1);
    while before < now {
        tokio::time::sleep(Duration::from_millis(300)).await;
        let get = GetChannelRequest {
            name: "room-1".into(),
        };
        let channel = clients
            .channels
            .get_channel(get)
            .await
            .unwrap()
            .into_inner();
        (before, now) = (now, channel.channel.unwrap().position.unwrap().offset);
    }
    assert!(now < MANY, "the server reads on without end");
    for sequence in 0..MANY {
        let response = soon(responses.next()).await.unwrap().unwrap();
        assert_eq!(response.sequence, sequence);
    }
    assert!(soon(responses.next()).await.is_none());
}
