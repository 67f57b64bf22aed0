//! Order, loss and wake-ups.

use futures_util::FutureExt;

use super::*;

fn on_channel(name: &str) -> Details {
    Details {
        channel: Some(ChannelName::parse(name).unwrap()),
        ..Details::default()
    }
}

#[tokio::test]
async fn a_watcher_gets_what_follows_its_start_in_order() {
    let log = Arc::new(EventLog::new(4));
    log.record(EventKind::Occupied, on_channel("a"));
    let mut live = log.watch(None).unwrap();
    assert!(live.next().now_or_never().is_none());
    log.record(EventKind::Vacated, on_channel("a"));
    log.record(EventKind::Occupied, on_channel("b"));
    for (sequence, kind) in [(2, EventKind::Vacated), (3, EventKind::Occupied)] {
        let event = live.next().await.unwrap();
        assert_eq!((event.sequence, event.kind), (sequence, kind));
    }
    let mut resumed = log.watch(Some(1)).unwrap();
    assert_eq!(resumed.next().await.unwrap().sequence, 2);
    assert_eq!(resumed.seen(), 2);
}

#[tokio::test]
async fn what_fell_out_of_the_ring_is_told() {
    let log = Arc::new(EventLog::new(2));
    let mut slow = log.watch(None).unwrap();
    for _ in 0..5 {
        log.record(EventKind::Connected, Details::default());
    }
    let gone = EventLogError::Forgotten { lost_until: 3 };
    assert_eq!(slow.next().await.unwrap_err(), gone);
    assert_eq!(slow.next().await.unwrap_err(), gone);
    assert_eq!(log.watch(Some(2)).unwrap_err(), gone);
    assert_eq!(
        log.watch(Some(3)).unwrap().next().await.unwrap().sequence,
        4
    );
    assert!(log.watch(Some(5)).unwrap().next().now_or_never().is_none());
    assert_eq!(
        log.watch(Some(6)).unwrap_err(),
        EventLogError::Unknown { last: 5 }
    );
}

#[tokio::test]
async fn an_event_wakes_who_waits() {
    let log = Arc::new(EventLog::new(2));
    let mut watcher = log.watch(None).unwrap();
    let waiting = tokio::spawn(async move { watcher.next().await.unwrap().sequence });
    tokio::task::yield_now().await;
    log.record(EventKind::Denied, Details::default());
    assert_eq!(waiting.await.unwrap(), 1);
    assert_eq!(log.watching.load(Ordering::SeqCst), 0);
}
