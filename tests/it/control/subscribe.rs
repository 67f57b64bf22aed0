//! `Channels.Subscribe`: recovery joins what is live without a loss or a double.

use pogo::control::proto::subscribe_response::Item;
use pogo::control::proto::{Position, SubscribeRequest, SubscribeResponse};
use pogo::hub;
use tokio_stream::StreamExt;
use tonic::{Code, Status, Streaming};

use super::rig::{Clients, Rig, fields, refused, soon};

fn to(channels: &[&str]) -> SubscribeRequest {
    let channels = channels.iter().map(ToString::to_string).collect();
    SubscribeRequest {
        channels,
        ..Default::default()
    }
}

async fn open(
    clients: &mut Clients,
    request: SubscribeRequest,
) -> Result<Streaming<SubscribeResponse>, Status> {
    Ok(clients.channels.subscribe(request).await?.into_inner())
}

async fn next(stream: &mut Streaming<SubscribeResponse>) -> (String, Item) {
    let response = soon(stream.next()).await.unwrap().unwrap();
    (response.channel, response.item.unwrap())
}

/// The number of a publication, which must come next.
async fn number(stream: &mut Streaming<SubscribeResponse>) -> (String, u64) {
    match next(stream).await {
        (channel, Item::Publication(publication)) => {
            let text = std::str::from_utf8(&publication.data).unwrap();
            (channel, text.parse().unwrap())
        }
        (channel, Item::Gap(gap)) => panic!("{channel}: {gap:?}"),
    }
}

#[tokio::test]
async fn names_and_patterns_from_now_on() {
    let rig = Rig::start().await;
    let mut clients = rig.clients().await;
    clients.publish("news-1", 0).await;
    let mut stream = open(&mut clients, to(&["plain", "news-*"])).await.unwrap();
    for (channel, n) in [
        ("news-1", 1),
        ("other", 2),
        ("plain", 3),
        ("news-2", 4),
        ("plains", 5),
    ] {
        clients.publish(channel, n).await;
    }
    for expected in [("news-1", 1), ("plain", 3), ("news-2", 4)] {
        let (channel, n) = number(&mut stream).await;
        assert_eq!((channel.as_str(), n), expected);
    }
}

#[tokio::test]
async fn what_cannot_be_is_refused() {
    let config = hub::Config {
        max_watchers: 1,
        ..hub::Config::default()
    };
    let rig = Rig::on(config, |_| {}).await;
    let mut clients = rig.clients().await;
    let mut foreign = to(&["room-*"]);
    foreign.recover.insert("other".into(), Position::default());
    for (request, wrong) in [
        (to(&[]), "channels"),
        (to(&["room-1", "a b"]), "channels[1]"),
        (to(&["pogo:x"]), "channels[0]"),
        (foreign, "recover"),
    ] {
        assert_eq!(fields(open(&mut clients, request).await), [wrong]);
    }
    let stream = open(&mut clients, to(&["room-1"])).await.unwrap();
    let details = refused(
        Code::ResourceExhausted,
        open(&mut clients, to(&["room-1"])).await,
    );
    assert!(details.retry_info().is_some());
    drop(stream);
}

#[tokio::test]
async fn what_was_missed_then_what_is_live() {
    let rig = Rig::start().await;
    let mut clients = rig.clients().await;
    let before = clients.publish("room-1", 0).await.position.unwrap();
    for n in 1..=250 {
        clients.publish("room-1", n).await;
    }
    let mut request = to(&["room-*"]);
    request.recover.insert("room-1".into(), before);
    let mut stream = open(&mut clients, request).await.unwrap();
    for n in 251..=260 {
        clients.publish("room-1", n).await;
    }
    clients.publish("room-2", 1_000).await;
    for n in 1..=260 {
        assert_eq!(number(&mut stream).await, ("room-1".into(), n));
    }
    assert_eq!(number(&mut stream).await, ("room-2".into(), 1_000));
}

