//! What an app's webhooks are told of: a bounded queue from where things happen to the task that
//! sends them (`pusher::webhook`).
//!
//! Invariants: telling never blocks; while nobody wants a kind it costs one relaxed load and keeps
//! nothing; what finds no room is dropped and counted. Notices of one channel come out in the order
//! in which they were told.

use std::fmt;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tokio::sync::{Semaphore, mpsc};

use crate::channel::ChannelName;
use crate::metrics::Metrics;
use crate::session_id::SessionId;

/// What a notice occupies beside its data, in bytes.
const NOTICE_BYTES: usize = 128;

/// The kind of a notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "Pusher's names of them")]
pub enum NoticeKind {
    ChannelOccupied,
    ChannelVacated,
    MemberAdded,
    MemberRemoved,
    ClientEvent,
    CacheMiss,
    SubscriptionCount,
}

impl NoticeKind {
    /// Every kind.
    pub const ALL: [Self; 7] = [
        Self::ChannelOccupied,
        Self::ChannelVacated,
        Self::MemberAdded,
        Self::MemberRemoved,
        Self::ClientEvent,
        Self::CacheMiss,
        Self::SubscriptionCount,
    ];

    /// Their names in webhooks.
    pub const NAMES: [&str; 7] = {
        let (mut names, mut index) = ([""; 7], 0);
        while index < 7 {
            names[index] = Self::ALL[index].name();
            index += 1;
        }
        names
    };

    /// The kind of this name.
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// Its name in a webhook.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ChannelOccupied => "channel_occupied",
            Self::ChannelVacated => "channel_vacated",
            Self::MemberAdded => "member_added",
            Self::MemberRemoved => "member_removed",
            Self::ClientEvent => "client_event",
            Self::CacheMiss => "cache_miss",
            Self::SubscriptionCount => "subscription_count",
        }
    }

    /// Kinds that must be known for this one to be told right: who comes back at once has never
    /// left, so coming and going need each other.
    const fn needs(self) -> u8 {
        let with = match self {
            Self::ChannelOccupied | Self::ChannelVacated => {
                Self::ChannelOccupied.bit() | Self::ChannelVacated.bit()
            }
            Self::MemberAdded | Self::MemberRemoved => {
                Self::MemberAdded.bit() | Self::MemberRemoved.bit()
            }
            _ => 0,
        };
        self.bit() | with
    }

    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// Something that happened on a channel.
#[derive(Debug, Clone)]
pub struct Notice {
    /// Where.
    pub channel: ChannelName,
    /// What.
    pub news: News,
}

/// What happened.
#[derive(Debug, Clone)]
pub enum News {
    /// The first subscriber came.
    Occupied,
    /// The last subscriber went.
    Vacated,
    /// A member's first session came: the data of the push that tells the others.
    Added(Bytes),
    /// A member's last session went: the data of the push that tells the others.
    Removed(Bytes),
    /// A Pusher client published.
    ClientEvent {
        /// The event's name.
        event: Arc<str>,
        /// JSON text.
        data: Bytes,
        /// Who.
        session: SessionId,
        /// The member it is, on presence channels.
        user: Option<Arc<str>>,
    },
    /// A subscriber came to a cache channel that holds nothing.
    CacheMiss,
    /// So many subscribers are there now.
    SubscriptionCount(usize),
}

impl News {
    /// Its kind.
    pub const fn kind(&self) -> NoticeKind {
        match self {
            Self::Occupied => NoticeKind::ChannelOccupied,
            Self::Vacated => NoticeKind::ChannelVacated,
            Self::Added(_) => NoticeKind::MemberAdded,
            Self::Removed(_) => NoticeKind::MemberRemoved,
            Self::ClientEvent { .. } => NoticeKind::ClientEvent,
            Self::CacheMiss => NoticeKind::CacheMiss,
            Self::SubscriptionCount(_) => NoticeKind::SubscriptionCount,
        }
    }

    fn bytes(&self) -> usize {
        let data = match self {
            Self::Added(data) | Self::Removed(data) | Self::ClientEvent { data, .. } => data.len(),
            _ => 0,
        };
        NOTICE_BYTES + data
    }
}

/// The end of the queue where notices go in.
pub struct Notices {
    /// A bit a kind.
    wanted: AtomicU8,
    queue: mpsc::Sender<Notice>,
    held: Arc<Held>,
    max_bytes: usize,
    metrics: Metrics,
    reader: Mutex<Option<NoticeReader>>,
}

/// The end where they come out.
#[derive(Debug)]
pub struct NoticeReader {
    queue: mpsc::Receiver<Notice>,
    held: Arc<Held>,
}

/// Bytes in the queue, and notices that found no room in it.
#[derive(Debug, Default)]
struct Held {
    bytes: AtomicUsize,
    lost: AtomicUsize,
}

impl Notices {
    /// An empty queue of at most `limit` notices (`pusher.webhook_notices`) and `max_bytes` bytes
    /// (`pusher.webhook_notice_bytes`); nothing is wanted yet.
    pub fn new(limit: usize, max_bytes: usize, metrics: &Metrics) -> Self {
        let limit = limit.clamp(1, Semaphore::MAX_PERMITS);
        let (queue, reader) = mpsc::channel(limit);
        let held = Arc::new(Held::default());
        metrics.set_bound("pusher.webhook_notices", limit);
        metrics.set_bound("pusher.webhook_notice_bytes", max_bytes);
        let reader = NoticeReader {
            queue: reader,
            held: Arc::clone(&held),
        };
        Self {
            wanted: AtomicU8::new(0),
            queue,
            held,
            max_bytes,
            metrics: metrics.clone(),
            reader: Mutex::new(Some(reader)),
        }
    }

