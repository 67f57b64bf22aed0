//! Who enters a channel's presence and who leaves it, told in that order.

use super::MemoryBroker;
use crate::broker::{BrokerError, Member, presence_push};
use crate::channel::ChannelName;
use crate::publication::Admission;
use crate::session_id::SessionId;

impl MemoryBroker {
    pub(super) fn enter_now(
        &self,
        channel: &ChannelName,
        (member, most): (Member, usize),
        admission: Option<Admission>,
    ) -> Result<bool, BrokerError> {
        let now = (self.clock)();
        let mut stripe = self.stripe(channel);
        self.ensure(&mut stripe, channel, now)?;
        let entering = member.clone();
        let Some((first, replaced)) = stripe.enter(channel, member, most) else {
            return Err(BrokerError::Full {
                what: "members of a presence channel",
                limit: most,
                setting: "pusher.max_members",
            });
        };
        if let Some(gone) = replaced {
            let push = presence_push(channel, &gone, (false, stripe.revise()), now);
            self.deliver.deliver(push, None);
        }
        if first {
            let push = presence_push(channel, &entering, (true, stripe.revise()), now);
            self.deliver.deliver(push, admission);
        }
        Ok(first)
    }

    pub(super) fn exit_now(
        &self,
        channel: &ChannelName,
        session: SessionId,
        admission: Option<Admission>,
    ) -> Option<Member> {
        let now = (self.clock)();
        let rule = (self.rules)(channel.as_str());
        let mut stripe = self.stripe(channel);
        let gone = stripe.exit(channel, session);
        stripe.settle(channel, rule, &self.bounds, now.instant);
        if let Some(gone) = &gone {
            let push = presence_push(channel, gone, (false, stripe.revise()), now);
            self.deliver.deliver(push, admission);
        }
        gone
    }
}
