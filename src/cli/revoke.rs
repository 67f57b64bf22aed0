//! `pogo revoke`.

use serde_json::json;

use super::error::CliError;
use super::output::Output;
use super::remote::Remote;
use super::time;
use crate::control::proto::RevokeSessionsRequest;
use crate::control::proto::revoke_sessions_request::Target;

/// What to revoke.
#[derive(Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("target").required(true)))]
pub(super) struct Revoke {
    /// This session, and every other on the same token
    #[arg(long, group = "target", value_name = "ID")]
    session: Option<String>,
    /// Every token of this subject that has been issued until now
    #[arg(long, group = "target", value_name = "SUBJECT")]
    subject: Option<String>,
    /// The token with this jti
    #[arg(long, group = "target", value_name = "JTI")]
    token_id: Option<String>,
    /// Only the subject's tokens issued before this (Unix seconds or RFC 3339)
    #[arg(long, requires = "subject", value_parser = time::parse, value_name = "TIME")]
    issued_before: Option<prost_types::Timestamp>,
    /// Why, for the record
    #[arg(long, default_value = "", value_name = "TEXT")]
    reason: String,
    /// Only count the sessions that would be closed
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    remote: Remote,
}

impl Revoke {
    pub(super) async fn run(self, out: &mut Output) -> Result<(), CliError> {
        let target = match (self.session, self.subject, self.token_id) {
            (Some(session), ..) => Target::Session(session),
            (_, Some(subject), _) => Target::Subject(subject),
            (.., token_id) => Target::TokenId(token_id.unwrap_or_default()),
        };
        let request = RevokeSessionsRequest {
            target: Some(target),
            issued_before: self.issued_before,
            reason: self.reason,
            dry_run: self.dry_run,
        };
        let mut client = self.remote.sessions().await?;
        let done = client.revoke_sessions(request).await?.into_inner();
        let verb = if self.dry_run {
            "would be closed"
        } else {
            "closed"
        };
        let text = format!(
            "{} sessions {verb}; {} of {} nodes answered",
            done.sessions_closed, done.nodes_confirmed, done.nodes_total
        );
        let value = json!({
            "sessions_closed": done.sessions_closed,
            "nodes_confirmed": done.nodes_confirmed,
            "nodes_total": done.nodes_total,
            "dry_run": self.dry_run,
        });
        out.record(&text, &value)
    }
}
