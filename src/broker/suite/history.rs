//! What is retained, for how long, and what a reader learns of the rest.

use super::*;

pub(in crate::broker) async fn history_is_read_from_both_ends(subject: Subject) {
    let channel = name("kept");
    let start = subject.position(&channel).await;
    for number in 1..=4 {
        subject.publish(&channel, number).await;
    }
    let page = |from: Option<u64>, limit, reverse| {
        let from = from.map(|offset| Position {
            offset,
            ..start.clone()
        });
        let query = HistoryQuery {
            from,
            limit,
            reverse,
        };
        subject.read(&channel, query)
    };
    assert_eq!(offsets(&page(None, 10, false).await), [1, 2, 3, 4]);
    assert_eq!(offsets(&page(None, 3, true).await), [4, 3, 2]);
    assert_eq!(offsets(&page(Some(1), 2, false).await), [2, 3]);
    assert_eq!(offsets(&page(Some(3), 10, true).await), [2, 1]);
    assert_eq!(offsets(&page(Some(4), 10, false).await), [0; 0]);
    let all = page(None, 10, false).await;
    assert_eq!((all.sequence, all.position.unwrap().offset), (4, 4));
    let data: Vec<_> = all.publications.iter().map(|kept| &kept.data[..]).collect();
    assert_eq!(data, [b"1", b"2", b"3", b"4"]);
}

pub(in crate::broker) async fn size_bounds_history(subject: Subject) {
    let channel = name("kept");
    let start = subject.position(&channel).await;
    let mut positions = vec![start];
    for number in 1..=7 {
        positions.push(subject.publish(&channel, number).await.position.unwrap());
    }
    for (offset, complete) in [(0, false), (1, false), (2, true), (6, true), (7, true)] {
        let page = subject.since(&channel, &positions[offset]).await;
        assert_eq!(page.complete, complete, "from {offset}");
        let first = (offset as u64 + 1).max(3);
        assert_eq!(offsets(&page), (first..=7).collect::<Vec<_>>());
    }
}

pub(in crate::broker) async fn age_bounds_history(subject: Subject) {
    let channel = name("kept");
    let start = subject.position(&channel).await;
    let first = subject.publish(&channel, 1).await.position.unwrap();
    (subject.pass)(AGE + Duration::from_millis(50)).await;
    let page = subject.since(&channel, &start).await;
    assert_eq!((offsets(&page), page.complete), (vec![], false));
    assert!(subject.since(&channel, &first).await.complete);
    assert_eq!(subject.position(&channel).await, first);
    let second = subject.publish(&channel, 2).await.position.unwrap();
    assert_eq!((second.offset, &second.epoch), (2, &first.epoch));
    assert_eq!(offsets(&subject.since(&channel, &first).await), [2]);
}

pub(in crate::broker) async fn what_expired_is_accounted_for(subject: Subject) {
    let channel = name("kept");
    let start = subject.position(&channel).await;
    for (number, ttl) in [
        (1, None),
        (2, Some(100)),
        (3, None),
        (4, Some(100)),
        (5, Some(0)),
    ] {
        let mut draft = draft(&channel, number);
        draft.ttl = ttl.map(Duration::from_millis);
        subject.broker.publish(draft).await.unwrap();
    }
    (subject.pass)(Duration::from_millis(150)).await;
    let page = subject.since(&channel, &start).await;
    assert_eq!((offsets(&page), page.complete), (vec![1, 3], true));
    assert_eq!(page.position.unwrap().offset, 5);
    // What has expired takes no room.
    for number in 6..=8 {
        subject.publish(&channel, number).await;
    }
    let page = subject.since(&channel, &start).await;
    assert_eq!((offsets(&page), page.complete), (vec![1, 3, 6, 7, 8], true));
}

