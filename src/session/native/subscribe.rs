//! Subscribing and unsubscribing, one channel or a list.

use super::commands::{Address, address};
use super::pending::{List, Pending, Target, Ticket};
use super::refusal::Refusal;
use super::replay::{Since, Wanted};
use super::rest::Missed;
use super::{Effect, Joined, Session};
use crate::auth::Op;
use crate::broker::HistoryPage;
use crate::clock::Now;
use crate::code::ErrorCode;
use crate::protocol::{Command, Name, Reply, Spelling, SubscribeResult, Subscribed, options};
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
                if let Some(resource) = self.resource(channel.as_str())? {
                    return self.bind((resource, spelling), command, ticket, out);
                }
                let asked = options::Subscribe::parse(command.options).map_err(Refusal::fault)?;
                self.check(Op::Subscribe, &channel)?;
                self.check_room(&channel, self.to_be_bound())?;
                let wanted = Wanted::new(asked.recover.as_ref().map(since), asked.rewind);
                let targets = vec![self.target(channel, spelling, wanted)];
                self.join(Pending::Subscribe(ticket.keep(), targets, None), out);
            }
            Address::Many(names) => {
                let asked =
                    options::SubscribeMany::parse(command.options).map_err(Refusal::fault)?;
                self.check_list(names.len())?;
                self.subscribe_list((names, &asked), ticket, out);
            }
        }
        Ok(())
    }

    /// The channels of `channel:subscribe` or `bind` are joined, as far as they could be.
    pub(super) fn subscribed(
        &mut self,
        ticket: &Ticket<'_>,
        (targets, list): (&[Target], Option<&List>),
        (results, now): Ended,
        out: &mut Vec<Effect>,
    ) {
        if let Some(list) = list {
            return self.listed_joined(ticket, (targets, list), (results, now), out);
        }
        let pages = self.absorb(targets, results);
        match (targets.first(), pages.first()) {
            (Some(target), Some(Ok(page))) => {
                let past = self.replayed(target, page, &mut self.reply_budget(), now);
                self.reply(ticket, Reply::Subscribed(shown(target, page, &past)), out);
            }
            (_, Some(Err(refusal))) => self.refuse(ticket, refusal, out),
            _ => self.refuse(ticket, &Refusal::of(ErrorCode::Internal), out),
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
        let canonical = self.canonical(channel);
        let canonical = canonical.and_then(|uri| self.subscriptions.remove(uri.as_str()));
        let removed = canonical.or_else(|| self.subscriptions.remove(channel));
        let Some((channel, subscription)) = removed else {
            return Err(Refusal::of(ErrorCode::NotSubscribed));
        };
        out.push(subscription.leave(channel));
        Ok(())
    }
}

pub(super) fn shown<'s>(
    target: &'s Target,
    page: &'s HistoryPage,
    past: &'s Missed<'_>,
) -> Subscribed<'s> {
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

pub(super) fn since(from: &options::From<'_>) -> Since {
    let position = Position {
        epoch: from.epoch.as_ref().into(),
        offset: from.offset,
    };
    Since {
        position,
        session: from.session,
    }
}
