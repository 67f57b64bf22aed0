//! `pogo bench fanout`: what a delivery costs the server, and the bare limit beside it.
//!
//! A round is one call that publishes the burst; the clients sleep until the server does, then
//! read it all. So none of their wake-ups is charged to the server, and a round's end is seen.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::bare::Bare;
use super::client::Subscription;
use super::process::Cpu;
use super::progress::Progress;
use super::publisher::Publisher;
use super::reader::Reader;
use super::swarm::{Swarm, nanos};
use super::tally::{histogram, median, percentiles, shown};
use super::target::{Target, TargetArguments};
use super::{Opening, report, require_all};
use crate::cli::error::CliError;
use crate::cli::output::Output;

/// Rounds before those that count.
const WARM_UP: u64 = 5;
/// Rounds at the end in which clients read at once, for latencies.
const LATENCY_ROUNDS: u64 = 10;
/// How long a round may take.
const ROUND_LIMIT: Duration = Duration::from_secs(60);

/// What to send to how many.
#[derive(Debug, clap::Args)]
pub(super) struct Fanout {
    /// Subscribers of the channel
    #[arg(long, short = 'n', default_value_t = 1_000, value_name = "N")]
    subscribers: usize,
    /// Bytes of a publication's data
    #[arg(long, default_value_t = 128, value_name = "BYTES")]
    size: usize,
    /// Publications that are published at once
    #[arg(long, default_value_t = 1, value_name = "K", value_parser = clap::value_parser!(u64).range(1..=1_000))]
    burst: u64,
    /// Rounds that are measured
    #[arg(long, default_value_t = 50, value_name = "R", value_parser = clap::value_parser!(u64).range(1..))]
    rounds: u64,
    /// Let a bare loop of send(2) do the same, in turns with the server, and print the ratio
    #[arg(long)]
    raw: bool,
    /// Publish JSON records rather than one long text
    #[arg(long)]
    records: bool,
    /// Offer permessage-deflate (the server needs edge.compression)
    #[arg(long)]
    compress: bool,
    /// Threads of the bare loop: as many as the server has workers; one a core without
    #[arg(long, requires = "raw", value_name = "N")]
    raw_threads: Option<usize>,
    #[command(flatten)]
    opening: Opening,
    #[command(flatten)]
    target: TargetArguments,
}

/// The rounds of one side.
#[derive(Default)]
struct Side {
    cpu: Cpu,
    /// CPU time a delivery of each round, in nanoseconds.
    each: Vec<f64>,
}

impl Side {
    fn add(&mut self, before: &Cpu, after: &Cpu, deliveries: u64) {
        let used = after.since(before).total;
        self.each.push(used as f64 / deliveries as f64);
    }

    fn report(&mut self, deliveries: u64) -> Cost {
        let mean = self.cpu.total as f64 / deliveries as f64;
        let user = mean * self.cpu.user_part();
        Cost {
            median: median(&mut self.each),
            mean,
            user,
            system: mean - user,
        }
    }
}

/// CPU time a delivery, in nanoseconds.
#[derive(Clone, Copy)]
struct Cost {
    median: f64,
    mean: f64,
    user: f64,
    system: f64,
}

impl Cost {
    fn json(self) -> Value {
        json!({
            "median": report::micros(self.median),
            "mean": report::micros(self.mean),
            "user": report::micros(self.user),
            "system": report::micros(self.system),
        })
    }

    fn shown(self) -> String {
        format!(
            "{:.2} µs a delivery (median of the rounds; mean {:.2}: user {:.2}, system {:.2})",
            self.median / 1e3,
            self.mean / 1e3,
            self.user / 1e3,
            self.system / 1e3
        )
    }
}

