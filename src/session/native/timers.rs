//! What a session does as time passes: pings, the deadline for a token, the warning before it
//! ends and the end itself.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::{Duration, Instant};

use super::pending::Pending;
use super::{Effect, Session, Settings, Stage};
use crate::clock::Now;
use crate::code::CloseCode;
use crate::protocol::{Event, frame};
use crate::session_id::SessionId;

/// Added to the deadline of a session that waits for nothing.
const IDLE: Duration = Duration::from_secs(86_400);

/// A session's deadlines.
#[derive(Debug)]
pub(super) struct Timers {
    /// When to ping next.
    ping_at: Instant,
    /// Whether anything was heard since the last ping (or the start).
    heard: bool,
    /// When the session ends for want of a token, or with the one it has.
    end_at: Option<Instant>,
    /// When to say that the token ends; once for each token.
    warn_at: Option<Instant>,
}

impl Timers {
    /// The first ping comes at a moment of the first interval's second half that depends on the
    /// session, so that sessions that came together are not pinged together.
    pub(super) fn new(id: SessionId, settings: &Settings, now: Now) -> Self {
        let mut hasher = DefaultHasher::new();
        id.hash(&mut hasher);
        let share = (hasher.finish() % 1024) as u32 + 1;
        let first = settings.ping_interval / 2 + settings.ping_interval / 2048 * share;
        Self {
            ping_at: now.instant + first,
            heard: true,
            end_at: None,
            warn_at: None,
        }
    }
}

impl Session {
    /// Anything came from the client, pongs included.
    pub fn heard(&mut self, _now: Now) {
        self.timers.heard = true;
    }

    /// When [`Self::on_deadline`] wants to be called next.
    pub fn deadline(&self) -> Instant {
        let timers = &self.timers;
        if self.stage == Stage::Closed {
            return timers.ping_at + IDLE;
        }
        let warn_at = timers.warn_at.filter(|_| self.may_warn());
        [timers.end_at, warn_at]
            .into_iter()
            .flatten()
            .fold(timers.ping_at, Instant::min)
    }

    /// A deadline has passed.
    pub fn on_deadline(&mut self, now: Now, out: &mut Vec<Effect>) {
        if self.stage == Stage::Closed {
            return;
        }
        let due = |at: Option<Instant>| at.is_some_and(|at| at <= now.instant);
        if due(self.timers.end_at) {
            let code = if self.grant.is_some() {
                CloseCode::TokenExpired
            } else {
                CloseCode::Unauthenticated
            };
            return self.close(code, out);
        }
        if due(self.timers.warn_at) && self.may_warn() {
            self.timers.warn_at = None;
            if let Some(grant) = &self.grant {
                self.send(
                    &Event::Expiring {
                        expires: grant.expires_at,
                    },
                    out,
                );
            }
        }
        if self.timers.ping_at <= now.instant {
            self.ping(now, out);
        }
    }

    /// Sets the deadlines that a token brings, or the want of one.
    pub(super) fn arm_token(&mut self, now: Now) {
        let settings = self.shared.settings.load();
        let (end_at, warn_at) = match &self.grant {
            Some(grant) => {
                let expires = Duration::from_secs(grant.expires_at);
                let end = expires.saturating_add(settings.leeway);
                let warning = expires.saturating_sub(settings.expiry_warning);
                (Some(now.instant_of(end)), Some(now.instant_of(warning)))
            }
            None => (
                settings
                    .auth_required
                    .then(|| now.instant + settings.auth_deadline),
                None,
            ),
        };
        self.timers.end_at = end_at;
        self.timers.warn_at = warn_at;
    }

    /// Not before the welcome, nor before the reply to the `auth` that brought the token.
    fn may_warn(&self) -> bool {
        self.stage == Stage::Open && !matches!(self.pending.as_deref(), Some(Pending::Refresh(..)))
    }

    fn ping(&mut self, now: Now, out: &mut Vec<Effect>) {
        if !self.timers.heard {
            return self.close(CloseCode::Idle, out);
        }
        self.timers.heard = false;
        self.timers.ping_at = now.instant + self.shared.settings.load().ping_interval;
        out.push(Effect::Send(frame::ping_frame()));
        self.follow_changes(now);
    }

    /// The calendar may have been set, and settings changed: each ping looks again.
    fn follow_changes(&mut self, now: Now) {
        let (end_at, warn_at) = (self.timers.end_at, self.timers.warn_at);
        self.arm_token(now);
        if warn_at.is_none() {
            self.timers.warn_at = None;
        }
        if self.grant.is_none() && end_at.is_some() && self.timers.end_at.is_some() {
            self.timers.end_at = end_at;
        }
    }
}
