//! What the front half hands to the workers: a WebSocket whose handshake is done.

use std::net::{IpAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use bytes::Bytes;

use crate::auth::Grant;
use crate::auth::pusher::App;
use crate::code::CloseCode;
use crate::limits::ConnectionPermit;
use crate::protocol::Encoding;

/// A connection that has just become a WebSocket: the 101 is flushed, no frame has been read.
#[derive(Debug)]
pub struct Connection {
    /// Non-blocking, and not registered with any runtime.
    pub stream: Stream,
    /// Bytes (plaintext) that came right behind the request's head: the first of the WebSocket.
    pub early: Bytes,
    /// The client's address, normalised, as believed through proxies.
    pub address: IpAddr,
    /// What the subprotocol chose, or the path.
    pub encoding: Encoding,
    /// Whether permessage-deflate was negotiated.
    pub deflate: bool,
    /// What became of the handshake's token.
    pub credential: Credential,
    /// The address's slot; dropping it gives the slot back.
    pub permit: ConnectionPermit,
}

/// What a WebSocket's bytes go over.
#[derive(Debug)]
pub enum Stream {
    /// Bytes as they are.
    Plain(TcpStream),
    /// With the TLS state; plaintext that it has already decrypted stays in its reader.
    Tls(TcpStream, Box<rustls::ServerConnection>),
    /// The other end is in this process: a fallback transport speaks for the client.
    Local(UnixStream),
}

/// The token of a handshake.
#[derive(Debug)]
pub enum Credential {
    /// There was none: `auth` may follow.
    None,
    /// A good one.
    Granted(Grant),
    /// The key of a Pusher app, and the protocol's version, where it was given.
    App(Arc<App>, Option<u8>),
    /// A bad one (for Pusher: key or version) that came where a browser could only read a close
    /// code: close with it at once.
    Refused(CloseCode),
}

/// Why no session can begin now; both are 503 with Retry-After.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Busy {
    /// The node is going away.
    Draining,
    /// Too many sessions, or too much memory waiting in mailboxes.
    Overloaded,
}

/// Whoever runs the sessions: the workers.
pub trait Sessions: Send + Sync {
    /// Whether a new session is welcome; asked before the upgrade is answered.
    ///
    /// # Errors
    /// Why not.
    fn ready(&self) -> Result<(), Busy>;

    /// Takes a connection over. Never blocks.
    ///
    /// # Errors
    /// The connection, if it cannot be taken after all; dropping it closes the socket.
    fn adopt(&self, connection: Connection) -> Result<(), Box<Connection>>;
}
