//! Resgate's scenarios, and what else is promised, over an upstream whose replies and events are
//! held back one by one.

use super::super::{Fetched, Need, Snapshot};
use super::world::{Kind, Rows, World, failure, settings};
use crate::code::ErrorCode;
use crate::publication::Writer;

pub(super) const ITEM: Kind = Kind {
    collection: false,
    query: false,
    shared: false,
    versioned: false,
    ordered: false,
};
pub(super) const SHARED: Kind = Kind {
    shared: true,
    versioned: true,
    ..ITEM
};
const LIST: Kind = Kind {
    collection: true,
    ..ITEM
};

pub(super) fn rows(all: &[(&str, u64)]) -> Option<Rows> {
    let all = all.iter().map(|(id, number)| ((*id).to_owned(), *number));
    Some(all.collect())
}

pub(super) fn fetch(world: &mut World) {
    world.read(0);
    world.reply(0);
}

/// A writer's event is there.
pub(super) fn write(world: &mut World, id: &str, writer: Option<Writer>) {
    world.commit(id, false, writer);
    world.publish(0, false);
    world.deliver();
}

pub(super) fn events(world: &mut World, number: u64) -> Vec<String> {
    let told = std::mem::take(&mut world.client(number).told);
    let text = |push: super::super::Push| {
        let offset = push.position.map(|position| position.offset);
        let item = push.item.map(|item| item.as_str().to_owned());
        format!(
            "{} {} {:?} {}",
            push.event,
            item.unwrap_or_default(),
            offset,
            push.re.map_or(String::new(), |re| format!("re {re:?}"))
        )
    };
    told.into_iter().map(text).collect()
}

#[test]
fn many_who_join_at_once_share_one_fetch() {
    let mut world = World::new(SHARED);
    for number in 1..=100 {
        world.show(number);
    }
    fetch(&mut world);
    for number in 1..=100 {
        assert_eq!(world.client(number).rows, rows(&[("1", 0)]));
    }
    world.show(101);
    assert_eq!(world.pulled, 1, "and who comes later needs none");
    assert!(world.client(101).bound);
}

#[test]
fn after_a_write_nobody_is_shown_what_was_before() {
    let mut world = World::new(ITEM);
    world.show(1);
    fetch(&mut world);
    world.commit("1", false, None);
    // The write has raised the generation; its event is still on the way.
    world.generation += 1;
    world.show(2);
    assert!(!world.client(2).bound);
    fetch(&mut world);
    assert_eq!(world.client(2).rows, rows(&[("1", 1)]));
}

#[test]
fn events_while_it_loads_mean_at_most_two_fetches_more() {
    let mut world = World::new(ITEM);
    world.show(1);
    for fetched in 1..=3 {
        assert!(!world.client(1).bound, "before fetch {fetched} is there");
        world.read(0);
        write(&mut world, "1", None);
        world.reply(0);
    }
    assert!(world.client(1).bound, "then it gets what there is");
    assert_eq!(world.client(1).rows, rows(&[("1", 2)]));
    assert_eq!(world.pulled, 3);
    world.pass(50);
    fetch(&mut world);
    assert_eq!(
        world.client(1).rows,
        rows(&[("1", 3)]),
        "and the rest after it"
    );
    assert_eq!(events(&mut world, 1), ["update  Some(3) "]);
}

#[test]
fn events_that_the_snapshot_holds_are_dropped() {
    let mut world = World::new(SHARED);
    world.commit("1", false, None);
    world.show(1);
    world.read(0);
    world.publish(0, false);
    world.deliver();
    world.reply(0);
    // The event is of the version that was read: no second fetch is needed to know that.
    world.rest();
    assert_eq!(world.client(1).rows, rows(&[("1", 1)]));
    assert!(world.backwards == 0);
    write(&mut world, "1", None);
    assert_eq!(
        world.client(1).rows,
        rows(&[("1", 2)]),
        "data is taken as it comes"
    );
    assert_eq!(events(&mut world, 1), ["update  Some(2) "]);
}

#[test]
fn who_may_not_see_it_is_refused_alone() {
    let mut world = World::new(ITEM);
    world.show(1);
    world.show(2);
    world.answer_with(Fetched::Denied(failure(ErrorCode::Forbidden)));
    let refused = world.client(1).answers.remove(0);
    assert_eq!(refused.result.unwrap_err().code, ErrorCode::Forbidden);
    assert!(!world.client(1).bound && world.client(2).open.len() == 1);
    fetch(&mut world);
    assert!(world.client(2).bound);
}

#[test]
fn who_may_not_see_it_any_more_is_unbound_and_told_nothing() {
    let mut world = World::new(ITEM);
    for number in [1, 2] {
        world.show(number);
    }
    fetch(&mut world);
    write(&mut world, "1", None);
    world.pass(50);
    world.answer_with(Fetched::Denied(failure(ErrorCode::Unauthenticated)));
    assert_eq!(world.client(1).reason, Some("unauthenticated"));
    assert!(events(&mut world, 1).is_empty());
    world.pass(0);
    fetch(&mut world);
    assert_eq!(world.client(2).rows, rows(&[("1", 1)]));
}

