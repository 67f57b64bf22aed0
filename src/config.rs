//! File, environment and `--set` → checked [`Config`]. The only place that reads either.
//!
//! Layers of raw values, each with its origin, are merged (`layers`), checked for form against
//! the table of settings (`check`, `table/`), then read and judged section by section (`build/`).
//! Every problem is reported at once. Nothing falls back silently, and nothing starts open: see
//! `build/safety.rs`.

mod build;
mod check;
mod describe;
mod dev;
mod layers;
mod problem;
mod reader;
mod secret;
mod setting;
mod table;
#[cfg(test)]
mod tests;
mod value;

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::auth::pusher::Apps;
use crate::broker::MemoryConfig;
use crate::channel::ChannelRule;
use crate::pusher::{self, webhook};
use crate::resource::Endpoint;
use crate::{admin, auth, control, edge, gateway, hub, limits, node, session};

pub use build::{Log, LogFormat, Signing};
pub use describe::{default_toml, json_schema, reference};
pub use dev::DevKeys;
pub use problem::{ConfigErrors, Origin, Problem};
pub use secret::Secret;
pub use setting::{duration, network, spell};

/// Everything that governs a server, checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// The edge.
    pub edge: edge::Config,
    /// The control plane.
    pub control: control::Config,
    /// Health and metrics.
    pub admin: admin::Config,
    /// Whose tokens are taken.
    pub auth: auth::Config,
    /// Pusher's apps.
    pub apps: Apps,
    /// Who is told what happens on channels.
    pub webhooks: webhook::Config,
    /// What an address may do.
    pub limits: limits::Config,
    /// Pusher's HTTP API and signatures.
    pub pusher: pusher::Config,
    /// The REST gateway.
    pub gateway: gateway::Config,
    /// Its endpoints, which agree with each other.
    pub endpoints: Vec<Endpoint>,
    /// The hub and the event log.
    pub hub: hub::Config,
    /// The memory broker.
    pub broker: MemoryConfig,
    /// Hub and broker together.
    pub node: node::Config,
    /// Channel rules in order; the defaults follow ([`crate::channel::Rules::new`]).
    pub rules: Vec<ChannelRule>,
    /// What governs a session.
    pub session: session::Settings,
    /// How long the closing of sessions is spread over when the server stops.
    pub drain: Duration,
    /// The log.
    pub log: Log,
    /// With what tokens can be signed; `None`: only public keys are configured.
    pub signing: Option<Signing>,
    /// The keys made up for `--dev`; `None`: not in dev.
    pub dev: Option<Arc<DevKeys>>,
    /// Files that the configuration was read from or names; a change of one is a reason to
    /// reload.
    pub files: Vec<PathBuf>,
    values: Values,
}

/// The merged values, kept to tell what a reload changes.
#[derive(Clone)]
struct Values(Arc<value::Table>);

impl fmt::Debug for Values {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Values(…)")
    }
}

/// Where a configuration comes from. Loading again from the same sources is a reload.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// The TOML file; `None`: there is none.
    pub file: Option<PathBuf>,
    /// `key=value`, in order.
    pub set: Vec<String>,
    /// The keys of `--dev`; `None`: not in dev.
    pub dev: Option<Arc<DevKeys>>,
    /// Environment variables; a value that is not UTF-8 is `None`.
    environment: Environment,
}

#[derive(Clone, Default)]
struct Environment(Vec<(String, Option<String>)>);

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Environment(…)")
    }
}

impl Sources {
    /// The process's own environment, and what the command line gave.
    ///
    /// # Errors
    /// The operating system's random source failed, which `--dev` needs.
    pub fn new(
        file: Option<PathBuf>,
        set: Vec<String>,
        dev: bool,
    ) -> Result<Self, getrandom::Error> {
        let dev = if dev {
            Some(Arc::new(DevKeys::random()?))
        } else {
            None
        };
        let sources = Self {
            file,
            set,
            dev,
            environment: Environment::default(),
        };
        Ok(sources.with_environment(std::env::vars_os()))
    }

    /// These variables in place of the process's own.
    #[must_use]
    pub fn with_environment(
        mut self,
        variables: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Self {
        let named = variables
            .into_iter()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok())));
        self.environment = Environment(named.collect());
        self
    }
}

