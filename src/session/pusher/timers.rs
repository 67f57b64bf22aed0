//! What a session does as time passes: it pings a silent client, closes one that does not answer,
//! and ends with the first of its tokens.

use std::time::{Duration, Instant};

use super::{ANSWERS_PINGS, Session, send};
use crate::clock::Now;
use crate::code::CloseCode;
use crate::protocol::frame;
use crate::protocol::pusher::Event;
use crate::session::{Effect, PusherSettings};

/// Added to the deadline of a session that waits for nothing.
const IDLE: Duration = Duration::from_secs(86_400);

/// A session's deadlines. The two spans stay as they were when it began: the client was told.
#[derive(Debug)]
pub(super) struct Timers {
    activity: Duration,
    pong: Duration,
    heard_at: Instant,
    /// When it was pinged, if nothing was heard since.
    pinged_at: Option<Instant>,
    /// When the first of its tokens has ended.
    end_at: Option<Instant>,
}

impl Timers {
    pub(super) fn new(settings: &PusherSettings, now: Now) -> Self {
        Self {
            activity: settings.activity_timeout,
            pong: settings.pong_timeout,
            heard_at: now.instant,
            pinged_at: None,
            end_at: None,
        }
    }

    pub(super) fn activity(&self) -> Duration {
        self.activity
    }

    fn silent_at(&self) -> Instant {
        match self.pinged_at {
            Some(at) => at + self.pong,
            None => self.heard_at + self.activity,
        }
    }
}

impl Session {
    /// Anything came from the client, pongs included.
    pub fn heard(&mut self, now: Now) {
        self.timers.heard_at = now.instant;
        self.timers.pinged_at = None;
    }

    /// When [`Self::on_deadline`] wants to be called next.
    pub fn deadline(&self) -> Instant {
        let silent_at = self.timers.silent_at();
        if self.closed {
            return silent_at + IDLE;
        }
        self.timers.end_at.map_or(silent_at, |at| at.min(silent_at))
    }

    /// A deadline has passed.
    pub fn on_deadline(&mut self, now: Now, out: &mut Vec<Effect>) {
        if self.closed {
            return;
        }
        // The calendar may have been set.
        self.arm(now);
        if self.timers.end_at.is_some_and(|at| at <= now.instant) {
            return self.close(CloseCode::TokenExpired, out);
        }
        if self.timers.silent_at() > now.instant {
            return;
        }
        if self.timers.pinged_at.is_some() {
            return self.close(CloseCode::Idle, out);
        }
        self.timers.pinged_at = Some(now.instant);
        if self.version.is_some_and(|version| version >= ANSWERS_PINGS) {
            send(&Event::Ping, out);
        } else {
            out.push(Effect::Send(frame::ping_frame()));
        }
    }

    /// Sets the end that the tokens bring.
    pub(super) fn arm(&mut self, now: Now) {
        let leeway = self.shared.settings.load().leeway;
        let expires = self.credentials.expires_at();
        self.timers.end_at = expires.map(|expires| {
            // The leeway counts on the calendar, so that what has ended is not given it anew.
            let end = expires.saturating_add(leeway.as_secs());
            now.instant_of(Duration::from_secs(end))
        });
    }
}
