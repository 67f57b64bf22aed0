//! Loads the configuration again on SIGHUP, or when a file changes that it was read from or
//! names. Files are compared by content: a mounted secret changes by a link that is swapped.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::PathBuf;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::super::error::CliError;
use super::super::remote::chain;
use crate::config::{self, Config, Sources};
use crate::server::Reloader;

/// How often files are compared.
const POLL: Duration = Duration::from_secs(5);

/// SIGHUP, from now on.
pub(super) fn hangups() -> Result<Signal, CliError> {
    signal(SignalKind::hangup()).map_err(|error| CliError::Failed(format!("signals: {error}")))
}

/// Puts each new good configuration in force; one with problems is logged and left.
pub(super) async fn watch(
    sources: Sources,
    mut running: Config,
    mut hangups: Signal,
    server: Reloader,
) {
    let mut seen = fingerprint(running.files.clone()).await;
    let mut poll = tokio::time::interval(POLL);
    poll.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let asked = tokio::select! {
            asked = hangups.recv() => {
                if asked.is_none() {
                    return;
                }
                true
            }
            _ = poll.tick() => false,
        };
        let now = fingerprint(running.files.clone()).await;
        if !asked && now == seen {
            continue;
        }
        seen = now;
        let from = sources.clone();
        let Ok(loaded) = tokio::task::spawn_blocking(move || config::load(&from)).await else {
            return;
        };
        match loaded {
            Ok(loaded) => {
                for setting in config::needs_restart(&running, &loaded) {
                    tracing::warn!(%setting, "the change needs a restart");
                }
                seen = fingerprint(loaded.files.clone()).await;
                running.files.clone_from(&loaded.files);
                match server.reload(loaded) {
                    Ok(()) => tracing::info!("configuration reloaded"),
                    Err(errors) => {
                        for error in errors {
                            tracing::error!(error = chain(&error), "not reloaded");
                        }
                    }
                }
            }
            Err(errors) => {
                for problem in errors.problems() {
                    tracing::error!(%problem, "configuration not reloaded");
                }
            }
        }
    }
}

/// A hash of the files' content; a file that cannot be read counts as empty.
async fn fingerprint(files: Vec<PathBuf>) -> u64 {
    let hash = move || {
        let mut hasher = DefaultHasher::new();
        for file in files {
            std::fs::read(file).unwrap_or_default().hash(&mut hasher);
        }
        hasher.finish()
    };
    tokio::task::spawn_blocking(hash).await.unwrap_or_default()
}
