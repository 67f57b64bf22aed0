//! `pogo bench publish`: how many publications the control plane takes, nobody listening, and the
//! same calls to a service that does nothing.

use std::time::Instant;

use futures_util::{StreamExt, stream};
use serde_json::{Value, json};

use super::bare_grpc::BareService;
use super::process::Process;
use super::publisher::request;
use super::report::{micros, threads, threads_shown};
use super::target::TargetArguments;
use super::{process, wire};
use crate::cli::error::CliError;
use crate::cli::output::Output;
use crate::cli::remote::Transport;
use crate::control::proto::PublishStreamRequest;
use crate::control::proto::publish_stream_response::Result as Item;
use crate::control::proto::publisher_client::PublisherClient;

/// Turns that each side takes.
const TURNS: u64 = 5;
/// Publications of a turn that does not count.
const WARM_UP: u64 = 2_000;

/// By which call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Call {
    /// One `PublishStream`
    Stream,
    /// Many `Publish` at a time
    Unary,
}

/// What to publish.
#[derive(Debug, clap::Args)]
pub(super) struct Publish {
    /// Publications by each call
    #[arg(long, default_value_t = 100_000, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: u64,
    /// Bytes of a publication's data
    #[arg(long, default_value_t = 128, value_name = "BYTES")]
    size: usize,
    /// Channels that they are spread over
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    channels: u64,
    /// Only by this call
    #[arg(long, value_enum)]
    call: Option<Call>,
    /// Unary calls at a time, on one connection
    #[arg(long, default_value_t = 64, value_name = "N")]
    concurrency: usize,
    /// Let a tonic service that does nothing take the same calls, in turns with the server
    #[arg(long)]
    raw: bool,
    #[command(flatten)]
    target: TargetArguments,
}

/// A service and its process.
struct Side {
    client: PublisherClient<Transport>,
    process: Option<Process>,
    seconds: f64,
    cpu: process::Cpu,
}

impl Publish {
    pub(super) async fn run(self, out: &mut Output) -> Result<(), CliError> {
        let mut target = self.target.resolve()?;
        let mut server = Side {
            client: target.control().publisher().await?,
            process: target.process.take(),
            seconds: 0.0,
            cpu: process::Cpu::default(),
        };
        let bare = self.raw.then(BareService::start).transpose()?;
        let mut limit = match &bare {
            Some(bare) => Some(Side {
                client: bare.remote().publisher().await?,
                process: Some(bare.process()?),
                seconds: 0.0,
                cpu: process::Cpu::default(),
            }),
            None => None,
        };
        for call in [Call::Stream, Call::Unary] {
            if self.call.is_some_and(|only| only != call) {
                continue;
            }
            self.take_turns(call, &mut server, limit.as_mut()).await?;
            self.show(call, &server, limit.as_ref(), out)?;
        }
        Ok(())
    }

    async fn take_turns(
        &self,
        call: Call,
        server: &mut Side,
        mut limit: Option<&mut Side>,
    ) -> Result<(), CliError> {
        for side in std::iter::once(&mut *server).chain(limit.as_deref_mut()) {
            self.turn(call, side, WARM_UP.min(self.count)).await?;
            (side.seconds, side.cpu) = (0.0, process::Cpu::default());
        }
        for turn in 0..TURNS {
            let count = self.count * (turn + 1) / TURNS - self.count * turn / TURNS;
            self.turn(call, server, count).await?;
            if let Some(limit) = &mut limit {
                self.turn(call, limit, count).await?;
            }
        }
        Ok(())
    }

    async fn turn(&self, call: Call, side: &mut Side, count: u64) -> Result<(), CliError> {
        let failed = |error| CliError::Failed(format!("the server's process: {error}"));
        let process = side.process.as_mut();
        let before = process.map(Process::cpu).transpose().map_err(failed)?;
        let begun = Instant::now();
        match call {
            Call::Stream => self.stream(&mut side.client, count).await?,
            Call::Unary => self.unary(&side.client, count).await?,
        }
        side.seconds += begun.elapsed().as_secs_f64();
        if let (Some(process), Some(before)) = (&mut side.process, before) {
            let used = process.cpu().map_err(failed)?.since(&before);
            side.cpu.total += used.total;
            side.cpu.user += used.user;
            side.cpu.system += used.system;
            for (name, time) in used.threads {
                *side.cpu.threads.entry(name).or_default() += time;
            }
        }
        Ok(())
    }

