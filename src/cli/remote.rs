//! The connection to a server's control plane.

use std::path::PathBuf;
use std::time::Duration;

use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Request, Status};

use super::error::CliError;
use crate::config;
use crate::control::proto::channels_client::ChannelsClient;
use crate::control::proto::endpoints_client::EndpointsClient;
use crate::control::proto::firewall_client::FirewallClient;
use crate::control::proto::publisher_client::PublisherClient;
use crate::control::proto::sessions_client::SessionsClient;

/// Which server, and as whom.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Server")]
pub(super) struct Remote {
    /// The control plane's address
    #[arg(
        long,
        env = "POGO_SERVER",
        default_value = "http://127.0.0.1:8081",
        value_name = "URL"
    )]
    server: String,
    /// The key of a caller; better by the environment or --key-file, which others cannot see
    #[arg(long, env = "POGO_KEY", hide_env_values = true, value_name = "KEY")]
    key: Option<String>,
    /// File that holds the key
    #[arg(long, env = "POGO_KEY_FILE", value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// PEM file with the authorities that the server's certificate is checked by
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// PEM file with a client certificate
    #[arg(long, value_name = "FILE", requires = "cert_key")]
    cert: Option<PathBuf>,
    /// PEM file with the client certificate's key
    #[arg(long, value_name = "FILE", requires = "cert")]
    cert_key: Option<PathBuf>,
    /// How long to wait for an answer
    #[arg(long, default_value = "10s", value_parser = parse_duration, value_name = "DURATION")]
    timeout: Duration,
}

/// Reads a duration of the command line.
pub(super) fn parse_duration(text: &str) -> Result<Duration, String> {
    config::duration(text).ok_or_else(|| "expected a duration like 30s, 5m or 1h".to_owned())
}

/// A client's transport: it sends the key with each call.
pub(super) type Transport = InterceptedService<Channel, Bearer>;

/// Puts the key into each call.
#[derive(Clone)]
pub(super) struct Bearer(Option<MetadataValue<Ascii>>);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(key) = &self.0 {
            request.metadata_mut().insert("authorization", key.clone());
        }
        Ok(request)
    }
}

impl Remote {
    /// A server named elsewhere, known by the system's authorities where it speaks TLS.
    pub(super) fn at(server: String, key: Option<String>) -> Self {
        Self {
            server,
            key,
            key_file: None,
            ca: None,
            cert: None,
            cert_key: None,
            timeout: Duration::from_secs(10),
        }
    }

    pub(super) async fn publisher(&self) -> Result<PublisherClient<Transport>, CliError> {
        Ok(PublisherClient::new(self.connect(true).await?))
    }

    pub(super) async fn channels(&self) -> Result<ChannelsClient<Transport>, CliError> {
        Ok(ChannelsClient::new(self.connect(true).await?))
    }

    pub(super) async fn sessions(&self) -> Result<SessionsClient<Transport>, CliError> {
        Ok(SessionsClient::new(self.connect(true).await?))
    }

    pub(super) async fn firewall(&self) -> Result<FirewallClient<Transport>, CliError> {
        Ok(FirewallClient::new(self.connect(true).await?))
    }

    pub(super) async fn endpoints(&self) -> Result<EndpointsClient<Transport>, CliError> {
        Ok(EndpointsClient::new(self.connect(true).await?))
    }

    /// For a stream, which may stay open for ever.
    pub(super) async fn watching(&self) -> Result<ChannelsClient<Transport>, CliError> {
        Ok(ChannelsClient::new(self.connect(false).await?))
    }

    async fn connect(&self, timed: bool) -> Result<Transport, CliError> {
        let bearer = self.bearer()?;
        // A bare host and port mean a server without TLS.
        let server = if self.server.contains("://") {
            self.server.clone()
        } else {
            format!("http://{}", self.server)
        };
        let mut endpoint = Endpoint::from_shared(server)
            .map_err(|_| CliError::Usage(format!("`{}` is no URL", self.server)))?
            .connect_timeout(self.timeout);
        if timed {
            endpoint = endpoint.timeout(self.timeout);
        }
        if self.server.starts_with("https:") {
            let tls = self.tls()?;
            endpoint = endpoint
                .tls_config(tls)
                .map_err(|error| CliError::Failed(chain(&error)))?;
        }
        let channel = endpoint.connect().await.map_err(|error| {
            CliError::Unavailable(format!(
                "{} cannot be reached: {}",
                self.server,
                chain(&error)
            ))
        })?;
        Ok(InterceptedService::new(channel, bearer))
    }

    fn bearer(&self) -> Result<Bearer, CliError> {
        let key = match (&self.key, &self.key_file) {
            (Some(key), _) => Some(key.clone()),
            (None, Some(path)) => Some(read(path)?.trim_end_matches(['\r', '\n']).to_owned()),
            (None, None) => None,
        };
        let Some(key) = key else {
            return Ok(Bearer(None));
        };
        let value = format!("Bearer {key}").parse::<MetadataValue<Ascii>>();
        let mut value =
            value.map_err(|_| CliError::Usage("the key holds characters no key has".into()))?;
        value.set_sensitive(true);
        Ok(Bearer(Some(value)))
    }

    fn tls(&self) -> Result<ClientTlsConfig, CliError> {
        let mut tls = ClientTlsConfig::new();
        tls = match &self.ca {
            Some(path) => tls.ca_certificate(Certificate::from_pem(read(path)?)),
            None => tls.with_native_roots(),
        };
        if let (Some(cert), Some(key)) = (&self.cert, &self.cert_key) {
            tls = tls.identity(Identity::from_pem(read(cert)?, read(key)?));
        }
        Ok(tls)
    }
}

/// The text of a file named on the command line.
pub(super) fn read(path: &std::path::Path) -> Result<String, CliError> {
    std::fs::read_to_string(path)
        .map_err(|error| CliError::Failed(format!("{} cannot be read: {error}", path.display())))
}

/// An error with its causes, which transports keep to themselves.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        cause = error.source();
    }
    text
}