impl Fanout {
    pub(super) async fn run(self, out: &mut Output) -> Result<(), CliError> {
        let mut target = self.target.resolve()?;
        let mut swarm = target.swarm(Subscription::Shared("bench-fanout".to_owned()))?;
        if self.compress {
            swarm.context.offer_compression();
        }
        let opened = self.opening.open(&mut swarm, self.subscribers)?;
        require_all(&opened)?;
        let watched = swarm.watch(false);
        watched.map_err(|error| CliError::Failed(error.to_string()))?;
        let mut publisher = target.publisher().await?;
        publisher.records = self.records;
        let mut walks = Vec::new();
        for _ in 0..WARM_UP {
            self.round(&mut target, &mut swarm, &mut publisher).await?;
        }
        let mut bare = self.raw.then(|| self.bare(&swarm)).transpose()?;
        let (mut server, mut limit) = (Side::default(), Side::default());
        let deliveries = self.subscribers as u64 * self.burst;
        let mut progress = Progress::new(out, "rounds", self.rounds);
        let before = (cpu(&mut target)?, bare.as_mut().map(Bare::cpu).transpose()?);
        for round in 0..self.rounds {
            let from = cpu(&mut target)?;
            walks.push(self.round(&mut target, &mut swarm, &mut publisher).await?);
            server.add(&from, &cpu(&mut target)?, deliveries);
            if let Some(bare) = &mut bare {
                let from = bare.cpu()?;
                bare.round(self.burst, ROUND_LIMIT)?;
                limit.add(&from, &bare.cpu()?, deliveries);
            }
            progress.at(round + 1);
        }
        progress.done();
        server.cpu = cpu(&mut target)?.since(&before.0);
        if let (Some(bare), Some(before)) = (&mut bare, &before.1) {
            limit.cpu = bare.cpu()?.since(before);
        }
        drop(bare);
        let (swarm, latencies) = self.latencies(swarm, &mut publisher).await?;
        let measured = target.process.is_some();
        let total = deliveries * self.rounds;
        let server = measured.then(|| (server.report(total), server.cpu));
        let limit = self.raw.then(|| limit.report(total));
        let seen = Seen {
            swarm: &swarm,
            last: publisher.last,
            walks,
            latencies,
        };
        self.show(server.as_ref(), limit, &seen, out)
    }

    /// One round: how long from the call to the server's sleep.
    async fn round(
        &self,
        target: &mut Target,
        swarm: &mut Swarm,
        publisher: &mut Publisher,
    ) -> Result<Duration, CliError> {
        let begun = Instant::now();
        let last = publisher
            .publish("bench-fanout", self.burst, self.size)
            .await?;
        let mut took = Duration::ZERO;
        while begun.elapsed() < ROUND_LIMIT {
            match &mut target.process {
                Some(process) => process.wait_quiet(ROUND_LIMIT),
                None => {
                    std::thread::sleep(Duration::from_millis(5));
                    true
                }
            };
            if took.is_zero() {
                took = begun.elapsed();
            }
            if swarm.collect(last) == 0 {
                return Ok(took);
            }
        }
        Err(CliError::Failed(format!(
            "publication {last} did not reach everyone within {} s",
            ROUND_LIMIT.as_secs()
        )))
    }

    fn bare(&self, swarm: &Swarm) -> Result<Bare, CliError> {
        let cores = || std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let threads = self.raw_threads.unwrap_or_else(cores);
        let length = swarm.context.tally.frame_length;
        let mut bare = Bare::start(threads, self.subscribers, length)?;
        for _ in 0..WARM_UP {
            bare.round(self.burst, ROUND_LIMIT)?;
        }
        Ok(bare)
    }

    /// Rounds in which the clients read at once.
    async fn latencies(
        &self,
        mut swarm: Swarm,
        publisher: &mut Publisher,
    ) -> Result<(Swarm, Option<hdrhistogram::Histogram<u64>>), CliError> {
        let watched = swarm.watch(true);
        watched.map_err(|error| CliError::Failed(error.to_string()))?;
        swarm.context.tally.measure_latency();
        let mut expected = swarm.context.tally.received;
        let reader = Reader::start(swarm)?;
        for _ in 0..LATENCY_ROUNDS {
            publisher
                .publish("bench-fanout", self.burst, self.size)
                .await?;
            expected += self.burst * self.subscribers as u64;
            reader.wait(expected, Duration::from_secs(10)).await;
        }
        let mut swarm = reader.stop()?;
        let latencies = swarm.context.tally.take_latencies();
        Ok((swarm, latencies))
    }

