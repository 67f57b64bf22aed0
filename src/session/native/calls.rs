//! The gateway's calls of a session: which are under way, which wait for room, and what their
//! answers mean.
//!
//! Held: at most `gateway.max_calls` are under way; a command that finds none free is refused, and
//! what the session asks for by itself waits, at most once for each channel that it may be on.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;

use super::pending::Ticket;
use super::refusal::Refusal;
use super::subscriptions::Subscription;
use super::{Effect, Session, Stage};
use crate::channel::ChannelName;
use crate::code::ErrorCode;
use crate::protocol::{Event, Name, Spelling};
use crate::resource::{Answer, Call, CallOptions, Caller, Success, Verb};
use crate::session::{Binding, Slot};

/// What an answer takes beside its data, at most.
const OVERHEAD_BYTES: usize = 4 * 1024;

/// A session's calls.
#[derive(Debug, Default)]
pub(super) struct Calls {
    under_way: Vec<UnderWay>,
    waiting: VecDeque<Wish>,
}

/// A call that was made.
#[derive(Debug)]
struct UnderWay {
    id: u32,
    /// On which of the session's tokens.
    turn: u32,
    asked: Asked,
}

/// A call to be made.
#[derive(Debug)]
pub(super) struct Wish {
    pub(super) asked: Asked,
    pub(super) body: Bytes,
    pub(super) options: CallOptions,
}

/// What is known of a call until it is answered.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) verb: Verb,
    pub(super) uri: ChannelName,
    pub(super) spelling: Spelling,
    /// Whether the session may be on one more channel then.
    pub(super) binds: bool,
    /// Whether the resource comes with it.
    pub(super) resource: bool,
    /// Whether the last events were asked for.
    pub(super) rewinds: bool,
    pub(super) purpose: Purpose,
}

/// Why a call is made.
#[derive(Debug)]
pub(super) enum Purpose {
    /// A command, to be answered.
    Command(Ticket<'static>),
    /// So many of a list.
    Listed(usize),
    /// The server's decision.
    Server,
    /// The token's list.
    Token,
    /// Another token: may the session stay?
    Recheck,
}

impl Wish {
    /// A call of the session's own.
    pub(super) fn own(
        verb: Verb,
        (uri, spelling): (ChannelName, Spelling),
        purpose: Purpose,
    ) -> Self {
        let options = CallOptions {
            bind: true,
            echo: true,
            ..CallOptions::default()
        };
        Self {
            asked: Asked {
                verb,
                uri,
                spelling,
                binds: verb == Verb::Bind,
                resource: false,
                rewinds: false,
                purpose,
            },
            body: Bytes::new(),
            options,
        }
    }
}

impl Asked {
    /// Whether `success` holds all that was pushed up to its position.
    fn is_whole(&self, success: &Success) -> bool {
        match self.verb {
            Verb::Index | Verb::Show => true,
            Verb::Bind => self.resource || success.recovered.is_some(),
            Verb::Create | Verb::Update | Verb::Delete | Verb::Recheck => false,
        }
    }
}

impl Session {
    /// Refuses a command whose call would be one too many.
    pub(super) fn check_calls(&self) -> Result<(), Refusal> {
        let most = self.shared.settings.load().max_calls;
        let calls = self.calls.as_ref();
        if calls.map_or(0, |calls| calls.under_way.len()) < most {
            return Ok(());
        }
        Err(Refusal::new(
            ErrorCode::LimitExceeded,
            format!("A session may have {most} calls under way; wait for a reply first."),
        ))
    }

    /// How many channels more the session will be on when its calls have been answered.
    pub(super) fn to_be_bound(&self) -> usize {
        let Some(calls) = &self.calls else { return 0 };
        let under_way = calls.under_way.iter().map(|made| &made.asked);
        let waiting = calls.waiting.iter().map(|wish| &wish.asked);
        let adds = |asked: &&Asked| asked.binds && !self.subscriptions.contains(asked.uri.as_str());
        under_way.chain(waiting).filter(adds).count()
    }

    /// Makes a call, or lets it wait for its turn.
    pub(super) fn call(&mut self, wish: Wish, out: &mut Vec<Effect>) {
        self.calls.get_or_insert_default().waiting.push_back(wish);
        self.make_calls(out);
    }

    /// Makes the calls that wait, as far as there is room.
    fn make_calls(&mut self, out: &mut Vec<Effect>) {
        let mut caller = None;
        while let Some(wish) = self.next_wish() {
            let caller = caller.get_or_insert_with(|| Arc::new(self.caller()));
            self.last_call = self.last_call.wrapping_add(1);
            out.push(Effect::Call(Box::new(Call {
                id: self.last_call,
                verb: wish.asked.verb,
                uri: wish.asked.uri.clone(),
                body: wish.body,
                options: wish.options,
                caller: caller.clone(),
            })));
            self.calls.get_or_insert_default().under_way.push(UnderWay {
                id: self.last_call,
                turn: self.turn,
                asked: wish.asked,
            });
        }
        // Held only while there are any.
        self.calls
            .take_if(|calls| calls.under_way.is_empty() && calls.waiting.is_empty());
    }

    fn next_wish(&mut self) -> Option<Wish> {
        let most = self.shared.settings.load().max_calls;
        let calls = self.calls.as_mut()?;
        let room = calls.under_way.len() < most;
        room.then(|| calls.waiting.pop_front()).flatten()
    }

