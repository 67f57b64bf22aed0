//! `pogo check`: for probes and for people.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::json;

use super::error::CliError;
use super::output::Output;
use super::remote::{chain, parse_duration};

/// Longest answer that is read.
const MAX_ANSWER_BYTES: usize = 4096;

/// Which server to ask.
#[derive(Debug, clap::Args)]
pub(super) struct Check {
    /// The admin listener's address
    #[arg(
        long,
        env = "POGO_ADMIN",
        default_value = "http://127.0.0.1:8082",
        value_name = "URL"
    )]
    url: String,
    /// Only whether the process lives, not whether it is ready
    #[arg(long)]
    live: bool,
    /// How long to wait for an answer
    #[arg(long, default_value = "5s", value_parser = parse_duration, value_name = "DURATION")]
    timeout: Duration,
}

impl Check {
    pub(super) async fn run(self, out: &mut Output) -> Result<(), CliError> {
        let path = if self.live { "healthz" } else { "readyz" };
        let url = format!("{}/{path}", self.url.trim_end_matches('/'));
        let uri: http::Uri = url
            .parse()
            .map_err(|_| CliError::Usage(format!("`{}` is no URL", self.url)))?;
        if uri.scheme_str() != Some("http") {
            return Err(CliError::Usage(
                "the admin listener speaks http: give http://…".into(),
            ));
        }
        let asked = tokio::time::timeout(self.timeout, ask(uri)).await;
        let (status, answer) = asked
            .map_err(|_| CliError::Unavailable(format!("{url} does not answer")))?
            .map_err(|error| CliError::Unavailable(format!("{url}: {error}")))?;
        if status != http::StatusCode::OK {
            return Err(CliError::Unavailable(format!("not ready: {answer}")));
        }
        out.record(&answer, &json!({"status": answer}))
    }
}

async fn ask(uri: http::Uri) -> Result<(http::StatusCode, String), String> {
    let client =
        Client::builder(TokioExecutor::new()).build::<_, Empty<Bytes>>(HttpConnector::new());
    let response = client.get(uri).await.map_err(|error| chain(&error))?;
    let status = response.status();
    let body = Limited::new(response.into_body(), MAX_ANSWER_BYTES)
        .collect()
        .await;
    let body = body.map_err(|error| error.to_string())?.to_bytes();
    Ok((status, String::from_utf8_lossy(&body).trim().to_owned()))
}
