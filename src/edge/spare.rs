//! A descriptor kept in reserve. When the process or the system has no other left, it is given up
//! for a moment, so that whoever waits to be accepted is told and closed rather than left hanging.

use std::fs::File;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};

/// How long a refused client's request is waited for: an answer before it might be lost.
const REQUEST_GRACE: Duration = Duration::from_millis(20);
/// As much of it as is read; one with a longer head would be refused anyway.
const REQUEST_BYTES: usize = 16 * 1024;
/// What is told over plain text. Under TLS there is no word that costs so little.
const FULL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nRetry-After: 5\r\n\
    Content-Type: text/plain\r\nContent-Length: 18\r\n\r\nThis node is full.";

/// The reserve. Empty while it cannot be filled.
#[derive(Debug)]
pub(super) struct Spare(Option<File>);

impl Spare {
    pub(super) fn new() -> Self {
        let mut spare = Self(None);
        spare.fill();
        spare
    }

    fn fill(&mut self) {
        if self.0.is_none() {
            self.0 = File::open("/dev/null").ok();
        }
    }

    /// Accepts the connection that waits, if one does, tells it (`aloud`: in plain text) that there
    /// is no room, and closes it. False: the reserve was of no use.
    pub(super) async fn refuse(&mut self, listener: &TcpListener, aloud: bool) -> bool {
        self.fill();
        if self.0.take().is_none() {
            return false;
        }
        // The system says that there is no descriptor before it looks whether anybody waits.
        let accepted = listener.accept().now_or_never();
        let useful = !matches!(accepted, Some(Err(_)));
        if let Some(Ok((stream, _))) = accepted
            && aloud
        {
            tell(stream).await;
        }
        self.fill();
        useful
    }
}

/// Whether the client hears it is its own matter.
async fn tell(mut stream: TcpStream) {
    let _ = tokio::time::timeout(REQUEST_GRACE, stream.readable()).await;
    take_request(&stream);
    if stream.try_write(FULL).is_ok() {
        let _ = stream.shutdown().await;
    }
}

/// What lies unread would make of the close a reset that overtakes the answer. Read once: who never
/// stops sending must not keep the others waiting.
fn take_request(stream: &TcpStream) {
    let _ = stream.try_read(&mut [0; REQUEST_BYTES]);
}