#[test]
fn a_collection_is_compared_by_id() {
    let mut world = World::new(LIST);
    world.commit("2", false, None);
    world.show(1);
    fetch(&mut world);
    world.commit("1", true, None);
    world.commit("2", false, None);
    world.commit("3", false, None);
    for _ in 0..4 {
        world.publish(0, false);
        world.deliver();
    }
    world.pass(50);
    fetch(&mut world);
    let told = events(&mut world, 1);
    let expected = [
        "delete /posts/1 None ",
        "update /posts/2 None ",
        "create /posts/3 Some(4) ",
    ];
    assert_eq!(told, expected, "only the last shows their offset");
    assert_eq!(world.pulled, 2);
}

#[test]
fn what_is_no_collection_or_too_much_of_one_is_a_gap() {
    let mut world = World::new(LIST);
    world.show(1);
    fetch(&mut world);
    for id in 10..200 {
        world.commit(&id.to_string(), false, None);
    }
    write(&mut world, "5", None);
    world.pass(50);
    fetch(&mut world);
    assert!(world.client(1).lost && events(&mut world, 1).is_empty());
    world.client(1).lost = false;
    write(&mut world, "5", None);
    world.pass(1_000);
    world.answer_with(Fetched::Snapshot(Snapshot {
        code: 200,
        body: r#"{"a":[],"b":[]}"#.into(),
        etag: None,
        version: None,
        until: None,
    }));
    assert!(world.client(1).lost);
}

#[test]
fn what_nobody_told_is_found_by_stirring_and_by_asking() {
    let mut world = World::new(LIST);
    world.show(1);
    fetch(&mut world);
    world.commit("2", false, None);
    world.replica.stir(world.now());
    world.pass(50);
    fetch(&mut world);
    assert_eq!(world.client(1).rows, rows(&[("1", 0), ("2", 1)]));

    let mut polled = settings(LIST);
    polled.revalidate = Some(std::time::Duration::from_secs(10));
    let mut world = World::with(LIST, polled);
    world.show(1);
    fetch(&mut world);
    world.commit("2", false, None);
    world.pass(8_000);
    assert!(world.pulls.is_empty());
    world.pass(3_500);
    assert_eq!(world.pulls[0].need, Need::Upstream);
    fetch(&mut world);
    assert_eq!(events(&mut world, 1), ["create /posts/2 None "]);
    world.leave(1);
    world.pass(30_000);
    assert!(world.pulls.is_empty(), "nobody is bound, nobody asks");
}

#[test]
fn who_is_held_is_given_nothing_until_it_may() {
    let mut world = World::new(SHARED);
    for number in [1, 2] {
        world.show(number);
    }
    fetch(&mut world);
    world.hold(1);
    world.hold(2);
    write(&mut world, "1", None);
    write(&mut world, "1", None);
    assert!(events(&mut world, 1).is_empty());
    world.confirm(1);
    assert_eq!(
        events(&mut world, 1),
        ["update  Some(1) ", "update  Some(2) "]
    );
    world.deny(2);
    assert_eq!(world.client(2).reason, Some("forbidden"));
    assert!(events(&mut world, 2).is_empty());
    // Longer than the ring: a gap instead.
    world.hold(1);
    for _ in 0..200 {
        write(&mut world, "1", None);
    }
    world.confirm(1);
    assert!(world.client(1).lost && events(&mut world, 1).is_empty());
}

#[test]
fn what_has_gone_is_told_and_unbound() {
    for kind in [ITEM, SHARED] {
        let mut world = World::new(kind);
        world.show(1);
        fetch(&mut world);
        world.hold(1);
        world.show(2);
        world.commit("1", true, None);
        world.publish(0, false);
        world.deliver();
        world.pass(50);
        world.rest();
        assert_eq!(world.client(2).reason, Some("gone"));
        assert_eq!(events(&mut world, 2), ["delete  Some(1) "]);
        assert_eq!(world.client(1).reason, None);
        world.confirm(1);
        assert_eq!(world.client(1).reason, Some("gone"));
        world.show(3);
        fetch(&mut world);
        let refused = world.client(3).answers.remove(0).result;
        assert_eq!(refused.unwrap_err().code, ErrorCode::NotFound);
    }
}

#[test]
fn who_leaves_while_it_loads_is_answered_and_not_bound() {
    let mut world = World::new(ITEM);
    world.show(1);
    world.leave(1);
    let answer = world.client(1).answers.remove(0);
    assert_eq!(answer.result.unwrap_err().code, ErrorCode::NotSubscribed);
    fetch(&mut world);
    assert!(world.replica.is_empty() && !world.client(1).bound);
    assert!(!world.replica.is_over(world.at));
    world.pass(60_000);
    assert!(world.replica.is_over(world.at));
}
