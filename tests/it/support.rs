//! What the tests share: a real server on port 0, a foreign WebSocket client, tokens, and the
//! control plane's clients.

mod client;
mod control;
mod encoding;
pub mod fallback;
mod hooks;
pub mod http;
pub mod process;
pub mod pusher;
pub mod raw;
mod server;
mod token;
pub mod upstream;

pub use client::{Client, Connect};
pub use control::{Control, publish_request};
pub use encoding::Codec;
pub use hooks::{Hook, HookReceiver, signature};
pub use pusher::Pusher;
pub use server::{TestServer, http_get};
pub use token::{SECRET, Token, unix_now};

use std::future::Future;
use std::time::{Duration, Instant};

/// How long a test waits for what must come.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Asks again until the answer is `Some`.
pub async fn eventually<T, F: Future<Output = Option<T>>>(
    what: &str,
    mut ask: impl FnMut() -> F,
) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(Instant::now() < end, "never: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