    /// Asks whether the session may stay bound, now that it has another token.
    pub(super) fn recheck(&mut self, out: &mut Vec<Effect>) {
        if let Some(calls) = &mut self.calls {
            // Those that still wait would ask the same.
            let again = |wish: &Wish| matches!(wish.asked.purpose, Purpose::Recheck);
            calls.waiting.retain(|wish| !again(wish));
        }
        let bound = self.subscriptions.iter();
        let bound: Vec<_> = bound
            .filter(|(_, subscription)| subscription.covered)
            .map(|(uri, subscription)| (uri.clone(), subscription.spelling))
            .collect();
        self.check_bound(bound, out);
    }

    /// Asks whether the session may stay bound to these. It is given nothing of any of them until
    /// that is known, though it may take its time until all are asked about.
    fn check_bound(&mut self, bound: Vec<(ChannelName, Spelling)>, out: &mut Vec<Effect>) {
        if bound.is_empty() {
            return;
        }
        let uris = bound.iter().map(|(uri, _)| uri.clone()).collect();
        out.push(Effect::Hold(uris, Arc::new(self.caller())));
        for of in bound {
            self.call(Wish::own(Verb::Recheck, of, Purpose::Recheck), out);
        }
    }

    fn caller(&self) -> Caller {
        Caller {
            grant: self.grant.clone(),
            address: self.address,
            turn: self.turn,
        }
    }

    /// How the session would be bound by `answer`; none: it is not, and what the gateway has done
    /// for it must be undone.
    pub fn binding(&self, answer: &Answer) -> Option<Binding> {
        let bound = answer.bound.as_ref()?;
        let success = answer.result.as_ref().ok()?;
        let calls = self.calls.as_ref()?;
        let mut under_way = calls.under_way.iter();
        let asked = &under_way.find(|made| made.id == answer.call)?.asked;
        let live = self.subscriptions.get(bound.uri.as_str());
        // Without a subscription, one that is not fresh has been left meanwhile.
        let may = live.is_some() || bound.fresh && self.room() > 0;
        if self.stage == Stage::Closed || !may || !self.fits(success) {
            return None;
        }
        let spelling = match (&asked.purpose, live) {
            (Purpose::Recheck, Some(live)) => live.spelling,
            _ => asked.spelling,
        };
        Some(Binding {
            slot: live.map(|live| live.slot),
            spelling,
            whole: asked.is_whole(success),
        })
    }

    /// Whether a reply with this passes through the mailbox.
    pub(super) fn fits(&self, success: &Success) -> bool {
        let most = self.shared.settings.load().mailbox_bytes;
        success.data.len() + OVERHEAD_BYTES <= most
    }

    /// Takes the answer to a call. `slot`: where the subscription lies that it makes or renews, as
    /// [`Self::binding`] has allowed.
    pub fn answered(&mut self, mut answer: Answer, slot: Option<Slot>, out: &mut Vec<Effect>) {
        let made = self.take_call(answer.call);
        let Some(made) = made.filter(|_| self.stage != Stage::Closed) else {
            return;
        };
        let (asked, stale) = (made.asked, made.turn != self.turn);
        match (&answer.bound, slot) {
            (Some(bound), Some(slot)) => {
                let live = self.subscriptions.get(bound.uri.as_str()).copied();
                let spelling = match (&asked.purpose, live) {
                    (Purpose::Recheck, Some(live)) => live.spelling,
                    _ => asked.spelling,
                };
                let subscription = Subscription {
                    slot,
                    spelling,
                    present: live.is_some_and(|live| live.present),
                    by_server: matches!(asked.purpose, Purpose::Server)
                        || live.is_some_and(|live| live.by_server),
                    covered: true,
                };
                self.subscriptions.insert(bound.uri.clone(), subscription);
            }
            _ => answer.bound = None,
        }
        // What another token than the one in force was allowed, that one has still to be asked.
        let bound = answer.bound.as_ref().filter(|_| stale);
        let unasked = bound.map(|bound| (bound.uri.clone(), asked.spelling));
        // Of what was asked on an older token, the newer one has been asked meanwhile.
        if !(stale && matches!(asked.purpose, Purpose::Recheck)) {
            self.conclude(asked, answer, out);
        }
        self.check_bound(unasked.into_iter().collect(), out);
        self.make_calls(out);
    }

    fn take_call(&mut self, id: u32) -> Option<UnderWay> {
        let calls = self.calls.as_mut()?;
        let at = calls.under_way.iter().position(|made| made.id == id)?;
        Some(calls.under_way.swap_remove(at))
    }

    fn conclude(&mut self, asked: Asked, answer: Answer, out: &mut Vec<Effect>) {
        match &asked.purpose {
            Purpose::Command(ticket) => self.reply_answer(ticket, &asked, &answer, out),
            Purpose::Listed(at) => self.gathered(*at, (asked, answer), out),
            Purpose::Server | Purpose::Token => {
                if let Some(bound) = &answer.bound {
                    let name = Name {
                        spelling: asked.spelling,
                        text: bound.uri.as_str(),
                    };
                    let position = bound.position.as_ref();
                    self.send(&Event::Subscribed { name, position }, out);
                }
            }
            Purpose::Recheck => {
                if let Err(failure) = &answer.result {
                    self.remove(asked.uri.as_str(), failure.code.name(), out);
                }
            }
        }
    }
}
