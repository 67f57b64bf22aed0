//! Failures, upstreams that lag, clients that come back, and writers' own copies.

use super::super::{Ask, Fetched, Need, To};
use super::scenarios::{ITEM, SHARED, events, fetch, write};
use super::world::{Kind, World, failure, session};
use crate::code::ErrorCode;
use crate::publication::Writer;

#[test]
fn a_failure_is_the_joiners_answer_and_the_bounds_backoff() {
    let mut world = World::new(ITEM);
    let failed = || Fetched::Failed(failure(ErrorCode::UpstreamError));
    world.show(1);
    world.answer_with(failed());
    assert!(world.client(1).answers[0].result.is_err() && world.replica.is_empty());
    world.show(2);
    fetch(&mut world);
    write(&mut world, "1", None);
    world.pass(50);
    for wait in [250, 500, 1_000, 2_000, 4_000] {
        world.answer_with(failed());
        world.pass(wait - 1);
        assert!(world.pulls.is_empty() && !world.client(2).lost);
        world.pass(1);
    }
    world.answer_with(failed());
    assert!(world.client(2).lost, "then it is told");
    assert_eq!(world.replica.wake(), None);
    // The next event tries again, and what comes of it still leads on from what was told.
    write(&mut world, "1", None);
    world.pass(50);
    fetch(&mut world);
    assert_eq!(events(&mut world, 2), ["update  Some(2) "]);
}

#[test]
fn an_upstream_that_lags_is_asked_again_and_never_believed() {
    let mut world = World::new(Kind {
        shared: false,
        ..SHARED
    });
    world.show(1);
    fetch(&mut world);
    let Fetched::Snapshot(old) = world.get() else {
        unreachable!()
    };
    write(&mut world, "1", None);
    world.pass(50);
    for _ in 0..3 {
        assert!(events(&mut world, 1).is_empty());
        world.answer_with(Fetched::Snapshot(old.clone()));
        world.pass(199);
        assert!(world.pulls.is_empty());
        world.pass(1);
        assert_eq!(world.pulls[0].need, Need::Upstream);
    }
    fetch(&mut world);
    assert_eq!(events(&mut world, 1), ["update  Some(1) "]);
    // One that has begun to count anew is believed in the end, and everyone told.
    write(&mut world, "1", None);
    world.pass(50);
    for _ in 0..5 {
        world.answer_with(Fetched::Snapshot(old.clone()));
        world.pass(200);
    }
    world.show(2);
    world.answer_with(Fetched::Snapshot(old));
    assert!(world.client(1).lost);
    world.rest();
    assert!(world.client(2).open.is_empty());
}

#[test]
fn who_comes_back_is_given_what_it_missed_or_told_so() {
    let mut world = World::new(SHARED);
    for number in [1, 2] {
        world.show(number);
    }
    fetch(&mut world);
    world.leave(1);
    world.recover(1);
    let nothing = world.client(1).answers.pop().unwrap().result.unwrap();
    assert_eq!(
        (nothing.recovered, nothing.publications.len()),
        (Some(true), 0)
    );
    world.leave(1);
    write(&mut world, "1", None);
    write(&mut world, "1", None);
    world.recover(1);
    let missed = world.client(1).answers.pop().unwrap().result.unwrap();
    assert_eq!(
        (missed.recovered, missed.publications.len()),
        (Some(true), 2)
    );
    // Longer than the ring: an item is given as it is now, a collection has to be shown anew.
    for (kind, recovered) in [
        (SHARED, true),
        (
            Kind {
                collection: true,
                ..SHARED
            },
            false,
        ),
    ] {
        let mut world = World::new(kind);
        for number in [1, 2] {
            world.show(number);
        }
        fetch(&mut world);
        world.leave(1);
        for _ in 0..200 {
            write(&mut world, "1", None);
        }
        world.recover(1);
        world.rest();
        let answer = world.client(1).answers.pop().unwrap().result.unwrap();
        let pasts = answer.publications.len();
        assert_eq!(
            (answer.recovered, pasts),
            (Some(recovered), usize::from(recovered))
        );
    }
}

#[test]
fn a_writer_s_copy_says_so_or_is_left_out() {
    let writer = |number: u64, echo: bool| {
        Some(Writer {
            session: session(number),
            call: 7,
            re: Some("17".into()),
            echo,
        })
    };
    for kind in [SHARED, ITEM] {
        let mut world = World::new(kind);
        for number in [1, 2, 3] {
            world.show(number);
        }
        fetch(&mut world);
        let settle = |world: &mut World| {
            world.pass(1_000);
            world.rest();
        };
        write(&mut world, "1", writer(1, true));
        settle(&mut world);
        assert_eq!(events(&mut world, 1), ["update  Some(1) re b\"17\""]);
        assert_eq!(events(&mut world, 2), ["update  Some(1) "]);
        write(&mut world, "1", writer(2, false));
        settle(&mut world);
        assert_eq!(events(&mut world, 1), ["update  Some(2) "]);
        assert!(events(&mut world, 2).is_empty());
        // With others' changes in it, nobody can do without.
        write(&mut world, "1", writer(1, false));
        write(&mut world, "1", writer(2, true));
        settle(&mut world);
        let told = events(&mut world, 2);
        assert!(told.last().unwrap().ends_with("re b\"17\""), "{told:?}");
        assert!(
            events(&mut world, 1)
                .last()
                .unwrap()
                .starts_with("update  Some(4)")
        );
        assert!(!events(&mut world, 3).is_empty());
    }
}

#[test]
fn a_write_s_answer_binds_at_once() {
    let mut world = World::new(ITEM);
    let given = crate::resource::Success {
        code: Some(200),
        data: r#"{"id":"1","n":0}"#.into(),
        ..Default::default()
    };
    let ask = Ask {
        given: Some(given),
        ..Ask::default()
    };
    world.join(1, ask);
    assert!(world.client(1).bound && world.pulls.is_empty());
    write(&mut world, "1", None);
    world.pass(50);
    fetch(&mut world);
    assert_eq!(events(&mut world, 1), ["update  Some(1) "]);
}

#[test]
fn everyone_gets_one_push_where_that_is_possible() {
    let mut world = World::new(SHARED);
    world.show(1);
    fetch(&mut world);
    write(&mut world, "1", None);
    assert_eq!(world.client(1).told[0].to, To::All(None));
}
