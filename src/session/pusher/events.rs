//! Clients' own events.

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::{Denial, Effect, Frame, Operation, Pending, Session};
use crate::channel::{Access, ChannelKind, ChannelName, check_event};
use crate::clock::Now;
use crate::code::ErrorCode;
use crate::metrics::WhatLabel;
use crate::publication::Form;

/// What the rate is counted in.
const WINDOW: Duration = Duration::from_secs(1);

/// How many more events the client may send within the window.
#[derive(Debug, Default)]
pub(super) struct Allowance {
    since: Option<Instant>,
    used: u32,
}

impl Allowance {
    /// Takes one of `most` a window.
    fn take(&mut self, most: u32, now: Now) -> bool {
        let fresh = self
            .since
            .is_none_or(|since| now.instant.saturating_duration_since(since) >= WINDOW);
        if fresh {
            self.since = Some(now.instant);
            self.used = 0;
        }
        let may = self.used < most;
        self.used += u32::from(may);
        may
    }
}

impl Session {
    /// `client-…`
    pub(super) fn publish(
        &mut self,
        frame: &Frame<'_>,
        now: Now,
        out: &mut Vec<Effect>,
    ) -> Result<(), Denial> {
        let settings = self.shared.settings.load_full();
        let most = settings.pusher.client_events_per_second;
        if !self.allowance.take(most, now) {
            let what = "client_events";
            let limited = &self.shared.metrics.rate_limited;
            limited.get_or_create(&WhatLabel { what }).inc();
            return Err(Denial::too_many_events(most));
        }
        let channel = self.checked_channel(frame)?;
        check_event(&frame.event)
            .map_err(|error| Denial::bad_request(format!("Invalid event name: {error}")))?;
        let data = frame.data.map_or("null", |raw| raw.get());
        let most = settings.pusher.max_event_bytes;
        if data.len() > most {
            let text = format!(
                "The data content of this event exceeds the allowed maximum ({most} bytes)"
            );
            return Err(Denial::new(ErrorCode::TooLarge, text));
        }
        let operation = Operation::Publish {
            event: (*frame.event).into(),
            data: Bytes::copy_from_slice(data.as_bytes()),
            form: Form::Client,
            user: self.members.get(&channel).cloned(),
            echo: false,
            channel,
        };
        self.perform(Pending::Publish, operation, out);
        Ok(())
    }

    /// The channel of an event, if the client may send there.
    fn checked_channel(&self, frame: &Frame<'_>) -> Result<ChannelName, Denial> {
        if !self.app().is_some_and(|app| app.client_events) {
            return Err(Denial::forbidden(
                "To send client events, you must enable this feature in the app's settings \
                 (`client_events`)",
            ));
        }
        let name = frame.channel.as_deref().unwrap_or_default();
        let kind = ChannelKind::of(name);
        if !matches!(kind, ChannelKind::Private | ChannelKind::Presence) {
            return Err(Denial::forbidden(
                "Client event rejected - only supported on private and presence channels",
            ));
        }
        let Some(channel) = self.subscriptions.name(name).cloned() else {
            return Err(Denial::forbidden(
                "Client event rejected - you must be subscribed to the channel",
            ));
        };
        if self.shared.rules.load().of(name).publish == Access::Nobody {
            return Err(Denial::forbidden(
                "Client event rejected - the channel's rule lets nobody publish",
            ));
        }
        Ok(channel)
    }
}
