//! The schedule, with times made up.

mod property;
mod rig;

use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use rig::{Rig, hook, names, push};

#[test]
fn events_of_a_moment_go_in_one_request() {
    let mut rig = Rig::one();
    rig.tell("a", News::Occupied);
    rig.at(60);
    rig.tell("b", News::CacheMiss);
    assert!(rig.attempt().is_none());
    assert_eq!(rig.wake(), Some(100));
    rig.at(100);
    let attempt = rig.attempt().unwrap();
    assert_eq!(
        serde_json::from_slice::<Value>(&attempt.body).unwrap(),
        json!({"time_ms": 100, "events": [
            {"name": "channel_occupied", "channel": "a"},
            {"name": "cache_miss", "channel": "b"},
        ]})
    );
    assert!(rig.attempt().is_none(), "one request at a time");
    rig.tell("c", News::Occupied);
    rig.at(10_000);
    assert!(rig.attempt().is_none());
    assert_eq!(rig.finish(&attempt, true), After::Done);
    assert_eq!(rig.sent(), ["channel_occupied c"]);
    assert_eq!(rig.wake(), None);
    assert_eq!(rig.counted("delivered"), 3);
}

#[test]
fn a_departure_waits_and_goes() {
    let mut rig = Rig::one();
    rig.tell("a", News::Vacated);
    rig.tell("a", News::Removed(push("ann")));
    assert!(rig.attempt().is_none());
    assert_eq!((rig.wake(), rig.schedule.waiting()), (Some(3_000), (0, 2)));
    rig.at(2_999);
    assert!(rig.attempt().is_none());
    rig.at(3_000);
    assert!(rig.attempt().is_none(), "it waits for company");
    rig.at(3_100);
    assert_eq!(rig.sent(), ["channel_vacated a", "member_removed a ann"]);
    assert_eq!(rig.schedule.waiting(), (0, 0));
}

#[test]
fn who_is_back_in_time_has_never_left() {
    let mut rig = Rig::one();
    rig.tell("a", News::Vacated);
    rig.tell("a", News::Removed(push("ann")));
    rig.tell("a", News::Removed(push("bob")));
    rig.at(2_999);
    rig.tell("a", News::Occupied);
    rig.tell("b", News::Occupied);
    rig.tell("a", News::Added(push("bob")));
    rig.tell("a", News::Added(push("cid")));
    rig.at(9_000);
    assert_eq!(
        rig.sent(),
        [
            "channel_occupied b",
            "member_added a cid",
            "member_removed a ann"
        ]
    );
    assert_eq!(rig.counted("rejoined"), 4);
    rig.tell("a", News::Vacated);
    rig.at(12_000);
    // Too late: both are told.
    assert!(rig.attempt().is_none());
    rig.tell("a", News::Occupied);
    rig.at(12_100);
    assert_eq!(rig.sent(), ["channel_vacated a", "channel_occupied a"]);
}

#[test]
fn more_departures_than_can_be_held_back_go_at_once() {
    let mut rig = Rig::new(Config {
        hooks: vec![hook("http://a", &[])],
        delayed: 1,
        ..Config::default()
    });
    rig.tell("a", News::Vacated);
    rig.tell("b", News::Vacated);
    rig.tell("b", News::Occupied);
    rig.at(100);
    assert_eq!(rig.sent(), ["channel_vacated b", "channel_occupied b"]);
    rig.at(3_100);
    assert!(rig.attempt().is_none());
    rig.at(3_200);
    assert_eq!(rig.sent(), ["channel_vacated a"]);
}

