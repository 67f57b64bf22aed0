//! `[edge]`, `[control]`, `[admin]`: where connections come in.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::super::reader::Reader;
use crate::admin;
use crate::control::{self, Key, Limits, Scope, Tls};
use crate::edge::{self, OriginRule, Origins};
use crate::protocol::Encoding;

pub(super) fn edge(root: &Reader<'_>, dev: bool) -> edge::Config {
    let section = root.table("edge");
    let mailbox_bytes = section.count("mailbox_bytes");
    let mailbox_total_bytes = section.count("mailbox_total_bytes");
    if mailbox_total_bytes < mailbox_bytes {
        section.refuse("mailbox_total_bytes", "is less than edge.mailbox_bytes");
    }
    let trusted_proxies = section.networks("trusted_proxies");
    let proxy_protocol = section.flag("proxy_protocol");
    if proxy_protocol && trusted_proxies.is_empty() {
        section.refuse(
            "proxy_protocol",
            "needs edge.trusted_proxies: whose header is believed",
        );
    }
    edge::Config {
        listen: section.address("listen"),
        tls: certificate(&section).map(|(cert, key)| edge::TlsFiles { cert, key }),
        allowed_origins: allowed_origins(&section),
        trusted_proxies,
        proxy_protocol,
        encodings: encodings(&section),
        max_frame_bytes: section.count("max_frame_bytes"),
        ping_interval: section.span("ping_interval"),
        auth_deadline: section.span("auth_deadline"),
        mailbox_bytes,
        mailbox_messages: section.count("mailbox_messages"),
        mailbox_total_bytes,
        token_in_query: section.flag("token_in_query"),
        workers: section.count_if_set("workers").unwrap_or_else(cores),
        header_deadline: section.span("header_deadline"),
        max_body_bytes: section.count("max_body_bytes"),
        body_deadline: section.span("body_deadline"),
        max_http_connections: section.count("max_http_connections"),
        http_idle: section.span("http_idle"),
        max_handshakes: section.count("max_handshakes"),
        max_sessions: section.count_if_set("max_sessions"),
        unsent_bytes: section.count("unsent_bytes"),
        max_fragments: u32::try_from(section.count("max_fragments")).unwrap_or(u32::MAX),
        operation_timeout: section.span("operation_timeout"),
        compression: section.flag("compression"),
        fallback: super::pusher::fallback(root),
        demo_page: dev.then(|| bytes::Bytes::from_static(include_bytes!("../../edge/demo.html"))),
    }
}

fn allowed_origins(section: &Reader<'_>) -> Origins {
    let texts = section.texts("allowed_origins");
    if !section.has("allowed_origins") {
        return Origins::Same;
    }
    let rules = texts.iter().filter_map(|text| {
        let rule = text.parse::<OriginRule>();
        rule.inspect_err(|error| section.refuse("allowed_origins", error.to_string()))
            .ok()
    });
    Origins::Listed(rules.collect())
}

fn encodings(section: &Reader<'_>) -> Vec<Encoding> {
    let names = section.texts("encodings");
    if names.is_empty() {
        section.refuse("encodings", "the list is empty: clients need one");
    }
    // The table refuses every other name.
    let known = names
        .iter()
        .filter_map(|name| Encoding::of_subprotocol(&format!("pogo.v1.{name}")));
    known.collect()
}

/// The certificate and key of a section's `tls` table.
fn certificate(section: &Reader<'_>) -> Option<(PathBuf, PathBuf)> {
    let tls = section.table("tls");
    let (cert, key) = (tls.existing("cert"), tls.existing("key"));
    match (&cert, &key) {
        (Some(_), None) => tls.refuse("key", "is missing: a certificate needs its key"),
        (None, Some(_)) => tls.refuse("cert", "is missing: a key needs its certificate"),
        _ => {}
    }
    cert.zip(key)
}

/// One worker a core.
fn cores() -> usize {
    std::thread::available_parallelism()
        .map_or(1, usize::from)
        .min(64)
}