pub(in crate::broker) async fn what_was_not_retained_is_accounted_for(subject: Subject) {
    let channel = name("kept");
    let start = subject.position(&channel).await;
    subject.publish(&channel, 1).await;
    let mut unkept = draft(&channel, 2);
    unkept.skip_history = true;
    let position = subject.broker.publish(unkept).await.unwrap().position;
    assert_eq!(position.unwrap().offset, 2);
    subject.publish(&channel, 3).await;
    let page = subject.since(&channel, &start).await;
    assert_eq!((offsets(&page), page.complete), (vec![1, 3], true));
    assert_eq!(subject.delivered.on(&channel).len(), 3);
}

pub(in crate::broker) async fn foreign_positions_are_not_complete(subject: Subject) {
    let channel = name("kept");
    let first = subject.publish(&channel, 1).await.position.unwrap();
    let elsewhere = Position {
        epoch: "elsewhere".into(),
        offset: 0,
    };
    let ahead = Position {
        offset: 2,
        ..first.clone()
    };
    for position in [elsewhere, ahead] {
        assert!(!subject.since(&channel, &position).await.complete);
    }
    let unasked = subject.read(&channel, HistoryQuery::default()).await;
    assert!(!unasked.complete);
    assert!(subject.since(&channel, &first).await.complete);
    let other = subject.position(&name("kept-other")).await;
    assert_ne!(other.epoch, first.epoch);
}

pub(in crate::broker) async fn excluded_sessions_are_remembered(subject: Subject) {
    let channel = name("kept");
    let session = "7.8".parse().ok();
    let mut draft = draft(&channel, 1);
    draft.exclude = session;
    draft.ttl = Some(Duration::from_secs(60));
    subject.broker.publish(draft).await.unwrap();
    let query = HistoryQuery {
        limit: 1,
        ..HistoryQuery::default()
    };
    let kept = subject.read(&channel, query).await.publications.remove(0);
    assert_eq!(kept.exclude, session);
    assert!(kept.expires.is_some());
    assert!(kept.time > 1_600_000_000_000, "Unix milliseconds");
}

pub(in crate::broker) async fn purging_keeps_positions(subject: Subject) {
    let channel = name("kept");
    let start = subject.position(&channel).await;
    for number in 1..=3 {
        subject.publish(&channel, number).await;
    }
    assert_eq!(subject.broker.purge(&channel).await.unwrap(), 3);
    assert_eq!(subject.broker.purge(&channel).await.unwrap(), 0);
    let page = subject.since(&channel, &start).await;
    assert_eq!((offsets(&page), page.complete), (vec![], false));
    let next = subject.publish(&channel, 4).await.position.unwrap();
    assert_eq!((next.offset, &next.epoch), (4, &start.epoch));
    assert_eq!(subject.broker.purge(&name("unheard")).await.unwrap(), 0);
}

pub(in crate::broker) async fn channels_with_history_are_listed(subject: Subject) {
    for number in 0..7 {
        let channel = name(&format!("kept-{number}"));
        subject.publish(&channel, 1).await;
        subject.publish(&channel, 2).await;
    }
    subject.publish(&name("plain"), 1).await;
    subject.broker.subscribe(&name("kept-none")).await.unwrap();
    let (mut listed, mut after) = (vec![], String::new());
    loop {
        let page = subject.broker.channels("kept-", &after, 3).await.unwrap();
        let Some(last) = page.last() else { break };
        after = last.name.to_string();
        listed.extend(page);
    }
    let names: Vec<_> = listed.iter().map(|state| state.name.to_string()).collect();
    let expected: Vec<_> = (0..7).map(|number| format!("kept-{number}")).collect();
    assert_eq!(names, expected);
    assert!(listed.iter().all(|state| state.history_count == 2));
    let one = subject.broker.channel(&name("kept-3")).await.unwrap();
    let one = one.unwrap();
    assert_eq!((one.history_count, one.presence_count), (2, 0));
    assert_eq!(one.position.unwrap().offset, 2);
    let unheard = subject.broker.channel(&name("unheard")).await.unwrap();
    assert!(unheard.is_none());
}
