//! `pogo endpoints ls`, `put` and `rm`. What `ls --json` prints is what `put` reads, but for
//! secrets, which no server gives back.

use std::io::Read;
use std::path::PathBuf;
use std::time::Duration;

use clap::Subcommand;
use serde_json::{Map, Value, json};

use super::error::CliError;
use super::output::Output;
use super::remote::{Remote, read};
use crate::config;
use crate::control::endpoint_message;
use crate::control::proto::{
    Breaker, DeleteEndpointRequest, Endpoint, ListEndpointsRequest, PutEndpointRequest, Upstream,
};

/// What to do with endpoints.
#[derive(Debug, clap::Args)]
pub(super) struct EndpointsArguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List endpoints: those of the settings file and those put live
    Ls {
        #[command(flatten)]
        remote: Remote,
    },
    /// Put an endpoint live: add it, or replace the one of its name
    Put {
        /// TOML or JSON with one endpoint, its keys as in the settings file; - is stdin
        file: PathBuf,
        #[command(flatten)]
        remote: Remote,
    },
    /// Take off an endpoint that was put live
    Rm {
        /// Its name
        name: String,
        #[command(flatten)]
        remote: Remote,
    },
}

impl EndpointsArguments {
    pub(super) async fn run(self, out: &mut Output) -> Result<(), CliError> {
        match self.command {
            Command::Ls { remote } => list(&remote, out).await,
            Command::Put { file, remote } => put(file, &remote, out).await,
            Command::Rm { name, remote } => {
                let request = DeleteEndpointRequest { name: name.clone() };
                remote.endpoints().await?.delete_endpoint(request).await?;
                out.record(&format!("{name} is off"), &json!({"name": name}))
            }
        }
    }
}

async fn list(remote: &Remote, out: &mut Output) -> Result<(), CliError> {
    let mut client = remote.endpoints().await?;
    let mut request = ListEndpointsRequest::default();
    loop {
        let page = client.list_endpoints(request.clone()).await?.into_inner();
        let rows: Vec<_> = page.endpoints.iter().map(row).collect();
        out.table(
            &["NAME", "ITEM", "COLLECTION", "UPSTREAM", "AUDIENCE", "FROM"],
            &rows,
        )?;
        if page.next_page_token.is_empty() {
            return Ok(());
        }
        request.page_token = page.next_page_token;
    }
}

async fn put(file: PathBuf, remote: &Remote, out: &mut Output) -> Result<(), CliError> {
    let text = if file.as_os_str() == "-" {
        let mut text = String::new();
        std::io::stdin()
            .read_to_string(&mut text)
            .map_err(|error| CliError::Failed(format!("stdin cannot be read: {error}")))?;
        text
    } else {
        read(&file)?
    };
    let endpoint = config::endpoint(file, &text)?;
    let request = PutEndpointRequest {
        endpoint: Some(endpoint_message(&endpoint)),
        update_mask: None,
    };
    let answer = remote.endpoints().await?.put_endpoint(request).await?;
    let endpoint = answer.into_inner().endpoint.unwrap_or_default();
    out.record(&format!("{} is live", endpoint.name), &to_json(&endpoint))
}

fn row(endpoint: &Endpoint) -> (Vec<String>, Value) {
    let or_none = |text: &str| if text.is_empty() { "-" } else { text }.to_owned();
    let bases = endpoint
        .upstream
        .as_ref()
        .map(|upstream| upstream.bases.join(" "));
    let cells = vec![
        endpoint.name.clone(),
        or_none(&endpoint.item),
        or_none(&endpoint.collection),
        bases.unwrap_or_default(),
        endpoint.audience.clone(),
        endpoint.source.clone(),
    ];
    (cells, to_json(endpoint))
}

/// The endpoint in the settings file's words.
fn to_json(endpoint: &Endpoint) -> Value {
    let given = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let auth = endpoint.auth.as_ref().map(|auth| {
        pruned(json!({
            "mode": auth.mode,
            "audience": given(&auth.audience),
            "ttl": span(auth.ttl.as_ref()),
        }))
    });
    let access = endpoint
        .access
        .as_ref()
        .map(|access| json!({"rule": access.rule, "ttl": span(access.ttl.as_ref())}));
    let query = endpoint
        .query
        .as_ref()
        .map(|query| json!({"allow": query.allow, "realtime": query.realtime}));
    let cache = endpoint.cache.as_ref().map(|cache| {
        pruned(json!({
            "max_ttl": span(cache.max_ttl.as_ref()),
            "swr": span(cache.swr.as_ref()),
            "sie": span(cache.sie.as_ref()),
        }))
    });
    pruned(json!({
        "name": endpoint.name,
        "item": given(&endpoint.item),
        "collection": given(&endpoint.collection),
        "methods": endpoint.methods,
        "upstream": endpoint.upstream.as_ref().map(upstream),
        "auth": auth,
        "access": access,
        "audience": endpoint.audience,
        "fetch_as": endpoint.fetch_as,
        "id": endpoint.id,
        "version": endpoint.version,
        "ordered": endpoint.ordered,
        "write_returns": endpoint.write_returns,
        "query": query,
        "affects": endpoint.affects,
        "publish": endpoint.publish,
        "autobind": endpoint.autobind,
        "cache": cache,
        "revalidate_every": span(endpoint.revalidate_every.as_ref()),
        "source": endpoint.source,
    }))
}

fn upstream(upstream: &Upstream) -> Value {
    json!({
        "bases": upstream.bases,
        "update": upstream.update,
        "connect_timeout": span(upstream.connect_timeout.as_ref()),
        "timeout": span(upstream.timeout.as_ref()),
        "retries": upstream.retries,
        "breaker": upstream.breaker.as_ref().map(breaker),
        "concurrency": upstream.concurrency,
        "forward": upstream.forward,
    })
}

fn breaker(breaker: &Breaker) -> Value {
    json!({
        "requests": breaker.requests,
        "window": span(breaker.window.as_ref()),
        "ratio": breaker.ratio,
        "open": span(breaker.open.as_ref()),
    })
}

fn span(span: Option<&prost_types::Duration>) -> Option<String> {
    let span = Duration::try_from(*span?).ok()?;
    Some(config::spell(span))
}

/// Without what is not set.
fn pruned(value: Value) -> Value {
    match value {
        Value::Object(object) => {
            let entries = object.into_iter().filter(|(_, value)| !value.is_null());
            Value::Object(entries.collect::<Map<_, _>>())
        }
        other => other,
    }
}