#[test]
fn a_webhook_gets_what_it_asked_for() {
    let some = [NoticeKind::CacheMiss, NoticeKind::ChannelVacated];
    let mut rig = Rig::new(Config {
        hooks: vec![hook("http://a", &some), hook("http://b", &[])],
        ..Config::default()
    });
    rig.tell("x", News::Occupied);
    rig.tell("x", News::CacheMiss);
    rig.tell("x", News::Vacated);
    rig.at(3_000);
    let (first, second) = (rig.attempt().unwrap(), rig.attempt().unwrap());
    assert_eq!(first.hook.target.to_string(), "http://a/");
    // What is due meanwhile goes along.
    assert_eq!(names(&first.body), ["cache_miss x", "channel_vacated x"]);
    assert_eq!(
        names(&second.body),
        ["channel_occupied x", "cache_miss x", "channel_vacated x"]
    );
}

#[test]
fn a_request_is_bounded_by_count_and_by_bytes() {
    let mut rig = Rig::new(Config {
        hooks: vec![hook("http://a", &[])],
        batch_events: 3,
        batch_bytes: 200,
        ..Config::default()
    });
    for _ in 0..4 {
        rig.tell("a", News::CacheMiss);
    }
    assert_eq!(rig.sent().len(), 3, "enough to go at once");
    assert!(rig.attempt().is_none());
    rig.tell("b", News::Added(push(&"x".repeat(120))));
    rig.tell("b", News::Added(push(&"y".repeat(500))));
    let lengths: Vec<_> = std::iter::from_fn(|| Some(rig.sent().len()))
        .take(3)
        .collect();
    assert_eq!(lengths, [1, 1, 1], "what is too long goes alone");
}

#[test]
fn the_oldest_make_room_in_a_queue() {
    let mut rig = Rig::new(Config {
        hooks: vec![hook("http://a", &[])],
        queue_events: 2,
        queue_bytes: 300,
        ..Config::default()
    });
    for channel in ["a", "b", "c"] {
        rig.tell(channel, News::CacheMiss);
    }
    rig.at(100);
    assert_eq!(rig.sent(), ["cache_miss b", "cache_miss c"]);
    assert_eq!(rig.counted("overflow"), 1);
    rig.tell("a", News::CacheMiss);
    rig.tell("b", News::Added(push(&"x".repeat(220))));
    rig.at(200);
    assert_eq!(rig.sent().len(), 1);
    rig.tell("c", News::Added(push(&"x".repeat(400))));
    assert_eq!(rig.schedule.waiting(), (0, 0), "has no room at all");
    assert_eq!(rig.counted("overflow"), 3);
}

#[test]
fn what_fails_is_tried_again_with_growing_pauses_for_five_minutes() {
    let mut rig = Rig::one();
    rig.tell("a", News::CacheMiss);
    rig.at(100);
    let first = rig.attempt().unwrap();
    assert_eq!(rig.finish(&first, false), After::Again(true));
    let mut waits = vec![];
    let mut last = 100;
    loop {
        let wake = rig.wake().unwrap();
        waits.push(wake - last);
        last = wake;
        rig.at(u64::try_from(wake).unwrap() - 1);
        assert!(rig.attempt().is_none());
        rig.at(u64::try_from(wake).unwrap());
        let again = rig.attempt().unwrap();
        assert_eq!(again.body, first.body, "the same request");
        match rig.finish(&again, false) {
            After::Again(first) => assert!(!first),
            After::Dropped(events) => {
                assert_eq!(events, 1);
                break;
            }
            After::Done => panic!("it failed"),
        }
    }
    // Half of the longest pause, as the rig's chance is 0.
    assert_eq!(
        waits[..7],
        [500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000]
    );
    assert!(waits[7..].iter().all(|wait| *wait == 30_000));
    assert!((270_100..=300_100).contains(&last), "{last}");
    assert_eq!((rig.counted("expired"), rig.counted("delivered")), (1, 0));
    // The next waits for the pause that has begun, and a success ends all that.
    rig.tell("b", News::CacheMiss);
    let wake = rig.wake().unwrap();
    assert_eq!(wake, last + 30_000);
    rig.at(u64::try_from(wake).unwrap());
    assert_eq!(rig.sent(), ["cache_miss b"]);
    rig.tell("c", News::CacheMiss);
    assert_eq!(rig.wake(), Some(wake + 100));
}