pub(super) fn control(root: &Reader<'_>) -> control::Config {
    let section = root.table("control");
    let client_ca = section.table("tls").existing("client_ca");
    let tls = certificate(&section).map(|(cert, key)| Tls {
        cert,
        key,
        client_ca: client_ca.clone(),
    });
    if tls.is_none() && client_ca.is_some() {
        section.refuse(
            "tls.client_ca",
            "needs control.tls.cert and control.tls.key",
        );
    }
    let entries = section.items("keys");
    let listen = section.address("listen");
    let keys: Vec<Key> = entries
        .iter()
        .filter_map(|entry| control_key(entry, listen))
        .collect();
    config_names(&entries);
    control::Config {
        listen,
        // Who has certificates does not mean to be open to those without.
        open: keys.is_empty() && client_ca.is_none() && is_local(listen),
        tls,
        keys,
        limits: control_limits(&section),
    }
}

fn control_key(entry: &Reader<'_>, listen: SocketAddr) -> Option<Key> {
    let name = entry.text("name");
    let secret = api_key(entry, listen);
    let names = entry.texts("scopes");
    if names.is_empty() && entry.has("scopes") {
        entry.refuse("scopes", "the list is empty: the key could do nothing");
    }
    let scopes = names.iter().filter_map(|name| {
        let scope = name.parse::<Scope>();
        scope
            .map_err(|error| entry.refuse("scopes", format!("`{name}`: {error}")))
            .ok()
    });
    let scopes = scopes.collect();
    Some(Key::new(name?, &secret?, scopes))
}

/// Logs and idempotency go by name.
fn config_names(entries: &[Reader<'_>]) {
    let mut seen = std::collections::BTreeSet::new();
    for entry in entries {
        if let Some(name) = entry.text("name")
            && !seen.insert(name)
        {
            entry.refuse("name", "another key has this name");
        }
    }
}

fn control_limits(section: &Reader<'_>) -> Limits {
    let count = |name| section.count(name);
    let narrow = |name| u32::try_from(section.count(name)).unwrap_or(u32::MAX);
    let page_size = count("page_size");
    let max_page_size = count("max_page_size");
    if page_size > max_page_size {
        section.refuse("page_size", "is more than control.max_page_size");
    }
    Limits {
        connections: count("max_connections"),
        handshake_deadline: section.span("handshake_deadline"),
        streams: narrow("max_streams"),
        header_bytes: narrow("max_header_bytes"),
        request_bytes: count("max_request_bytes"),
        response_bytes: count("max_response_bytes"),
        keepalive_interval: section.span("keepalive_interval"),
        keepalive_timeout: section.span("keepalive_timeout"),
        connection_age: section.span("max_connection_age"),
        connection_age_grace: section.span("connection_age_grace"),
        shutdown_grace: section.span("shutdown_grace"),
        pending_resets: count("max_pending_resets"),
        error_resets: count("max_error_resets"),
        control_frames: narrow("max_control_frames"),
        default_deadline: section.span("default_deadline"),
        publish_in_flight: count("publish_in_flight"),
        batch: count("max_batch"),
        request_channels: count("max_request_channels"),
        idempotency_key_bytes: count("max_idempotency_key_bytes"),
        reason_bytes: count("max_reason_bytes"),
        request_addresses: count("max_request_addresses"),
        page_size,
        max_page_size,
    }
}

pub(super) fn admin(root: &Reader<'_>) -> admin::Config {
    let section = root.table("admin");
    let listen = section.address("listen");
    let keys = section.items("keys");
    let keys = keys.iter().filter_map(|key| {
        let name = key.text("name")?;
        let secret = api_key(key, listen)?;
        Some(admin::Key { name, secret })
    });
    admin::Config {
        listen,
        keys: keys.collect(),
        max_connections: section.count("max_connections"),
        deadline: section.span("deadline"),
    }
}

/// The secret of a named key, which must not be guessable where strangers can reach `listen`.
fn api_key(key: &Reader<'_>, listen: SocketAddr) -> Option<String> {
    let secret = key.secret("secret")?;
    if secret.expose().len() < 16 && !is_local(listen) {
        key.refuse("secret", "is shorter than 16 bytes: it could be guessed");
    }
    Some(secret.expose().to_owned())
}

/// Whether only this machine can reach `address`.
pub(super) fn is_local(address: SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
}
