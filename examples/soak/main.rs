//! The load test: 10,000 idle sessions, then 1,000 subscribers at 50 publications a second and 50
//! at 1,000 a second. Every subscriber must get every publication once and in order, the idle ones
//! must live on, and the server's memory must stay where it was. `./test soak` runs it.
//!
//! It runs in a process of its own and shares no code with the server but the messages of `proto/`.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    unreachable_pub,
    reason = "a program that reports on its output"
)]

mod fanout;
mod memory;
mod revoke;
mod socket;

use std::error::Error;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use fanout::Load;
use memory::Memory;
use socket::Socket;

/// Any failure ends the test.
type Failure = Box<dyn Error + Send + Sync>;

/// Handshakes under way at once.
const CONNECTING: usize = 64;

#[derive(Debug, Parser)]
struct Arguments {
    /// The edge, `ws://host:port`.
    #[arg(long, env = "POGO_URL")]
    url: String,
    /// The control plane, `host:port`.
    #[arg(long, env = "POGO_CONTROL")]
    control: String,
    /// A key that may publish and revoke.
    #[arg(long, env = "POGO_CONTROL_KEY")]
    control_key: String,
    /// What the server's tokens are signed with.
    #[arg(long, env = "POGO_TOKEN_SECRET")]
    token_secret: String,
    /// The server's process, to watch its memory.
    #[arg(long, env = "POGO_PID")]
    pid: u32,
    /// How long each load lasts.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// How many sessions stay idle meanwhile.
    #[arg(long, default_value_t = 10_000)]
    idle: usize,
}

/// Connects `count` sessions at once, a bounded number of handshakes at a time.
async fn connect(address: &str, count: usize) -> Result<Vec<Socket>, Failure> {
    let places = std::sync::Arc::new(Semaphore::new(CONNECTING));
    let mut opening = JoinSet::new();
    for _ in 0..count {
        let (places, address) = (places.clone(), address.to_owned());
        opening.spawn(async move {
            let _place = places.acquire().await?;
            Socket::connect(&address, None).await
        });
    }
    let mut open = Vec::with_capacity(count);
    while let Some(socket) = opening.join_next().await {
        open.push(socket??);
    }
    Ok(open)
}

/// Sessions that only answer pings. They end when the set is dropped, and none may end before.
struct Idle(JoinSet<Result<(), Failure>>);

impl Idle {
    fn watch(sockets: Vec<Socket>) -> Self {
        let mut tasks = JoinSet::new();
        for mut socket in sockets {
            tasks.spawn(async move { socket.frames(|_| Ok(true)).await });
        }
        Self(tasks)
    }

    fn all_alive(&mut self) -> Result<(), Failure> {
        match self.0.try_join_next() {
            None => Ok(()),
            Some(ended) => Err(format!("an idle session ended: {ended:?}").into()),
        }
    }
}

async fn idle(arguments: &Arguments, address: &str, memory: &Memory) -> Result<Idle, Failure> {
    let before = memory.bytes()?;
    let begun = Instant::now();
    let sockets = connect(address, arguments.idle).await?;
    let took = begun.elapsed();
    let grown = memory.bytes()?.saturating_sub(before);
    let each = grown / u64::try_from(arguments.idle.max(1))?;
    println!(
        "{} sessions in {took:.1?}, {each} bytes of memory each",
        arguments.idle
    );
    let mut idle = Idle::watch(sockets);
    let stable = memory
        .stable_during(Duration::from_secs(arguments.seconds.min(30)))
        .await;
    idle.all_alive()?;
    println!("  idle: {}", stable?);
    Ok(idle)
}

async fn test(arguments: &Arguments) -> Result<(), Failure> {
    let address = arguments
        .url
        .strip_prefix("ws://")
        .ok_or("POGO_URL is ws://host:port")?;
    let address = address.trim_end_matches('/');
    let memory = Memory::of(arguments.pid);
    let mut idle = idle(arguments, address, &memory).await?;
    let p99 = revoke::run(arguments, address).await?;
    println!("revoked sessions are closed within {p99:.1?} (p99)");
    for (subscribers, rate) in [(1_000, 50), (50, 1_000)] {
        let load = Load {
            subscribers,
            rate,
            seconds: arguments.seconds,
        };
        let sockets = connect(address, subscribers).await?;
        let channel = format!("soak-{subscribers}");
        let publisher =
            fanout::Publisher::connect(&arguments.control, &arguments.control_key).await?;
        let run = fanout::run(load, &channel, sockets, publisher);
        let (report, stable) = tokio::join!(
            run,
            memory.stable_during(Duration::from_secs(arguments.seconds))
        );
        println!(
            "{subscribers} subscribers, {rate}/s, {} s: {}",
            arguments.seconds, report?
        );
        println!("  {}", stable?);
        idle.all_alive()?;
    }
    Ok(())
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Err(error) = rlimit::increase_nofile_limit(u64::MAX) {
        eprintln!("the open-files limit stays as it is: {error}");
    }
    match test(&arguments).await {
        Ok(()) => {
            println!("soak: ok");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("soak: FAILED: {error}");
            ExitCode::FAILURE
        }
    }
}
