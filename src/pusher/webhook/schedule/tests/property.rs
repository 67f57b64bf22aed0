//! Whatever happens in whatever order: what comes out is what a receiver can rely on.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Step {
    /// A channel's first subscriber comes, or its last goes: whichever is next.
    Occupancy(u8),
    /// The same for a member of a channel.
    Member(u8, u8),
    CacheMiss(u8),
    Wait(u64),
    /// The request under way that has lasted longest ends.
    End(bool),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..3u8).prop_map(Step::Occupancy),
        4 => (0..2u8, 0..2u8).prop_map(|(channel, user)| Step::Member(channel, user)),
        2 => (0..3u8).prop_map(Step::CacheMiss),
        6 => prop_oneof![0..200u64, 1_000..4_000u64, 60_000..120_000u64].prop_map(Step::Wait),
        4 => any::<bool>().prop_map(Step::End),
    ]
}

/// Comings (`true`) and goings by channel, or by channel and member.
type Turns<T> = BTreeMap<String, Vec<T>>;

/// Notes that `who` comes, or goes if it is there.
fn turn(turns: &mut Turns<(Instant, bool)>, who: String, now: Instant) -> bool {
    let turns = turns.entry(who).or_default();
    let comes = turns.last().is_none_or(|(_, there)| !there);
    turns.push((now, comes));
    comes
}

/// What a receiver is to be told: all but goings with the comings that follow within 3 s.
fn told(turns: &[(Instant, bool)]) -> Vec<bool> {
    let mut told: Vec<(Instant, bool)> = vec![];
    for (at, comes) in turns {
        match told.last() {
            Some((left, false)) if *comes && *at - *left < Duration::from_secs(3) => {
                told.pop();
            }
            _ => told.push((*at, *comes)),
        }
    }
    told.into_iter().map(|(_, comes)| comes).collect()
}

/// What a request that was taken tells.
fn taken(attempt: &Attempt, by: &mut Turns<bool>) {
    for event in names(&attempt.body) {
        let (name, who) = event.split_once(' ').unwrap();
        let comes = match name {
            "channel_occupied" | "member_added" => true,
            "channel_vacated" | "member_removed" => false,
            _ => continue,
        };
        by.entry(who.to_owned()).or_default().push(comes);
    }
}

proptest! {
    #[test]
    fn a_receiver_is_told_of_each_stay_and_of_no_short_absence(
        steps in proptest::collection::vec(step(), 1..120),
    ) {
        // What fails is tried until it succeeds, so nothing may be missing.
        let config = Config {
            hooks: vec![hook("http://a", &[])],
            batch_events: 4,
            retry_for: Duration::from_secs(1 << 30),
            ..Config::default()
        };
        let mut rig = Rig::new(config);
        let (mut turns, mut received) = (Turns::default(), Turns::default());
        let mut under_way: Option<Attempt> = None;
        for step in steps {
            match step {
                Step::Occupancy(channel) => {
                    let name = format!("c{channel}");
                    let comes = turn(&mut turns, name.clone(), rig.now);
                    rig.tell(&name, if comes { News::Occupied } else { News::Vacated });
                }
                Step::Member(channel, user) => {
                    let (name, user) = (format!("p{channel}"), format!("u{user}"));
                    let comes = turn(&mut turns, format!("{name} {user}"), rig.now);
                    let push = push(&user);
                    rig.tell(&name, if comes { News::Added(push) } else { News::Removed(push) });
                }
                Step::CacheMiss(channel) => rig.tell(&format!("c{channel}"), News::CacheMiss),
                Step::Wait(milliseconds) => rig.now += Duration::from_millis(milliseconds),
                Step::End(ok) => {
                    if let Some(attempt) = under_way.take() {
                        rig.finish(&attempt, ok);
                        if ok {
                            taken(&attempt, &mut received);
                        }
                    }
                }
            }
            while let Some(attempt) = rig.attempt() {
                prop_assert!(under_way.is_none(), "two at a time");
                under_way = Some(attempt);
            }
            let wake = rig.schedule.wake();
            prop_assert!(wake.is_none_or(|at| at > rig.now), "it would be woken for nothing");
            if under_way.is_none() {
                let waiting = rig.schedule.waiting();
                prop_assert_eq!(wake.is_some(), waiting != (0, 0), "{:?}", waiting);
            }
        }
        rig.schedule.end();
        while let Some(attempt) = under_way.take().or_else(|| rig.attempt()) {
            rig.finish(&attempt, true);
            taken(&attempt, &mut received);
        }
        prop_assert_eq!(rig.schedule.waiting(), (0, 0));
        let expected: Turns<bool> = turns
            .iter()
            .map(|(who, turns)| (who.clone(), told(turns)))
            .filter(|(_, told)| !told.is_empty())
            .collect();
        prop_assert_eq!(received, expected);
    }

    #[test]
    fn queues_keep_their_bounds_and_nothing_goes_uncounted(
        steps in proptest::collection::vec(step(), 1..200),
    ) {
        let config = Config {
            hooks: vec![hook("http://a", &[NoticeKind::CacheMiss]), hook("http://b", &[])],
            batch_events: 3,
            queue_events: 5,
            ..Config::default()
        };
        let mut rig = Rig::new(config);
        let (mut under_way, mut sent): (Vec<Attempt>, u64) = <_>::default();
        let mut told = 0;
        for step in steps {
            match step {
                Step::CacheMiss(channel) => {
                    rig.tell(&format!("c{channel}"), News::CacheMiss);
                    told += 2;
                }
                Step::Wait(milliseconds) => rig.now += Duration::from_millis(milliseconds),
                Step::End(ok) if !under_way.is_empty() => {
                    let attempt = under_way.remove(0);
                    rig.finish(&attempt, ok);
                    sent += if ok { names(&attempt.body).len() as u64 } else { 0 };
                }
                _ => {}
            }
            while let Some(attempt) = rig.attempt() {
                prop_assert!(names(&attempt.body).len() <= 3);
                prop_assert!(under_way.iter().all(|other| other.lane != attempt.lane));
                under_way.push(attempt);
            }
            prop_assert!(rig.schedule.wake().is_none_or(|at| at > rig.now));
            // Of each a queue and a request.
            prop_assert!(rig.schedule.waiting().0 <= 2 * (5 + 3));
        }
        let waiting = rig.schedule.waiting().0 as u64;
        let lost = rig.counted("expired") + rig.counted("overflow");
        prop_assert_eq!(rig.counted("delivered"), sent);
        prop_assert_eq!(sent + lost + waiting, told);
    }
}
