//! `pogo bench latency`: from the moment a publication is due to the moment a client has read it,
//! among idle sessions, beside readers that stall and beside a channel that takes long to walk.
//!
//! What is compared is measured in one run: first everyone well behaved, then with the disturbance.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde_json::{Value, json};

use super::client::Subscription;
use super::connections::{mebibytes, memory};
use super::fanout::cpu;
use super::progress::Progress;
use super::publisher::Publisher;
use super::reader::Reader;
use super::swarm::nanos;
use super::tally::{histogram, percentiles, shown};
use super::target::{Target, TargetArguments};
use super::{Opening, require_all};
use crate::cli::error::CliError;
use crate::cli::output::Output;

const CHANNEL: &str = "bench-latency";
const BIG: &str = "bench-big";
/// How long the last publications may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// Bare round trips that are measured.
const ROUND_TRIPS: usize = 2_000;

/// The load and its disturbances.
#[derive(Debug, clap::Args)]
pub(super) struct Latency {
    /// Subscribers of the measured channel
    #[arg(long, short = 'n', default_value_t = 1_000, value_name = "N")]
    subscribers: usize,
    /// Publications a second
    #[arg(long, default_value_t = 100.0, value_name = "RATE")]
    rate: f64,
    /// How long each part takes
    #[arg(long, default_value_t = 10, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=3_600))]
    seconds: u64,
    /// Bytes of a publication's data
    #[arg(long, default_value_t = 128, value_name = "BYTES")]
    size: usize,
    /// Idle sessions beside them
    #[arg(long, default_value_t = 0, value_name = "N")]
    idle: usize,
    /// Then let so many percent of the subscribers stop reading
    #[arg(long, default_value_t = 0.0, value_name = "PERCENT")]
    stalled: f64,
    /// Then publish to a channel of so many subscribers as well
    #[arg(long, default_value_t = 0, value_name = "N")]
    big: usize,
    /// Publications a second to it
    #[arg(long, default_value_t = 2.0, value_name = "RATE")]
    big_rate: f64,
    #[command(flatten)]
    opening: Opening,
    #[command(flatten)]
    target: TargetArguments,
}

/// A part of the run.
struct Part {
    name: &'static str,
    times: Histogram<u64>,
    lost: u64,
    reordered: u64,
    ended: u64,
    cpu: u64,
}

/// What runs through all parts.
struct Run {
    target: Target,
    publisher: Publisher,
    reader: Option<Reader>,
    published: u64,
}

impl Latency {
    pub(super) async fn run(self, out: &mut Output) -> Result<(), CliError> {
        let round_trip = round_trips().map_err(failed)?;
        let target = self.target.resolve()?;
        let shared = |name: &str| Subscription::Shared(name.to_owned());
        let idle = self.others(&target, Subscription::Own("bench-idle-".into()), self.idle)?;
        let big = self.others(&target, shared(BIG), self.big)?;
        let mut swarm = target.swarm(shared(CHANNEL))?;
        require_all(&self.opening.open(&mut swarm, self.subscribers)?)?;
        let mut run = Run {
            publisher: target.publisher().await?,
            reader: Some(Reader::start(swarm)?),
            published: 0,
            target,
        };
        // What is cold at first is not what is measured.
        run.publisher.publish(CHANNEL, 1, self.size).await?;
        let mut parts = vec![self.part("alone", &mut run, None, out).await?];
        if self.big > 0 {
            let mut walked = run.target.publisher().await?;
            let part = self.part("big channel", &mut run, Some(&mut walked), out);
            parts.push(part.await?);
        }
        if self.stalled > 0.0 {
            let count = (self.subscribers as f64 * self.stalled / 100.0).ceil();
            run.pause(|swarm| swarm.stall(count as usize))?;
            parts.push(self.part("stalled", &mut run, None, out).await?);
        }
        let memory = memory(&run.target)?;
        drop((idle, big));
        self.show(&round_trip, &parts, memory, out)
    }

    /// Clients that are read but not measured.
    fn others(
        &self,
        target: &Target,
        subscription: Subscription,
        count: usize,
    ) -> Result<Option<Reader>, CliError> {
        if count == 0 {
            return Ok(None);
        }
        let mut swarm = target.swarm(subscription)?;
        require_all(&self.opening.open(&mut swarm, count)?)?;
        // They read now and then: their wake-ups are not what is measured.
        swarm.watch(false).map_err(failed)?;
        Reader::start_lazy(swarm).map(Some)
    }

