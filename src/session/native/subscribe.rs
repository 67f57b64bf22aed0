//! Subscribing and unsubscribing, one channel or a list.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::commands::{Address, address};
use super::pending::{Entry, Pending, Target, Ticket};
use super::publish::past;
use super::refusal::Refusal;
use super::replay::{self, Since, Wanted};
use super::{Effect, Joined, Session};
use crate::auth::Op;
use crate::broker::HistoryPage;
use crate::channel::ChannelName;
use crate::clock::Now;
use crate::code::ErrorCode;
use crate::protocol::{Command, Name, Past, Reply, Spelling, SubscribeResult, Subscribed, options};
use crate::publication::Position;

/// How the joins of an operation ended, and when.
pub(super) type Ended = (Vec<Result<Joined, ErrorCode>>, Now);

impl Session {
    /// `bind`, `channel:subscribe`
    pub(super) fn subscribe(
        &mut self,
        command: &Command<'_>,
        ticket: &Ticket<'_>,
        out: &mut Vec<Effect>,
    ) -> Result<(), Refusal> {
        match address(command)? {
            Address::One(channel, spelling) => {
                let asked = options::Subscribe::parse(command.options).map_err(Refusal::fault)?;
                self.check(Op::Subscribe, &channel)?;
                self.check_room(&channel, 0)?;
                let wanted = Wanted::new(asked.recover.as_ref().map(since), asked.rewind);
                let targets = vec![self.target(channel, spelling, wanted)];
                self.join(Pending::Subscribe(ticket.keep(), targets, None), out);
            }
            Address::Many(names) => {
                let asked =
                    options::SubscribeMany::parse(command.options).map_err(Refusal::fault)?;
                self.check_list(names.len())?;
                let (targets, entries) = self.targets(names, &asked);
                if targets.is_empty() {
                    let results: Vec<_> = entries.iter().filter_map(Entry::refused).collect();
                    self.reply(ticket, Reply::Results(&results), out);
                } else {
                    self.join(
                        Pending::Subscribe(ticket.keep(), targets, Some(entries)),
                        out,
                    );
                }
            }
        }
        Ok(())
    }

