//! `[pusher]`: apps and what bounds their clients.

use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::super::reader::Reader;
use crate::auth::pusher::{App, Apps, MasterKey};
use crate::edge::FallbackConfig;
use crate::pusher;
use crate::session::PusherSettings;

pub(super) fn apps(root: &Reader<'_>) -> Apps {
    let entries = root.table("pusher").items("apps");
    let (mut ids, mut keys) = (BTreeSet::new(), BTreeSet::new());
    for entry in &entries {
        for (name, seen) in [("id", &mut ids), ("key", &mut keys)] {
            let Some(text) = entry.text(name) else {
                continue;
            };
            if !is_name(&text) {
                entry.refuse(name, "may hold letters, digits, `-` and `_` only");
            } else if !seen.insert(text) {
                entry.refuse(name, format!("another app has this {name}"));
            }
        }
    }
    Apps::new(entries.iter().filter_map(app))
}

fn app(entry: &Reader<'_>) -> Option<App> {
    let (client_events, subscription_count) = (
        entry.flag("client_events"),
        entry.flag("subscription_count"),
    );
    let (id, key) = (entry.text("id"), entry.text("key"));
    let secret = entry.secret("secret")?;
    let mut app = App::new(&id?, &key?, secret.expose());
    app.client_events = client_events;
    app.subscription_count = subscription_count;
    if let Some(master) = entry.secret("encryption_master_key") {
        let Some(master) = master_key(master.expose()) else {
            entry.refuse("encryption_master_key", "is not 32 bytes in base64");
            return None;
        };
        app = app.with_master_key(master);
    }
    Some(app)
}

fn master_key(text: &str) -> Option<MasterKey> {
    STANDARD.decode(text).ok()?.try_into().ok()
}

/// Whether `text` can stand in a path and before the `:` of a signature.
fn is_name(text: &str) -> bool {
    text.bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}

/// What governs the HTTP API and `/pusher/auth`.
pub(super) fn http(root: &Reader<'_>) -> pusher::Config {
    let auth = root.table("auth");
    let cookie = auth.text("cookie");
    let is_cookie = |name: &str| {
        let letter = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        !name.is_empty() && name.bytes().all(letter)
    };
    if cookie.as_deref().is_some_and(|name| !is_cookie(name)) {
        auth.refuse("cookie", "is no name of a cookie");
    }
    pusher::Config {
        cookie: cookie.map(Into::into),
        max_listed: root.table("pusher").count("max_listed"),
    }
}

pub(super) fn settings(root: &Reader<'_>) -> PusherSettings {
    let section = root.table("pusher");
    PusherSettings {
        activity_timeout: section.span("activity_timeout"),
        pong_timeout: section.span("pong_timeout"),
        max_event_bytes: section.count("max_event_bytes"),
        client_events_per_second: u32::try_from(section.count("client_events_per_second"))
            .unwrap_or(u32::MAX),
        max_members: section.count("max_members"),
        max_user_info_bytes: section.count("max_user_info_bytes"),
        max_watchlist: section.count("max_watchlist"),
    }
}

/// Of the transports for clients without WebSockets.
pub(super) fn fallback(root: &Reader<'_>) -> FallbackConfig {
    let section = root.table("pusher");
    FallbackConfig {
        sessions: section.count("fallback_sessions"),
        buffer_bytes: section.count("fallback_buffer_bytes"),
        heartbeat: section.span("fallback_heartbeat"),
        abandoned_after: section.span("fallback_abandoned_after"),
    }
}
