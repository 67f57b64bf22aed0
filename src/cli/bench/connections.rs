//! `pogo bench connections`: what an idle session costs, and what happens when all come back at
//! once.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::client::Subscription;
use super::fanout::cpu;
use super::process::{Memory, Process};
use super::report::micros;
use super::swarm::{Opened, Swarm};
use super::tally::{percentiles, shown};
use super::target::{Target, TargetArguments};
use super::{Opening, require_all};
use crate::cli::error::CliError;
use crate::cli::output::Output;
use crate::cli::remote::parse_duration;

/// Sessions before those that count: what a server allocates once is not theirs.
const WARM_UP: usize = 100;
/// How long the poller sleeps while sessions idle.
const PAUSE: Duration = Duration::from_millis(100);

/// How many sessions.
#[derive(Debug, clap::Args)]
pub(super) struct Connections {
    /// Sessions, each authenticated and subscribed
    #[arg(long, short = 'n', default_value_t = 10_000, value_name = "N")]
    sessions: usize,
    /// One channel for all, in place of one of its own for each
    #[arg(long)]
    shared: bool,
    /// How long they idle before the memory is read
    #[arg(long, default_value = "3s", value_parser = parse_duration, value_name = "DURATION")]
    settle: Duration,
    /// Then cut all of them and let all come back at once
    #[arg(long)]
    reconnect: bool,
    #[command(flatten)]
    opening: Opening,
    #[command(flatten)]
    target: TargetArguments,
}

impl Connections {
    pub(super) fn run(self, out: &mut Output) -> Result<(), CliError> {
        let mut target = self.target.resolve()?;
        let subscription = if self.shared {
            Subscription::Shared("bench-shared".to_owned())
        } else {
            Subscription::Own("bench-own-".to_owned())
        };
        let mut swarm = target.swarm(subscription)?;
        require_all(&self.opening.open(&mut swarm, WARM_UP)?)?;
        idle(&mut swarm, Duration::from_secs(1))?;
        let (before, from) = (memory(&target)?, cpu(&mut target)?);
        let opened = self.opening.open(&mut swarm, self.sessions)?;
        require_all(&opened)?;
        let used = cpu(&mut target)?.since(&from).total;
        idle(&mut swarm, self.settle)?;
        let steady = memory(&target)?;
        let mut value = json!({
            "bench": "connections",
            "sessions": self.sessions,
            "handshakes_per_second": rate(&opened, self.sessions),
            "handshake_us": opened.times.as_ref().map(percentiles),
        });
        let mut text = format!(
            "{} sessions, opened in {:.1} s: {:.0} a second, {} at a time\nhandshake  {}",
            self.sessions,
            opened.took.as_secs_f64(),
            rate(&opened, self.sessions),
            self.opening.connecting,
            opened.times.as_ref().map(shown).unwrap_or_default(),
        );
        if let (Some(before), Some(steady)) = (before, steady) {
            let each =
                steady.resident.saturating_sub(before.resident) as f64 / self.sessions as f64;
            let cost = used as f64 / self.sessions as f64;
            value["resident_bytes_per_session"] = json!(each.round());
            value["resident_bytes"] = json!(steady.resident);
            value["base_bytes"] = json!(before.resident);
            value["cpu_us_per_handshake"] = json!(micros(cost));
            text += &format!(
                "\nmemory     {:.2} KiB a session: {} with {WARM_UP} of them, {} with all\n\
                 CPU        {:.0} µs a session opened",
                each / 1024.0,
                mebibytes(before.resident),
                mebibytes(steady.resident),
                cost / 1e3
            );
        }
        if self.reconnect {
            self.storm((&mut target, &mut swarm), steady, (&mut text, &mut value))?;
        }
        let tally = &swarm.context.tally;
        value["ended"] = json!(tally.ended);
        text += &format!("\nconnections ended {}", tally.ended);
        out.record(&text, &value)
    }

    /// Cuts all sessions and lets all come back at once.
    fn storm(
        &self,
        (target, swarm): (&mut Target, &mut Swarm),
        steady: Option<Memory>,
        (text, value): (&mut String, &mut Value),
    ) -> Result<(), CliError> {
        if let Some(process) = &target.process {
            process.reset_peak();
        }
        let ended = swarm.context.tally.ended;
        swarm.hang_up();
        let count = self.sessions + WARM_UP;
        let all_at_once = Opening {
            connecting: count,
            ..self.opening.clone()
        };
        let opened = all_at_once.open(swarm, count)?;
        idle(swarm, self.settle)?;
        let back = swarm.ready();
        let errors = opened.failed + swarm.context.tally.ended - ended;
        value["reconnect"] = json!({
            "sessions": count,
            "back": back,
            "errors": errors,
            "why": opened.why,
            "seconds": (opened.took.as_secs_f64() * 1e3).round() / 1e3,
            "handshake_us": opened.times.as_ref().map(percentiles),
        });
        *text += &format!(
            "\nreconnect  {back} of {count} back in {:.1} s, {errors} errors{}\n           {}",
            opened.took.as_secs_f64(),
            opened
                .why
                .map_or_else(String::new, |why| format!(" ({why})")),
            opened.times.as_ref().map(shown).unwrap_or_default()
        );
        if let (Some(steady), Some(after)) = (steady, memory(target)?) {
            let ratio = after.peak as f64 / steady.resident as f64;
            value["reconnect"]["peak_bytes"] = json!(after.peak);
            value["reconnect"]["resident_bytes"] = json!(after.resident);
            value["reconnect"]["peak_ratio"] = json!((ratio * 1e3).round() / 1e3);
            *text += &format!(
                "\n           peak {}, {ratio:.2} × steady; {} after it",
                mebibytes(after.peak),
                mebibytes(after.resident)
            );
        }
        Ok(())
    }
}

/// Lets the clients only answer pings.
pub(super) fn idle(swarm: &mut Swarm, time: Duration) -> Result<(), CliError> {
    let end = Instant::now() + time;
    while Instant::now() < end {
        let turned = swarm.turn(PAUSE);
        turned.map_err(|error| CliError::Failed(format!("reading: {error}")))?;
    }
    Ok(())
}

/// The server's memory, if it is within sight.
pub(super) fn memory(target: &Target) -> Result<Option<Memory>, CliError> {
    let memory = target.process.as_ref().map(Process::memory).transpose();
    memory.map_err(|error| CliError::Failed(format!("the server's process: {error}")))
}

/// Bytes for people.
pub(super) fn mebibytes(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}

fn rate(opened: &Opened, count: usize) -> f64 {
    (count as f64 / opened.took.as_secs_f64()).round()
}
