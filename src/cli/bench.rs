//! `pogo bench`: a load generator, in a process of its own. It measures what the server's process
//! costs (CPU time, memory) rather than how fast this one is; see docs/performance.md.
//!
//! It is one thread over non-blocking sockets, two where latencies are measured, and formats a
//! publication once. With `--protocol pusher` it drives any server of that protocol.

mod bare;
mod bare_grpc;
mod calls;
mod client;
mod connections;
mod fanout;
mod latency;
mod link;
mod process;
mod progress;
mod publish;
mod publisher;
mod pusher;
mod reader;
mod report;
mod spawn;
mod swarm;
mod tally;
mod target;
mod token;
mod wire;

use std::time::Duration;

use clap::Subcommand;

use super::error::CliError;
use super::output::Output;
use super::remote::parse_duration;
use super::wait;
use swarm::{Opened, Swarm};

/// What to measure.
#[derive(Debug, clap::Args)]
pub(super) struct BenchArguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// What a delivery costs: many subscribers of a channel
    Fanout(Box<fanout::Fanout>),
    /// What an idle session costs, and what coming back all at once does
    Connections(Box<connections::Connections>),
    /// What a publication costs, nobody listening
    Publish(Box<publish::Publish>),
    /// What a call to the gateway costs: one that the cache answers, and one that is fetched
    Calls(Box<calls::Calls>),
    /// How long a publication takes to its clients
    Latency(Box<latency::Latency>),
    #[command(hide = true)]
    BareSend(bare::BareSend),
    #[command(hide = true)]
    BareRead(bare::BareRead),
    /// The bare service (started by the run itself)
    #[command(hide = true)]
    BareGrpc,
    #[command(hide = true)]
    Keep(spawn::Keep),
}

impl BenchArguments {
    pub(super) fn run(self, out: &mut Output) -> Result<(), CliError> {
        raise_limits();
        match self.command {
            Command::Fanout(fanout) => wait(fanout.run(out)),
            Command::Connections(connections) => connections.run(out),
            Command::Publish(publish) => wait(publish.run(out)),
            Command::Calls(calls) => wait(calls.run(out)),
            Command::Latency(latency) => wait(latency.run(out)),
            Command::BareSend(bare) => bare.run(out),
            Command::BareRead(bare) => bare.run(out),
            Command::BareGrpc => bare_grpc::run(out),
            Command::Keep(keep) => keep.run(out),
        }
    }
}

/// How clients connect.
#[derive(Debug, Clone, clap::Args)]
struct Opening {
    /// Handshakes under way at a time
    #[arg(long, default_value_t = 200, value_name = "N")]
    connecting: usize,
    /// How long all of them may take
    #[arg(long, default_value = "120s", value_parser = parse_duration, value_name = "DURATION")]
    open_within: Duration,
}

impl Opening {
    fn open(&self, swarm: &mut Swarm, count: usize) -> Result<Opened, CliError> {
        swarm
            .open(count, self.connecting.max(1), self.open_within)
            .map_err(|error| CliError::Failed(format!("a socket cannot be opened: {error}")))
    }
}

/// Fails where a client is missing: what follows would measure something else.
fn require_all(opened: &Opened) -> Result<(), CliError> {
    if opened.failed == 0 {
        return Ok(());
    }
    let why = opened.why.as_deref().unwrap_or("unknown");
    Err(CliError::Failed(format!(
        "{} clients could not be connected and subscribed, the first because: {why}",
        opened.failed
    )))
}

/// Opens as many files as this process may.
fn raise_limits() {
    // Without it, a socket too many says so itself.
    let _ = rlimit::increase_nofile_limit(u64::MAX);
}