    async fn part(
        &self,
        name: &'static str,
        run: &mut Run,
        walked: Option<&mut Publisher>,
        out: &Output,
    ) -> Result<Part, CliError> {
        run.pause(|swarm| swarm.context.tally.measure_latency())?;
        let before = cpu(&mut run.target)?.total;
        let total = (self.rate * self.seconds as f64).ceil() as u64;
        let span = |rate: f64| Duration::from_secs_f64(1.0 / rate.max(0.001));
        let mut progress = Progress::new(out, name, 1);
        progress.at(0);
        let load = run
            .publisher
            .publish_at(CHANNEL, span(self.rate), (total, self.size));
        if let Some(walked) = walked {
            let walks = (self.big_rate * self.seconds as f64).ceil() as u64;
            let walks = walked.publish_at(BIG, span(self.big_rate), (walks, self.size));
            let (load, walks) = tokio::join!(load, walks);
            load.and(walks)?;
        } else {
            load.await?;
        }
        progress.done();
        let used = cpu(&mut run.target)?.total.saturating_sub(before);
        run.published = run.publisher.last;
        run.wait_for_all(self.subscribers).await;
        let mut part = None;
        let last = run.published;
        run.pause(|swarm| {
            let lost = swarm.context.tally.lost + swarm.missing(last);
            let tally = &mut swarm.context.tally;
            part = tally.take_latencies().map(|times| Part {
                name,
                times,
                lost,
                reordered: tally.reordered,
                ended: tally.ended,
                cpu: used,
            });
        })?;
        part.ok_or_else(|| failed("no histogram"))
    }

    fn show(
        &self,
        round_trip: &Histogram<u64>,
        parts: &[Part],
        memory: Option<super::process::Memory>,
        out: &mut Output,
    ) -> Result<(), CliError> {
        let mut text = format!(
            "{} subscribers, {} publications a second of {} B, {} idle sessions\n\
             bare round trip  {}",
            self.subscribers,
            self.rate,
            self.size,
            self.idle,
            shown(round_trip)
        );
        let mut list = Vec::new();
        for part in parts {
            text += &format!(
                "\n{:<15}  {}; lost {}, out of order {}, ended {}",
                part.name,
                shown(&part.times),
                part.lost,
                part.reordered,
                part.ended
            );
            list.push(json!({
                "part": part.name,
                "latency_us": percentiles(&part.times),
                "lost": part.lost,
                "reordered": part.reordered,
                "ended": part.ended,
                "server_cpu_seconds": (part.cpu as f64 / 1e6).round() / 1e3,
            }));
        }
        let mut value = json!({
            "bench": "latency",
            "subscribers": self.subscribers,
            "rate": self.rate,
            "size": self.size,
            "idle": self.idle,
            "stalled_percent": self.stalled,
            "big": self.big,
            "round_trip_us": percentiles(round_trip),
            "parts": Value::from(list),
        });
        if let Some(memory) = memory {
            value["resident_bytes"] = json!(memory.resident);
            value["peak_bytes"] = json!(memory.peak);
            text += &format!(
                "\nmemory           {}, at most {}",
                mebibytes(memory.resident),
                mebibytes(memory.peak)
            );
        }
        out.record(&text, &value)
    }
}

impl Run {
    /// Stops the reader for as long as `change` takes.
    fn pause(&mut self, change: impl FnOnce(&mut super::swarm::Swarm)) -> Result<(), CliError> {
        let reader = self.reader.take().ok_or_else(|| failed("no reader"))?;
        let mut swarm = reader.stop()?;
        change(&mut swarm);
        self.reader = Some(Reader::start(swarm)?);
        Ok(())
    }

    async fn wait_for_all(&self, subscribers: usize) {
        if let Some(reader) = &self.reader {
            let all = self.published * subscribers as u64;
            reader.wait(all, PATIENCE).await;
        }
    }
}

fn failed(error: impl std::fmt::Display) -> CliError {
    CliError::Failed(format!("latency: {error}"))
}

/// Round trips of a few bytes between two threads over loopback, one after the other.
fn round_trips() -> std::io::Result<Histogram<u64>> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    let echo = std::thread::spawn(move || {
        let (mut socket, _) = listener.accept()?;
        socket.set_nodelay(true)?;
        let mut buffer = [0; 128];
        while socket.read_exact(&mut buffer).is_ok() {
            socket.write_all(&buffer)?;
        }
        std::io::Result::Ok(())
    });
    let mut socket = TcpStream::connect(address)?;
    socket.set_nodelay(true)?;
    let mut times = histogram().ok_or_else(|| std::io::Error::other("no histogram"))?;
    let mut buffer = [0; 128];
    for _ in 0..ROUND_TRIPS {
        let begun = Instant::now();
        socket.write_all(&buffer)?;
        socket.read_exact(&mut buffer)?;
        times.saturating_record(nanos(begun.elapsed()));
    }
    drop(socket);
    // It has seen the end of the connection, or failed as this side would have.
    let _ = echo.join();
    Ok(times)
}
