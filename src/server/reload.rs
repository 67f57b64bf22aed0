//! A changed configuration, put in force while the server runs. What cannot be used leaves its part
//! as it was.

use std::sync::Arc;

use super::{Parts, apps};
use crate::auth::AuthConfigError;
use crate::channel::Rules;
use crate::config::Config;
use crate::edge;
use crate::gateway::EndpointsError;
use crate::pusher::webhook::WebhookError;

/// Why a reload was refused, in part or whole; what it names stays as it was.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "each says what it is")]
pub enum ReloadError {
    #[error("the tokens' keys stay as they were")]
    Auth(#[from] AuthConfigError),
    #[error("the edge's certificate stays as it was")]
    EdgeTls(#[from] edge::TlsError),
    #[error("the control plane's certificates stay as they were")]
    ControlTls(#[from] crate::control::TlsError),
    #[error("the webhooks stay as they were")]
    Webhooks(#[from] WebhookError),
    #[error("the endpoints stay as they were")]
    Endpoints(#[from] EndpointsError),
}

/// Puts a changed configuration in force while the server runs.
#[derive(Debug, Clone)]
pub struct Reloader(pub(super) Parts);

impl Reloader {
    /// Puts rules, keys, limits, session settings and certificates of `config` in force. What
    /// needs a restart is [`crate::config::needs_restart`]'s to say.
    ///
    /// # Errors
    /// Each part that stays as it was; the others are in force.
    pub fn reload(&self, config: Config) -> Result<(), Vec<ReloadError>> {
        let Parts {
            shared,
            node,
            authenticator,
            limits,
            front,
            control,
            webhooks,
            endpoints,
            dev,
            ..
        } = &self.0;
        shared.rules.store(Arc::new(Rules::new(config.rules, *dev)));
        apps::in_force(&config.apps, node);
        shared.apps.store(Arc::new(config.apps));
        shared.settings.store(Arc::new(config.session));
        limits.reload(&config.limits);
        front.set_origins(config.edge.allowed_origins);
        let mut errors = Vec::new();
        if let Err(error) = endpoints.reload(config.endpoints) {
            errors.push(error.into());
        } else if let Some(upkeep) = endpoints.upkeep().cloned() {
            tokio::spawn(async move { upkeep.renewed().await });
        }
        if let Err(error) = authenticator.reload(config.auth) {
            errors.push(error.into());
        }
        if let Err(error) = control.reload(config.control) {
            errors.push(error.into());
        }
        if let Err(error) = webhooks.reload(config.webhooks) {
            errors.push(error.into());
        }
        if let Some(tls) = front.tls()
            && let Err(error) = tls.reload()
        {
            errors.push(error.into());
        }
        if errors.is_empty() {
            Ok(())
        } else {
            Err(errors)
        }
    }
}