impl Config {
    /// The key that `--dev` made up for the control plane, where no other source says which.
    pub fn dev_control_key(&self) -> Option<&Secret> {
        Some(&self.made_up("control", "keys")?.control)
    }

    /// The key and the secret that `--dev` made up for a Pusher app of id 1, where no other source
    /// names any.
    pub fn dev_app(&self) -> Option<(&Secret, &Secret)> {
        let keys = self.made_up("pusher", "apps")?;
        Some((&keys.app_key, &keys.app_secret))
    }

    /// The keys of `--dev`, where they stand in this setting.
    fn made_up(&self, section: &str, name: &str) -> Option<&DevKeys> {
        let value::Value::Table(section) = &self.values.0.get(section)?.value else {
            return None;
        };
        let made_up = section.get(name)?.origin == Origin::Dev;
        self.dev.as_deref().filter(|_| made_up)
    }
}

/// Reads and checks a configuration.
///
/// # Errors
/// Every problem there is, by place.
pub fn load(sources: &Sources) -> Result<Config, ConfigErrors> {
    let mut problems = Vec::new();
    let values = merged(sources, &mut problems);
    check::check(&values, &mut problems);
    let built = build::build(values, sources, &mut problems);
    match ConfigErrors::new(problems) {
        Some(errors) => Err(errors),
        None => Ok(built),
    }
}

/// Reads one endpoint, in TOML or (where it starts with `{`) JSON: its keys alone, or as the one
/// `[[endpoint]]`. `path` is where the text is from.
///
/// # Errors
/// Every problem there is, by place.
pub fn endpoint(path: PathBuf, text: &str) -> Result<Endpoint, ConfigErrors> {
    let (path, mut problems) = (Arc::new(path), Vec::new());
    let mut table = if text.trim_start().starts_with('{') {
        value::parse_json(&path, text, &mut problems)
    } else {
        value::parse_file(&path, text, &mut problems)
    };
    // What `pogo endpoints ls --json` says of where it comes from.
    table.remove("source");
    let origin = Origin::File {
        path,
        line: 0,
        column: 0,
    };
    let node = |value| value::Node {
        value,
        origin: origin.clone(),
    };
    let values = if table.contains_key("endpoint") {
        table
    } else {
        let list = value::Value::List(vec![node(value::Value::Table(table))]);
        value::Table::from([("endpoint".to_owned(), node(list))])
    };
    let unread = !problems.is_empty();
    let mut endpoints = Vec::new();
    if !unread {
        check::check(&values, &mut problems);
        endpoints = build::endpoints(&values, &mut problems);
        if problems.is_empty() && endpoints.len() != 1 {
            problems.push(Problem {
                origin: origin.clone(),
                key: "endpoint".to_owned(),
                message: format!("expected one endpoint, found {}", endpoints.len()),
            });
        }
    }
    match (ConfigErrors::new(problems), endpoints.pop()) {
        (None, Some(endpoint)) => Ok(endpoint),
        (errors, _) => Err(errors.unwrap_or_default()),
    }
}

/// The values of all layers together.
fn merged(sources: &Sources, problems: &mut Vec<Problem>) -> value::Table {
    let mut values = value::Table::new();
    if let Some(path) = &sources.file {
        let path = Arc::new(path.clone());
        match std::fs::read_to_string(&*path) {
            Ok(text) => values = value::parse_file(&path, &text, problems),
            Err(error) => problems.push(Problem {
                origin: Origin::File {
                    path,
                    line: 0,
                    column: 0,
                },
                key: String::new(),
                message: format!("cannot be read: {error}"),
            }),
        }
    }
    let environment = layers::from_environment(&sources.environment.0, problems);
    layers::merge(&mut values, environment, "", problems);
    let flags = layers::from_flags(&sources.set, problems);
    layers::merge(&mut values, flags, "", problems);
    if let Some(keys) = &sources.dev {
        dev::fill(&mut values, keys);
    }
    values
}

/// The settings that differ between two configurations and are read at start only: a reload
/// leaves them as they were.
pub fn needs_restart(running: &Config, loaded: &Config) -> Vec<String> {
    describe::changed(&running.values.0, &loaded.values.0)
}

/// A variable of the environment that is not a setting (`NO_COLOR`, `TERM`); empty counts as
/// unset.
pub fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
