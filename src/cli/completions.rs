//! `pogo completions SHELL`.

use clap::CommandFactory;
use clap_complete::Shell;
use serde_json::json;

use super::error::CliError;
use super::output::Output;

/// Which shell.
#[derive(Debug, clap::Args)]
pub(super) struct Completions {
    /// The shell
    shell: Shell,
}

impl Completions {
    pub(super) fn run(self, out: &mut Output) -> Result<(), CliError> {
        let mut script = Vec::new();
        let mut command = super::Arguments::command();
        clap_complete::generate(self.shell, &mut command, "pogo", &mut script);
        let script = String::from_utf8_lossy(&script);
        out.record(
            script.trim_end(),
            &json!({"shell": self.shell.to_string(), "script": script}),
        )
    }
}
