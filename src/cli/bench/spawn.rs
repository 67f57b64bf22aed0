//! A server for the run: this program (or another build of it) as a child, on free ports, open to
//! this machine only, gone when the run is over.
//!
//! Between the two stands a keeper, which ends the server as soon as its own stdin does: so the
//! server is gone also where the run was killed.

use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};

use serde_json::Value;

use super::target::TargetArguments;
use crate::cli::error::CliError;
use crate::cli::output::Output;

/// The server and how it is reached.
#[derive(Debug)]
pub(super) struct Spawned {
    keeper: Child,
    pid: u32,
    pub(super) edge: String,
    pub(super) control: String,
    /// Signs the clients' tokens.
    pub(super) secret: String,
}

impl Spawned {
    pub(super) fn start(arguments: &TargetArguments) -> Result<Self, CliError> {
        let secret = random_secret()?;
        let mut command = program()?;
        command.args(["bench", "keep"]);
        match &arguments.binary {
            Some(path) => command.arg(path),
            None => command.arg(program()?.get_program()),
        };
        command.args(["--", "--json", "serve"]);
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
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut keeper = command.spawn().map_err(|error| failed(&error))?;
        let (mut pid, mut said) = (0, Value::Null);
        if let Some(output) = keeper.stdout.take() {
            // The keeper says the process id, the server where it listens.
            for line in BufReader::new(output).lines().take(2) {
                let line = line.map_err(|error| failed(&error))?;
                match line.parse() {
                    Ok(number) => pid = number,
                    Err(_) => said = serde_json::from_str(&line).unwrap_or_default(),
                }
            }
        }
        let mut server = Self {
            keeper,
            pid,
            edge: String::new(),
            control: String::new(),
            secret,
        };
        let url = |name: &str| said["urls"][name].as_str().map(ToOwned::to_owned);
        match (url("edge"), url("control")) {
            (Some(edge), Some(control)) => (server.edge, server.control) = (edge, control),
            _ => return Err(CliError::Failed("the server did not start".into())),
        }
        Ok(server)
    }

    pub(super) fn pid(&self) -> u32 {
        self.pid
    }
}

impl Drop for Spawned {
    fn drop(&mut self) {
        let told: Option<ChildStdin> = self.keeper.stdin.take();
        drop(told);
        // It ends the server first, and nobody asks for its exit code.
        let _ = self.keeper.wait();
    }
}

/// The keeper (started by the run itself).
#[derive(Debug, clap::Args)]
pub(super) struct Keep {
    /// The server's binary
    program: PathBuf,
    /// What it is started with
    #[arg(last = true)]
    arguments: Vec<String>,
}

impl Keep {
    /// Starts the server, says its process id, and ends it when stdin ends.
    pub(super) fn run(self, out: &mut Output) -> Result<(), CliError> {
        let mut command = Command::new(self.program);
        let mut server = command
            .args(self.arguments)
            .stdin(Stdio::null())
            .spawn()
            .map_err(|error| failed(&error))?;
        let told = out.line(&server.id().to_string());
        let mut nothing = Vec::new();
        // However it ends, the run is over.
        let _ = std::io::stdin().read_to_end(&mut nothing);
        end(&mut server);
        told
    }
}

fn failed(error: &std::io::Error) -> CliError {
    CliError::Failed(format!("the server cannot be started: {error}"))
}

/// Ends a child at once and takes its exit code, which nobody asks for.
pub(super) fn end(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}

/// The command that runs this program.
pub(super) fn program() -> Result<Command, CliError> {
    std::env::current_exe()
        .map(Command::new)
        .map_err(|error| CliError::Failed(format!("this program's own path: {error}")))
}

fn random_secret() -> Result<String, CliError> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)
        .map_err(|error| CliError::Failed(format!("no random numbers: {error}")))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
