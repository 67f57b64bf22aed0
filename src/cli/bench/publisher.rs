//! Who publishes: over gRPC, or by the HTTP API of Pusher's protocol. Publications are numbered
//! from 1 and carry the time at which they were made.

use std::time::{Duration, Instant};

use tonic::Status;

use super::pusher::{App, Http};
use super::swarm::nanos;
use super::wire;
use crate::cli::error::CliError;
use crate::cli::remote::Transport;
use crate::control::proto::publish_batch_result::Result as Item;
use crate::control::proto::publisher_client::PublisherClient;
use crate::control::proto::{PublishBatchRequest, PublishRequest};

/// The event of every publication.
pub(super) const EVENT: &str = "bench";

enum Way {
    Grpc(Box<PublisherClient<Transport>>),
    Http(Box<Http>),
}

/// A publisher of numbered publications.
pub(super) struct Publisher {
    way: Way,
    epoch: Instant,
    /// The number of the last one.
    pub(super) last: u64,
    /// Whether the data is records rather than one long text.
    pub(super) records: bool,
}

impl Publisher {
    pub(super) fn grpc(client: PublisherClient<Transport>, epoch: Instant) -> Self {
        Self {
            way: Way::Grpc(Box::new(client)),
            epoch,
            last: 0,
            records: false,
        }
    }

    pub(super) fn http(app: App, url: &str, epoch: Instant) -> Result<Self, CliError> {
        Ok(Self {
            way: Way::Http(Box::new(Http::new(app, url)?)),
            epoch,
            last: 0,
            records: false,
        })
    }

    /// Publishes `count` to `channel` in one call (with Pusher at most 10 a call), each of `size`
    /// bytes: their last number.
    pub(super) async fn publish(
        &mut self,
        channel: &str,
        count: u64,
        size: usize,
    ) -> Result<u64, CliError> {
        let time = nanos(self.epoch.elapsed());
        self.publish_from(channel, count, (time, size)).await
    }

    async fn publish_from(
        &mut self,
        channel: &str,
        count: u64,
        (time, size): (u64, usize),
    ) -> Result<u64, CliError> {
        let numbers = self.last + 1..=self.last + count;
        let data = if self.records {
            wire::records
        } else {
            wire::data
        };
        let datas = numbers.map(|number| data(number, time, size));
        match &mut self.way {
            Way::Grpc(client) => {
                let requests = datas.map(|data| request(channel, data)).collect();
                grpc(client, requests).await?;
            }
            Way::Http(http) => http.publish(channel, datas.collect()).await?,
        }
        self.last += count;
        Ok(self.last)
    }

    /// Publishes one every `interval` until `total` are out. Its time is the one at which it was
    /// due, so that a late call makes what follows no younger than it is.
    pub(super) async fn publish_at(
        &mut self,
        channel: &str,
        interval: Duration,
        (total, size): (u64, usize),
    ) -> Result<(), CliError> {
        let mut ticks = tokio::time::interval(interval);
        for _ in 0..total {
            let due = ticks.tick().await.into_std();
            let time = nanos(due.saturating_duration_since(self.epoch));
            self.publish_from(channel, 1, (time, size)).await?;
        }
        Ok(())
    }
}

/// A request to publish `data`.
pub(super) fn request(channel: &str, data: Vec<u8>) -> PublishRequest {
    PublishRequest {
        channels: vec![channel.to_owned()],
        event: EVENT.to_owned(),
        data: data.into(),
        ..PublishRequest::default()
    }
}

async fn grpc(
    client: &mut PublisherClient<Transport>,
    mut requests: Vec<PublishRequest>,
) -> Result<(), CliError> {
    if requests.len() == 1
        && let Some(request) = requests.pop()
    {
        client.publish(request).await?;
        return Ok(());
    }
    let batch = client
        .publish_batch(PublishBatchRequest { requests })
        .await?;
    for result in batch.into_inner().results {
        if let Some(Item::Status(status)) = result.result {
            return Err(Status::new(status.code.into(), status.message).into());
        }
    }
    Ok(())
}
