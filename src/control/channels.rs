//! `pogo.v1.Channels`: what the hub knows (subscribers) and what the broker knows (history,
//! presence), as one.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::stream::{BoxStream, StreamExt};
use tonic::{Request, Response, Status};

use super::check::Check;
use super::page::{self, Page};
use super::proto::channels_server::Channels;
use super::proto::{
    Channel, GetChannelRequest, GetChannelResponse, ListChannelsRequest, ListChannelsResponse,
    ListMembersRequest, ListMembersResponse, PurgeHistoryRequest, PurgeHistoryResponse,
    ReadHistoryRequest, ReadHistoryResponse, SubscribeRequest, SubscribeResponse,
};
use super::subscribe::Feed;
use super::{Service, convert, status};
use crate::broker::{ChannelState, HistoryQuery};
use crate::channel::{ChannelName, Pattern};

/// Channels that are read from the broker at a time while those that match are looked for.
const SCAN: usize = 1_000;

#[tonic::async_trait]
impl Channels for Service {
    async fn list_channels(
        &self,
        request: Request<ListChannelsRequest>,
    ) -> Result<Response<ListChannelsResponse>, Status> {
        let ListChannelsRequest {
            pattern,
            page_size,
            page_token,
        } = request.into_inner();
        let mut check = Check::default();
        let Some(parsed) = check.pattern("pattern", &pattern) else {
            return Err(check.refusal());
        };
        let list = format!("channels {pattern}");
        let page = Page::new(list, page_size, &page_token, &self.limits)?;
        let rows = self
            .channels(parsed.as_ref(), page.after(), page.read())
            .await?;
        let (channels, next_page_token) = page.cut(rows, |channel| &channel.name);
        Ok(Response::new(ListChannelsResponse {
            channels,
            next_page_token,
        }))
    }

    async fn get_channel(
        &self,
        request: Request<GetChannelRequest>,
    ) -> Result<Response<GetChannelResponse>, Status> {
        let name = self.named("name", &request.into_inner().name)?;
        let subscribers = self.node.hub().subscribers(name.as_str());
        let state = self
            .node
            .broker()
            .channel(&self.node.stream(&name))
            .await
            .map_err(status::broker)?;
        let known = |state: &ChannelState| state.position.is_some() || state.presence_count > 0;
        if subscribers == 0 && !state.as_ref().is_some_and(known) {
            let message = "the channel has no subscriber and never had history";
            return Err(status::not_found("CHANNEL_NOT_FOUND", message));
        }
        let channel = Some(convert::channel(&name, subscribers, state));
        Ok(Response::new(GetChannelResponse { channel }))
    }

    async fn list_members(
        &self,
        request: Request<ListMembersRequest>,
    ) -> Result<Response<ListMembersResponse>, Status> {
        let ListMembersRequest {
            channel,
            page_size,
            page_token,
        } = request.into_inner();
        let name = self.named("channel", &channel)?;
        let page = Page::new(
            format!("members {channel}"),
            page_size,
            &page_token,
            &self.limits,
        )?;
        let members = self
            .node
            .members(&name, page.after().parse().ok(), page.read())
            .await;
        let members = members.map_err(status::broker)?;
        let rows = members.rows.into_iter().map(convert::member).collect();
        let total = convert::count(members.total);
        let (members, next_page_token) = page.cut(rows, |member| &member.session);
        Ok(Response::new(ListMembersResponse {
            members,
            next_page_token,
            total,
        }))
    }

    async fn read_history(
        &self,
        request: Request<ReadHistoryRequest>,
    ) -> Result<Response<ReadHistoryResponse>, Status> {
        let ReadHistoryRequest {
            channel,
            from,
            limit,
            reverse,
        } = request.into_inner();
        let name = self.named("channel", &channel)?;
        let limit = page::limit("limit", limit, &self.limits)?;
        let query = HistoryQuery {
            from: from.map(convert::from_position),
            limit,
            reverse,
        };
        let read = self
            .node
            .history(&name, query)
            .await
            .map_err(status::broker)?;
        let epoch = read.position.as_ref().map(|position| &position.epoch);
        let rows = read
            .publications
            .into_iter()
            .map(|kept| convert::retained(kept, epoch));
        let mut publications: Vec<_> = rows.collect();
        publications.truncate(page::fit(&publications, page::room(&self.limits)));
        Ok(Response::new(ReadHistoryResponse {
            publications,
            position: read.position.as_ref().map(convert::position),
            complete: read.complete,
        }))
    }

