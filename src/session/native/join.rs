//! Joining channels, whoever wants it: the requests that go out and what comes back.

use std::sync::Arc;

use super::pending::{Pending, Target};
use super::refusal::Refusal;
use super::replay::Wanted;
use super::subscriptions::Subscription;
use super::{Effect, JoinRequest, Joined, Operation, Outcome, Session};
use crate::broker::{HistoryPage, Member};
use crate::channel::ChannelName;
use crate::code::ErrorCode;
use crate::protocol::Spelling;

impl Session {
    /// How many more channels the session may be on.
    pub(super) fn room(&self) -> usize {
        let most = self.shared.settings.load().max_channels;
        self.subscriptions.room(most)
    }

    pub(super) fn check_room(&self, channel: &ChannelName, others: usize) -> Result<(), Refusal> {
        if self.subscriptions.contains(channel.as_str()) || self.room() > others {
            return Ok(());
        }
        Err(Refusal::too_many_channels(
            self.shared.settings.load().max_channels,
        ))
    }

    /// No list is longer than the channels that a session may be on.
    pub(super) fn check_list(&self, names: usize) -> Result<(), Refusal> {
        let limit = self.shared.settings.load().max_channels;
        if names <= limit {
            return Ok(());
        }
        Err(Refusal::new(
            ErrorCode::LimitExceeded,
            format!("A list may name {limit} channels; send several commands."),
        ))
    }

    /// A channel to join, as the session stands now.
    pub(super) fn target(
        &self,
        channel: ChannelName,
        spelling: Spelling,
        wanted: Wanted,
    ) -> Target {
        let renewed = self.subscriptions.contains(channel.as_str());
        let present = self.shared.rules.load().of(channel.as_str()).presence;
        Target {
            channel,
            spelling,
            present,
            by_server: false,
            renewed,
            wanted,
        }
    }

    pub(super) fn join(&mut self, pending: Pending, out: &mut Vec<Effect>) {
        let requests = self.requests(pending.targets());
        self.perform(pending, Operation::Join(requests), out);
    }

    /// The requests that join `targets`.
    pub(super) fn requests(&mut self, targets: &[Target]) -> Vec<JoinRequest> {
        let member = targets
            .iter()
            .any(|target| target.present)
            .then(|| self.member());
        targets
            .iter()
            .map(|target| {
                let live = self.subscriptions.get_mut(target.channel.as_str());
                let slot = live.map(|live| {
                    // From now on there may be an entry, even if the session ends meanwhile.
                    live.present |= target.present;
                    live.slot
                });
                JoinRequest {
                    channel: target.channel.clone(),
                    spelling: target.spelling,
                    slot,
                    member: member.clone().filter(|_| target.present),
                    max_members: usize::MAX,
                    list: false,
                    recover: target
                        .wanted
                        .since
                        .as_ref()
                        .map(|since| since.position.clone()),
                    rewind: target.wanted.rewind,
                }
            })
            .collect()
    }

    /// What presence shows of the session. Without a subject each session is its own member.
    fn member(&self) -> Member {
        let grant = self.grant.as_deref();
        let subject = grant.and_then(|grant| grant.subject.clone());
        Member {
            subject: subject.unwrap_or_else(|| self.id.to_string().into()),
            session: self.id,
            info: grant.and_then(|grant| grant.info.clone()).map(Arc::from),
        }
    }

    /// Takes in what was joined: a page for each target, or why not.
    pub(super) fn absorb(
        &mut self,
        targets: &[Target],
        results: Vec<Result<Joined, ErrorCode>>,
    ) -> Vec<Result<HistoryPage, Refusal>> {
        let missing = std::iter::repeat_with(|| Err(ErrorCode::Internal));
        targets
            .iter()
            .zip(results.into_iter().chain(missing))
            .map(|(target, result)| self.absorb_one(target, result.map_err(Refusal::of)?))
            .collect()
    }

    fn absorb_one(&mut self, target: &Target, joined: Joined) -> Result<HistoryPage, Refusal> {
        let live = self.subscriptions.get(target.channel.as_str());
        let stays = live.is_some_and(|live| live.slot == joined.slot);
        if target.renewed && !stays {
            return Err(Refusal::new(
                ErrorCode::NotSubscribed,
                "The server ended this subscription meanwhile; subscribe again if you may.",
            ));
        }
        let subscription = Subscription {
            slot: joined.slot,
            spelling: target.spelling,
            present: target.present || live.is_some_and(|live| live.present),
            by_server: target.by_server || live.is_some_and(|live| live.by_server),
            covered: live.is_some_and(|live| live.covered),
        };
        self.subscriptions
            .insert(target.channel.clone(), subscription);
        Ok(joined.page)
    }

    /// Leaves what was joined for a session that has ended meanwhile.
    pub(super) fn give_back(pending: &Pending, outcome: Outcome, out: &mut Vec<Effect>) {
        let Outcome::Joined(results) = outcome else {
            return;
        };
        for (target, result) in pending.targets().iter().zip(results) {
            if let Ok(joined) = result
                && !target.renewed
            {
                out.push(Effect::Leave {
                    channel: target.channel.clone(),
                    slot: joined.slot,
                    present: target.present,
                    covered: false,
                });
            }
        }
    }
}
