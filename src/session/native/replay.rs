//! What a reply brings of a channel's past: recovery, rewind and history, within one budget of
//! bytes, so that no reply can fill the mailbox that it must pass through.

use crate::broker::{HistoryPage, Retained};
use crate::clock::Now;
use crate::publication::Position;
use crate::session_id::SessionId;

/// Most publications that a recovery, a rewind or a page of history brings.
pub(super) const MAX_PUBLICATIONS: usize = 1000;
/// What a publication costs beyond its event and data: keys, offset, time, punctuation.
pub(super) const OVERHEAD_BYTES: usize = 96;

/// Where to recover from.
#[derive(Debug, Clone)]
pub(super) struct Since {
    /// The last position that the client knows.
    pub(super) position: Position,
    /// The session that it had then.
    pub(super) session: Option<SessionId>,
}

/// What is wanted of a channel's past.
#[derive(Debug, Clone, Default)]
pub(super) struct Wanted {
    pub(super) since: Option<Since>,
    /// The last so many; ignored where `since` is given.
    pub(super) rewind: usize,
}

/// What the reply brings.
#[derive(Debug, Default)]
pub(super) struct Replay<'p> {
    /// Whether everything since the client's position is here; `None`: it did not ask.
    pub(super) recovered: Option<bool>,
    /// Oldest first; `None`: it did not ask, or could not be recovered.
    pub(super) publications: Option<Vec<&'p Retained>>,
    /// How many were left out because their ttl had passed.
    pub(super) expired: u64,
}

/// What `page` gives of what is `wanted` by `session`. `budget` shrinks by what it takes.
pub(super) fn replay<'p>(
    page: &'p HistoryPage,
    wanted: &Wanted,
    session: SessionId,
    budget: &mut usize,
    now: Now,
) -> Replay<'p> {
    let Some(since) = &wanted.since else {
        if wanted.rewind == 0 {
            return Replay::default();
        }
        let (mut publications, expired) = alive(page, &[Some(session)], now);
        publications.reverse();
        publications.truncate(wanted.rewind.min(MAX_PUBLICATIONS));
        within(&mut publications, budget);
        publications.reverse();
        return Replay {
            recovered: None,
            publications: Some(publications),
            expired,
        };
    };
    let lost = Replay {
        recovered: Some(false),
        ..Replay::default()
    };
    let continues = page.position.as_ref().is_some_and(|current| {
        current.epoch == since.position.epoch && since.position.offset <= current.offset
    });
    // More than the most means that the page was cut there, whatever is left out of it below.
    if !continues || !page.complete || page.publications.len() > MAX_PUBLICATIONS {
        return lost;
    }
    let (mut publications, expired) = alive(page, &[Some(session), since.session], now);
    let all = publications.len();
    let before = *budget;
    within(&mut publications, budget);
    if publications.len() < all {
        *budget = before;
        return lost;
    }
    Replay {
        recovered: Some(true),
        publications: Some(publications),
        expired,
    }
}

/// The part of a page of history that fits into `budget`, in the page's order, but never nothing
/// of something: the reader goes on from the last one.
pub(super) fn history(page: &HistoryPage, mut budget: usize, now: Now) -> (Vec<&Retained>, u64) {
    let whole = page.publications.len();
    let mut publications: Vec<_> = page
        .publications
        .iter()
        .filter(|retained| !is_expired(retained, now))
        .collect();
    let expired = (whole - publications.len()) as u64;
    publications.truncate(MAX_PUBLICATIONS);
    if let Some(first) = publications.first() {
        budget = budget.max(cost(first));
    }
    within(&mut publications, &mut budget);
    (publications, expired)
}

/// What of `page` may be given out, oldest first, and how many had expired.
fn alive<'p>(
    page: &'p HistoryPage,
    excluded: &[Option<SessionId>],
    now: Now,
) -> (Vec<&'p Retained>, u64) {
    let mut expired = 0;
    let mut publications: Vec<_> = page
        .publications
        .iter()
        .filter(|retained| {
            let dead = is_expired(retained, now);
            expired += u64::from(dead);
            !dead && (retained.exclude.is_none() || !excluded.contains(&retained.exclude))
        })
        .collect();
    // A rewind may have been read newest first.
    publications.sort_unstable_by_key(|retained| retained.offset);
    (publications, expired)
}

/// Cuts `publications` where `budget` ends.
fn within(publications: &mut Vec<&Retained>, budget: &mut usize) {
    let fits = publications
        .iter()
        .take_while(|retained| match budget.checked_sub(cost(retained)) {
            Some(rest) => {
                *budget = rest;
                true
            }
            None => false,
        })
        .count();
    publications.truncate(fits);
}

fn cost(retained: &Retained) -> usize {
    retained.event.len() + retained.data.len() + OVERHEAD_BYTES
}

