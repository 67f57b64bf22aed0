//! The REST gateway's place in the server: what it is built of, and its end.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::Instant;

use crate::auth::Authenticator;
use crate::broker::HistoryRules;
use crate::channel::HistoryRule;
use crate::config::Config;
use crate::gateway::Gateway;
use crate::node::Node;
use crate::session::Shared;

/// How long calls may take that are still under way when the last session has gone.
const LINGER: Duration = Duration::from_secs(10);

/// What channels retain: the streams of covered uris what the gateway needs, the others what
/// their rules say.
pub(super) fn history(config: &Config, shared: &Arc<Shared>) -> HistoryRules {
    let (built_in, shared) = (
        HistoryRule {
            size: config.gateway.history_size,
            ttl: config.gateway.history_ttl,
        },
        Arc::clone(shared),
    );
    Arc::new(move |name| {
        let covered =
            name.starts_with('/') && matches!(shared.routes.load().find(name), Ok(Some(_)));
        if covered {
            return Some(built_in);
        }
        shared.rules.load().of(name).history
    })
}

/// Builds the gateway. While there are endpoints, sessions keep their tokens for it.
pub(super) fn start(
    config: &Config,
    node: &Arc<Node>,
    shared: &Arc<Shared>,
    authenticator: &Authenticator,
) -> Arc<Gateway> {
    let of = Arc::clone(shared);
    authenticator.keep_tokens_while(move || !of.routes.load().is_empty());
    Gateway::start(config.gateway.clone(), node, shared, &Handle::current())
}

/// Waits for the calls that are under way, writes above all: until `end`, but for some seconds at
/// least.
pub(super) async fn finish(gateway: &Gateway, end: Instant) {
    let end = end.max(Instant::now() + LINGER);
    if tokio::time::timeout_at(end, gateway.idle()).await.is_err() {
        tracing::warn!("calls to upstreams are cut off; their outcome is not known");
    }
}
