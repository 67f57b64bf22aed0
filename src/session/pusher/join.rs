//! Joining a channel, whoever wants it, and what a new subscriber is told.

use super::roster::roster;
use super::{
    Denial, Effect, Identity, JoinRequest, Joined, Operation, Pending, Session, Subscription, send,
};
use crate::broker::{Member, Retained};
use crate::channel::{ChannelKind, ChannelName};
use crate::clock::Now;
use crate::code::ErrorCode;
use crate::notice::News;
use crate::protocol::Spelling;
use crate::protocol::pusher::Event;

/// A channel being joined.
#[derive(Debug)]
pub(super) struct Subscribing {
    pub(super) channel: ChannelName,
    /// On presence channels: who it is there.
    pub(super) member: Option<Identity>,
    /// Whether the server decided it.
    pub(super) by_server: bool,
}

impl Subscribing {
    /// Leaves what was joined for a session that has ended meanwhile.
    pub(super) fn give_back(self, result: Result<Joined, ErrorCode>, out: &mut Vec<Effect>) {
        if let Ok(joined) = result {
            out.push(Effect::Leave {
                channel: self.channel,
                slot: joined.slot,
                present: self.member.is_some(),
                covered: false,
            });
        }
    }
}

impl Session {
    /// How many more channels the session may be on.
    pub(super) fn room(&self) -> usize {
        let most = self.shared.settings.load().max_channels;
        self.subscriptions.room(most)
    }

    pub(super) fn join(&mut self, wanted: Subscribing, out: &mut Vec<Effect>) {
        let member = wanted.member.as_ref().map(|identity| Member {
            subject: identity.id.clone(),
            session: self.id,
            info: identity.info.clone(),
        });
        let max_members = if wanted.by_server {
            usize::MAX
        } else {
            self.shared.settings.load().pusher.max_members
        };
        let name = wanted.channel.as_str();
        let request = JoinRequest {
            channel: wanted.channel.clone(),
            spelling: Spelling::Channel,
            slot: None,
            list: member.is_some(),
            member,
            max_members,
            recover: None,
            rewind: usize::from(ChannelKind::is_cache(name)),
        };
        let operation = Operation::Join(vec![request]);
        self.perform(Pending::Subscribe(wanted), operation, out);
    }

    /// It is joined, or not.
    pub(super) fn subscribed(
        &mut self,
        wanted: Subscribing,
        result: Result<Joined, ErrorCode>,
        now: Now,
        out: &mut Vec<Effect>,
    ) {
        let joined = match result {
            Ok(joined) => joined,
            Err(code) => {
                let denial = match (code, &wanted.member) {
                    (ErrorCode::LimitExceeded, Some(_)) => {
                        let most = self.shared.settings.load().pusher.max_members;
                        let text = format!("Presence channel is full: it has {most} members");
                        Denial::new(code, text)
                    }
                    _ => Denial::of(code),
                };
                return self.deny(wanted.channel.as_str(), &denial, out);
            }
        };
        let subscription = Subscription {
            slot: joined.slot,
            spelling: Spelling::Channel,
            present: wanted.member.is_some(),
            by_server: wanted.by_server,
            covered: false,
        };
        self.subscriptions
            .insert(wanted.channel.clone(), subscription);
        self.tell_joined(&wanted, &joined, now, out);
        if let Some(identity) = wanted.member {
            self.members.insert(wanted.channel, identity.id);
        }
        if !wanted.by_server {
            self.count("channel:subscribe", None);
        }
    }

    /// That it is on the channel, who else is there, and what the channel holds.
    fn tell_joined(&self, wanted: &Subscribing, joined: &Joined, now: Now, out: &mut Vec<Effect>) {
        let channel = wanted.channel.as_str();
        // Quotes may take twice their room.
        let budget = self.shared.settings.load().mailbox_bytes / 4;
        let members = joined
            .members
            .as_ref()
            .map(|members| roster(members, budget));
        let subscribed = Event::Subscribed {
            channel,
            members: members.as_deref(),
        };
        send(&subscribed, out);
        if !ChannelKind::is_cache(channel) {
            return;
        }
        let alive = |past: &&Retained| past.expires.is_none_or(|expires| expires > now.instant);
        let last = joined.page.publications.last().filter(alive);
        let held = match last {
            Some(last) => Event::Push {
                event: &last.event,
                channel: Some(channel),
                data: &last.data,
                form: last.form,
            },
            None => {
                self.shared.notices.tell(&wanted.channel, News::CacheMiss);
                Event::CacheMiss(channel)
            }
        };
        send(&held, out);
    }

    /// Says why `channel` is not subscribed to, to the connection and to the channel.
    pub(super) fn deny(&self, channel: &str, denial: &Denial, out: &mut Vec<Effect>) {
        self.refuse("channel:subscribe", denial, out);
        send(&denial.of_channel(channel), out);
    }

    /// Takes the session off a channel: whether it was there.
    pub(super) fn leave(&mut self, channel: &str, out: &mut Vec<Effect>) -> bool {
        let Some((channel, subscription)) = self.subscriptions.remove(channel) else {
            return false;
        };
        self.members.remove(&channel);
        out.push(subscription.leave(channel));
        true
    }
}
