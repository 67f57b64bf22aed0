//! `pogo config check`, `default` and `schema`.

use std::path::PathBuf;

use clap::Subcommand;
use serde_json::json;

use super::error::CliError;
use super::output::Output;
use crate::config::{self, Config, Sources};

/// Where the configuration comes from.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Configuration")]
pub(super) struct From {
    /// The configuration file (TOML)
    #[arg(long, env = "POGO_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// A setting over the file's and the environment's; may be repeated
    #[arg(long, value_name = "SECTION.KEY=VALUE")]
    set: Vec<String>,
}

impl From {
    pub(super) fn sources(self, dev: bool) -> Result<Sources, CliError> {
        let sources = Sources::new(self.config, self.set, dev);
        sources.map_err(|error| CliError::Failed(format!("no random numbers: {error}")))
    }

    pub(super) fn load(self) -> Result<Config, CliError> {
        Ok(config::load(&self.sources(false)?)?)
    }
}

/// What to do with the configuration.
#[derive(Debug, clap::Args)]
pub(super) struct ConfigArguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Report every problem of a configuration; exit code 78 if there is one
    Check(From),
    /// Print a file with every setting, its default and its meaning
    Default,
    /// Print the JSON Schema of the file
    Schema,
}

impl ConfigArguments {
    pub(super) fn run(self, out: &mut Output) -> Result<(), CliError> {
        match self.command {
            Command::Check(from) => {
                from.load()?;
                out.record("ok", &json!({"ok": true}))
            }
            Command::Default => {
                let text = config::default_toml();
                out.record(text.trim_end(), &json!({"toml": text}))
            }
            Command::Schema => {
                let schema = config::json_schema();
                let text = serde_json::to_string_pretty(&schema)
                    .map_err(|error| CliError::Failed(error.to_string()))?;
                out.record(&text, &schema)
            }
        }
    }
}
