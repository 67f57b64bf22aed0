//! `pogo serve`.

mod banner;
mod reload;

use std::future::Future;

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::config::From;
use super::error::CliError;
use super::logging;
use super::output::Output;
use super::remote::chain;
use crate::config::{self, Config, Sources};
use crate::server::Server;

/// How to run the server.
#[derive(Debug, clap::Args)]
pub(super) struct Serve {
    /// For trying things out: on this machine only, random keys, anonymous sessions, a demo page
    #[arg(long)]
    dev: bool,
    #[command(flatten)]
    from: From,
}

impl Serve {
    pub(super) fn run(self, out: &mut Output) -> Result<(), CliError> {
        let sources = self.from.sources(self.dev)?;
        let config = config::load(&sources)?;
        logging::start(&config.log)?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build();
        let runtime = runtime.map_err(|error| CliError::Failed(error.to_string()))?;
        runtime.block_on(serve(config, sources, out))
    }
}

async fn serve(config: Config, sources: Sources, out: &mut Output) -> Result<(), CliError> {
    let stop = interrupted()?;
    let server = Server::bind(config.clone()).await;
    let server = server.map_err(|error| CliError::Failed(chain(&error)))?;
    let at = server.addresses();
    tracing::info!(edge = %at.edge, control = %at.control, admin = %at.admin, "listening");
    banner::show(&config, &at, out)?;
    let watching = tokio::spawn(reload::watch(
        sources,
        config,
        reload::hangups()?,
        server.reloader(),
    ));
    let (hurry, hurried) = (interrupted_twice()?, server.run(stop));
    let done = tokio::select! {
        done = hurried => done.map_err(|error| CliError::Failed(chain(&error))),
        () = hurry => Err(CliError::Failed("stopped before the drain was over".into())),
    };
    watching.abort();
    done
}

/// Done when the process is asked to stop: by SIGTERM, or by Ctrl-C.
pub(super) fn interrupted() -> Result<impl Future<Output = ()>, CliError> {
    let mut signals = Signals::new()?;
    Ok(async move { signals.next().await })
}

/// Done when it is asked a second time.
fn interrupted_twice() -> Result<impl Future<Output = ()>, CliError> {
    let mut signals = Signals::new()?;
    Ok(async move {
        signals.next().await;
        signals.next().await;
    })
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Listens from now on, not from the first poll.
    fn new() -> Result<Self, CliError> {
        let of = |kind| signal(kind).map_err(|error| CliError::Failed(format!("signals: {error}")));
        Ok(Self {
            terminate: of(SignalKind::terminate())?,
            interrupt: of(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
