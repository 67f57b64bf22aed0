//! A server for the run: this program (or another build of it) as a child, on free ports, open to
//! this machine only, gone when the run is over.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::target::TargetArguments;
use crate::cli::error::CliError;

/// The child and how it is reached.
#[derive(Debug)]
pub(super) struct Spawned {
    child: Child,
    pub(super) edge: String,
    pub(super) control: String,
    /// Signs the clients' tokens.
    pub(super) secret: String,
}

impl Spawned {
    pub(super) fn start(arguments: &TargetArguments) -> Result<Self, CliError> {
        let secret = random_secret()?;
        let mut command = program(arguments.binary.as_deref())?;
        command.args(["--json", "serve"]);
        for listener in ["edge", "control", "admin"] {
            command.args(["--set", &format!("{listener}.listen=127.0.0.1:0")]);
        }
        let fixed = [
            "limits.allow=127.0.0.0/8",
            "log.level=warn",
            "drain.period=1s",
        ];
        let fixed = fixed.into_iter().map(ToOwned::to_owned);
        let paths = [("cert", &arguments.tls_cert), ("key", &arguments.tls_key)];
        let tls = paths.into_iter().filter_map(|(name, path)| {
            let path = path.as_ref()?;
            Some(format!("edge.tls.{name}={}", path.display()))
        });
        for setting in fixed.chain(tls).chain(arguments.set.iter().cloned()) {
            command.args(["--set", &setting]);
        }
        // By the environment: what stands on a command line can be read by everyone.
        command.env("POGO__AUTH__SECRET", &secret);
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let failed = |error| CliError::Failed(format!("the server cannot be started: {error}"));
        let mut child = command.spawn().map_err(failed)?;
        let mut line = String::new();
        if let Some(output) = child.stdout.take() {
            BufReader::new(output)
                .read_line(&mut line)
                .map_err(failed)?;
        }
        let mut server = Self {
            child,
            edge: String::new(),
            control: String::new(),
            secret,
        };
        let said: serde_json::Value = serde_json::from_str(&line).unwrap_or_default();
        let url = |name: &str| said["urls"][name].as_str().map(ToOwned::to_owned);
        match (url("edge"), url("control")) {
            (Some(edge), Some(control)) => (server.edge, server.control) = (edge, control),
            _ => return Err(CliError::Failed("the server did not start".into())),
        }
        Ok(server)
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Spawned {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

/// Ends a child at once and takes its exit code, which nobody asks for.
pub(super) fn end(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}

/// The command that runs `binary`, or this program.
pub(super) fn program(binary: Option<&Path>) -> Result<Command, CliError> {
    match binary {
        Some(path) => Ok(Command::new(path)),
        None => std::env::current_exe()
            .map(Command::new)
            .map_err(|error| CliError::Failed(format!("this program's own path: {error}"))),
    }
}

fn random_secret() -> Result<String, CliError> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)
        .map_err(|error| CliError::Failed(format!("no random numbers: {error}")))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
