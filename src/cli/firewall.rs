//! `pogo deny` and `pogo allow`.

use std::time::Duration;

use ipnet::IpNet;
use serde_json::json;

use super::error::CliError;
use super::output::Output;
use super::publish::seconds;
use super::remote::{Remote, parse_duration};
use super::time;
use crate::config;
use crate::control::proto::{AllowRequest, DenyRequest, ListDeniedRequest};

/// Whom to refuse.
#[derive(Debug, clap::Args)]
pub(super) struct Deny {
    /// Addresses or ranges, like 192.0.2.1 or 2001:db8::/32
    #[arg(required_unless_present = "list", value_parser = parse_network, value_name = "CIDR")]
    addresses: Vec<IpNet>,
    /// For how long; without it until they are allowed again
    #[arg(long, value_parser = parse_duration, value_name = "DURATION")]
    ttl: Option<Duration>,
    /// Why, for the record
    #[arg(long, default_value = "", value_name = "TEXT")]
    reason: String,
    /// Print what is denied
    #[arg(long, conflicts_with_all = ["addresses", "ttl", "reason"])]
    list: bool,
    #[command(flatten)]
    remote: Remote,
}

/// Whom to let in again.
#[derive(Debug, clap::Args)]
pub(super) struct Allow {
    /// Addresses or ranges, as they were denied
    #[arg(required = true, value_parser = parse_network, value_name = "CIDR")]
    addresses: Vec<IpNet>,
    #[command(flatten)]
    remote: Remote,
}

fn parse_network(text: &str) -> Result<IpNet, String> {
    config::network(text).ok_or_else(|| "expected an address or a range".to_owned())
}

fn texts(addresses: &[IpNet]) -> Vec<String> {
    addresses.iter().map(ToString::to_string).collect()
}

impl Deny {
    pub(super) async fn run(self, out: &mut Output) -> Result<(), CliError> {
        if self.list {
            return list(&self.remote, out).await;
        }
        let request = DenyRequest {
            addresses: texts(&self.addresses),
            ttl: self.ttl.map(seconds),
            reason: self.reason,
        };
        let closed = self
            .remote
            .firewall()
            .await?
            .deny(request)
            .await?
            .into_inner();
        let closed = closed.sessions_closed;
        out.record(
            &format!("{closed} sessions closed"),
            &json!({"sessions_closed": closed}),
        )
    }
}

async fn list(remote: &Remote, out: &mut Output) -> Result<(), CliError> {
    let mut client = remote.firewall().await?;
    let mut request = ListDeniedRequest::default();
    loop {
        let page = client.list_denied(request.clone()).await?.into_inner();
        let rows = page.denied.iter().map(|denied| {
            let ends = time::show(denied.expires_at.as_ref());
            let value = json!({
                "address": denied.address,
                "reason": denied.reason,
                "expires_at": denied.expires_at.as_ref().map(|_| &ends),
            });
            (
                vec![denied.address.clone(), ends, denied.reason.clone()],
                value,
            )
        });
        out.table(&["ADDRESS", "UNTIL", "REASON"], &rows.collect::<Vec<_>>())?;
        if page.next_page_token.is_empty() {
            return Ok(());
        }
        request.page_token = page.next_page_token;
    }
}

impl Allow {
    pub(super) async fn run(self, out: &mut Output) -> Result<(), CliError> {
        let request = AllowRequest {
            addresses: texts(&self.addresses),
        };
        let allowed = self
            .remote
            .firewall()
            .await?
            .allow(request)
            .await?
            .into_inner()
            .addresses;
        if allowed.is_empty() {
            return Err(CliError::NotFound("none of these was denied".into()));
        }
        allowed
            .iter()
            .try_for_each(|address| out.record(address, &json!({"address": address})))
    }
}
