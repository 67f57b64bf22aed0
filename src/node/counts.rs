//! How many subscribers a channel has, told to Pusher's clients of apps that want it, and to
//! webhooks: at once up to [`SMALL`], beyond it at most every [`INTERVAL`].
//!
//! Invariant: what is told is counted and handed over under one lock, so that the last that is told
//! is right. While nobody wants counts, a change costs two relaxed loads.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::channel::{ChannelKind, ChannelName};
use crate::clock::Now;
use crate::hub::Hub;
use crate::notice::{News, NoticeKind};
use crate::publication::{Deliver, Form, Publication};

/// So many subscribers are told of each change.
const SMALL: usize = 100;
/// How often larger channels are told.
const INTERVAL: Duration = Duration::from_secs(5);

/// What is known of large channels.
#[derive(Debug, Default)]
pub(super) struct Counts {
    wanted: AtomicBool,
    /// At most as many as there are channels of more than [`SMALL`] subscribers.
    large: Mutex<HashMap<ChannelName, Large>>,
}

/// A large channel.
#[derive(Debug)]
struct Large {
    told_at: Instant,
    /// It has changed since.
    due: bool,
}

impl Counts {
    /// Whether clients want to know; webhooks say so themselves.
    pub(super) fn want(&self, wanted: bool) {
        self.wanted.store(wanted, Ordering::Relaxed);
    }

    /// Somebody came to `channel` or left it.
    pub(super) fn changed(&self, hub: &Hub, channel: &ChannelName, now: Now) {
        let wanted = self.wanted.load(Ordering::Relaxed)
            || hub.notices().wants(NoticeKind::SubscriptionCount);
        if !wanted || !is_counted(channel) {
            return;
        }
        let mut large = self.large.lock().unwrap_or_else(PoisonError::into_inner);
        let count = hub.subscribers(channel.as_str());
        if count <= SMALL {
            large.remove(channel);
            return tell(hub, channel, count, now);
        }
        match large.get_mut(channel) {
            Some(known) if now.instant.saturating_duration_since(known.told_at) < INTERVAL => {
                known.due = true;
            }
            _ => {
                let told_at = now.instant;
                large.insert(
                    channel.clone(),
                    Large {
                        told_at,
                        due: false,
                    },
                );
                tell(hub, channel, count, now);
            }
        }
    }

    /// Tells those that have waited long enough.
    pub(super) fn sweep(&self, hub: &Hub, now: Now) {
        let mut large = self.large.lock().unwrap_or_else(PoisonError::into_inner);
        large.retain(|channel, known| {
            let rested = now.instant.saturating_duration_since(known.told_at) >= INTERVAL;
            if rested && std::mem::take(&mut known.due) {
                known.told_at = now.instant;
                tell(hub, channel, hub.subscribers(channel.as_str()), now);
                return true;
            }
            // What has not changed for so long is told at once when it does.
            !rested
        });
    }
}

/// Members are told of presence channels, and our own are nobody's business.
fn is_counted(channel: &ChannelName) -> bool {
    !channel.is_own() && ChannelKind::of(channel.as_str()) != ChannelKind::Presence
}

fn tell(hub: &Hub, channel: &ChannelName, count: usize, now: Now) {
    hub.notices().tell(channel, News::SubscriptionCount(count));
    if count == 0 {
        return;
    }
    let publication = Publication {
        channel: channel.clone(),
        event: "pusher_internal:subscription_count".into(),
        data: format!("{{\"subscription_count\":{count}}}").into(),
        sequence: 0,
        epoch: None,
        time: now.unix_ms(),
        accepted: now.instant,
        expires: None,
        exclude: None,
        form: Form::Count,
        user: None,
        revision: 0,
        change: None,
    };
    hub.deliver(publication, None);
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::hub::testing::Recorder;
    use crate::metrics::Metrics;

    /// What was told since the last look.
    fn told(worker: &Recorder) -> Vec<(String, String)> {
        let publications = worker.publications();
        let shown = publications.iter().map(|one| {
            assert_eq!(one.form, Form::Count);
            let data = String::from_utf8(one.data.to_vec()).unwrap();
            (one.channel.to_string(), data)
        });
        shown.collect()
    }

    fn count(channel: &str, number: usize) -> (String, String) {
        let data = format!("{{\"subscription_count\":{number}}}");
        (channel.to_owned(), data)
    }

    #[test]
    fn small_channels_are_told_at_once_and_large_ones_now_and_then() {
        let hub = Hub::new(crate::hub::Config::default(), Metrics::new());
        let worker = Recorder::new();
        let id = hub.attach(Arc::clone(&worker) as Arc<_>).unwrap();
        let counts = Counts::default();
        let start = Now::read();
        let at = |seconds: u64| Now {
            instant: start.instant + Duration::from_secs(seconds),
            unix: start.unix,
        };
        let name = |text: &str| ChannelName::parse(text).unwrap();
        let come = |channel: &str, seconds| {
            hub.join(&name(channel), id);
            counts.changed(&hub, &name(channel), at(seconds));
        };
        come("news", 0);
        assert!(told(&worker).is_empty(), "nobody wants to know");
        counts.want(true);
        come("presence-a", 0);
        for number in 2..=101 {
            come("news", 0);
            assert_eq!(told(&worker), [count("news", number)]);
        }
        for _ in 0..3 {
            come("news", 4);
        }
        counts.sweep(&hub, at(4));
        assert!(told(&worker).is_empty(), "it was told four seconds ago");
        counts.sweep(&hub, at(5));
        assert_eq!(told(&worker), [count("news", 104)]);
        counts.sweep(&hub, at(11));
        assert!(told(&worker).is_empty(), "it has not changed");
        come("news", 11);
        assert_eq!(told(&worker), [count("news", 105)], "it has rested");
        for number in (99..105).rev() {
            hub.leave(&name("news"), id);
            counts.changed(&hub, &name("news"), at(12));
            let expected = if number <= SMALL {
                vec![count("news", number)]
            } else {
                vec![]
            };
            assert_eq!(told(&worker), expected);
        }
        counts.sweep(&hub, at(30));
        assert!(told(&worker).is_empty(), "small again: all is told");
    }
}
