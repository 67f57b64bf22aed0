//! Signing in: the session becomes a member of a channel of its user's own, and subscribes to those
//! of the users that it watches. Who comes and goes there is told as `online` and `offline`.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::credentials::SignedIn;
use super::{
    Denial, Effect, Frame, JoinRequest, Joined, Operation, Pending, Session, Subscription, send,
};
use crate::auth::pusher::Subject;
use crate::broker::Member;
use crate::channel::ChannelName;
use crate::clock::Now;
use crate::code::ErrorCode;
use crate::protocol::Spelling;
use crate::protocol::pusher::{Event, User};

/// A sign-in whose channels are being joined, the user's own first.
#[derive(Debug)]
pub(super) struct SigningIn {
    user: Arc<str>,
    /// As it was sent.
    user_data: Box<str>,
    channels: Vec<ChannelName>,
    /// Whom it watches, and who has a channel of his own among `channels`, in order.
    watched: Vec<Arc<str>>,
    /// Watches itself.
    itself: bool,
    /// Users on the watchlist that are not watched, for want of room.
    cut: bool,
}

impl SigningIn {
    /// Leaves what was joined for a session that has ended meanwhile.
    pub(super) fn give_back(self, results: Vec<Result<Joined, ErrorCode>>, out: &mut Vec<Effect>) {
        let joined = self.channels.into_iter().zip(results).enumerate();
        for (index, (channel, result)) in joined {
            if let Ok(joined) = result {
                out.push(Effect::Leave {
                    channel,
                    slot: joined.slot,
                    present: index == 0,
                    covered: false,
                });
            }
        }
    }
}

impl Session {
    /// `pusher:signin`
    pub(super) fn sign_in(
        &mut self,
        frame: &Frame<'_>,
        now: Now,
        out: &mut Vec<Effect>,
    ) -> Result<(), Denial> {
        let asked = frame.sign_in()?;
        let subject = Subject::User(&asked.user_data);
        let memo = self.verify(subject, Some(&asked.auth), "signin")?;
        let user = User::decode(&asked.user_data)?;
        self.check_identity(&user.identity)?;
        let own = ChannelName::signed_in(&user.identity.id)
            .map_err(|error| Denial::bad_request(format!("Invalid user id: {error}")))?;
        if let Some(live) = self.credentials.user() {
            if live.identity.id != user.identity.id {
                return Err(Denial::forbidden(
                    "This connection is signed in as another user: open another one",
                ));
            }
            send(&Event::SignedIn(&asked.user_data), out);
            self.count("auth", None);
            return Ok(());
        }
        let signed_in = SignedIn {
            identity: user.identity.clone(),
            by_app: memo.is_none(),
        };
        let wanted = self.watching(own, user, asked.user_data);
        if wanted.channels.len() > self.room() {
            return Err(Denial::new(
                ErrorCode::LimitExceeded,
                "The connection is on too many channels to sign in",
            ));
        }
        self.take_memo(memo, now)?;
        // In force before the user's channel is joined: whoever ends the user's sessions meanwhile
        // finds this one.
        self.credentials.sign_in(signed_in);
        let requests = self.sign_in_requests(&wanted);
        self.perform(Pending::SignIn(wanted), Operation::Join(requests), out);
        Ok(())
    }

    /// Whom the user watches, each once, as far as they may be.
    fn watching(&self, own: ChannelName, user: User, user_data: Box<str>) -> SigningIn {
        let most = self.shared.settings.load().pusher.max_watchlist;
        let cut = user.watchlist.len() > most;
        let itself = user
            .watchlist
            .iter()
            .take(most)
            .any(|id| *id == user.identity.id);
        let mut seen = BTreeSet::from([user.identity.id.clone()]);
        let (mut channels, mut watched) = (vec![own], Vec::new());
        for id in user.watchlist.into_iter().take(most) {
            // Whoever cannot sign in is never there.
            if let Ok(channel) = ChannelName::signed_in(&id)
                && seen.insert(id.clone())
            {
                channels.push(channel);
                watched.push(id);
            }
        }
        SigningIn {
            user: user.identity.id,
            user_data,
            channels,
            watched,
            itself,
            cut,
        }
    }

    fn sign_in_requests(&self, wanted: &SigningIn) -> Vec<JoinRequest> {
        let channels = wanted.channels.iter().enumerate();
        channels
            .map(|(index, channel)| JoinRequest {
                channel: channel.clone(),
                spelling: Spelling::Channel,
                slot: None,
                // What the user shows is for presence channels.
                member: (index == 0).then(|| Member {
                    subject: wanted.user.clone(),
                    session: self.id,
                    info: None,
                }),
                max_members: usize::MAX,
                list: index > 0,
                recover: None,
                rewind: 0,
            })
            .collect()
    }

    /// The channels are joined, as far as they could be. Without the user's own there is no
    /// sign-in.
    pub(super) fn signed_in(
        &mut self,
        wanted: SigningIn,
        results: Vec<Result<Joined, ErrorCode>>,
        out: &mut Vec<Effect>,
    ) {
        if let Some(Err(code)) = results.first() {
            self.credentials.sign_out();
            self.refuse("auth", &Denial::of(*code), out);
            return wanted.give_back(results, out);
        }
        let (mut online, mut offline): (Vec<&str>, Vec<&str>) = (Vec::new(), Vec::new());
        if wanted.itself {
            online.push(&wanted.user);
        }
        for (index, (channel, result)) in wanted.channels.iter().zip(results).enumerate() {
            let there = match &result {
                Ok(joined) => joined.members.as_ref().is_some_and(|list| list.total > 0),
                Err(_) => false,
            };
            if let Some(id) = index.checked_sub(1).and_then(|at| wanted.watched.get(at)) {
                let list = if there { &mut online } else { &mut offline };
                list.push(id);
            }
            if let Ok(joined) = result {
                let subscription = Subscription {
                    slot: joined.slot,
                    spelling: Spelling::Channel,
                    present: index == 0,
                    by_server: true,
                    covered: false,
                };
                self.subscriptions.insert(channel.clone(), subscription);
            }
        }
        send(&Event::SignedIn(&wanted.user_data), out);
        self.count("auth", None);
        if wanted.cut {
            let most = self.shared.settings.load().pusher.max_watchlist;
            send(&Denial::long_watchlist(most).event(), out);
        }
        if !online.is_empty() || !offline.is_empty() {
            let told = Event::Watchlist {
                online: &online,
                offline: &offline,
            };
            send(&told, out);
        }
    }
}
