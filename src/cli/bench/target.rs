//! Which server is measured: one that runs already, or one that is started for it.

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};

use super::client::{Context, Plan, Protocol, Subscription};
use super::link::Tls;
use super::process::Process;
use super::publisher::Publisher;
use super::pusher::App;
use super::spawn::Spawned;
use super::swarm::Swarm;
use super::tally::Tally;
use super::token::Tokens;
use super::wire::Finder;
use crate::cli::error::CliError;
use crate::cli::remote::Remote;

/// Which server.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Server")]
pub(super) struct TargetArguments {
    /// Start a server for the run, on free ports, and stop it afterwards
    #[arg(long, conflicts_with_all = ["url", "control", "pid"])]
    pub(super) spawn: bool,
    /// The program to start; this one without
    #[arg(long, requires = "spawn", value_name = "FILE")]
    pub(super) binary: Option<PathBuf>,
    /// A setting of the server that is started; may be repeated
    #[arg(long, requires = "spawn", value_name = "SECTION.KEY=VALUE")]
    pub(super) set: Vec<String>,
    /// PEM file with the certificate of the server that is started, which then speaks TLS
    #[arg(long, requires_all = ["spawn", "tls_key"], value_name = "FILE")]
    pub(super) tls_cert: Option<PathBuf>,
    /// PEM file with its private key
    #[arg(long, requires = "tls_cert", value_name = "FILE")]
    pub(super) tls_key: Option<PathBuf>,
    /// Where clients connect: ws:// or wss://
    #[arg(
        long,
        env = "POGO_URL",
        default_value = "ws://127.0.0.1:8080",
        value_name = "URL"
    )]
    url: String,
    /// Where publications go: the control plane, or with Pusher the HTTP API
    #[arg(
        long,
        env = "POGO_SERVER",
        default_value = "http://127.0.0.1:8081",
        value_name = "URL"
    )]
    control: String,
    /// A key that may publish
    #[arg(long, env = "POGO_KEY", hide_env_values = true, value_name = "KEY")]
    key: Option<String>,
    /// The token of every client
    #[arg(long, env = "POGO_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    token: Option<String>,
    /// The secret that signs a token for each client
    #[arg(
        long,
        env = "POGO_TOKEN_SECRET",
        hide_env_values = true,
        conflicts_with = "token",
        value_name = "SECRET"
    )]
    token_secret: Option<String>,
    /// PEM file with the authorities, or the certificate itself, that the server is known by
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// The server's process, for its CPU time and memory; only on this machine
    #[arg(long, value_name = "PID")]
    pid: Option<u32>,
    /// The protocol of the clients and the publisher
    #[arg(long, value_enum, default_value_t, conflicts_with = "spawn")]
    protocol: Protocol,
    /// Pusher app: id:key:secret
    #[arg(long, env = "PUSHER_APP", hide_env_values = true, value_name = "APP")]
    app: Option<String>,
}

/// A server that is ready to be measured. What was started for it ends with it.
pub(super) struct Target {
    address: SocketAddr,
    tls: Option<Tls>,
    host: String,
    path: String,
    protocol: Protocol,
    tokens: Tokens,
    control: Remote,
    control_url: String,
    app: Option<App>,
    /// None: it is somewhere else.
    pub(super) process: Option<Process>,
    /// The clock of the publications.
    pub(super) epoch: Instant,
    _spawned: Option<Spawned>,
}

impl TargetArguments {
    /// The server, started where that is asked for.
    pub(super) fn resolve(&self) -> Result<Target, CliError> {
        let spawned = self.spawn.then(|| Spawned::start(self)).transpose()?;
        let url = spawned.as_ref().map_or(&self.url, |server| &server.edge);
        let (secure, host, path) = parts(url)?;
        let path = match (path, self.protocol) {
            ("" | "/", Protocol::Native) => "/ws".to_owned(),
            (path, _) => path.to_owned(),
        };
        let app = self.app.as_deref().map(App::parse).transpose()?;
        let path = match (&app, self.protocol) {
            (Some(app), Protocol::Pusher) => app.path(),
            (None, Protocol::Pusher) => {
                let message = "--protocol pusher needs --app id:key:secret";
                return Err(CliError::Usage(message.into()));
            }
            _ => path,
        };
        let tokens = match (&spawned, &self.token, &self.token_secret) {
            (Some(server), _, _) => Tokens::Signed(server.secret.as_str().into()),
            (None, Some(token), _) => Tokens::Given(token.as_str().into()),
            (None, None, Some(secret)) => Tokens::Signed(secret.as_str().into()),
            (None, None, None) => Tokens::None,
        };
        tokens.check()?;
        let control = spawned
            .as_ref()
            .map_or(&self.control, |server| &server.control);
        let pid = spawned.as_ref().map(Spawned::pid).or(self.pid);
        let process = pid.map(Process::of).transpose();
        Ok(Target {
            address: address(host, secure)?,
            tls: secure.then(|| self.tls(host)).transpose()?,
            host: host.to_owned(),
            path,
            protocol: self.protocol,
            tokens,
            control: Remote::at(control.clone(), self.key.clone()),
            control_url: control.clone(),
            app,
            process: process
                .map_err(|error| CliError::Failed(format!("the server's process: {error}")))?,
            epoch: Instant::now(),
            _spawned: spawned,
        })
    }

