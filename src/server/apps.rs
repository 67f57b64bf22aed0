//! What is said of Pusher's apps when they come in force.

use crate::auth::pusher::Apps;

/// Libraries for Python and Go take no other id than a number.
pub(super) fn warn_of_ids(apps: &Apps) {
    for app in apps.iter() {
        if !app.id.bytes().all(|byte| byte.is_ascii_digit()) {
            tracing::warn!(
                app = &*app.id,
                "the app's id is no number, which some libraries refuse"
            );
        }
    }
}
