//! `pogo sessions ls` and `show`.

use clap::Subcommand;
use serde_json::{Value, json};

use super::error::CliError;
use super::output::Output;
use super::remote::Remote;
use super::time;
use crate::control::proto::{GetSessionRequest, ListSessionsRequest, Session};

/// Which sessions.
#[derive(Debug, clap::Args)]
pub(super) struct SessionsArguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List sessions
    Ls {
        /// Of this subject
        #[arg(long, value_name = "SUBJECT")]
        subject: Option<String>,
        /// On this channel
        #[arg(long, value_name = "CHANNEL")]
        channel: Option<String>,
        /// From this address or range
        #[arg(long, value_name = "CIDR")]
        address: Option<String>,
        /// At most so many
        #[arg(long, value_name = "N")]
        limit: Option<usize>,
        #[command(flatten)]
        remote: Remote,
    },
    /// Show one session
    Show {
        /// Its id
        id: String,
        #[command(flatten)]
        remote: Remote,
    },
}

impl SessionsArguments {
    pub(super) async fn run(self, out: &mut Output) -> Result<(), CliError> {
        match self.command {
            Command::Ls {
                subject,
                channel,
                address,
                limit,
                remote,
            } => {
                let request = ListSessionsRequest {
                    subject,
                    channel,
                    address,
                    ..Default::default()
                };
                list(request, limit, &remote, out).await
            }
            Command::Show { id, remote } => {
                let request = GetSessionRequest { id: id.clone() };
                let session = remote
                    .sessions()
                    .await?
                    .get_session(request)
                    .await?
                    .into_inner();
                let session = session
                    .session
                    .ok_or_else(|| CliError::NotFound(format!("there is no session {id}")))?;
                show(&session, out)
            }
        }
    }
}

async fn list(
    mut request: ListSessionsRequest,
    limit: Option<usize>,
    remote: &Remote,
    out: &mut Output,
) -> Result<(), CliError> {
    let mut client = remote.sessions().await?;
    let mut left = limit.unwrap_or(usize::MAX);
    while left > 0 {
        let page = client.list_sessions(request.clone()).await?.into_inner();
        let rows: Vec<_> = page.sessions.iter().take(left).map(row).collect();
        left -= rows.len();
        out.table(
            &[
                "SESSION", "SUBJECT", "ADDRESS", "PROTOCOL", "CHANNELS", "SINCE",
            ],
            &rows,
        )?;
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    Ok(())
}

fn row(session: &Session) -> (Vec<String>, Value) {
    let cells = vec![
        session.id.clone(),
        session.subject.clone().unwrap_or_else(|| "-".into()),
        session.address.clone(),
        session.protocol.clone(),
        session.channels.len().to_string(),
        time::show(session.connected_at.as_ref()),
    ];
    (cells, to_json(session))
}

fn to_json(session: &Session) -> Value {
    json!({
        "id": session.id,
        "subject": session.subject,
        "address": session.address,
        "protocol": session.protocol,
        "node": session.node,
        "channels": session.channels,
        "connected_at": time::show(session.connected_at.as_ref()),
        "expires_at": session.expires_at.as_ref().map(|time| time::show(Some(time))),
        "token_id": session.token_id,
    })
}

fn show(session: &Session, out: &mut Output) -> Result<(), CliError> {
    let none = || "-".to_owned();
    let expires = session
        .expires_at
        .as_ref()
        .map(|time| time::show(Some(time)));
    let text = format!(
        "session    {}\nsubject    {}\naddress    {}\nprotocol   {}\nnode       {}\n\
         connected  {}\nexpires    {}\ntoken id   {}\nchannels   {}",
        session.id,
        session.subject.clone().unwrap_or_else(none),
        session.address,
        session.protocol,
        session.node,
        time::show(session.connected_at.as_ref()),
        expires.unwrap_or_else(none),
        session.token_id.clone().unwrap_or_else(none),
        session.channels.join(" "),
    );
    out.record(&text, &to_json(session))
}