    fn tls(&self, host: &str) -> Result<Tls, CliError> {
        let failed = |error: &dyn std::fmt::Display| CliError::Failed(error.to_string());
        let Some(path) = self.ca.as_ref().or(self.tls_cert.as_ref()) else {
            let message = "wss:// needs --ca, by which the server is known";
            return Err(CliError::Usage(message.into()));
        };
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_file_iter(path).map_err(|e| failed(&e))? {
            let certificate = certificate.map_err(|e| failed(&e))?;
            roots.add(certificate).map_err(|e| failed(&e))?;
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|e| failed(&e))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
        let name = ServerName::try_from(name.trim_matches(['[', ']']).to_owned());
        Ok(Tls {
            config: Arc::new(config),
            name: name.map_err(|e| failed(&e))?,
        })
    }
}

impl Target {
    /// Clients that are not connected yet.
    pub(super) fn swarm(&self, subscription: Subscription) -> Result<Swarm, CliError> {
        let plan = Plan {
            protocol: self.protocol,
            host: self.host.clone(),
            path: self.path.clone(),
            tokens: self.tokens.clone(),
            subscription,
            compress: false,
        };
        let context = Context {
            inflater: None,
            plan: Arc::new(plan),
            tally: Tally::default(),
            finder: Finder::default(),
            now: 0,
        };
        Swarm::new(self.address, self.tls.clone(), context, self.epoch)
            .map_err(|error| CliError::Failed(format!("no poller: {error}")))
    }

    /// Where sockets go.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// For a plain client: the URL, and a token.
    pub(super) fn door(&self) -> (String, Option<String>) {
        (
            format!("ws://{}{}", self.host, self.path),
            self.tokens.of(0),
        )
    }

    pub(super) async fn publisher(&self) -> Result<Publisher, CliError> {
        match &self.app {
            Some(app) if self.protocol == Protocol::Pusher => {
                Publisher::http(app.clone(), &self.control_url, self.epoch)
            }
            _ => Ok(Publisher::grpc(self.control.publisher().await?, self.epoch)),
        }
    }

    /// A connection to the control plane that is this caller's alone.
    pub(super) fn control(&self) -> &Remote {
        &self.control
    }
}

/// Whether it is TLS, the host with its port, and the path.
fn parts(url: &str) -> Result<(bool, &str, &str), CliError> {
    let (secure, rest) = match url.split_once("://") {
        Some(("ws", rest)) => (false, rest),
        Some(("wss", rest)) => (true, rest),
        _ => {
            return Err(CliError::Usage(format!(
                "`{url}` is no ws:// or wss:// URL"
            )));
        }
    };
    let end = rest.find('/').unwrap_or(rest.len());
    Ok((secure, &rest[..end], &rest[end..]))
}

fn address(host: &str, secure: bool) -> Result<SocketAddr, CliError> {
    let has_port = host.rsplit_once(':').is_some_and(|(_, port)| {
        !port.is_empty() && port.bytes().all(|digit| digit.is_ascii_digit())
    });
    let with_port = match (has_port, secure) {
        (true, _) => host.to_owned(),
        (false, true) => format!("{host}:443"),
        (false, false) => format!("{host}:80"),
    };
    let mut found = with_port
        .to_socket_addrs()
        .map_err(|error| CliError::Unavailable(format!("{host}: {error}")))?;
    found
        .next()
        .ok_or_else(|| CliError::Unavailable(format!("{host} has no address")))
}
