//! What Pusher's apps bring when they come in force.

use crate::auth::pusher::Apps;
use crate::node::Node;

/// Says which ids are unlucky, and whether subscribers are to be counted.
pub(super) fn in_force(apps: &Apps, node: &Node) {
    // Libraries for Python and Go take no other id than a number.
    let is_number = |id: &str| id.bytes().all(|byte| byte.is_ascii_digit());
    for app in apps.iter().filter(|app| !is_number(&app.id)) {
        let id = &*app.id;
        tracing::warn!(
            app = id,
            "the app's id is no number, which some libraries refuse"
        );
    }
    node.count_subscribers(apps.iter().any(|app| app.subscription_count));
}
