//! `Channels.Subscribe`: what was missed, then what is published, without a loss, a double or a
//! reordering between the two.
//!
//! The watch is in place before history is read. What the history held is dropped from the live
//! stream by its number; the watch's queue is bounded and tells where it overflowed.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use futures_util::stream::{self, Stream};
use tonic::Status;

use super::check::Check;
use super::config::Limits;
use super::proto::subscribe_response::Item;
use super::proto::{SubscribeRequest, SubscribeResponse};
use super::{convert, status};
use crate::broker::HistoryQuery;
use crate::channel::{ChannelName, Pattern};
use crate::hub::{HubError, Watched, Watcher};
use crate::node::Node;
use crate::publication::{Position, Publication};

/// Publications that are read from the history at a time.
const READ: usize = 100;

/// One subscription.
pub(super) struct Feed {
    node: Arc<Node>,
    watcher: Watcher,
    /// Where to take up which channels.
    recover: VecDeque<(ChannelName, Position)>,
    /// Read from the history and not yet given.
    ready: VecDeque<SubscribeResponse>,
    /// Channels that were recovered: up to where.
    recovered: HashMap<ChannelName, Recovered>,
}

struct Recovered {
    at: Option<Position>,
    sequence: u64,
}

impl Feed {
    /// Starts to watch. From here on nothing is lost without a gap.
    pub(super) fn open(
        node: &Arc<Node>,
        limits: &Limits,
        request: SubscribeRequest,
    ) -> Result<Self, Status> {
        let (patterns, recover) = checked(node, request, limits)?;
        let watcher = node.hub().watch(patterns).map_err(|error| match error {
            HubError::TooManyPatterns { .. } => status::bad_field("channels", error.to_string()),
            HubError::TooManyWatchers { .. } | HubError::TooManyWorkers => {
                status::busy(&error.to_string())
            }
        })?;
        Ok(Self {
            node: Arc::clone(node),
            watcher,
            recover,
            ready: VecDeque::new(),
            recovered: HashMap::new(),
        })
    }

    /// The items, without an end.
    pub(super) fn into_stream(self) -> impl Stream<Item = Result<SubscribeResponse, Status>> {
        stream::unfold(Some(self), |feed| async {
            let mut feed = feed?;
            let item = feed.next().await;
            let go_on = item.is_ok().then_some(feed);
            Some((item, go_on))
        })
    }

    async fn next(&mut self) -> Result<SubscribeResponse, Status> {
        loop {
            if let Some(item) = self.ready.pop_front() {
                return Ok(item);
            }
            if let Some((channel, from)) = self.recover.pop_front() {
                self.read(channel, from).await?;
            } else if let Some(item) = self.live().await {
                return Ok(item);
            }
        }
    }

    /// Reads the next part of what `channel` missed since `from`.
    async fn read(&mut self, channel: ChannelName, from: Position) -> Result<(), Status> {
        let query = HistoryQuery {
            from: Some(from.clone()),
            limit: READ,
            reverse: false,
        };
        let page = self
            .node
            .history(&channel, query)
            .await
            .map_err(status::broker)?;
        if !page.complete {
            self.ready
                .push_back(item(&channel, Item::Gap(convert::gap(Some(from)))));
        }
        let epoch = page.position.as_ref().map(|position| &position.epoch);
        let last = page.publications.last().map(|kept| kept.offset);
        let more = page.publications.len() == READ;
        let now = Instant::now();
        for kept in page.publications {
            if kept.expires.is_none_or(|expires| expires > now) {
                let publication = convert::retained(kept, epoch);
                self.ready
                    .push_back(item(&channel, Item::Publication(publication)));
            }
        }
        match (epoch, last) {
            (Some(epoch), Some(offset)) if more => {
                let next = Position {
                    epoch: Arc::clone(epoch),
                    offset,
                };
                self.recover.push_front((channel, next));
            }
            _ => {
                let recovered = Recovered {
                    at: page.position,
                    sequence: page.sequence,
                };
                self.recovered.insert(channel, recovered);
            }
        }
        Ok(())
    }

