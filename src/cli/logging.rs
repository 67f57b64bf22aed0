//! The log: to stderr, as text or JSON.

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;

use super::error::CliError;
use crate::config::{Log, LogFormat, variable};

/// Sets the process's log up, once.
pub(super) fn start(log: &Log) -> Result<(), CliError> {
    let failed = |error: &dyn std::error::Error| CliError::Failed(format!("the log: {error}"));
    let filter = EnvFilter::try_new(&log.level).map_err(|error| failed(&error))?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr);
    let done = match log.format {
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
        LogFormat::Text => {
            let colours = io::stderr().is_terminal() && variable("NO_COLOR").is_none();
            builder.with_ansi(colours).try_init()
        }
    };
    done.map_err(|error| failed(&*error))
}
