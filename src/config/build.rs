//! From merged values to [`Config`], section by section. Goes on after a problem, so that all of
//! them are found; what is built then is thrown away.

mod access;
mod doors;
mod endpoints;
mod pusher;
mod safety;
mod tokens;
mod webhooks;

use std::path::Path;
use std::sync::Arc;

use tracing_subscriber::EnvFilter;

use super::problem::Problem;
use super::reader::{Gathered, Reader};
use super::value::Table;
use super::{Config, Sources, Values};
use crate::broker::MemoryConfig;
use crate::resource::Endpoint;
use crate::{auth, hub, node};

pub use tokens::Signing;

/// The log's settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// A level, or levels by module, as `tracing_subscriber::EnvFilter` reads them.
    pub level: String,
    /// How lines are written.
    pub format: LogFormat,
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Builds all of it; what is wrong goes to `problems`.
pub(super) fn build(values: Table, sources: &Sources, problems: &mut Vec<Problem>) -> Config {
    let gathered = Gathered::default();
    let root = Reader::new(&values, &gathered);
    let auth = tokens::auth(&root);
    let apps = pusher::apps(&root);
    let mut config = Config {
        edge: doors::edge(&root, sources.dev.is_some()),
        control: doors::control(&root),
        admin: doors::admin(&root),
        broker: broker(&root),
        node: node(&root, &auth),
        auth,
        limits: access::limits(&root),
        webhooks: webhooks::webhooks(&root, &apps, sources.dev.is_some()),
        apps,
        pusher: pusher::http(&root),
        gateway: endpoints::gateway(&root, sources.dev.is_some()),
        endpoints: endpoints::written(&root),
        hub: hub(&root),
        rules: access::rules(&root),
        session: access::session(&root),
        drain: root.table("drain").span("period"),
        log: log(&root),
        signing: tokens::signing(&root),
        dev: sources.dev.clone(),
        files: Vec::new(),
        values: Values(Arc::default()),
    };
    safety::check(&root, &config);
    drop(root);
    problems.extend(gathered.problems.take());
    config.files = sources
        .file
        .iter()
        .cloned()
        .chain(gathered.files.take())
        .collect();
    config.values = Values(Arc::new(values));
    config
}

/// The endpoints of a configuration that says nothing else.
pub(super) fn endpoints(values: &Table, problems: &mut Vec<Problem>) -> Vec<Endpoint> {
    let gathered = Gathered::default();
    let root = Reader::new(values, &gathered);
    let endpoints = endpoints::endpoints(&root);
    drop(root);
    problems.extend(gathered.problems.take());
    endpoints
}

/// Reads every setting of a configuration and returns which were read.
#[cfg(test)]
pub(super) fn settings_read(values: &Table) -> std::collections::BTreeSet<String> {
    let gathered = Gathered::default();
    let root = Reader::new(values, &gathered);
    doors::edge(&root, false);
    doors::control(&root);
    doors::admin(&root);
    tokens::auth(&root);
    access::limits(&root);
    hub(&root);
    access::rules(&root);
    access::session(&root);
    let apps = pusher::apps(&root);
    webhooks::webhooks(&root, &apps, false);
    pusher::http(&root);
    endpoints::gateway(&root, false);
    endpoints::endpoints(&root);
    tokens::signing(&root);
    root.table("drain").span("period");
    log(&root);
    broker(&root);
    node(&root, &auth::Config::default());
    drop(root);
    gathered.read.take()
}

fn log(root: &Reader<'_>) -> Log {
    let log = root.table("log");
    let level = log.text("level").unwrap_or_default();
    if let Err(error) = EnvFilter::try_new(&level) {
        log.refuse("level", format!("`{level}` is no level: {error}"));
    }
    let format = match log.text("format").as_deref() {
        Some("json") => LogFormat::Json,
        _ => LogFormat::Text,
    };
    Log { level, format }
}

fn hub(root: &Reader<'_>) -> hub::Config {
    let section = root.table("hub");
    hub::Config {
        budget_bytes: section.count("budget_bytes"),
        budget_publications: section.count("budget_publications"),
        events: root.table("events").count("capacity"),
        max_watchers: section.count("max_watchers"),
        watcher_patterns: section.count("watcher_patterns"),
        watcher_publications: section.count("watcher_publications"),
        watcher_bytes: section.count("watcher_bytes"),
        watcher_gaps: section.count("watcher_gaps"),
        answer_timeout: section.span("answer_timeout"),
        notices: root.table("pusher").count("webhook_notices"),
        notice_bytes: root.table("pusher").count("webhook_notice_bytes"),
        compression_min_bytes: root.table("edge").count("compression_min_bytes"),
    }
}

fn broker(root: &Reader<'_>) -> MemoryConfig {
    let broker = root.table("broker");
    let kind = broker.text("kind").unwrap_or_default();
    if kind != "memory" {
        broker.refuse("kind", format!("{kind} is not available in this version"));
    }
    let state = root.table("state");
    let path = state.path("path");
    if let Some(path) = &path {
        // The directory itself is made when it is first needed; where it lies is the operator's.
        let parent = path
            .parent()
            .filter(|parent| !parent.as_os_str().is_empty());
        let directory = parent.unwrap_or(Path::new("."));
        if !directory.is_dir() {
            state.refuse(
                "path",
                format!("there is no directory {}", directory.display()),
            );
        }
    }
    MemoryConfig {
        max_channels: broker.count("max_channels"),
        idle_after: broker.span("idle_after"),
        history_bytes: broker.count("history_bytes"),
        idempotency_window: broker.span("idempotency_window"),
        max_idempotency_keys: broker.count("max_idempotency_keys"),
        max_revocations: broker.count("max_revocations"),
        max_denied: broker.count("max_denied"),
        max_endpoints: root.table("gateway").count("max_endpoints"),
        state: path,
    }
}

fn node(root: &Reader<'_>, tokens: &auth::Config) -> node::Config {
    let section = root.table("node");
    node::Config {
        leave_delay: section.span("leave_delay"),
        sweep_interval: section.span("sweep_interval"),
        revocation_lifetime: tokens.revocation_lifetime(),
    }
}
