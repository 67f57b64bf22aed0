//! Why a command failed, and the exit code that says so.

use std::io;
use std::process::ExitCode;

use serde_json::{Value, json};

use crate::config::{ConfigErrors, Origin};

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// The command line itself is wrong.
    #[error("{0}")]
    Usage(String),
    /// What was asked for is not there.
    #[error("{0}")]
    NotFound(String),
    /// The key or token is missing, wrong, or does not allow it.
    #[error("{0}")]
    NotAllowed(String),
    /// The server cannot be reached, or not in time.
    #[error("{0}")]
    Unavailable(String),
    /// The configuration is wrong.
    #[error("the configuration has {number}\n{problems}", number = count(.0), problems = .0)]
    Config(#[from] ConfigErrors),
    /// Anything else.
    #[error("{0}")]
    Failed(String),
    /// The output cannot be written.
    #[error("the output cannot be written: {0}")]
    Output(#[source] io::Error),
}

fn count(errors: &ConfigErrors) -> String {
    match errors.problems().len() {
        1 => "a problem:".to_owned(),
        n => format!("{n} problems:"),
    }
}

impl CliError {
    /// The code in JSON and the exit code.
    const fn codes(&self) -> (&'static str, u8) {
        match self {
            Self::Failed(_) | Self::Output(_) => ("error", 1),
            Self::Usage(_) => ("usage", 2),
            Self::NotFound(_) => ("not_found", 3),
            Self::NotAllowed(_) => ("not_allowed", 4),
            Self::Unavailable(_) => ("unavailable", 5),
            Self::Config(_) => ("configuration", 78),
        }
    }

    /// The exit code of the process.
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.codes().1)
    }

    /// Whether nobody reads the output any more, which is no failure of ours.
    pub(super) fn is_broken_pipe(&self) -> bool {
        matches!(self, Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }

    pub(super) fn to_json(&self) -> Value {
        let code = self.codes().0;
        let Self::Config(errors) = self else {
            return json!({"code": code, "message": self.to_string()});
        };
        let problems = errors.problems().iter().map(|problem| {
            let mut value = json!({
                "source": problem.origin.to_string(),
                "setting": problem.key,
                "message": problem.message,
            });
            if let Origin::File { path, line, column } = &problem.origin {
                value["file"] = json!(path.display().to_string());
                value["line"] = json!(line);
                value["column"] = json!(column);
            }
            value
        });
        let problems: Vec<Value> = problems.collect();
        json!({"code": code, "message": "the configuration has problems", "problems": problems})
    }
}

impl From<tonic::Status> for CliError {
    fn from(status: tonic::Status) -> Self {
        use tonic::Code;
        let said = status.message();
        let name = status.code().description();
        let text = if said.is_empty() {
            name.to_owned()
        } else {
            said.to_owned()
        };
        match status.code() {
            Code::NotFound => Self::NotFound(text),
            Code::Unauthenticated => {
                Self::NotAllowed(format!("{text} (give a key by POGO_KEY or --key-file)"))
            }
            Code::PermissionDenied => Self::NotAllowed(text),
            Code::Unavailable | Code::DeadlineExceeded => Self::Unavailable(text),
            _ => Self::Failed(text),
        }
    }
}
