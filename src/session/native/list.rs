//! Subscribing to a list: ordinary channels are joined, what endpoints cover is bound by calls,
//! and one reply tells of all in the list's order.
//!
//! Held: from the first call to the reply the session is busy, so that no push comes before it.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::calls::{Asked, Purpose, Wish};
use super::pending::{At, Entry, Gather, List, Pending, Target, Ticket};
use super::publish::past;
use super::refusal::Refusal;
use super::replay::{self, Wanted};
use super::rest::{self, Missed};
use super::subscribe::{Ended, shown, since};
use super::{Effect, Operation, Session};
use crate::auth::Op;
use crate::broker::HistoryPage;
use crate::channel::ChannelName;
use crate::clock::Now;
use crate::protocol::{Failure, Reply, Spelling, SubscribeResult, options};
use crate::resource::{Answer, Bound, CallOptions, Since, Success, Verb};

/// A list taken apart.
#[derive(Debug, Default)]
struct Parts {
    targets: Vec<Target>,
    wishes: Vec<Wish>,
    /// Of those the names that are new to the session.
    fresh: usize,
}

/// How an entry ended.
enum End<'r> {
    Joined(&'r Target, &'r HistoryPage),
    Bound(&'r Asked, &'r Success, &'r Bound),
    Failed(Failure<'r>),
}

impl Session {
    /// `channel:subscribe` with `channels`.
    pub(super) fn subscribe_list(
        &mut self,
        (names, asked): (&[Cow<'_, str>], &options::SubscribeMany<'_>),
        ticket: &Ticket<'_>,
        out: &mut Vec<Effect>,
    ) {
        let (parts, entries) = self.take_apart(names, asked);
        let Parts {
            targets, wishes, ..
        } = parts;
        let mut list = List {
            entries,
            bound: Vec::new(),
        };
        if wishes.is_empty() {
            return self.join_list(ticket.keep(), targets, list, out);
        }
        list.bound.resize_with(wishes.len(), || None);
        let gather = Gather {
            ticket: ticket.keep(),
            targets,
            left: wishes.len(),
            list,
        };
        self.perform(Pending::Gather(Box::new(gather)), Operation::Wait, out);
        for wish in wishes {
            self.call(wish, out);
        }
    }

    /// What each name of a list becomes. A channel that comes twice is joined once.
    fn take_apart<'c>(
        &self,
        names: &'c [Cow<'c, str>],
        asked: &options::SubscribeMany<'c>,
    ) -> (Parts, Vec<Entry>) {
        let mut parts = Parts {
            fresh: self.to_be_bound(),
            ..Parts::default()
        };
        let mut known: BTreeMap<ChannelName, At> = BTreeMap::new();
        let entries = names.iter().map(|name| Entry {
            channel: name.as_ref().into(),
            target: self.admit((name, asked), &mut parts, &mut known),
        });
        let entries = entries.collect();
        (parts, entries)
    }

    /// Checks one name of a list.
    fn admit(
        &self,
        (name, asked): (&str, &options::SubscribeMany<'_>),
        parts: &mut Parts,
        known: &mut BTreeMap<ChannelName, At>,
    ) -> Result<At, Refusal> {
        let channel = ChannelName::parse(name).map_err(Refusal::name)?;
        let resource = self.resource(name)?;
        let covered = resource.is_some();
        let channel = resource.map_or(channel, |resource| resource.uri);
        if let Some(at) = known.get(&channel) {
            return Ok(*at);
        }
        if !covered {
            self.check(Op::Subscribe, &channel)?;
        }
        self.check_room(&channel, parts.fresh)?;
        parts.fresh += usize::from(!self.subscriptions.contains(channel.as_str()));
        let wanted = Wanted::new(asked.recover.get(name).map(since), asked.rewind);
        let at = if covered {
            let at = At::Bound(parts.wishes.len());
            parts
                .wishes
                .push(wish(&channel, wanted, parts.wishes.len()));
            at
        } else {
            parts
                .targets
                .push(self.target(channel.clone(), Spelling::Channel, wanted));
            At::Joined(parts.targets.len() - 1)
        };
        known.insert(channel, at);
        Ok(at)
    }

    /// One of a list's calls has been answered.
    pub(super) fn gathered(&mut self, at: usize, answered: (Asked, Answer), out: &mut Vec<Effect>) {
        let Some(Pending::Gather(gather)) = self.pending.as_deref_mut() else {
            return;
        };
        if let Some(place @ None) = gather.list.bound.get_mut(at) {
            *place = Some(answered);
            gather.left -= 1;
        }
        if gather.left > 0 {
            return;
        }
        if let Some(pending) = self.pending.take()
            && let Pending::Gather(gather) = *pending
        {
            self.join_list(gather.ticket, gather.targets, gather.list, out);
        }
    }

    /// Joins what of a list is joined; without any, all is there for the reply.
    fn join_list(
        &mut self,
        ticket: Ticket<'static>,
        targets: Vec<Target>,
        list: List,
        out: &mut Vec<Effect>,
    ) {
        if targets.is_empty() {
            return self.reply_list(&ticket, (&[], &[]), (&list, None), out);
        }
        self.join(Pending::Subscribe(ticket, targets, Some(list)), out);
    }

    /// The joins of a list have ended.
    pub(super) fn listed_joined(
        &mut self,
        ticket: &Ticket<'_>,
        (targets, list): (&[Target], &List),
        (results, now): Ended,
        out: &mut Vec<Effect>,
    ) {
        let pages = self.absorb(targets, results);
        self.reply_list(ticket, (targets, &pages), (list, Some(now)), out);
    }

    fn reply_list(
        &self,
        ticket: &Ticket<'_>,
        joined: (&[Target], &[Result<HistoryPage, Refusal>]),
        (list, now): (&List, Option<Now>),
        out: &mut Vec<Effect>,
    ) {
        let unbound = self.unbound();
        let ends = list.entries.iter().map(|entry| {
            entry
                .end(joined, list)
                .unwrap_or_else(|refusal| End::Failed(refusal.unwrap_or(&unbound).failure()))
        });
        let ends: Vec<_> = ends.collect();
        let mut budget = self.reply_budget();
        let missed = ends.iter().map(|end| match (end, now) {
            (End::Joined(target, page), Some(now)) => self.replayed(target, page, &mut budget, now),
            (End::Bound(asked, success, _), _) => rest::missed(asked, success, &mut budget),
            _ => Missed::default(),
        });
        let missed: Vec<_> = missed.collect();
        let ends = list.entries.iter().zip(&ends);
        let results: Vec<_> = ends
            .zip(&missed)
            .map(|((entry, end), missed)| match end {
                End::Joined(target, page) => SubscribeResult::Ok(shown(target, page, missed)),
                End::Bound(asked, _, bound) => {
                    SubscribeResult::Ok(rest::subscribed(asked.spelling, bound, missed))
                }
                End::Failed(failure) => SubscribeResult::Failed {
                    channel: &entry.channel,
                    failure: *failure,
                },
            })
            .collect();
        self.reply(ticket, Reply::Results(&results), out);
    }

    /// What a reply brings of a joined channel's past, counted.
    pub(super) fn replayed<'p>(
        &self,
        target: &Target,
        page: &'p HistoryPage,
        budget: &mut usize,
        now: Now,
    ) -> Missed<'p> {
        let replay = replay::replay(page, &target.wanted, self.id, budget, now);
        self.shared
            .metrics
            .expired_publications
            .inc_by(replay.expired);
        Missed {
            recovered: replay.recovered,
            publications: replay.publications.as_deref().map(past),
        }
    }
}