    /// What each name of a list becomes. A name that comes twice is joined once.
    fn targets<'c>(
        &self,
        names: &'c [Cow<'c, str>],
        asked: &options::SubscribeMany<'c>,
    ) -> (Vec<Target>, Vec<Entry>) {
        let mut targets: Vec<Target> = Vec::new();
        let mut known: BTreeMap<&str, usize> = BTreeMap::new();
        let mut fresh = 0;
        let mut entries = Vec::with_capacity(names.len());
        for name in names {
            let target = if let Some(at) = known.get(name.as_ref()) {
                Ok(*at)
            } else {
                self.admit(name, fresh).map(|channel| {
                    let since = asked.recover.get(name).map(since);
                    let target =
                        self.target(channel, Spelling::Channel, Wanted::new(since, asked.rewind));
                    fresh += usize::from(!target.renewed);
                    targets.push(target);
                    known.insert(name, targets.len() - 1);
                    targets.len() - 1
                })
            };
            entries.push(Entry {
                channel: name.as_ref().into(),
                target,
            });
        }
        (targets, entries)
    }

    /// Checks one name of a list; `fresh` others before it are new to the session.
    fn admit(&self, name: &str, fresh: usize) -> Result<ChannelName, Refusal> {
        let channel = ChannelName::parse(name).map_err(Refusal::name)?;
        self.check(Op::Subscribe, &channel)?;
        self.check_room(&channel, fresh)?;
        Ok(channel)
    }

    /// The channels of `channel:subscribe` or `bind` are joined, as far as they could be.
    pub(super) fn subscribed(
        &mut self,
        ticket: &Ticket<'_>,
        (targets, list): (&[Target], Option<&[Entry]>),
        (results, now): Ended,
        out: &mut Vec<Effect>,
    ) {
        let pages = self.absorb(targets, results);
        let Some(entries) = list else {
            return match (targets.first(), pages.first()) {
                (Some(target), Some(Ok(page))) => {
                    let past = self.replay(target, page, &mut self.reply_budget(), now);
                    self.reply(ticket, Reply::Subscribed(shown(target, page, &past)), out);
                }
                (_, Some(Err(refusal))) => self.refuse(ticket, refusal, out),
                _ => self.refuse(ticket, &Refusal::of(ErrorCode::Internal), out),
            };
        };
        let mut budget = self.reply_budget();
        let pasts: Vec<_> = entries
            .iter()
            .map(|entry| {
                let at = *entry.target.as_ref().ok()?;
                let page = pages.get(at)?.as_ref().ok()?;
                Some(self.replay(targets.get(at)?, page, &mut budget, now))
            })
            .collect();
        let results: Vec<_> = entries
            .iter()
            .zip(&pasts)
            .filter_map(|(entry, past)| entry.result(targets, &pages, past.as_ref()))
            .collect();
        self.reply(ticket, Reply::Results(&results), out);
    }

    /// What a reply brings of a joined channel's past, counted.
    fn replay<'p>(
        &self,
        target: &Target,
        page: &'p HistoryPage,
        budget: &mut usize,
        now: Now,
    ) -> Replayed<'p> {
        let replay = replay::replay(page, &target.wanted, self.id, budget, now);
        self.shared
            .metrics
            .expired_publications
            .inc_by(replay.expired);
        Replayed {
            recovered: replay.recovered,
            publications: replay.publications.as_deref().map(past),
        }
    }

    /// `unbind`, `channel:unsubscribe`
    pub(super) fn unsubscribe(
        &mut self,
        command: &Command<'_>,
        ticket: &Ticket<'_>,
        out: &mut Vec<Effect>,
    ) -> Result<(), Refusal> {
        match address(command)? {
            Address::One(channel, spelling) => {
                self.leave(channel.as_str(), out)?;
                let name = Name {
                    spelling,
                    text: channel.as_str(),
                };
                self.reply(ticket, Reply::Subscribed(named(name)), out);
            }
            Address::Many(names) => {
                self.check_list(names.len())?;
                let refused: Vec<_> = names
                    .iter()
                    .map(|name| self.leave(name, out).err())
                    .collect();
                let results: Vec<_> = names
                    .iter()
                    .zip(&refused)
                    .map(|(name, refusal)| match refusal {
                        Some(refusal) => SubscribeResult::Failed {
                            channel: name,
                            failure: refusal.failure(),
                        },
                        None => {
                            let name = Name {
                                spelling: Spelling::Channel,
                                text: name,
                            };
                            SubscribeResult::Ok(named(name))
                        }
                    })
                    .collect();
                self.reply(ticket, Reply::Results(&results), out);
            }
        }
        Ok(())
    }

    fn leave(&mut self, channel: &str, out: &mut Vec<Effect>) -> Result<(), Refusal> {
        let Some((channel, subscription)) = self.subscriptions.remove(channel) else {
            return Err(Refusal::of(ErrorCode::NotSubscribed));
        };
        out.push(Effect::Leave {
            channel,
            slot: subscription.slot,
            present: subscription.present,
        });
        Ok(())
    }
}

/// What a reply brings of a channel's past.
#[derive(Debug)]
struct Replayed<'p> {
    recovered: Option<bool>,
    publications: Option<Vec<Past<'p>>>,
}

impl Entry {
    /// The result of a name that was refused before anything was joined.
    fn refused(&self) -> Option<SubscribeResult<'_>> {
        let failure = self.target.as_ref().err()?.failure();
        Some(SubscribeResult::Failed {
            channel: &self.channel,
            failure,
        })
    }

    fn result<'r>(
        &'r self,
        targets: &'r [Target],
        pages: &'r [Result<HistoryPage, Refusal>],
        past: Option<&'r Replayed<'r>>,
    ) -> Option<SubscribeResult<'r>> {
        let Ok(at) = self.target else {
            return self.refused();
        };
        match (targets.get(at)?, pages.get(at)?, past) {
            (_, Err(refusal), _) => Some(SubscribeResult::Failed {
                channel: &self.channel,
                failure: refusal.failure(),
            }),
            (target, Ok(page), Some(past)) => Some(SubscribeResult::Ok(shown(target, page, past))),
            (_, Ok(_), None) => None,
        }
    }
}

fn shown<'s>(target: &'s Target, page: &'s HistoryPage, past: &'s Replayed<'_>) -> Subscribed<'s> {
    Subscribed {
        name: Name {
            spelling: target.spelling,
            text: target.channel.as_str(),
        },
        position: page.position.as_ref(),
        recovered: past.recovered,
        publications: past.publications.as_deref(),
    }
}

/// The answer to leaving: nothing but the name.
fn named(name: Name<'_>) -> Subscribed<'_> {
    Subscribed {
        name,
        position: None,
        recovered: None,
        publications: None,
    }
}

fn since(from: &options::From<'_>) -> Since {
    let position = Position {
        epoch: from.epoch.as_ref().into(),
        offset: from.offset,
    };
    Since {
        position,
        session: from.session,
    }
}