fn is_expired(retained: &Retained, now: Now) -> bool {
    retained
        .expires
        .is_some_and(|expires| expires <= now.instant)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;

    fn now() -> Now {
        Now {
            instant: Instant::now(),
            unix: Duration::from_secs(1),
        }
    }

    fn retained(offset: u64, bytes: usize) -> Retained {
        Retained {
            event: "e".into(),
            data: Bytes::from(vec![b'1'; bytes]),
            offset,
            time: 0,
            expires: None,
            exclude: None,
            form: crate::publication::Form::Json,
            item: None,
        }
    }

    fn page(last: u64, publications: Vec<Retained>) -> HistoryPage {
        let position = Some(Position {
            epoch: "e1".into(),
            offset: last,
        });
        HistoryPage {
            position,
            sequence: last,
            publications,
            complete: true,
        }
    }

    fn since(epoch: &str, offset: u64, session: Option<SessionId>) -> Wanted {
        let position = Position {
            epoch: epoch.into(),
            offset,
        };
        Wanted {
            since: Some(Since { position, session }),
            rewind: 0,
        }
    }

    fn offsets(replay: &Replay<'_>) -> Option<Vec<u64>> {
        replay
            .publications
            .as_ref()
            .map(|all| all.iter().map(|one| one.offset).collect())
    }

    #[test]
    fn a_recovery_is_whole_or_refused() {
        let me = SessionId::random().unwrap();
        let full = page(3, vec![retained(2, 5), retained(3, 5)]);
        let partial = HistoryPage {
            complete: false,
            ..full.clone()
        };
        let nothing = HistoryPage {
            position: None,
            ..page(0, vec![])
        };
        let many = page(1002, (2..=1002).map(|n| retained(n, 1)).collect());
        let cost = 2 * (1 + 5 + OVERHEAD_BYTES);
        for (what, page, wanted, budget, expected) in [
            (
                "all there",
                &full,
                since("e1", 1, None),
                cost,
                Some(vec![2, 3]),
            ),
            (
                "nothing missed",
                &page(3, vec![]),
                since("e1", 3, None),
                0,
                Some(vec![]),
            ),
            ("other epoch", &full, since("e0", 1, None), cost, None),
            (
                "ahead of the channel",
                &full,
                since("e1", 4, None),
                cost,
                None,
            ),
            (
                "not all retained",
                &partial,
                since("e1", 1, None),
                cost,
                None,
            ),
            ("no history", &nothing, since("e1", 1, None), cost, None),
            ("too many", &many, since("e1", 1, None), usize::MAX, None),
            ("too large", &full, since("e1", 1, None), cost - 1, None),
        ] {
            let mut left = budget;
            let replay = replay(page, &wanted, me, &mut left, now());
            assert_eq!(replay.recovered, Some(expected.is_some()), "{what}");
            assert_eq!(offsets(&replay), expected, "{what}");
            if expected.is_none() {
                assert_eq!(left, budget, "{what}");
            }
        }
    }

    #[test]
    fn the_excluded_and_the_expired_are_left_out_without_a_loss() {
        let (me, old, other) = (
            SessionId::random().unwrap(),
            SessionId::random().unwrap(),
            SessionId::random().unwrap(),
        );
        let now = now();
        let page = page(
            5,
            vec![
                Retained {
                    exclude: Some(me),
                    ..retained(1, 1)
                },
                Retained {
                    exclude: Some(old),
                    ..retained(2, 1)
                },
                Retained {
                    exclude: Some(other),
                    ..retained(3, 1)
                },
                Retained {
                    expires: Some(now.instant),
                    ..retained(4, 1)
                },
                retained(5, 1),
            ],
        );
        let mut budget = 10_000;
        let recovered = replay(&page, &since("e1", 0, Some(old)), me, &mut budget, now);
        assert_eq!(recovered.recovered, Some(true));
        assert_eq!(offsets(&recovered), Some(vec![3, 5]));
        assert_eq!(recovered.expired, 1);
        let wanted = Wanted {
            since: None,
            rewind: 2,
        };
        let rewound = replay(&page, &wanted, me, &mut budget, now);
        assert_eq!(rewound.recovered, None);
        assert_eq!(offsets(&rewound), Some(vec![3, 5]));
    }

    #[test]
    fn a_page_that_was_cut_is_no_recovery_even_if_little_of_it_is_left() {
        let me = SessionId::random().unwrap();
        let mut cut = page(5000, (1..=1001).map(|n| retained(n, 1)).collect());
        for publication in &mut cut.publications {
            publication.exclude = Some(me);
        }
        let mut budget = usize::MAX;
        let replay = replay(&cut, &since("e1", 0, None), me, &mut budget, now());
        assert_eq!(replay.recovered, Some(false));
    }

    #[test]
    fn a_rewind_brings_the_newest_that_fit_oldest_first() {
        let me = SessionId::random().unwrap();
        let newest_first = page(9, (1..=9).rev().map(|n| retained(n, 4)).collect());
        let mut budget = 2 * (1 + 4 + OVERHEAD_BYTES);
        let wanted = Wanted {
            since: None,
            rewind: 5,
        };
        assert_eq!(
            offsets(&replay(&newest_first, &wanted, me, &mut budget, now())),
            Some(vec![8, 9])
        );
    }

    #[test]
    fn history_gives_at_least_one() {
        let page = page(2, vec![retained(2, 500), retained(1, 500)]);
        let (publications, _) = history(&page, 10, now());
        assert_eq!(
            publications
                .iter()
                .map(|one| one.offset)
                .collect::<Vec<_>>(),
            [2]
        );
    }

    proptest! {
        /// Never a silent hole: what a recovery says is recovered is everything.
        #[test]
        fn recovered_means_all(sizes in prop::collection::vec(0usize..400, 0..40), from in 0u64..50, budget in 0usize..8_000) {
            let last = sizes.len() as u64;
            let all: Vec<_> = sizes.iter().zip(1..).map(|(size, n)| retained(n, *size)).collect();
            let publications: Vec<_> = all.into_iter().filter(|one| one.offset > from).collect();
            let page = page(last, publications);
            let mut left = budget;
            let me = SessionId::random().unwrap();
            let replay = replay(&page, &since("e1", from, None), me, &mut left, now());
            match replay.recovered {
                Some(true) => prop_assert_eq!(offsets(&replay), Some((from + 1..=last).collect())),
                _ => prop_assert!(replay.publications.is_none() && left == budget),
            }
        }
    }
}