    fn channel(&self, number: u64) -> String {
        format!("bench-publish-{}", number % self.channels)
    }

    async fn stream(
        &self,
        client: &mut PublisherClient<Transport>,
        count: u64,
    ) -> Result<(), CliError> {
        let (channels, size) = (self.channels, self.size);
        let requests = stream::iter(1..=count).map(move |number| PublishStreamRequest {
            sequence: number,
            publish: Some(request(
                &format!("bench-publish-{}", number % channels),
                wire::data(number, 0, size),
            )),
        });
        let mut answers = client.publish_stream(requests).await?.into_inner();
        let mut answered = 0;
        while let Some(answer) = answers.message().await? {
            if let Some(Item::Status(status)) = answer.result {
                return Err(tonic::Status::new(status.code.into(), status.message).into());
            }
            answered += 1;
        }
        if answered == count {
            return Ok(());
        }
        Err(CliError::Failed(format!(
            "{answered} answers to {count} publications"
        )))
    }

    async fn unary(&self, client: &PublisherClient<Transport>, count: u64) -> Result<(), CliError> {
        let mut calls = stream::iter(1..=count)
            .map(|number| {
                let mut client = client.clone();
                let request = request(&self.channel(number), wire::data(number, 0, self.size));
                async move { client.publish(request).await.map(|_| ()) }
            })
            .buffer_unordered(self.concurrency.max(1));
        while let Some(done) = calls.next().await {
            done?;
        }
        Ok(())
    }

    fn show(
        &self,
        call: Call,
        server: &Side,
        limit: Option<&Side>,
        out: &mut Output,
    ) -> Result<(), CliError> {
        let name = match call {
            Call::Stream => "stream",
            Call::Unary => "unary",
        };
        let mut value = json!({
            "bench": "publish",
            "call": name,
            "count": self.count,
            "size": self.size,
            "channels": self.channels,
        });
        let mut text = format!(
            "{name}: {} publications of {} B to {} channels",
            self.count, self.size, self.channels
        );
        for (who, key, side) in [
            ("server ", "server", Some(server)),
            ("nothing", "raw", limit),
        ] {
            let Some(side) = side else { continue };
            value[key] = self.side(side);
            text += &format!("\n{who}  {}", self.side_shown(side));
        }
        if let Some(limit) = limit.filter(|_| server.cpu.total > 0) {
            let ratio = server.cpu.total as f64 / limit.cpu.total as f64;
            value["ratio"] = json!((ratio * 1e3).round() / 1e3);
            text += &format!("\nratio    {ratio:.2} of the CPU time");
        }
        out.record(&text, &value)
    }

    fn side(&self, side: &Side) -> Value {
        let each = side.cpu.total as f64 / self.count as f64;
        json!({
            "per_second": (self.count as f64 / side.seconds).round(),
            "cpu_us": micros(each),
            "user_us": micros(each * side.cpu.user_part()),
            "per_cpu_second": (1e9 / each).round(),
            "cpu_us_by_threads": threads(&side.cpu, self.count),
        })
    }

    fn side_shown(&self, side: &Side) -> String {
        let each = side.cpu.total as f64 / self.count as f64;
        let rate = self.count as f64 / side.seconds;
        if side.cpu.total == 0 {
            return format!("{rate:.0} a second");
        }
        format!(
            "{:.2} µs CPU each ({:.0} a second and core), user {:.2}; {rate:.0} a second; {}",
            each / 1e3,
            1e9 / each,
            each * side.cpu.user_part() / 1e3,
            threads_shown(&side.cpu, self.count)
        )
    }
}
