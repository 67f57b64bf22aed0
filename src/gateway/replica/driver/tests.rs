//! The driver over a scripted fetcher: what reaches the workers, in which order.

mod rig;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::code::ErrorCode;
use crate::gateway::replica::{Bound, Fetched};
use crate::resource::Origin;
use rig::{Plan, Rig, Told, caller, failure, snapshot};

#[tokio::test]
async fn what_is_at_hand_is_answered_before_attach_returns() {
    let rig = Rig::new(10);
    let post = rig.resource("/posts/1", "", true);
    rig.plan(Plan::Now(snapshot(0)));
    rig.show(&post, 2);
    assert_eq!(rig.told(0), [Told::Answer(2, Ok(true))]);
    rig.show(&post, 4);
    assert_eq!(rig.told(0), [Told::Answer(4, Ok(true))]);
    assert_eq!(rig.script.requests.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn an_event_reaches_every_query_and_audience_of_its_stream() {
    let rig = Rig::new(10);
    let shared = rig.resource("/posts/1", "", true);
    let mine = rig.resource("/posts/1?page=2", "me", false);
    for _ in 0..2 {
        rig.plan(Plan::Now(snapshot(0)));
    }
    rig.show(&shared, 2);
    rig.show(&mine, 3);
    let answered = [Told::Answer(3, Ok(true))];
    assert_eq!(rig.told(1), answered);
    for _ in 0..2 {
        rig.plan(Plan::Now(snapshot(1)));
    }
    assert_eq!(rig.event("/posts/1", 1), 2);
    rig.hears(0, Told::All(r#"update {"n":1} 1"#.into())).await;
    rig.hears(1, Told::To(vec![3], r#"update {"n":1} 1"#.into()))
        .await;
    assert_eq!(rig.event("/posts/2", 1), 0);
}

#[tokio::test]
async fn the_answer_precedes_the_push_in_the_workers_inbox() {
    let rig = Rig::new(10);
    let post = rig.resource("/posts/1", "", true);
    let first = rig.later();
    rig.show(&post, 2);
    rig.show(&post, 4);
    assert_eq!(rig.told(0), []);
    rig.event("/posts/1", 1);
    let more: Vec<_> = (0..3).map(|_| rig.later()).collect();
    let _ = first.send(snapshot(0));
    for (number, sender) in more.into_iter().zip(1..) {
        let _ = number.send(snapshot(sender));
    }
    let mut heard = Vec::new();
    while heard.len() < 2 {
        tokio::time::sleep(Duration::from_millis(1)).await;
        heard.extend(rig.told(0));
    }
    assert_eq!(
        heard[..2],
        [Told::Answer(2, Ok(true)), Told::Answer(4, Ok(true))]
    );
}

#[tokio::test]
async fn a_full_map_refuses_and_lets_go_of_nobody() {
    let rig = Rig::new(1);
    let one = rig.resource("/posts/1", "", true);
    let two = rig.resource("/posts/2", "", true);
    rig.plan(Plan::Now(snapshot(0)));
    let origin = rig.show(&one, 2);
    let refused = rig.show(&two, 4);
    let told = rig.told(0);
    assert_eq!(told[1], Told::Answer(4, Err(ErrorCode::Unavailable)));
    assert_eq!(*rig.script.undone.lock().unwrap(), [refused]);
    // When nobody is bound any more, it goes by itself, and there is room.
    rig.replicas.detach(origin.session, &one.uri);
    rig.until(|| rig.replicas.is_empty()).await;
    rig.plan(Plan::Now(snapshot(0)));
    rig.show(&two, 6);
    assert_eq!(rig.told(0), [Told::Answer(6, Ok(true))]);
}

#[tokio::test]
async fn a_join_that_binds_nobody_is_undone() {
    let rig = Rig::new(10);
    let post = rig.resource("/posts/1", "", false);
    rig.plan(Plan::Now(Fetched::Gone(failure(ErrorCode::NotFound))));
    let origin = rig.show(&post, 2);
    assert_eq!(rig.told(0), [Told::Answer(2, Err(ErrorCode::NotFound))]);
    assert_eq!(*rig.script.undone.lock().unwrap(), [origin]);
    let held = rig.replicas.hold(origin.session, &post.uri, &caller());
    assert_eq!(held, None);
    // A second join of a session that is bound is one too many.
    rig.plan(Plan::Now(snapshot(0)));
    rig.show(&post, 2);
    rig.show(&post, 2);
    assert_eq!(rig.script.undone.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn a_fetch_that_breaks_off_is_a_failure() {
    let rig = Rig::new(10);
    let post = rig.resource("/posts/1", "", false);
    let fetch = rig.later();
    rig.show(&post, 2);
    drop(fetch);
    rig.hears(0, Told::Answer(2, Err(ErrorCode::Internal)))
        .await;
}

#[tokio::test]
async fn who_is_held_moves_or_goes() {
    let rig = Rig::new(10);
    let (mine, other) = (
        rig.resource("/posts/1", "me", false),
        rig.resource("/posts/1", "other", false),
    );
    rig.plan(Plan::Now(snapshot(0)));
    let origins = [2, 4, 6].map(|number| rig.show(&mine, number));
    assert_eq!(rig.replicas.bound_to(&mine.stream).len(), 3);
    let hold = |origin: Origin| rig.replicas.hold(origin.session, &mine.uri, &caller());
    let checks = origins.map(|origin| hold(origin).unwrap());
    rig.event("/posts/1", 1);
    rig.told(0);
    rig.replicas.deny(
        origins[0].session,
        &mine.uri,
        checks[0],
        &failure(ErrorCode::Forbidden),
    );
    assert_eq!(rig.told(0), [Told::Unsubscribe("forbidden".into())]);
    rig.replicas.stay(origins[1], &other, checks[1]);
    let gap = r#"pogo:gap {"epoch":"e","offset":1} 0"#;
    assert_eq!(rig.told(0), [Told::To(vec![4], gap.into())]);
    // Only now somebody may ask for those who stay where they are.
    rig.plan(Plan::Now(snapshot(1)));
    rig.replicas.stay(origins[2], &mine, checks[2]);
    rig.hears(0, Told::To(vec![6], r#"update {"n":1} 1"#.into()))
        .await;
    let bound = rig.replicas.bound(|_, _| true);
    assert_eq!(bound.len(), 2);
}

#[tokio::test]
async fn a_changed_endpoint_takes_everyone_along() {
    let mut rig = Rig::new(10);
    let post = rig.resource("/posts/1", "", true);
    rig.plan(Plan::Now(snapshot(0)));
    rig.show(&post, 2);
    let waits = rig.later();
    rig.script.generation.fetch_add(1, Ordering::SeqCst);
    rig.show(&post, 4);
    let mut endpoint = (*rig.endpoint).clone();
    endpoint.ordered = true;
    rig.endpoint = Arc::new(endpoint);
    let renewed = rig.resource("/posts/1", "", true);
    let again = rig.later();
    rig.told(0);
    let ada = rig.replicas.bound(|_, _| true)[0].origin;
    rig.show(&renewed, 6);
    assert_eq!(rig.replicas.len(), 1);
    // Who was not in yet has to ask again.
    let refused = Told::Answer(4, Err(ErrorCode::Unavailable));
    rig.hears(0, refused).await;
    let _ = waits.send(snapshot(1));
    let _ = again.send(snapshot(2));
    rig.hears(0, Told::Answer(6, Ok(true))).await;
    let bound = rig.replicas.bound(|_, _| true);
    assert_eq!(bound.len(), 2);
    let admitted = |one: &Bound| {
        let session = one.origin.session;
        rig.replicas
            .is_admitted(session, &post.uri, &renewed.endpoint)
    };
    for one in &bound {
        assert_eq!(admitted(one), one.origin != ada);
    }
    assert!(bound.iter().all(|one| one.resource.endpoint.ordered));
}

#[tokio::test]
async fn when_access_runs_out_is_forgotten_with_the_last_replica() {
    let rig = Rig::new(10);
    let mut post = rig.resource("/posts/1", "", true);
    let settings = &mut Arc::get_mut(&mut post).unwrap().settings;
    settings.bounds.ring_ttl = Duration::from_millis(20);
    let now = std::time::Instant::now();
    rig.replicas.note_expiry(&post.stream, now);
    assert!(!rig.replicas.take_expired(&post.stream), "nobody is bound");
    for goes in [true, false] {
        rig.plan(Plan::Now(snapshot(0)));
        let origin = rig.show(&post, 2);
        rig.replicas.note_expiry(&post.stream, now);
        rig.replicas.detach(origin.session, &post.uri);
        if goes {
            rig.until(|| rig.replicas.is_empty()).await;
        }
        assert_eq!(rig.replicas.take_expired(&post.stream), !goes);
        assert!(!rig.replicas.take_expired(&post.stream), "once");
    }
}

#[tokio::test]
async fn a_replica_has_one_timer() {
    let rig = Rig::new(10);
    let mut post = rig.resource("/posts/1", "", true);
    let settings = &mut Arc::get_mut(&mut post).unwrap().settings;
    settings.revalidate = Some(Duration::from_secs(3600));
    rig.plan(Plan::Now(snapshot(0)));
    rig.show(&post, 2);
    for offset in 1..10 {
        rig.plan(Plan::Now(snapshot(offset)));
        rig.event("/posts/1", offset);
        let told = format!(r#"update {{"n":{offset}}} {offset}"#);
        rig.hears(0, Told::All(told)).await;
    }
    tokio::task::yield_now().await;
    let tasks = tokio::runtime::Handle::current().metrics();
    assert!(tasks.num_alive_tasks() <= 1, "{tasks:?}");
}
