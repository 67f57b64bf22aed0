//! `[pusher]`'s webhooks.

use super::super::reader::Reader;
use crate::auth::pusher::Apps;
use crate::notice::NoticeKind;
use crate::pusher::webhook::{self, Hook, Target};

pub(super) fn webhooks(root: &Reader<'_>, apps: &Apps, dev: bool) -> webhook::Config {
    let section = root.table("pusher");
    webhook::Config {
        hooks: hooks(&section, apps),
        allow: section.networks("webhook_allow"),
        loopback: dev,
        delay: section.span("webhook_delay"),
        delayed: section.count("webhook_delayed"),
        batch_wait: section.span("webhook_batch_wait"),
        batch_events: section.count("webhook_batch_events"),
        batch_bytes: section.count("webhook_batch_bytes"),
        queue_events: section.count("webhook_queue_events"),
        queue_bytes: section.count("webhook_queue_bytes"),
        timeout: section.span("webhook_timeout"),
        retry_min: section.span("webhook_retry_min"),
        retry_max: section.span("webhook_retry_max"),
        retry_for: section.span("webhook_retry_for"),
        response_bytes: section.count("webhook_response_bytes"),
        drain: section.span("webhook_drain"),
    }
}

fn hooks(section: &Reader<'_>, apps: &Apps) -> Vec<Hook> {
    let mut hooks = Vec::new();
    for entry in section.items("apps") {
        let app = entry.text("id").and_then(|id| apps.by_id(&id).cloned());
        for hook in entry.items("webhooks") {
            let (url, kinds) = (hook.text("url"), hook.texts("events"));
            let (Some(app), Some(url)) = (&app, url) else {
                continue;
            };
            match Target::parse(&url) {
                Ok(target) if is_new(&hooks, &app.id, &target) => hooks.push(Hook {
                    app: app.clone(),
                    target,
                    kinds: kinds
                        .iter()
                        .filter_map(|name| NoticeKind::of(name))
                        .collect(),
                }),
                Ok(_) => hook.refuse(
                    "url",
                    "the app has another webhook there: list all events in one",
                ),
                Err(error) => hook.refuse("url", error.to_string()),
            }
        }
    }
    hooks
}

fn is_new(hooks: &[Hook], app: &str, target: &Target) -> bool {
    let same = |hook: &Hook| &*hook.app.id == app && hook.target == *target;
    !hooks.iter().any(same)
}