    async fn purge_history(
        &self,
        request: Request<PurgeHistoryRequest>,
    ) -> Result<Response<PurgeHistoryResponse>, Status> {
        let name = self.named("channel", &request.into_inner().channel)?;
        let removed = self
            .node
            .broker()
            .purge(&self.node.stream(&name))
            .await
            .map_err(status::broker)?;
        Ok(Response::new(PurgeHistoryResponse {
            removed: convert::count(removed),
        }))
    }

    type SubscribeStream = BoxStream<'static, Result<SubscribeResponse, Status>>;

    async fn subscribe(
        &self,
        request: Request<SubscribeRequest>,
    ) -> Result<Response<Self::SubscribeStream>, Status> {
        let feed = Feed::open(&self.node, &self.limits, request.into_inner())?;
        Ok(Response::new(feed.into_stream().boxed()))
    }
}

impl Service {
    /// A channel's name as it is written everywhere.
    pub(super) fn named(&self, field: &str, name: &str) -> Result<ChannelName, Status> {
        let name = ChannelName::parse(name);
        let name = name.map_err(|why| status::bad_field(field, why.to_string()))?;
        let canonical = self.node.canonical(name);
        canonical.map_err(|why| status::bad_field(field, why.to_string()))
    }

    /// The first `limit` channels that match and follow `after`: each side lists that many of its
    /// own, so that none is left out.
    async fn channels(
        &self,
        pattern: Option<&Pattern>,
        after: &str,
        limit: usize,
    ) -> Result<Vec<Channel>, Status> {
        let hub = self.node.hub();
        let live: BTreeMap<_, _> = hub.channels(pattern, after, limit).into_iter().collect();
        let mut kept = self.kept(pattern, after, limit).await?;
        let names: BTreeSet<ChannelName> = live.keys().chain(kept.keys()).cloned().collect();
        let mut rows = Vec::new();
        for name in names.into_iter().take(limit) {
            let subscribers = live.get(&name).copied();
            let subscribers = subscribers.unwrap_or_else(|| hub.subscribers(name.as_str()));
            let state = match kept.remove(&name) {
                Some(state) => Some(state),
                None => self
                    .node
                    .broker()
                    .channel(&self.node.stream(&name))
                    .await
                    .map_err(status::broker)?,
            };
            rows.push(convert::channel(&name, subscribers, state));
        }
        Ok(rows)
    }

    /// Channels with history. The broker looks by prefix; the rest of the pattern is looked at
    /// here.
    async fn kept(
        &self,
        pattern: Option<&Pattern>,
        after: &str,
        limit: usize,
    ) -> Result<BTreeMap<ChannelName, ChannelState>, Status> {
        let prefix = pattern.map(Pattern::literal_prefix).unwrap_or_default();
        let mut kept = BTreeMap::new();
        let mut after = after.to_owned();
        loop {
            let read = self.node.broker().channels(prefix, &after, SCAN).await;
            let read = read.map_err(status::broker)?;
            let last = read.last().map(|state| state.name.to_string());
            let more = read.len() == SCAN;
            let matching = read.into_iter().filter(|state| {
                let shown = !state.name.is_internal();
                shown && pattern.is_none_or(|pattern| pattern.matches(state.name.as_str()))
            });
            kept.extend(matching.map(|state| (state.name.clone(), state)));
            match last {
                Some(last) if more && kept.len() < limit => after = last,
                _ => return Ok(kept),
            }
            // A broker that answers at once must not keep the deadline from being looked at.
            tokio::task::yield_now().await;
        }
    }
}