#[test]
fn chance_makes_a_pause_shorter_by_up_to_a_half() {
    let mut rig = Rig::one();
    let mut wait = |chance| {
        rig.tell("a", News::CacheMiss);
        rig.now += Duration::from_millis(100);
        let attempt = rig.attempt().unwrap();
        rig.schedule.finish(attempt.lane, false, rig.now, chance);
        let wake = rig.schedule.wake().unwrap() - rig.now;
        rig.now += wake;
        let attempt = rig.attempt().unwrap();
        rig.finish(&attempt, true);
        wake.as_millis()
    };
    assert_eq!([wait(0), wait(500), wait(999)], [500, 750, 999]);
}

#[test]
fn what_waits_too_long_behind_others_is_dropped() {
    let mut rig = Rig::one();
    rig.tell("a", News::CacheMiss);
    rig.at(100);
    let stuck = rig.attempt().unwrap();
    rig.tell("b", News::CacheMiss);
    rig.at(300_099);
    rig.tell("c", News::CacheMiss);
    rig.at(300_100);
    rig.finish(&stuck, true);
    assert!(rig.attempt().is_none());
    rig.at(300_199);
    assert_eq!(rig.sent(), ["cache_miss c"]);
    assert_eq!(rig.counted("expired"), 1);
}

#[test]
fn a_reload_keeps_what_waits_for_a_webhook_that_stays() {
    let both = vec![hook("http://a", &[]), hook("http://b", &[])];
    let mut rig = Rig::new(Config {
        hooks: both,
        ..Config::default()
    });
    rig.tell("x", News::CacheMiss);
    rig.at(100);
    let (first, gone) = (rig.attempt().unwrap(), rig.attempt().unwrap());
    rig.tell("y", News::CacheMiss);
    let some = [NoticeKind::ChannelOccupied];
    rig.schedule.reconfigure(Arc::new(Config {
        hooks: vec![hook("http://c", &[]), hook("http://a", &some)],
        ..Config::default()
    }));
    assert_eq!(rig.counted("abandoned"), 2, "of the one that is gone");
    let ended = rig.schedule.finish(gone.lane, true, rig.now, 0);
    assert!(ended.is_none(), "nobody's any more");
    assert_eq!(rig.finish(&first, true), After::Done);
    rig.tell("z", News::CacheMiss);
    rig.at(200);
    let mut sent = [rig.attempt().unwrap(), rig.attempt().unwrap()]
        .map(|attempt| (attempt.hook.target.to_string(), names(&attempt.body)));
    sent.sort();
    let expected = [("http://a/", "cache_miss y"), ("http://c/", "cache_miss z")];
    assert_eq!(
        sent,
        expected.map(|(url, event)| (url.to_owned(), vec![event.to_owned()]))
    );
}

#[test]
fn at_the_end_nothing_waits() {
    let mut rig = Rig::new(Config {
        hooks: vec![hook("http://a", &[]), hook("http://b", &[])],
        ..Config::default()
    });
    rig.tell("x", News::CacheMiss);
    rig.at(100);
    let (failed, slow) = (rig.attempt().unwrap(), rig.attempt().unwrap());
    rig.finish(&failed, false);
    rig.tell("x", News::Vacated);
    rig.schedule.end();
    let again = rig.attempt().unwrap();
    assert_eq!(again.body, failed.body);
    rig.finish(&again, true);
    assert_eq!(rig.sent(), ["channel_vacated x"]);
    rig.tell("y", News::Vacated);
    assert_eq!(rig.sent(), ["channel_vacated y"]);
    assert_eq!(rig.schedule.waiting(), (3, 0));
    assert_eq!(rig.schedule.abandon(), 3);
    assert_eq!(rig.counted("abandoned"), 3);
    assert!(rig.schedule.finish(slow.lane, true, rig.now, 0).is_none());
}
