//! What every broker promises, as tests that run on each: one function a promise.
//!
//! Names that start with `kept` retain 5 publications for [`AGE`], other names nothing.

pub(in crate::broker) mod history;
pub(in crate::broker) mod order;
pub(in crate::broker) mod presence;
pub(in crate::broker) mod records;

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::{Accepted, Broker, Draft, HistoryPage, HistoryQuery};
use crate::channel::{ChannelName, HistoryRule};
use crate::publication::{Admission, Deliver, Position, Publication};

/// How long names that start with `kept` retain.
pub(super) const AGE: Duration = Duration::from_millis(400);
/// How many they retain.
pub(super) const SIZE: usize = 5;
/// How long an idempotency key counts in the suite.
pub(super) const WINDOW: Duration = Duration::from_millis(600);

/// The suite's rules.
pub(super) fn rule(name: &str) -> Option<HistoryRule> {
    let rule = HistoryRule {
        size: SIZE,
        ttl: AGE,
    };
    name.starts_with("kept").then_some(rule)
}

/// Lets time pass for the broker: on its own clock, or really.
pub(super) type Pass =
    Box<dyn Fn(Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

/// A broker under test.
pub(super) struct Subject {
    pub(super) broker: Arc<dyn Broker>,
    pub(super) delivered: Arc<Recording>,
    pub(super) pass: Pass,
}

/// A hub that keeps what it is handed.
#[derive(Default)]
pub(super) struct Recording(Mutex<Vec<Publication>>);

impl Deliver for Recording {
    fn deliver(&self, publication: Publication, _: Option<Admission>) -> usize {
        self.0.lock().unwrap().push(publication);
        1
    }
}

impl Recording {
    /// What was handed over on `channel`, in order.
    fn on(&self, channel: &ChannelName) -> Vec<Publication> {
        let all = self.0.lock().unwrap();
        let on = all
            .iter()
            .filter(|publication| publication.channel == *channel);
        on.cloned().collect()
    }
}

fn name(text: &str) -> ChannelName {
    ChannelName::parse(text).unwrap()
}

fn draft(channel: &ChannelName, data: u64) -> Draft {
    Draft {
        channel: channel.clone(),
        event: "e".into(),
        data: data.to_string().into(),
        ttl: None,
        accepted: Instant::now(),
        exclude: None,
        form: crate::publication::Form::Json,
        user: None,
        skip_history: false,
        change: None,
        idempotency: None,
        admission: None,
    }
}

impl Subject {
    async fn publish(&self, channel: &ChannelName, data: u64) -> Accepted {
        self.broker.publish(draft(channel, data)).await.unwrap()
    }

    async fn read(&self, channel: &ChannelName, query: HistoryQuery) -> HistoryPage {
        self.broker.history(channel, query).await.unwrap()
    }

    /// Everything after `from`.
    async fn since(&self, channel: &ChannelName, from: &Position) -> HistoryPage {
        let query = HistoryQuery {
            from: Some(from.clone()),
            limit: 1_000,
            reverse: false,
        };
        self.read(channel, query).await
    }

    async fn position(&self, channel: &ChannelName) -> Position {
        let page = self.read(channel, HistoryQuery::default()).await;
        assert!(page.publications.is_empty(), "a limit of 0");
        page.position.unwrap()
    }
}

fn offsets(page: &HistoryPage) -> Vec<u64> {
    page.publications.iter().map(|kept| kept.offset).collect()
}

/// Makes a test of each promise for the broker that `$make` gives.
macro_rules! suite {
    ($make:expr; $($module:ident: $($promise:ident),+;)+) => {
        $($(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $promise() {
                crate::broker::suite::$module::$promise($make).await;
            }
        )+)+
    };
    ($make:expr) => {
        crate::broker::suite::suite! { $make;
            order: publications_have_one_order, a_publication_without_subscriber_is_delivered,
                sequences_count_without_history, a_draft_is_delivered_as_it_is,
                one_of_many_with_a_key_is_accepted, a_key_is_of_its_channel_and_window,
                joins_against_a_publisher_find_no_gap, a_channel_keeps_its_epoch_while_nobody_is_there;
            history: history_is_read_from_both_ends, size_bounds_history, age_bounds_history,
                what_expired_is_accounted_for, what_was_not_retained_is_accounted_for,
                foreign_positions_are_not_complete, excluded_sessions_are_remembered,
                purging_keeps_positions, channels_with_history_are_listed;
            presence: members_join_and_leave_once, members_are_paged, an_entry_can_be_replaced,
                presence_is_told_in_order, a_list_says_which_changes_it_holds,
                a_bound_keeps_further_members_out;
            records: revocations_are_recorded, denied_ranges_are_recorded, endpoints_are_recorded;
        }
    };
}
pub(super) use suite;
