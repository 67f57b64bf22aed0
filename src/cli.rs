//! The command line: one file a subcommand. Data goes to stdout, everything else to stderr;
//! `--json` is understood everywhere; the exit code says what kind of failure it was.

mod bench;
mod channels;
mod check;
mod completions;
mod config;
mod endpoints;
mod error;
mod firewall;
mod logging;
mod output;
mod publish;
mod remote;
mod revoke;
mod serve;
mod sessions;
mod subscribe;
#[cfg(test)]
mod tests;
mod time;
mod token;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

pub use error::CliError;
pub use output::Colour;

use output::Output;

/// Makes an API realtime: WebSockets in front, a gRPC control plane behind
#[derive(Debug, Parser)]
#[command(name = "pogo", version, propagate_version = true, after_help = EXIT_CODES)]
pub struct Arguments {
    /// Write JSON, one object a line; errors too
    #[arg(long, global = true)]
    json: bool,
    /// When to use colours
    #[arg(long, global = true, value_enum, default_value_t, value_name = "WHEN")]
    color: Colour,
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "Exit codes: 0 ok, 1 error, 2 usage, 3 not found, 4 not allowed, \
                          5 unavailable, 78 configuration";

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server
    Serve(serve::Serve),
    /// Check or describe the configuration
    Config(config::ConfigArguments),
    /// Make or check a client's token
    Token(token::TokenArguments),
    /// Publish to a channel
    Publish(publish::Publish),
    /// Print what is published on channels
    Subscribe(subscribe::Subscribe),
    /// Look at channels
    Channels(channels::ChannelsArguments),
    /// Look at sessions
    Sessions(sessions::SessionsArguments),
    /// Revoke tokens and close their sessions
    Revoke(revoke::Revoke),
    /// Refuse addresses and close their sessions
    Deny(firewall::Deny),
    /// Take addresses off the deny list
    Allow(firewall::Allow),
    /// Look at the gateway's endpoints and change them
    Endpoints(endpoints::EndpointsArguments),
    /// Measure a server under load
    Bench(bench::BenchArguments),
    /// Ask a server whether it is ready
    Check(check::Check),
    /// Print a completion script for a shell
    Completions(completions::Completions),
}

/// Runs the command that `arguments` (the program's name first) ask for.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let wants_json = arguments.iter().any(|argument| argument == "--json");
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) => return refused(&error, wants_json),
    };
    match run(arguments) {
        Ok(code) => code,
        Err(error) if error.is_broken_pipe() => ExitCode::SUCCESS,
        Err(error) => {
            output::report(&error, wants_json);
            error.exit_code()
        }
    }
}

/// Help and version are data; anything else that clap says is an error.
fn refused(error: &clap::Error, json: bool) -> ExitCode {
    if json && error.use_stderr() {
        let error = CliError::Usage(
            error
                .to_string()
                .trim_start_matches("error: ")
                .trim_end()
                .to_owned(),
        );
        output::report(&error, true);
        return error.exit_code();
    }
    // Nobody is left to be told where the output is gone.
    let _ = error.print();
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
}

fn run(arguments: Arguments) -> Result<ExitCode, CliError> {
    let mut output = Output::new(arguments.json, arguments.color);
    let out = &mut output;
    let done = match arguments.command {
        Command::Serve(command) => command.run(out),
        Command::Config(command) => command.run(out),
        Command::Token(command) => command.run(out),
        Command::Completions(command) => command.run(out),
        Command::Publish(command) => wait(command.run(out)),
        Command::Subscribe(command) => wait(command.run(out)),
        Command::Channels(command) => wait(command.run(out)),
        Command::Sessions(command) => wait(command.run(out)),
        Command::Revoke(command) => wait(command.run(out)),
        Command::Deny(command) => wait(command.run(out)),
        Command::Allow(command) => wait(command.run(out)),
        Command::Endpoints(command) => wait(command.run(out)),
        Command::Check(command) => wait(command.run(out)),
        Command::Bench(command) => command.run(out),
    };
    done.map(|()| ExitCode::SUCCESS)
}

/// Runs a client's command on a runtime of its own.
fn wait(command: impl Future<Output = Result<(), CliError>>) -> Result<(), CliError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.map_err(|error| CliError::Failed(error.to_string()))?;
    runtime.block_on(command)
}
