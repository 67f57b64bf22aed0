//! The control plane's stream of publications, taken up again where it broke off.

use std::collections::HashMap;
use std::time::Duration;

use tonic::Code;

use super::super::channels::shown;
use super::super::error::CliError;
use super::super::output::{Output, note};
use super::Subscribe;
use super::websocket::pause;
use crate::control::proto::subscribe_response::Item;
use crate::control::proto::{Gap, Position, SubscribeRequest, SubscribeResponse};

/// Prints until `--count` is reached; a stream that breaks is opened again.
pub(super) async fn run(command: &Subscribe, out: &mut Output) -> Result<(), CliError> {
    let mut recover: HashMap<String, Position> = HashMap::new();
    let mut left = command.count.unwrap_or(u64::MAX);
    let mut failures = 0;
    loop {
        let request = SubscribeRequest {
            channels: command.channels.clone(),
            recover: recover.clone(),
        };
        let opened = match command.remote.watching().await {
            Ok(mut client) => client.subscribe(request).await.map_err(CliError::from),
            Err(error) => Err(error),
        };
        let mut stream = match opened {
            Ok(stream) => stream.into_inner(),
            // What never worked is an error; what worked before may again.
            Err(CliError::Unavailable(why)) if failures > 0 => {
                failures += 1;
                note(&format!("{why}; trying again"));
                tokio::time::sleep(pause(failures)).await;
                continue;
            }
            Err(error) => return Err(error),
        };
        failures = 1;
        loop {
            match stream.message().await {
                Ok(Some(message)) => {
                    if take(&message, &mut recover, out)? {
                        left -= 1;
                        if left == 0 {
                            return Ok(());
                        }
                    }
                }
                Ok(None) => break,
                Err(status) if is_passing(status.code()) => break,
                Err(status) => return Err(status.into()),
            }
        }
        note("the stream has ended; opening it again");
        tokio::time::sleep(pause(1).max(Duration::from_millis(50))).await;
    }
}

/// Whether a stream that ended so may be opened again.
fn is_passing(code: Code) -> bool {
    matches!(
        code,
        Code::Unavailable | Code::Unknown | Code::Cancelled | Code::Internal
    )
}

/// Prints one message: whether it was a publication.
fn take(
    message: &SubscribeResponse,
    recover: &mut HashMap<String, Position>,
    out: &mut Output,
) -> Result<bool, CliError> {
    let channel = &message.channel;
    match &message.item {
        Some(Item::Publication(publication)) => {
            if let Some(position) = &publication.position {
                recover.insert(channel.clone(), position.clone());
            }
            let (text, mut value) = shown(publication);
            value.channel = Some(channel);
            out.record(&format!("{channel}  {text}"), &value)?;
            Ok(true)
        }
        Some(Item::Gap(Gap { epoch, offset })) => {
            note(&format!(
                "{channel}: publications after {epoch}:{offset} were lost"
            ));
            Ok(false)
        }
        None => Ok(false),
    }
}