    /// From now on these kinds are wanted, and what they need.
    pub fn want(&self, kinds: impl IntoIterator<Item = NoticeKind>) {
        let bits = kinds.into_iter().fold(0, |bits, kind| bits | kind.needs());
        self.wanted.store(bits, Ordering::Relaxed);
    }

    /// Whether somebody wants to know of `kind`.
    pub fn wants(&self, kind: NoticeKind) -> bool {
        self.wanted.load(Ordering::Relaxed) & kind.bit() != 0
    }

    /// Tells that this happened on `channel`, if somebody wants to know; channels of our own
    /// (`#…`) are nobody's business.
    pub fn tell(&self, channel: &ChannelName, news: News) {
        if !self.wants(news.kind()) || channel.is_own() {
            return;
        }
        let bytes = news.bytes();
        let held = self.held.bytes.fetch_add(bytes, Ordering::Relaxed);
        let channel = channel.clone();
        let fits = held.saturating_add(bytes) <= self.max_bytes;
        if fits && self.queue.try_send(Notice { channel, news }).is_ok() {
            return;
        }
        self.held.bytes.fetch_sub(bytes, Ordering::Relaxed);
        self.held.lost.fetch_add(1, Ordering::Relaxed);
        self.metrics.webhooks.count_events("unnoticed", 1);
    }

    /// The other end; it is there once.
    pub fn reader(&self) -> Option<NoticeReader> {
        let mut reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        reader.take()
    }
}

impl NoticeReader {
    /// Puts the next notices into `into`, at most `limit`, once there are any; 0: there will be
    /// none. Dropping the future loses nothing.
    pub async fn read(&mut self, into: &mut Vec<Notice>, limit: usize) -> usize {
        let start = into.len();
        let read = self.queue.recv_many(into, limit).await;
        let bytes = into[start..].iter().map(|notice| notice.news.bytes()).sum();
        self.held.bytes.fetch_sub(bytes, Ordering::Relaxed);
        read
    }

    /// How many notices wait.
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// How many found no room since the last look.
    pub fn take_lost(&self) -> usize {
        self.held.lost.swap(0, Ordering::Relaxed)
    }
}

impl fmt::Debug for Notices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Notices").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    fn name(text: &str) -> ChannelName {
        ChannelName::parse(text).unwrap()
    }

    fn read(reader: &mut NoticeReader) -> Vec<Notice> {
        let mut notices = vec![];
        while !reader.is_empty() {
            reader.read(&mut notices, 100).now_or_never().unwrap();
        }
        notices
    }

    #[test]
    fn only_what_is_wanted_is_kept() {
        let notices = Notices::new(10, 10_000, &Metrics::new());
        let mut reader = notices.reader().unwrap();
        assert!(notices.reader().is_none(), "there is one");
        notices.tell(&name("a"), News::Occupied);
        assert!(reader.is_empty());
        notices.want([NoticeKind::ChannelVacated, NoticeKind::CacheMiss]);
        notices.tell(&name("a"), News::Occupied);
        notices.tell(&name("b"), News::CacheMiss);
        notices.tell(&name("c"), News::SubscriptionCount(1));
        notices.tell(&name("d"), News::Added("{}".into()));
        let kept: Vec<_> = read(&mut reader)
            .iter()
            .map(|notice| notice.channel.to_string())
            .collect();
        assert_eq!(kept, ["a", "b"], "coming and going need each other");
        notices.want([]);
        notices.tell(&name("a"), News::Vacated);
        assert!(reader.is_empty());
        assert_eq!(reader.take_lost(), 0);
    }

    #[test]
    fn channels_of_our_own_are_not_told_of() {
        let notices = Notices::new(10, 10_000, &Metrics::new());
        notices.want(NoticeKind::ALL);
        let own = ChannelName::parse_pusher("#server-to-user-1").unwrap();
        for channel in [own, ChannelName::signed_in("1").unwrap()] {
            notices.tell(&channel, News::Occupied);
            notices.tell(&channel, News::Added("{}".into()));
        }
        let reader = notices.reader().unwrap();
        assert!(reader.is_empty());
        assert_eq!(reader.take_lost(), 0);
    }

    #[test]
    fn what_finds_no_room_is_dropped_and_counted() {
        let metrics = Metrics::new();
        let notices = Notices::new(2, 1_000, &metrics);
        notices.want(NoticeKind::ALL);
        for _ in 0..3 {
            notices.tell(&name("a"), News::CacheMiss);
        }
        let mut reader = notices.reader().unwrap();
        assert_eq!((read(&mut reader).len(), reader.take_lost()), (2, 1));
        let large = || News::Added(vec![b'x'; 600].into());
        notices.tell(&name("a"), large());
        notices.tell(&name("a"), large());
        assert_eq!((read(&mut reader).len(), reader.take_lost()), (1, 1));
        notices.tell(&name("a"), large());
        assert_eq!(read(&mut reader).len(), 1, "the bytes came back");
        let text = metrics.encode();
        assert!(text.contains("pogo_webhook_events_total{result=\"unnoticed\"} 2"));
    }
}