    fn show(
        &self,
        server: Option<&(Cost, Cpu)>,
        limit: Option<Cost>,
        seen: &Seen<'_>,
        out: &mut Output,
    ) -> Result<(), CliError> {
        let tally = &seen.swarm.context.tally;
        let lost = tally.lost + seen.swarm.missing(seen.last);
        let mut value = json!({
            "bench": "fanout",
            "subscribers": self.subscribers,
            "size": self.size,
            "frame_bytes": tally.frame_length,
            "burst": self.burst,
            "rounds": self.rounds,
            "deliveries": tally.received,
            "lost": lost,
            "reordered": tally.reordered,
            "ended": tally.ended,
        });
        let mut text = format!(
            "{} subscribers, {} at once, {} B of data in frames of {} B, {} rounds",
            self.subscribers, self.burst, self.size, tally.frame_length, self.rounds
        );
        self.show_cost(server, limit, (&mut text, &mut value));
        let mut walks = histogram();
        if let Some(walks) = &mut walks {
            for walk in &seen.walks {
                walks.saturating_record(nanos(*walk));
            }
        }
        if let Some(walks) = walks.filter(|_| server.is_some()) {
            value["round_us"] = percentiles(&walks);
            text += &format!("\nround    {}", shown(&walks));
        }
        if let Some(latencies) = &seen.latencies {
            value["latency_us"] = percentiles(latencies);
            text += &format!(
                "\nlatency  {} (clients that read at once)",
                shown(latencies)
            );
        }
        text += &format!(
            "\nlost {lost}, out of order {}, connections ended {}",
            tally.reordered, tally.ended
        );
        out.record(&text, &value)
    }

    /// The server's cost, the limit's, and how they compare.
    fn show_cost(
        &self,
        server: Option<&(Cost, Cpu)>,
        limit: Option<Cost>,
        (text, value): (&mut String, &mut Value),
    ) {
        let total = self.subscribers as u64 * self.burst * self.rounds;
        if let Some((cost, cpu)) = server {
            value["cpu_us_per_delivery"] = cost.json();
            value["deliveries_per_cpu_second"] = json!((1e9 / cost.median).round());
            value["cpu_us_by_threads"] = report::threads(cpu, total);
            *text += &format!("\nserver   {}", cost.shown());
            *text += &format!("\n         of it {}", report::threads_shown(cpu, total));
        }
        let Some(limit) = limit else {
            return;
        };
        value["raw_cpu_us_per_delivery"] = limit.json();
        *text += &format!("\nlimit    {}", limit.shown());
        if let Some((cost, _)) = server {
            let ratio = cost.median / limit.median;
            let beyond = cost.user - limit.user;
            value["ratio"] = json!((ratio * 1e3).round() / 1e3);
            value["user_us_beyond_raw"] = json!(report::micros(beyond));
            *text += &format!(
                "\nratio    {ratio:.2}, user time beyond the limit's {:.2} µs",
                beyond / 1e3
            );
        }
    }
}

/// What the clients saw.
struct Seen<'a> {
    swarm: &'a Swarm,
    last: u64,
    walks: Vec<Duration>,
    latencies: Option<hdrhistogram::Histogram<u64>>,
}

/// The server's CPU time, if it is within sight.
pub(super) fn cpu(target: &mut Target) -> Result<Cpu, CliError> {
    let cpu = target.process.as_mut().map(super::process::Process::cpu);
    cpu.transpose()
        .map(Option::unwrap_or_default)
        .map_err(|error| CliError::Failed(format!("the server's process: {error}")))
}
