//! Open files: a session is one, so as many as the system allows, and how many sessions fit. What
//! comes beyond is answered 503 while there is a descriptor left to answer with.

use crate::config::Config;

/// What is open beside connections: listeners, pollers, logs, state, key servers.
const OWN_FILES: usize = 64;

/// Raises this process's limit of open files to what the system allows and returns it, where it
/// is known.
pub(super) fn raise() -> Option<usize> {
    match rlimit::increase_nofile_limit(u64::MAX) {
        Ok(limit) => {
            tracing::debug!(limit, "open files");
            usize::try_from(limit).ok()
        }
        Err(error) => {
            tracing::warn!(%error, "the limit of open files stays as it is");
            None
        }
    }
}

/// How many sessions there may be with `files` open files: what the other listeners and the
/// handshakes under way may take is left to them, but never more than half.
pub(super) fn sessions(files: usize, config: &Config) -> usize {
    let others = config.edge.max_handshakes
        + config.control.limits.connections
        + config.admin.max_connections
        + OWN_FILES;
    files.saturating_sub(others).max(files / 2)
}
