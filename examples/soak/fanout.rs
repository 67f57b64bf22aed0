//! One load: a publisher at a fixed rate, subscribers that prove what they got.

use std::fmt;
use std::time::{Duration, Instant};

use pogo::control::proto::publish_stream_response::Result as Published;
use pogo::control::proto::publisher_client::PublisherClient;
use pogo::control::proto::{PublishRequest, PublishStreamRequest};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Request;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Channel, Endpoint};

use super::Failure;
use super::socket::Socket;

/// How long after the last publication everything must have come.
const TAIL: Duration = Duration::from_secs(10);
/// How much longer than planned the publishing may take: the rate was held.
const LATE_PERCENT: u32 = 10;

/// How much is sent to how many.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    pub subscribers: usize,
    /// Publications a second.
    pub rate: u64,
    pub seconds: u64,
}

impl Load {
    const fn total(self) -> u64 {
        self.rate * self.seconds
    }
}

/// What was seen; all else is a failure.
#[derive(Debug)]
pub struct Report {
    deliveries: u64,
    published_in: Duration,
    /// Microseconds from before the publisher's send to after the subscriber's read, in order.
    latencies: Vec<u64>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = |percent: usize| {
            let last = self.latencies.len().saturating_sub(1);
            self.latencies
                .get(last * percent / 100)
                .copied()
                .unwrap_or_default() as f64
                / 1000.0
        };
        write!(
            f,
            "{} deliveries, none lost or out of order, published in {:.1?}; \
             latency p50 {:.1} ms, p99 {:.1} ms, most {:.1} ms",
            self.deliveries,
            self.published_in,
            at(50),
            at(99),
            at(100)
        )
    }
}

/// A publisher's stream to the control plane.
#[derive(Debug)]
pub struct Publisher {
    client: PublisherClient<Channel>,
    key: MetadataValue<Ascii>,
}

impl Publisher {
    pub async fn connect(address: &str, key: &str) -> Result<Self, Failure> {
        let channel = Endpoint::from_shared(format!("http://{address}"))?
            .connect()
            .await?;
        let key = format!("Bearer {key}").parse()?;
        Ok(Self {
            client: PublisherClient::new(channel),
            key,
        })
    }

    /// Publishes 0, 1, 2 … at the load's rate and waits for every answer.
    async fn publish(
        mut self,
        load: Load,
        channel: String,
        begun: Instant,
    ) -> Result<Duration, Failure> {
        let (queue, queued) = mpsc::channel(64);
        let mut request = Request::new(ReceiverStream::new(queued));
        request.metadata_mut().insert("authorization", self.key);
        let pace = async move {
            let mut ticks =
                tokio::time::interval(Duration::from_secs(1) / u32::try_from(load.rate)?);
            for number in 0..load.total() {
                ticks.tick().await;
                queue.send(publication(&channel, number, begun)).await?;
            }
            Ok::<_, Failure>(())
        };
        let pace = tokio::spawn(pace);
        let started = Instant::now();
        let mut answers = self.client.publish_stream(request).await?.into_inner();
        for number in 0..load.total() {
            let answer = answers.message().await?.ok_or("the stream ended early")?;
            match answer.result {
                Some(Published::Response(_)) if answer.sequence == number => {}
                other => return Err(format!("publication {number}: {other:?}").into()),
            }
        }
        pace.await??;
        Ok(started.elapsed())
    }
}

fn publication(channel: &str, number: u64, begun: Instant) -> PublishStreamRequest {
    let publish = PublishRequest {
        channels: vec![channel.to_owned()],
        event: "n".to_owned(),
        data: format!("[{number},{}]", begun.elapsed().as_micros()).into(),
        ..PublishRequest::default()
    };
    PublishStreamRequest {
        sequence: number,
        publish: Some(publish),
    }
}

/// Reads until everything has come, each once and in order; the latencies it saw.
async fn subscriber(mut socket: Socket, load: Load, begun: Instant) -> Result<Vec<u64>, Failure> {
    let mut latencies = Vec::with_capacity(usize::try_from(load.total())?);
    let mut next = 0;
    let take = |text: &[u8]| {
        let (number, sent) = numbers(text)?;
        if number != next {
            return Err(format!("{number} came where {next} was due").into());
        }
        next += 1;
        let now = u64::try_from(begun.elapsed().as_micros())?;
        latencies.push(now.saturating_sub(sent));
        Ok(next < load.total())
    };
    socket.frames(take).await?;
    Ok(latencies)
}

/// The two numbers of `…"data":[number,micros]…`.
fn numbers(text: &[u8]) -> Result<(u64, u64), Failure> {
    let text = std::str::from_utf8(text)?;
    let (_, data) = text
        .split_once("\"data\":[")
        .ok_or_else(|| text.to_owned())?;
    let (inner, _) = data.split_once(']').ok_or("no end")?;
    let (number, sent) = inner.split_once(',').ok_or("one number")?;
    Ok((number.parse()?, sent.parse()?))
}

/// Subscribes and waits for the reply.
async fn subscribe(socket: &mut Socket, channel: &str) -> Result<(), Failure> {
    socket
        .send(&format!(
            r#"{{"id":1,"event":"channel:subscribe","channel":"{channel}"}}"#
        ))
        .await?;
    socket
        .frames(|text| {
            let text = std::str::from_utf8(text)?;
            if text.contains("\"status\":\"ok\"") {
                Ok(false)
            } else {
                Err(text.into())
            }
        })
        .await
}

/// Runs `load` on `channel`.
pub async fn run(
    load: Load,
    channel: &str,
    sockets: Vec<Socket>,
    publisher: Publisher,
) -> Result<Report, Failure> {
    let begun = Instant::now();
    let mut subscribers = JoinSet::new();
    for mut socket in sockets {
        subscribe(&mut socket, channel).await?;
        subscribers.spawn(subscriber(socket, load, begun));
    }
    let published_in = publisher.publish(load, channel.to_owned(), begun).await?;
    let planned = Duration::from_secs(load.seconds);
    if published_in > planned + planned * LATE_PERCENT / 100 + Duration::from_secs(1) {
        return Err(format!("publishing took {published_in:.1?} instead of {planned:?}").into());
    }
    let collect = async {
        let mut all = vec![];
        while let Some(seen) = subscribers.join_next().await {
            all.extend(seen??);
        }
        Ok::<_, Failure>(all)
    };
    let all = tokio::time::timeout(TAIL, collect).await;
    let mut latencies = all.map_err(|_| "publications are missing")??;
    latencies.sort_unstable();
    let deliveries = u64::try_from(latencies.len())?;
    if deliveries != load.total() * u64::try_from(load.subscribers)? {
        return Err(format!("{deliveries} deliveries").into());
    }
    Ok(Report {
        deliveries,
        published_in,
        latencies,
    })
}
