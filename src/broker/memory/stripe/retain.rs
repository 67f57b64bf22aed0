//! Retaining, within the bytes that all histories may use.

use std::sync::Arc;
use std::time::Instant;

use super::Stripe;
use crate::broker::Retained;
use crate::broker::memory::STRIPES;
use crate::broker::memory::bounds::Bounds;
use crate::broker::memory::history::History;
use crate::channel::{ChannelName, HistoryRule};
use crate::publication::Publication;

/// How many channels that were published on lately may be passed over in search of an old one.
const SECOND_CHANCES: usize = 16;

impl Stripe {
    pub(super) fn retain(&mut self, publication: &Publication, bounds: &Bounds, now: Instant) {
        let name = &publication.channel;
        let retained = Retained {
            event: Arc::clone(&publication.event),
            data: publication.data.clone(),
            offset: publication.sequence,
            time: publication.time,
            expires: publication.expires,
            exclude: publication.exclude,
            form: publication.form,
            item: publication.item().cloned(),
        };
        let fits = self.make_history_room(name, History::cost(&retained), bounds, now);
        let Some(channel) = self.channels.get_mut(name) else {
            return;
        };
        if !fits {
            channel.history.lose(publication.sequence);
            return;
        }
        channel.history.push(retained, now);
        channel.retained_at = now;
        if channel.aged.is_none() {
            channel.aged = Some(now);
            self.ages.insert((now, name.clone()));
            self.names.insert(name.clone());
        }
    }

    /// Takes `cost` from the bytes of all histories. Where they are used up, a channel that has
    /// more than its share pays itself; else the stripe's channel that was published on longest
    /// ago loses its history; else the channel itself what it has.
    fn make_history_room(
        &mut self,
        name: &ChannelName,
        cost: usize,
        bounds: &Bounds,
        now: Instant,
    ) -> bool {
        let limit = bounds.config.history_bytes;
        while !bounds.take_history(cost) {
            let own = self
                .channels
                .get(name)
                .map_or(0, |channel| channel.history.bytes());
            let greedy = own > 0 && own + cost > limit / STRIPES;
            let victim = if greedy { None } else { self.victim(name) };
            if let Some(victim) = victim {
                self.change(&victim, bounds, History::clear);
                self.index_idle(&victim, now);
            } else if own > 0 {
                self.change(name, bounds, History::drop_oldest);
            } else {
                return false;
            }
        }
        true
    }

    /// The channel other than `name` that was published on longest ago, roughly.
    fn victim(&mut self, name: &ChannelName) -> Option<ChannelName> {
        for _ in 0..SECOND_CHANCES {
            let (age, oldest) = self.ages.iter().find(|(_, other)| other != name)?.clone();
            let channel = self.channels.get_mut(&oldest)?;
            if channel.retained_at <= age {
                return Some(oldest);
            }
            channel.aged = Some(channel.retained_at);
            self.ages.remove(&(age, oldest.clone()));
            self.ages.insert((channel.retained_at, oldest));
        }
        let (_, oldest) = self.ages.iter().find(|(_, other)| other != name)?;
        Some(oldest.clone())
    }

    /// Changes a history; gives back the bytes that it no longer uses.
    pub(super) fn change<T>(
        &mut self,
        name: &ChannelName,
        bounds: &Bounds,
        change: impl FnOnce(&mut History) -> T,
    ) -> Option<T> {
        let channel = self.channels.get_mut(name)?;
        let before = channel.history.bytes();
        let answer = change(&mut channel.history);
        let freed = before - channel.history.bytes();
        bounds.give_history(freed);
        if channel.history.is_empty()
            && let Some(aged) = channel.aged.take()
        {
            self.ages.remove(&(aged, name.clone()));
            self.names.remove(name);
        }
        Some(answer)
    }

    pub(in crate::broker::memory) fn trim(
        &mut self,
        name: &ChannelName,
        rule: Option<HistoryRule>,
        bounds: &Bounds,
        now: Instant,
    ) {
        let expired = self.change(name, bounds, |history| history.trim(rule, now));
        bounds.count_expired(expired.unwrap_or_default());
    }
}