    /// What is published next; `None`: it was in the history already.
    async fn live(&mut self) -> Option<SubscribeResponse> {
        match self.watcher.next().await {
            Watched::Publication(publication) => {
                if self.is_double(&publication) {
                    return None;
                }
                let channel = publication.channel.clone();
                Some(item(
                    &channel,
                    Item::Publication(convert::publication(publication)),
                ))
            }
            Watched::Gap { channel: None, .. } => Some(SubscribeResponse {
                channel: String::new(),
                item: Some(Item::Gap(convert::gap(None))),
            }),
            Watched::Gap {
                channel: Some(channel),
                before,
            } => {
                let gap = convert::gap(self.later(&channel, before));
                Some(item(&channel, Item::Gap(gap)))
            }
        }
    }

    /// Whether the history held it. A sequence starts anew with an epoch.
    fn is_double(&mut self, publication: &Publication) -> bool {
        let Some(recovered) = self.recovered.get(&publication.channel) else {
            return false;
        };
        let epoch = recovered.at.as_ref().map(|at| &at.epoch);
        let same = epoch == publication.epoch.as_ref() && publication.sequence > 0;
        if same && publication.sequence <= recovered.sequence {
            return true;
        }
        self.recovered.remove(&publication.channel);
        false
    }

    /// Where `channel` stood before a loss: not before what the history held.
    fn later(&self, channel: &ChannelName, before: Option<Position>) -> Option<Position> {
        let recovered = self
            .recovered
            .get(channel)
            .and_then(|recovered| recovered.at.clone());
        match (before, recovered) {
            (Some(before), Some(at)) if at.epoch == before.epoch && at.offset > before.offset => {
                Some(at)
            }
            (before, _) => before,
        }
    }
}

fn item(channel: &ChannelName, item: Item) -> SubscribeResponse {
    SubscribeResponse {
        channel: channel.to_string(),
        item: Some(item),
    }
}

type Checked = (Vec<Pattern>, VecDeque<(ChannelName, Position)>);

/// A name as what is published on it shows it.
fn stream(node: &Node, check: &mut Check, (field, name): (&str, &str)) -> Option<ChannelName> {
    let name = check.channel(field, name)?;
    let canonical = check.take(field, node.canonical(name))?;
    Some(node.stream(&canonical))
}

fn checked(node: &Node, request: SubscribeRequest, limits: &Limits) -> Result<Checked, Status> {
    let SubscribeRequest { channels, recover } = request;
    let mut check = Check::default();
    check.count("channels", channels.len(), limits.request_channels);
    let mut patterns = Vec::new();
    for (i, text) in channels.iter().take(limits.request_channels).enumerate() {
        let field = format!("channels[{i}]");
        let pattern = check.take(&field, Pattern::parse(text));
        if pattern.as_ref().is_some_and(Pattern::is_literal) {
            let name = stream(node, &mut check, (&field, text));
            patterns.extend(name.and_then(|name| Pattern::parse(name.as_str()).ok()));
        } else {
            patterns.extend(pattern);
        }
    }
    if recover.len() > limits.request_channels {
        check.refuse(
            "recover",
            format_args!("at most {} channels", limits.request_channels),
        );
    }
    let mut positions = VecDeque::new();
    for (name, position) in recover.into_iter().take(limits.request_channels) {
        let Some(name) = stream(node, &mut check, ("recover", &name)) else {
            continue;
        };
        if patterns
            .iter()
            .any(|pattern| pattern.matches(name.as_str()))
        {
            positions.push_back((name, convert::from_position(position)));
        } else {
            check.refuse("recover", "names a channel that `channels` does not");
        }
    }
    check.done()?;
    Ok((patterns, positions))
}

#[cfg(test)]
mod tests;
