//! Whatever happens in whatever order: at rest, every client that is bound shows what a GET brings.

use proptest::prelude::*;

use super::super::Ask;
use super::world::{Kind, World};

/// Something that happens.
#[derive(Debug, Clone, Copy)]
enum Step {
    Commit { id: u8, delete: bool, known: bool },
    Publish { which: u8, twice: bool },
    Deliver,
    Again,
    Show(u64),
    Bind(u64),
    Recover(u64),
    Leave(u64),
    Read(u8),
    Reply(u8),
    Pass(u16),
    Hold(u64),
    Confirm(u64),
    Lose(u8),
    Forbid(u8),
}

const CLIENTS: std::ops::Range<u64> = 1..4;

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => (any::<u8>(), prop::bool::weighted(0.2), any::<bool>())
            .prop_map(|(id, delete, known)| Step::Commit { id: id % 4, delete, known }),
        6 => (any::<u8>(), prop::bool::weighted(0.1))
            .prop_map(|(which, twice)| Step::Publish { which, twice }),
        6 => Just(Step::Deliver),
        1 => Just(Step::Again),
        4 => CLIENTS.prop_map(Step::Show),
        1 => CLIENTS.prop_map(Step::Bind),
        2 => CLIENTS.prop_map(Step::Recover),
        2 => CLIENTS.prop_map(Step::Leave),
        5 => any::<u8>().prop_map(Step::Read),
        5 => any::<u8>().prop_map(Step::Reply),
        3 => (0..400_u16).prop_map(Step::Pass),
        1 => CLIENTS.prop_map(Step::Hold),
        1 => CLIENTS.prop_map(Step::Confirm),
        1 => any::<u8>().prop_map(Step::Lose),
        1 => any::<u8>().prop_map(Step::Forbid),
    ]
}

fn kind() -> impl Strategy<Value = Kind> {
    (
        any::<bool>(),
        any::<bool>(),
        any::<bool>(),
        any::<bool>(),
        any::<bool>(),
    )
        .prop_map(|(collection, query, shared, versioned, ordered)| Kind {
            collection,
            query: collection && query,
            shared,
            versioned,
            ordered,
        })
}

fn run(world: &mut World, step: Step) {
    use super::super::Fetched::{Denied, Failed};
    use crate::code::ErrorCode::{Forbidden, UpstreamError};
    match step {
        Step::Commit { id, delete, known } => {
            world.commit(&id.to_string(), delete, None);
            // A write through the gateway raises the generation at once.
            world.generation += u64::from(known);
        }
        Step::Publish { which, twice } => world.publish(which.into(), twice),
        Step::Deliver => world.deliver(),
        Step::Again => {
            if let Some(last) = world.delivered.checked_sub(1) {
                world.delivered = last;
                world.deliver();
            }
        }
        Step::Show(number) => drop(world.show(number)),
        Step::Bind(number) => drop(world.join(number, Ask::default())),
        Step::Recover(number) => {
            if !world.client(number).bound {
                world.recover(number);
            }
        }
        Step::Leave(number) => world.leave(number),
        Step::Read(which) => world.read(which.into()),
        Step::Reply(which) => world.reply(which.into()),
        Step::Pass(millis) => world.pass(millis.into()),
        Step::Hold(number) => world.hold(number),
        Step::Confirm(number) => world.confirm(number),
        Step::Lose(which) => {
            world.read(which.into());
            if let Some(pull) = world.pulls.pop() {
                world.bring(pull.ticket, Failed(super::world::failure(UpstreamError)));
            }
        }
        Step::Forbid(which) => {
            world.read(which.into());
            if let Some(pull) = world.pulls.pop() {
                world.bring(pull.ticket, Denied(super::world::failure(Forbidden)));
            }
        }
    }
}

fn check(world: &mut World) {
    for number in CLIENTS {
        if world.client(number).held {
            world.confirm(number);
        }
    }
    world.rest();
    // Who was told that something is lost asks again, as clients do.
    for number in CLIENTS {
        let client = world.client(number);
        if client.bound && client.lost {
            world.show(number);
        }
    }
    world.rest();
    for number in CLIENTS {
        let rows = world.rows.clone();
        let client = world.client(number);
        assert!(client.open.is_empty(), "every call is answered");
        if client.bound
            && let Some(known) = &client.rows
        {
            assert_eq!(*known, rows, "client {number} is out of step");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases.max(3_000), ..ProptestConfig::default() })]

    #[test]
    fn at_rest_everyone_shows_what_a_get_brings(
        kind in kind(),
        steps in prop::collection::vec(step(), 1..80),
    ) {
        let mut world = World::new(kind);
        for step in steps {
            run(&mut world, step);
        }
        check(&mut world);
        if kind.versioned || !(kind.shared && kind.ordered) {
            prop_assert_eq!(world.backwards, 0);
        }
    }
}
