//! Reading and listing, after dropping what may not be kept any more.

use std::ops::Bound;
use std::time::Instant;

use super::Stripe;
use crate::broker::memory::HistoryRules;
use crate::broker::memory::bounds::Bounds;
use crate::broker::memory::history::History;
use crate::broker::{ChannelState, HistoryPage, HistoryQuery};
use crate::channel::{ChannelName, HistoryRule, Page};

use super::Channel;

/// Names that a walk looks at before it lets others at the stripe.
const STRIDE: usize = 256;

impl Stripe {
    /// The part that `query` asks for; `keeps`: the channel keeps history. Call [`Self::trim`]
    /// first.
    pub(in crate::broker::memory) fn read(
        &self,
        name: &ChannelName,
        query: &HistoryQuery,
        keeps: bool,
    ) -> HistoryPage {
        match self.channels.get(name) {
            Some(channel) if keeps => channel.history.page(query, channel.position()),
            channel => HistoryPage {
                position: None,
                sequence: channel.map_or(0, |channel| channel.sequence),
                publications: vec![],
                complete: false,
            },
        }
    }

    pub(in crate::broker::memory) fn purge(
        &mut self,
        name: &ChannelName,
        rule: Option<HistoryRule>,
        bounds: &Bounds,
        now: Instant,
    ) -> usize {
        self.trim(name, rule, bounds, now);
        let removed = self.change(name, bounds, History::clear);
        self.settle(name, rule, bounds, now);
        removed.unwrap_or_default()
    }

    pub(in crate::broker::memory) fn show(
        &mut self,
        name: &ChannelName,
        rule: Option<HistoryRule>,
        bounds: &Bounds,
        now: Instant,
    ) -> Option<ChannelState> {
        self.trim(name, rule, bounds, now);
        let channel = self.channels.get(name)?;
        let state = ChannelState {
            name: name.clone(),
            position: rule.map(|_| channel.position()),
            history_count: channel.history.len(),
            presence_count: channel.presence.as_ref().map_or(0, |there| there.total()),
        };
        self.settle(name, rule, bounds, now);
        Some(state)
    }

    /// Puts channels that retain something on the page; where to go on, if anywhere.
    pub(in crate::broker::memory) fn list(
        &mut self,
        prefix: &str,
        after: &str,
        page: &mut Page<ChannelState>,
        show: impl Fn(&mut Self, &ChannelName) -> Option<ChannelState>,
    ) -> Option<String> {
        let start = if after < prefix {
            Bound::Included(prefix)
        } else {
            Bound::Excluded(after)
        };
        let some = self.some_names(start);
        for name in &some {
            if !name.as_str().starts_with(prefix) || !page.wants(name.as_str()) {
                return None;
            }
            if let Some(state) = show(self, name)
                && state.history_count > 0
            {
                page.put(name.clone(), state);
            }
        }
        following(&some)
    }

    /// Drops what has expired in some of the channels beyond `after`; where to go on, if anywhere.
    pub(in crate::broker::memory) fn trim_some(
        &mut self,
        after: &str,
        rules: &HistoryRules,
        bounds: &Bounds,
        now: Instant,
    ) -> Option<String> {
        let some = self.some_names(Bound::Excluded(after));
        for name in &some {
            let rule = rules(name.as_str());
            self.trim(name, rule, bounds, now);
            if self.channels.get(name).is_some_and(Channel::is_idle) {
                self.settle(name, rule, bounds, now);
            }
        }
        following(&some)
    }

    fn some_names(&self, start: Bound<&str>) -> Vec<ChannelName> {
        let names = self.names.range::<str, _>((start, Bound::Unbounded));
        names.take(STRIDE).cloned().collect()
    }
}

fn following(some: &[ChannelName]) -> Option<String> {
    let last = some.get(STRIDE - 1)?;
    Some(last.as_str().to_owned())
}
