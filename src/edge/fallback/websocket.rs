//! SockJS over a WebSocket, for its clients that find one: each message is a SockJS frame, and a
//! session lives as long as its connection. (A Pusher client of today opens `/app/{key}`, which is
//! a WebSocket without any of this.)

use std::future::poll_fn;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::request::Parts;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::path::Path;
use super::receiver::{Family, Receiver};
use super::requests::{FULL, UNKNOWN};
use super::session::{Pending, Receiving, Session};
use super::wire;
use crate::code::CloseCode;
use crate::edge::Front;
use crate::edge::handshake::{self, Handshake};
use crate::edge::response::Refusal;
use crate::protocol::frame::{self, FrameReader, Incoming, Limits};
use crate::session_id::SessionId;

/// What one read takes at most.
const READ_BYTES: usize = 4 * 1024;

/// Whether `path` is that of a WebSocket of SockJS.
pub(in crate::edge) fn is_websocket(path: &str) -> bool {
    Path::parse(path) == Some(Path::WebSocket)
}

impl Front {
    /// Opens a session for a SockJS WebSocket.
    pub(in crate::edge) fn open_sockjs(
        &self,
        head: &Parts,
        address: IpAddr,
    ) -> Result<(Handshake, Receiving), Refusal> {
        let origins = self.origins().for_pusher();
        let mut handshake = handshake::examine_app(head, &self.config, &origins)?;
        handshake.extensions = None;
        let permit = self.admit(address)?;
        // No path can spell this name.
        let name = SessionId::random().map_err(|_| FULL)?;
        let pending = Pending { address, permit };
        let opened = self
            .fallback
            .open(Family::SockJs, &format!("/{name}"), pending);
        let session = opened.map_err(|_| FULL)?;
        let receiving = session.attach(Receiver::WebSocket).ok_or(FULL)?;
        Ok((handshake, receiving))
    }

    /// Speaks to the client until one of both ends it.
    pub(in crate::edge) async fn speak_sockjs(
        &self,
        mut stream: impl AsyncRead + AsyncWrite + Unpin,
        early: Bytes,
        receiving: Receiving,
    ) -> io::Result<()> {
        let session = Arc::clone(receiving.session());
        let limits = Limits {
            max_message_bytes: self.config.max_body_bytes,
            ..self.config.frame_limits(false)
        };
        let mut reader = FrameReader::new(Arc::new(limits));
        let mut input = early.to_vec();
        let goodbye = loop {
            match self.hear(&session, &mut reader, &mut input).await {
                Ok(reply) => stream.write_all(&reply).await?,
                Err(goodbye) => break goodbye,
            }
            input.resize(READ_BYTES, 0);
            let unfinished = reader.deadline();
            tokio::select! {
                read = stream.read(&mut input) => {
                    let read = read?;
                    input.truncate(read);
                    if read == 0 {
                        break Bytes::new();
                    }
                }
                chunk = poll_fn(|cx| receiving.poll_chunk(cx)) => {
                    input.clear();
                    match chunk {
                        Some(chunk) => stream.write_all(&chunk).await?,
                        None => break frame::close_frame(CloseCode::Normal),
                    }
                }
                () = until(unfinished) => break frame::close_frame(CloseCode::Policy),
            }
        };
        // The client is gone, or shall be: a session of its own has nobody else.
        session.abandon();
        stream.write_all(&goodbye).await
    }

    /// Takes what the client sends: what to reply, or with which frame to end.
    async fn hear(
        &self,
        session: &Session,
        reader: &mut FrameReader,
        input: &mut [u8],
    ) -> Result<Vec<u8>, Bytes> {
        let (mut input, mut reply) = (input, Vec::new());
        while let Some(message) = reader
            .next(&mut input, Instant::now())
            .map_err(frame::close_frame)?
        {
            let messages = match message {
                Incoming::Pong(_) => continue,
                // SockJS takes an empty message for nothing.
                Incoming::Text("") => {
                    self.one_empty(session)?;
                    continue;
                }
                Incoming::Text(text) => wire::messages_or_one(text)
                    .map_err(|_| frame::close_frame(CloseCode::ProtocolError))?,
                Incoming::Ping(payload) => {
                    reply.extend_from_slice(&frame::pong_frame(payload));
                    continue;
                }
                Incoming::Close(code) => return Err(frame::close_reply(code)),
                Incoming::Binary(_) | Incoming::Deflated { .. } => {
                    return Err(frame::close_frame(CloseCode::WrongKind));
                }
            };
            if messages.is_empty() {
                self.one_empty(session)?;
            }
            match self.pass_on(session, &messages).await {
                // Who has ended is told by what the session still has to say.
                Ok(()) | Err(UNKNOWN) => {}
                Err(_) => return Err(frame::close_frame(CloseCode::Overloaded)),
            }
        }
        Ok(reply)
    }

    /// A message that brings nothing, and that no worker counts as a command.
    fn one_empty(&self, session: &Session) -> Result<(), Bytes> {
        let counted = self.one_request(session.address());
        counted.map_err(|_| frame::close_frame(CloseCode::Policy))
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}
