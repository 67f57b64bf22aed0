//! Publications written straight from a walk. A socket that has nothing else to write is given
//! all that the walk brings in one write of bytes that the slice's sockets share: no mailbox
//! entry, no handle of the frame, no second visit. What a socket does not take goes into its
//! mailbox, where order and bounds are kept as ever.
//!
//! Only the last channel that waits is walked this way. While others wait, their publications
//! may be for the same sockets, and gathered in the mailboxes they leave together.

use std::time::Instant;

use super::client::{Client, Phase};
use super::fanout::entry;
use super::flush::{CORK_BYTES, Written};
use super::mailbox::{self, Bounds, SpareRings};
use super::round::Passing;
use super::subscribers::Subscriber;
use crate::protocol::Wire;

/// The walk's publications as one run of bytes for each form on the wire; kept for its room.
#[derive(Default)]
pub(super) struct Runs([Run; Wire::COUNT]);

#[derive(Default)]
struct Run {
    bytes: Vec<u8>,
    state: State,
}

/// What is known of a run in this slice.
#[derive(Default, Clone, Copy)]
enum State {
    #[default]
    Unknown,
    Built,
    TooLong,
}

/// A slice's publications, fit to be written to any subscriber that has not had them.
pub(super) struct Direct<'a> {
    passing: &'a [Passing],
    /// The first and last sequence, 0 where the broker keeps none.
    sequences: (u64, u64),
    excludes: bool,
    bounds: Bounds,
    runs: &'a mut Runs,
    /// How many subscribers were given all of it.
    served: u64,
}

/// What became of a direct write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It goes by the mailbox.
    NotFor,
    /// All is written.
    Written,
    /// The rest is in the mailbox, which must be flushed; or the connection is lost, of which
    /// the flush finds out.
    Left,
}

impl<'a> Direct<'a> {
    /// `None`: some of `deliveries` are not for everyone, or too much for one write.
    pub(super) fn new(passing: &'a [Passing], bounds: Bounds, runs: &'a mut Runs) -> Option<Self> {
        let sequence = |one: &Passing| one.delivery.publication.sequence;
        let follows = |pair: &[Passing]| match (sequence(&pair[0]), sequence(&pair[1])) {
            (0, next) => next == 0,
            (this, next) => this < next,
        };
        if !passing.windows(2).all(follows) {
            return None;
        }
        let mut publications = passing.iter().map(|one| &one.delivery.publication);
        if publications.any(|publication| publication.expires.is_some()) {
            // The turn may have begun a while ago.
            let now = Instant::now();
            if passing
                .iter()
                .any(|one| one.delivery.publication.is_expired(now))
            {
                return None;
            }
        }
        for run in &mut runs.0 {
            run.state = State::Unknown;
        }
        let mut publications = passing.iter().map(|one| &one.delivery.publication);
        Some(Self {
            passing,
            sequences: (sequence(passing.first()?), sequence(passing.last()?)),
            excludes: publications.any(|publication| publication.exclude.is_some()),
            bounds,
            runs,
            served: 0,
        })
    }

    /// Writes all of it to `client`, if it may have all of it and has nothing else to write.
    pub(super) fn write(
        &mut self,
        client: &mut Client,
        subscriber: &mut Subscriber,
        spare: &mut SpareRings,
        written: &mut Written,
    ) -> Outcome {
        let idle = client.mailbox.is_empty() && !client.dirty && !client.blocked;
        let open = client.phase == Phase::Open && client.operation.is_none();
        let (first, last) = self.sequences;
        let unknown = first == 0 || subscriber.after < first;
        let late = self
            .passing
            .first()
            .is_none_or(|one| one.precedes(subscriber));
        if !(idle && open && unknown) || late || self.excludes && self.is_excluded(client) {
            return Outcome::NotFor;
        }
        let wire = client.wire(subscriber.spelling);
        let Some(run) = self.runs.run(wire, self.passing, self.bounds) else {
            return Outcome::NotFor;
        };
        let taken = client.transport.write(run);
        subscriber.after = subscriber.after.max(last);
        match taken {
            Ok(taken) if taken == run.len() && client.transport.settle().is_ok() => {
                self.served += 1;
                Outcome::Written
            }
            taken => {
                let taken = taken.unwrap_or(0);
                self.keep_rest(client, subscriber, (taken, spare, written));
                Outcome::Left
            }
        }
    }

    fn is_excluded(&self, client: &Client) -> bool {
        let id = client.session.as_ref().map(|session| session.id());
        self.passing
            .iter()
            .any(|one| one.delivery.publication.exclude == id)
    }

    /// Puts what the socket has not taken into the mailbox.
    fn keep_rest(
        &self,
        client: &mut Client,
        subscriber: &Subscriber,
        (taken, spare, written): (usize, &mut SpareRings, &mut Written),
    ) {
        for Passing { delivery, .. } in self.passing {
            let entry = entry(client, subscriber, delivery);
            client.mailbox.push(entry, spare);
        }
        client.mailbox.advance(taken, |kind| written.add(&kind));
    }

    /// Counts what was written.
    pub(super) fn finish(self, written: &mut Written) {
        for Passing { delivery, .. } in self.passing {
            written.add_many(delivery.publication.accepted, self.served);
        }
    }
}

impl Runs {
    /// The run in the form of `wire`, or `None` where it is more than one write or an empty
    /// mailbox takes.
    fn run<'a>(
        &'a mut self,
        wire: Wire,
        passing: &'a [Passing],
        bounds: Bounds,
    ) -> Option<&'a [u8]> {
        let run = &mut self.0[wire.index()];
        let single = match passing {
            [one] => Some(&one.delivery.frame(wire)[..]),
            _ => None,
        };
        if let State::Unknown = run.state {
            run.build(wire, passing, bounds);
        }
        match run.state {
            State::Built => Some(single.unwrap_or(&run.bytes)),
            State::Unknown | State::TooLong => None,
        }
    }
}

impl Run {
    fn build(&mut self, wire: Wire, passing: &[Passing], bounds: Bounds) {
        self.bytes.clear();
        let frames = || passing.iter().map(|one| one.delivery.frame(wire));
        let length: usize = frames().map(bytes::Bytes::len).sum();
        let cost = length + passing.len() * mailbox::ENTRY_BYTES;
        let single = passing.len() == 1;
        // What is left of several must leave room for replies, as publications do elsewhere.
        let bounds = if single { bounds } else { bounds.half() };
        let fits = (single || length <= CORK_BYTES)
            && cost <= bounds.bytes
            && passing.len() <= bounds.entries;
        self.state = if fits { State::Built } else { State::TooLong };
        if fits && !single {
            frames().for_each(|frame| self.bytes.extend_from_slice(frame));
        }
    }
}
