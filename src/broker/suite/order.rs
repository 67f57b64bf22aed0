//! One order, one number each, once a key.

use std::sync::atomic::{AtomicBool, Ordering};

use super::*;

pub(in crate::broker) async fn publications_have_one_order(subject: Subject) {
    let subject = Arc::new(subject);
    let channel = name("kept");
    subject.broker.subscribe(&channel).await.unwrap();
    let publishers: Vec<_> = (0..4)
        .map(|publisher| {
            let (subject, channel) = (subject.clone(), channel.clone());
            tokio::spawn(async move {
                let mut positions = vec![];
                for number in 0..50 {
                    let accepted = subject.publish(&channel, publisher * 1_000 + number).await;
                    positions.push((publisher * 1_000 + number, accepted.position.unwrap()));
                }
                positions
            })
        })
        .collect();
    let mut told = vec![];
    for publisher in publishers {
        let positions = publisher.await.unwrap();
        assert!(positions.is_sorted_by_key(|(_, position)| position.offset));
        told.extend(positions);
    }
    let delivered = subject.delivered.on(&channel);
    let sequences: Vec<_> = delivered.iter().map(|one| one.sequence).collect();
    assert_eq!(sequences, (1..=200).collect::<Vec<_>>());
    told.sort_by_key(|(_, position)| position.offset);
    for (publication, (data, position)) in delivered.iter().zip(told) {
        assert_eq!(publication.position(), Some(position));
        assert_eq!(publication.data, data.to_string());
    }
}

pub(in crate::broker) async fn a_publication_without_subscriber_is_delivered(subject: Subject) {
    // Backends may listen to a pattern.
    let channel = name("nobody-here");
    let accepted = subject.publish(&channel, 1).await;
    assert_eq!(accepted.position, None);
    assert_eq!(subject.delivered.on(&channel).len(), 1);
}

pub(in crate::broker) async fn sequences_count_without_history(subject: Subject) {
    let channel = name("plain");
    subject.broker.subscribe(&channel).await.unwrap();
    let before = subject.read(&channel, HistoryQuery::default()).await;
    assert_eq!((before.position, before.complete), (None, false));
    for number in 0..3 {
        let accepted = subject.publish(&channel, number).await;
        assert_eq!(accepted.position, None);
    }
    let page = subject.read(&channel, HistoryQuery::default()).await;
    assert_eq!(page.position, None);
    assert_eq!(page.sequence, before.sequence + 3);
    let delivered = subject.delivered.on(&channel);
    let sequences: Vec<_> = delivered.iter().map(|one| one.sequence).collect();
    let expected: Vec<_> = (before.sequence + 1..=page.sequence).collect();
    assert_eq!(sequences, expected);
    assert!(delivered.iter().all(|one| one.epoch.is_none()));
}

pub(in crate::broker) async fn a_draft_is_delivered_as_it_is(subject: Subject) {
    let channel = name("kept");
    let session = "1.2".parse().ok();
    let mut draft = draft(&channel, 7);
    draft.exclude = session;
    draft.ttl = Some(Duration::from_secs(60));
    let until = draft.accepted + Duration::from_secs(60);
    let accepted = subject.broker.publish(draft).await.unwrap();
    assert!(!accepted.deduplicated);
    let delivered = subject.delivered.on(&channel).remove(0);
    assert_eq!((&*delivered.event, &delivered.data[..]), ("e", &b"7"[..]));
    assert_eq!(delivered.exclude, session);
    let expires = delivered.expires.unwrap();
    assert!(expires <= until + Duration::from_millis(100));
    assert!(delivered.time > 1_600_000_000_000, "Unix milliseconds");
}

pub(in crate::broker) async fn one_of_many_with_a_key_is_accepted(subject: Subject) {
    let subject = Arc::new(subject);
    let channel = name("kept");
    let calls: Vec<_> = (0..8)
        .map(|number| {
            let (subject, channel) = (subject.clone(), channel.clone());
            tokio::spawn(async move {
                let mut draft = draft(&channel, number);
                draft.idempotency = Some("caller\nkey".into());
                subject.broker.publish(draft).await.unwrap()
            })
        })
        .collect();
    let mut first = 0;
    for call in calls {
        let accepted = call.await.unwrap();
        first += usize::from(!accepted.deduplicated);
        assert_eq!(accepted.position.unwrap().offset, 1);
        assert_eq!(accepted.receivers, 1);
    }
    assert_eq!(first, 1);
    assert_eq!(subject.delivered.on(&channel).len(), 1);
}

pub(in crate::broker) async fn a_key_is_of_its_channel_and_window(subject: Subject) {
    let keyed = |channel: &str| {
        let mut draft = draft(&name(channel), 1);
        draft.idempotency = Some("key".into());
        subject.broker.publish(draft)
    };
    assert!(!keyed("kept").await.unwrap().deduplicated);
    assert!(!keyed("kept-2").await.unwrap().deduplicated);
    assert!(!keyed("plain").await.unwrap().deduplicated);
    assert!(keyed("kept").await.unwrap().deduplicated);
    assert!(keyed("plain").await.unwrap().deduplicated);
    (subject.pass)(WINDOW + Duration::from_millis(50)).await;
    assert!(!keyed("kept").await.unwrap().deduplicated);
    assert!(keyed("kept").await.unwrap().deduplicated);
}

pub(in crate::broker) async fn joins_against_a_publisher_find_no_gap(subject: Subject) {
    let subject = Arc::new(subject);
    let channel = name("kept");
    subject.broker.subscribe(&channel).await.unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let publisher = tokio::spawn({
        let (subject, channel, stop) = (subject.clone(), channel.clone(), stop.clone());
        async move {
            let mut number = 0;
            while !stop.load(Ordering::Relaxed) && number < 20_000 {
                number += 1;
                subject.publish(&channel, number).await;
                if number % 64 == 0 {
                    tokio::task::yield_now().await;
                }
            }
        }
    });
    for _ in 0..200 {
        // As a subscriber: the deliveries before the look, the look, the deliveries after it.
        let before = subject.delivered.0.lock().unwrap().len() as u64;
        let query = HistoryQuery {
            limit: SIZE,
            reverse: true,
            from: None,
        };
        let page = subject.read(&channel, query).await;
        let after = subject.delivered.0.lock().unwrap().len() as u64;
        assert!(before <= page.sequence, "what was delivered is in the page");
        assert!(
            page.sequence <= after + 1,
            "what is in the page was, or is being, delivered"
        );
        let newest: Vec<_> = (1..=page.sequence).rev().take(SIZE).collect();
        assert_eq!(offsets(&page), newest);
        tokio::task::yield_now().await;
    }
    stop.store(true, Ordering::Relaxed);
    publisher.await.unwrap();
}

pub(in crate::broker) async fn a_channel_keeps_its_epoch_while_nobody_is_there(subject: Subject) {
    let channel = name("kept");
    subject.broker.subscribe(&channel).await.unwrap();
    let empty = subject.position(&channel).await;
    subject.broker.unsubscribe(&channel).await.unwrap();
    let first = subject.publish(&channel, 1).await.position.unwrap();
    assert_eq!((&first.epoch, first.offset), (&empty.epoch, 1));
    subject.broker.subscribe(&channel).await.unwrap();
    let page = subject.since(&channel, &empty).await;
    assert!(page.complete);
    assert_eq!(offsets(&page), [1]);
}
