//! `pogo subscribe CHANNEL…`: as a client over WebSocket, or as a service over gRPC.

mod frame;
mod grpc;
mod websocket;

use std::path::PathBuf;

use super::error::CliError;
use super::output::Output;
use super::remote::Remote;

/// What to subscribe to, and how.
#[derive(Debug, clap::Args)]
pub(super) struct Subscribe {
    /// The channels; with --grpc also patterns
    #[arg(required = true)]
    channels: Vec<String>,
    /// The edge's address
    #[arg(
        long,
        env = "POGO_URL",
        default_value = "ws://127.0.0.1:8080",
        value_name = "URL"
    )]
    url: String,
    /// A client's token; better by the environment or --token-file, which others cannot see
    #[arg(long, env = "POGO_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    token: Option<String>,
    /// File that holds the token; it is read again at each connection
    #[arg(
        long,
        env = "POGO_TOKEN_FILE",
        conflicts_with = "token",
        value_name = "FILE"
    )]
    token_file: Option<PathBuf>,
    /// Print the last so many publications first
    #[arg(long, value_name = "N")]
    rewind: Option<u32>,
    /// End after so many publications
    #[arg(long, value_name = "N")]
    count: Option<u64>,
    /// Subscribe as a service by --server and --key, in place of a client by --url and --token
    #[arg(long, conflicts_with_all = ["token", "token_file", "rewind"])]
    grpc: bool,
    #[command(flatten)]
    remote: Remote,
}

impl Subscribe {
    pub(super) async fn run(self, out: &mut Output) -> Result<(), CliError> {
        let interrupted = super::serve::interrupted()?;
        let read = async {
            if self.grpc {
                grpc::run(&self, out).await
            } else {
                websocket::run(&self, out).await
            }
        };
        tokio::select! {
            done = read => done,
            () = interrupted => Ok(()),
        }
    }
}