#[tokio::test]
async fn what_is_not_retained_is_told_as_a_gap() {
    let rig = Rig::start().await;
    let mut clients = rig.clients().await;
    for n in 0..1_100 {
        clients.publish("room-1", n).await;
    }
    let epoch = clients
        .publish("room-1", 1_100)
        .await
        .position
        .unwrap()
        .epoch;
    for from in [
        Position {
            epoch: epoch.clone(),
            offset: 5,
        },
        Position {
            epoch: "another".into(),
            offset: 1_100,
        },
    ] {
        let mut request = to(&["room-1", "plain"]);
        request.recover.insert("room-1".into(), from.clone());
        let mut stream = open(&mut clients, request).await.unwrap();
        let (channel, Item::Gap(gap)) = next(&mut stream).await else {
            panic!("no gap")
        };
        assert_eq!(
            (channel.as_str(), gap.epoch, gap.offset),
            ("room-1", from.epoch, from.offset)
        );
        // Whatever is retained follows, and then what is live.
        let mut last = number(&mut stream).await.1;
        while last < 1_100 {
            let (_, n) = number(&mut stream).await;
            assert_eq!(n, last + 1);
            last = n;
        }
        clients.publish("plain", 7).await;
        assert_eq!(number(&mut stream).await, ("plain".into(), 7));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_join_has_no_gap_under_a_publisher_at_full_speed() {
    let rig = Rig::start().await;
    let mut clients = rig.clients().await;
    let start = clients.publish("room-1", 0).await.position.unwrap();
    let publishing = tokio::spawn({
        let mut clients = clients.clone();
        async move {
            for n in 1..=900 {
                clients.publish("room-1", n).await;
            }
        }
    });
    let mut joins = Vec::new();
    for _ in 0..10 {
        let mut request = to(&["room-*"]);
        request.recover.insert("room-1".into(), start.clone());
        let mut stream = open(&mut clients, request).await.unwrap();
        joins.push(tokio::spawn(async move {
            for n in 1..=900 {
                assert_eq!(number(&mut stream).await.1, n);
            }
        }));
        tokio::task::yield_now().await;
    }
    soon(publishing).await.unwrap();
    for join in joins {
        soon(join).await.unwrap();
    }
}

#[tokio::test]
async fn a_reader_that_is_too_slow_is_told() {
    let config = hub::Config {
        watcher_publications: 10,
        ..hub::Config::default()
    };
    let rig = Rig::on(config, |_| {}).await;
    let mut clients = rig.clients().await;
    let mut stream = open(&mut clients, to(&["room-1"])).await.unwrap();
    // More than the buffers of the connection hold, while nobody reads.
    let filler = "x".repeat(60_000);
    for n in 0..200 {
        let mut request = super::rig::number_on("room-1", n);
        request.data = format!("[{n},\"{filler}\"]").into();
        clients.publisher.publish(request).await.unwrap();
    }
    let mut offset = 0;
    loop {
        match next(&mut stream).await.1 {
            Item::Publication(publication) => {
                let at = publication.position.unwrap().offset;
                assert_eq!(at, offset + 1, "no loss without a gap");
                offset = at;
            }
            Item::Gap(gap) => {
                assert_eq!(gap.offset, offset);
                assert!(!gap.epoch.is_empty());
                break;
            }
        }
    }
    // Recovering from the gap's position brings the rest.
    let (_, Item::Publication(last)) = ({
        let at = Position {
            epoch: last_epoch(&mut clients).await,
            offset,
        };
        let mut request = to(&["room-1"]);
        request.recover.insert("room-1".into(), at);
        let mut stream = open(&mut clients, request).await.unwrap();
        next(&mut stream).await
    }) else {
        panic!("a gap again")
    };
    assert_eq!(last.position.unwrap().offset, offset + 1);
}

async fn last_epoch(clients: &mut Clients) -> String {
    clients.publish("room-1", 0).await.position.unwrap().epoch
}