/// The call that binds to `uri` as the `index`-th of its list.
fn wish(uri: &ChannelName, wanted: Wanted, index: usize) -> Wish {
    let of = (uri.clone(), Spelling::Channel);
    let mut wish = Wish::own(Verb::Bind, of, Purpose::Listed(index));
    wish.asked.rewinds = wanted.rewind > 0;
    wish.options = CallOptions {
        rewind: wanted.rewind,
        recover: wanted.since.map(|since| Since {
            position: since.position,
            session: since.session,
        }),
        ..wish.options
    };
    wish
}

impl Entry {
    /// How it ended; the error says why not, where it is more than that the session is not bound.
    fn end<'r>(
        &'r self,
        (targets, pages): (&'r [Target], &'r [Result<HistoryPage, Refusal>]),
        list: &'r List,
    ) -> Result<End<'r>, Option<&'r Refusal>> {
        match self.target.as_ref().map_err(Some)? {
            At::Joined(at) => {
                let target = targets.get(*at).ok_or(None)?;
                let page = pages.get(*at).ok_or(None)?.as_ref().map_err(Some)?;
                Ok(End::Joined(target, page))
            }
            At::Bound(at) => {
                let answered = list.bound.get(*at).and_then(Option::as_ref);
                let (asked, answer) = answered.ok_or(None)?;
                match &answer.result {
                    Err(failure) => Ok(End::Failed(rest::told(failure))),
                    Ok(success) => {
                        let bound = answer.bound.as_ref().ok_or(None)?;
                        Ok(End::Bound(asked, success, bound))
                    }
                }
            }
        }
    }
}
