//! `pogo channels ls`, `show`, `history` and `members`.

use clap::Subcommand;
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::error::CliError;
use super::output::Output;
use super::remote::Remote;
use super::time;
use crate::control::proto::{
    Channel, GetChannelRequest, ListChannelsRequest, ListMembersRequest, Position, Publication,
    ReadHistoryRequest,
};

/// What to see of channels.
#[derive(Debug, clap::Args)]
pub(super) struct ChannelsArguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List channels that have a subscriber or history
    Ls {
        /// Only names that match
        #[arg(default_value = "", value_name = "PATTERN")]
        pattern: String,
        /// At most so many
        #[arg(long, value_name = "N")]
        limit: Option<usize>,
        #[command(flatten)]
        remote: Remote,
    },
    /// Show one channel
    Show {
        /// Its name
        channel: String,
        #[command(flatten)]
        remote: Remote,
    },
    /// Print what a channel retains
    History {
        /// Its name
        channel: String,
        /// At most so many
        #[arg(long, default_value_t = 100, value_name = "N")]
        limit: i32,
        /// Only what follows this position (with --reverse: precedes it)
        #[arg(long, value_parser = parse_position, value_name = "EPOCH:OFFSET")]
        from: Option<Position>,
        /// Newest first
        #[arg(long)]
        reverse: bool,
        #[command(flatten)]
        remote: Remote,
    },
    /// List who is there
    Members {
        /// Its name
        channel: String,
        #[command(flatten)]
        remote: Remote,
    },
}

impl ChannelsArguments {
    pub(super) async fn run(self, out: &mut Output) -> Result<(), CliError> {
        match self.command {
            Command::Ls {
                pattern,
                limit,
                remote,
            } => list(pattern, limit, &remote, out).await,
            Command::Show { channel, remote } => show(channel, &remote, out).await,
            Command::History {
                channel,
                limit,
                from,
                reverse,
                remote,
            } => {
                let request = ReadHistoryRequest {
                    channel,
                    from,
                    limit,
                    reverse,
                };
                history(request, &remote, out).await
            }
            Command::Members { channel, remote } => members(channel, &remote, out).await,
        }
    }
}

fn parse_position(text: &str) -> Result<Position, String> {
    let parsed = text.rsplit_once(':').and_then(|(epoch, offset)| {
        Some(Position {
            epoch: epoch.to_owned(),
            offset: offset.parse().ok()?,
        })
    });
    parsed.ok_or_else(|| "expected EPOCH:OFFSET, as `pogo channels ls` shows it".to_owned())
}

fn position(position: Option<&Position>) -> (String, Value) {
    match position {
        Some(Position { epoch, offset }) => (
            format!("{epoch}:{offset}"),
            json!({"epoch": epoch, "offset": offset}),
        ),
        None => ("-".to_owned(), Value::Null),
    }
}

fn to_json(channel: &Channel) -> Value {
    json!({
        "name": channel.name,
        "subscribers": channel.subscribers,
        "position": position(channel.position.as_ref()).1,
    })
}

async fn list(
    pattern: String,
    limit: Option<usize>,
    remote: &Remote,
    out: &mut Output,
) -> Result<(), CliError> {
    let mut client = remote.channels().await?;
    let mut request = ListChannelsRequest {
        pattern,
        ..Default::default()
    };
    let mut left = limit.unwrap_or(usize::MAX);
    while left > 0 {
        let page = client.list_channels(request.clone()).await?.into_inner();
        let rows = page.channels.iter().take(left).map(|channel| {
            let place = position(channel.position.as_ref()).0;
            let cells = vec![channel.name.clone(), channel.subscribers.to_string(), place];
            (cells, to_json(channel))
        });
        let rows: Vec<_> = rows.collect();
        left -= rows.len();
        out.table(&["CHANNEL", "SUBSCRIBERS", "POSITION"], &rows)?;
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    Ok(())
}

async fn show(name: String, remote: &Remote, out: &mut Output) -> Result<(), CliError> {
    let request = GetChannelRequest { name: name.clone() };
    let found = remote
        .channels()
        .await?
        .get_channel(request)
        .await?
        .into_inner()
        .channel;
    let channel = found.ok_or_else(|| CliError::NotFound(format!("there is no channel {name}")))?;
    let text = format!(
        "channel      {}\nsubscribers  {}\nmembers      {}\nretained     {}\nposition     {}",
        channel.name,
        channel.subscribers,
        channel.presence_count,
        channel.history_count,
        position(channel.position.as_ref()).0
    );
    let mut value = to_json(&channel);
    value["presence_count"] = json!(channel.presence_count);
    value["history_count"] = json!(channel.history_count);
    out.record(&text, &value)
}

async fn history(
    request: ReadHistoryRequest,
    remote: &Remote,
    out: &mut Output,
) -> Result<(), CliError> {
    let read = remote
        .channels()
        .await?
        .read_history(request)
        .await?
        .into_inner();
    for publication in &read.publications {
        let (text, value) = shown(publication);
        out.record(&text, &value)?;
    }
    Ok(())
}

/// A publication in JSON; its data passes through as it is.
#[derive(Serialize)]
pub(super) struct Shown<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) channel: Option<&'a str>,
    event: &'a str,
    data: Option<&'a RawValue>,
    position: Value,
    time: String,
}

/// A publication as a line for people and as JSON.
pub(super) fn shown(publication: &Publication) -> (String, Shown<'_>) {
    let (place, position) = position(publication.position.as_ref());
    let time = time::show(publication.time.as_ref());
    let data = String::from_utf8_lossy(&publication.data);
    let text = format!("{time}  {place}  {}  {data}", publication.event);
    let data = serde_json::from_slice(&publication.data).ok();
    (
        text,
        Shown {
            channel: None,
            event: &publication.event,
            data,
            position,
            time,
        },
    )
}

/// JSON as it came; `null` where it is none.
fn raw(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap_or_default()
}

async fn members(channel: String, remote: &Remote, out: &mut Output) -> Result<(), CliError> {
    let mut client = remote.channels().await?;
    let mut request = ListMembersRequest {
        channel,
        ..Default::default()
    };
    loop {
        let page = client.list_members(request.clone()).await?.into_inner();
        let rows = page.members.iter().map(|member| {
            let info = String::from_utf8_lossy(&member.info).into_owned();
            let value = json!({
                "subject": member.subject,
                "session": member.session,
                "info": raw(&member.info),
            });
            (
                vec![member.subject.clone(), member.session.clone(), info],
                value,
            )
        });
        out.table(&["SUBJECT", "SESSION", "INFO"], &rows.collect::<Vec<_>>())?;
        if page.next_page_token.is_empty() {
            return Ok(());
        }
        request.page_token = page.next_page_token;
    }
}
