//! Subscribing and unsubscribing: who may, and as whom.

use super::join::Subscribing;
use super::{Denial, Effect, Frame, Identity, Session};
use crate::auth::pusher::{Memo, Subject};
use crate::auth::{self, Op};
use crate::channel::{Access, ChannelKind, ChannelName, SERVER_TO_USER};
use crate::clock::Now;
use crate::code::ErrorCode;
use crate::protocol::pusher::Subscribe;

/// Longest id of a user, in characters.
const MAX_ID_LETTERS: usize = 128;

impl Session {
    /// `pusher:subscribe`
    pub(super) fn subscribe(&mut self, frame: &Frame<'_>, now: Now, out: &mut Vec<Effect>) {
        let asked = match frame.subscribe() {
            Ok(asked) => asked,
            Err(malformed) => return self.refuse("channel:subscribe", &malformed.into(), out),
        };
        // To be there already is no failure of the channel's.
        if self.subscriptions.contains(&asked.channel) {
            let text = format!("Existing subscription to channel {}", asked.channel);
            return self.refuse("channel:subscribe", &Denial::bad_request(text), out);
        }
        match self.admit(&asked, now) {
            Ok(wanted) => self.join(wanted, out),
            Err(denial) => self.deny(&asked.channel, &denial, out),
        }
    }

    /// Checks that the session may subscribe as it asks to.
    fn admit(&mut self, asked: &Subscribe, now: Now) -> Result<Subscribing, Denial> {
        let channel = ChannelName::parse_pusher(&asked.channel).map_err(Denial::name)?;
        if self.room() == 0 {
            let most = self.shared.settings.load().max_channels;
            let text =
                format!("A connection may be on {most} channels: unsubscribe from one first");
            return Err(Denial::new(ErrorCode::LimitExceeded, text));
        }
        let name = channel.as_str();
        if self.shared.is_covered(name) {
            return Err(Denial::forbidden(
                "An endpoint covers this uri: only native clients reach it",
            ));
        }
        let kind = ChannelKind::of(name);
        match kind {
            ChannelKind::Public => self.check_public(asked, now)?,
            ChannelKind::ServerToUser => self.check_own(name)?,
            _ => self.check_guarded(asked, now)?,
        }
        let member = match kind {
            ChannelKind::Presence => Some(self.member(asked.channel_data.as_deref())?),
            _ => None,
        };
        Ok(Subscribing {
            channel,
            member,
            by_server: false,
        })
    }

    /// A public channel is open unless a rule says who may subscribe: then a token that a
    /// signature remembers counts, or a signature for this very channel.
    fn check_public(&mut self, asked: &Subscribe, now: Now) -> Result<(), Denial> {
        let rules = self.shared.rules.load_full();
        let name = &*asked.channel;
        let rule = rules.of(name);
        let memos = self.credentials.memos();
        let open = rules.is_open_to_pusher(name)
            || auth::may(Op::Subscribe, name, rule, None)
            || memos
                .iter()
                .any(|memo| auth::may(Op::Subscribe, name, rule, Some(&memo.grant())));
        if open {
            return Ok(());
        }
        if asked.auth.as_deref().is_none_or(str::is_empty) {
            return Err(closed());
        }
        self.check_guarded(asked, now)
    }

    /// What is for one user only.
    fn check_own(&self, name: &str) -> Result<(), Denial> {
        let user = self.credentials.user().map(|user| &*user.identity.id);
        if user.is_some() && name.strip_prefix(SERVER_TO_USER) == user {
            return Ok(());
        }
        Err(Denial::forbidden(
            "This channel is for another user: sign in as the user first",
        ))
    }

    /// With a signature, unless the rule lets nobody in.
    fn check_guarded(&mut self, asked: &Subscribe, now: Now) -> Result<(), Denial> {
        if self.shared.rules.load().of(&asked.channel).subscribe == Access::Nobody {
            return Err(closed());
        }
        let subject = Subject::Channel {
            channel: &asked.channel,
            channel_data: asked.channel_data.as_deref(),
        };
        let what = format!("subscription to {}", asked.channel);
        let memo = self.verify(subject, asked.auth.as_deref(), &what)?;
        self.take_memo(memo, now)
    }

    /// Checks a signature.
    pub(super) fn verify(
        &self,
        subject: Subject<'_>,
        shown: Option<&str>,
        what: &str,
    ) -> Result<Option<Memo>, Denial> {
        let app = self
            .app()
            .ok_or(Denial::forbidden("This app is no longer served here"))?;
        let shown = shown.unwrap_or_default();
        app.verify(self.id, subject, shown).map_err(|error| {
            let signed = subject.text(self.id);
            Denial::signature(error, what, (&signed, shown))
        })
    }

    /// Takes what a signature remembers, unless the token has ended or is revoked.
    pub(super) fn take_memo(&mut self, memo: Option<Memo>, now: Now) -> Result<(), Denial> {
        let Some(memo) = memo else { return Ok(()) };
        let leeway = self.shared.settings.load().leeway.as_secs();
        if memo.expires_at.saturating_add(leeway) <= now.unix.as_secs() {
            let text = "The signature's token has ended: ask for a fresh one";
            return Err(Denial::new(ErrorCode::TokenExpired, text));
        }
        let grant = memo.grant();
        let Some(is_new) = self.credentials.take(memo) else {
            let text = "Too many tokens were used on this connection: open another";
            return Err(Denial::new(ErrorCode::LimitExceeded, text));
        };
        // In force first, then checked: a revocation that is not seen here will find it.
        if self.shared.revocations.refuses(&grant) {
            if is_new {
                self.credentials.take_back();
            }
            let text = "The signature's token has been revoked: sign in again";
            return Err(Denial::new(ErrorCode::TokenRevoked, text));
        }
        self.arm(now);
        Ok(())
    }

    /// Who the session is on a presence channel: as signed, or else the user that is signed in.
    fn member(&self, channel_data: Option<&str>) -> Result<Identity, Denial> {
        let identity = match (channel_data, self.credentials.user()) {
            (Some(data), _) => Identity::decode(data)?,
            (None, Some(user)) => user.identity.clone(),
            (None, None) => {
                return Err(Denial::bad_request(
                    "A presence channel needs `channel_data` with a `user_id`, or a signed-in user",
                ));
            }
        };
        self.check_identity(&identity)?;
        Ok(identity)
    }

    /// Bounds what others will be shown.
    pub(super) fn check_identity(&self, identity: &Identity) -> Result<(), Denial> {
        if identity.id.chars().count() > MAX_ID_LETTERS {
            return Err(Denial::new(
                ErrorCode::TooLarge,
                format!("The user's id is over {MAX_ID_LETTERS} characters"),
            ));
        }
        let most = self.shared.settings.load().pusher.max_user_info_bytes;
        let long = |info: &serde_json::value::RawValue| info.get().len() > most;
        if identity.info.as_deref().is_some_and(long) {
            let text = format!("The user_info is over {most} bytes");
            return Err(Denial::new(ErrorCode::TooLarge, text));
        }
        Ok(())
    }

    /// `pusher:unsubscribe`
    pub(super) fn unsubscribe(
        &mut self,
        frame: &Frame<'_>,
        out: &mut Vec<Effect>,
    ) -> Result<(), Denial> {
        let name = frame.unsubscribe()?;
        // What is not there is left already; channels of our own cannot be named.
        if ChannelName::parse_pusher(&name).is_ok() {
            self.leave(&name, out);
        }
        self.count("channel:unsubscribe", None);
        Ok(())
    }
}

fn closed() -> Denial {
    Denial::forbidden("This channel is not open to this connection")
}
