//! `pogo publish CHANNEL EVENT DATA`.

use std::io::Read;
use std::time::Duration;

use serde_json::json;
use serde_json::value::RawValue;

use super::error::CliError;
use super::output::Output;
use super::remote::{Remote, parse_duration};
use crate::control::proto::{PublishRequest, Receipt};

/// Most bytes that are read from stdin: more than any server takes.
const MAX_INPUT_BYTES: u64 = 1 << 20;

/// What to publish.
#[derive(Debug, clap::Args)]
pub(super) struct Publish {
    /// The channel
    channel: String,
    /// The event's name
    event: String,
    /// The data, as JSON; `-` reads it from stdin
    data: String,
    /// A further channel; may be repeated
    #[arg(long, value_name = "CHANNEL")]
    also: Vec<String>,
    /// How long it may be given to anyone
    #[arg(long, value_parser = parse_duration, value_name = "DURATION")]
    ttl: Option<Duration>,
    /// The same key is accepted once in 5 minutes
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
    /// A session that must not get it
    #[arg(long, value_name = "SESSION")]
    exclude_session: Option<String>,
    /// Deliver it, but do not retain it
    #[arg(long)]
    skip_history: bool,
    #[command(flatten)]
    remote: Remote,
}

impl Publish {
    pub(super) async fn run(self, out: &mut Output) -> Result<(), CliError> {
        let data = if self.data == "-" {
            stdin()?
        } else {
            self.data
        };
        if let Err(error) = serde_json::from_str::<&RawValue>(&data) {
            let message = format!("DATA is not JSON ({error}); a text is written '\"like this\"'");
            return Err(CliError::Usage(message));
        }
        let request = PublishRequest {
            channels: std::iter::once(self.channel).chain(self.also).collect(),
            event: self.event,
            data: data.into(),
            ttl: self.ttl.map(seconds),
            idempotency_key: self.idempotency_key,
            exclude_session: self.exclude_session,
            skip_history: self.skip_history,
        };
        let mut client = self.remote.publisher().await?;
        let receipts = client.publish(request).await?.into_inner().receipts;
        receipts.iter().try_for_each(|receipt| show(receipt, out))
    }
}

/// A span as protobuf has it.
pub(super) fn seconds(span: Duration) -> prost_types::Duration {
    prost_types::Duration {
        seconds: i64::try_from(span.as_secs()).unwrap_or(i64::MAX),
        nanos: span.subsec_nanos().try_into().unwrap_or_default(),
    }
}

fn show(receipt: &Receipt, out: &mut Output) -> Result<(), CliError> {
    let mut value = json!({
        "channel": receipt.channel,
        "receivers": receipt.receivers,
        "deduplicated": receipt.deduplicated,
    });
    let mut text = format!("{}: to {} sessions", receipt.channel, receipt.receivers);
    if let Some(position) = &receipt.position {
        value["position"] = json!({"epoch": position.epoch, "offset": position.offset});
        text = format!("{text} at {}:{}", position.epoch, position.offset);
    }
    if receipt.deduplicated {
        text += " (the first answer for this key)";
    }
    out.record(&text, &value)
}

/// All of stdin, without the line break at its end.
pub(super) fn stdin() -> Result<String, CliError> {
    let mut text = String::new();
    let read = std::io::stdin()
        .lock()
        .take(MAX_INPUT_BYTES)
        .read_to_string(&mut text);
    read.map_err(|error| CliError::Failed(format!("stdin cannot be read: {error}")))?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}
