//! The two ends of a connection: taking it over from the handshake, and letting go of it.

use std::net::IpAddr;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use mio::{Interest, Token};

use super::client::{Client, Phase};
use super::mailbox::{Entry, Kind, Mailbox};
use super::transport::Transport;
use super::{CLOSE_LINGER, Worker, operations, table};
use crate::code::CloseCode;
use crate::edge::connection::{Connection, Credential};
use crate::event_log::EventKind;
use crate::metrics::{CodeLabel, ProtocolLabel};
use crate::protocol::frame::{self, FrameReader};
use crate::protocol::{Encoding, pusher};
use crate::session::{Effect, NativeOpening, Opening, PusherOpening, Session};
use crate::session_id::SessionId;

/// The label of connections that ended without a close frame (RFC 6455, 7.1.5).
const LOST: Label = (1006, "");

/// A close code as it is counted, and its name, where it has one.
pub(super) type Label = (u16, &'static str);

impl Worker {
    /// Takes a connection over and begins its session.
    pub(super) fn adopt(&mut self, connection: Connection) {
        let Connection {
            stream,
            early,
            address,
            encoding,
            deflate,
            credential,
            permit,
        } = connection;
        let mut transport = Transport::from(stream);
        let entry = self.clients.vacant_entry();
        let token = Token(entry.key());
        let interest = Interest::READABLE | Interest::WRITABLE;
        let registered = self
            .poll
            .registry()
            .register(transport.source(), token, interest);
        let id = SessionId::random();
        let (Ok(()), Ok(id), false) = (registered, id, self.stopping) else {
            tracing::error!("a connection could not be taken over");
            self.gauges.sessions.fetch_sub(1, Ordering::Relaxed);
            return;
        };
        let key = table::key(token.0);
        let reader = FrameReader::new(self.frame_limits[usize::from(deflate)].clone());
        let client = Client::new(transport, reader, (encoding, deflate, address), permit);
        entry.insert(Box::new(client));
        self.metrics
            .sessions
            .get_or_create(&self.protocol_label(key))
            .inc();
        self.metrics.compressed_sessions.inc_by(deflate.into());
        // The address may have been denied since the handshake began; from here on a denial finds
        // the session.
        let denied = self.services.limits.denied().is_denied(address, self.now);
        let opening = match credential {
            _ if denied => Err(CloseCode::Forbidden),
            credential => opening((id, address, encoding), credential),
        };
        let opening = match opening {
            Ok(opening) => opening,
            Err(code) => return self.turn_away(key, code),
        };
        self.by_id.insert(id, key);
        self.log(EventKind::Connected, id, None, None);
        // The session is registered: from here on a revocation finds it.
        let session = Session::open(self.shared.clone(), opening, self.now, &mut self.effects);
        let client = &mut self.clients[key as usize];
        client.counts = session.counts();
        client.session = Some(session);
        self.carry_out(key);
        if !early.is_empty() {
            self.feed(key, &mut early.to_vec());
        }
        // Under TLS, plaintext may lie in rustls already, which no socket event tells.
        self.read_soon(key);
        self.arm(key);
    }

    /// Closes a connection that never had a session.
    fn turn_away(&mut self, key: u32, code: CloseCode) {
        let encoding = self.clients[key as usize].encoding;
        self.count_disconnect(number(code, encoding).0);
        self.close(key, code);
    }

    fn count_disconnect(&self, code: u16) {
        let label = CodeLabel { code };
        self.metrics.disconnects.get_or_create(&label).inc();
    }

    fn protocol_label(&self, key: u32) -> ProtocolLabel {
        ProtocolLabel {
            protocol: self.clients[key as usize].encoding.subprotocol(),
        }
    }

    /// Ends the session and sends a close frame, after what is queued unless the code says that
    /// the client shall have nothing more.
    pub(super) fn close(&mut self, key: u32, code: CloseCode) {
        let Some(client) = self.clients.get(key as usize) else {
            return;
        };
        let (number, reason) = number(code, client.encoding);
        let farewell = match &client.session {
            Some(session) => session.farewell(code),
            None if client.encoding == Encoding::Pusher => pusher::encode_close(code),
            None => None,
        };
        let frames = (farewell, frame::close_frame_of(number, reason));
        self.close_with(key, frames, (number, code.wire().1), drops_queue(code));
    }

    /// The client said goodbye: so do we.
    pub(super) fn answer_close(&mut self, key: u32, code: Option<u16>) {
        // A client's own code is no label: there are too many.
        self.close_with(
            key,
            (None, frame::close_reply(code)),
            CloseCode::Normal.wire(),
            true,
        );
    }

    /// The first of the frames, where there is one, says why to who does not read the second.
    fn close_with(
        &mut self,
        key: u32,
        (farewell, close): (Option<Bytes>, Bytes),
        label: Label,
        drop_queue: bool,
    ) {
        let until = self.now.instant + CLOSE_LINGER;
        let Some(client) = self.clients.get_mut(key as usize) else {
            return;
        };
        if client.phase != Phase::Open {
            return;
        }
        client.phase = Phase::Closing(until);
        client.drain_at = None;
        let before = client.mailbox.bytes();
        if drop_queue {
            client.mailbox.clear();
        }
        for frame in farewell.into_iter().chain([close]) {
            let kind = Kind::Reply;
            let entry = Entry { frame, kind };
            client.mailbox.push(entry, &mut self.spare_rings);
        }
        self.mailbox_bytes = self.mailbox_bytes + client.mailbox.bytes() - before;
        self.mark_dirty(key);
        self.end_session(key, label);
        self.arm(key);
    }

    /// The socket is gone, or has had its time.
    pub(super) fn remove(&mut self, key: u32) {
        self.end_session(key, LOST);
        let Some(client) = self.clients.get_mut(key as usize) else {
            return;
        };
        if client.phase != Phase::Gone {
            client.phase = Phase::Gone;
            self.mailbox_bytes -= client.mailbox.bytes();
            client.mailbox = Mailbox::default();
            // A socket that cannot be deregistered is dropped below all the same.
            let _ = self.poll.registry().deregister(client.transport.source());
            client.transport.cut();
            self.metrics
                .sessions
                .get_or_create(&self.protocol_label(key))
                .dec();
            let deflate = self.clients[key as usize].deflate;
            self.metrics.compressed_sessions.dec_by(deflate.into());
            self.gauges.sessions.fetch_sub(1, Ordering::Relaxed);
        }
        // While an operation is under way the key stays taken: its end must not meet another.
        if self.clients[key as usize].operation.is_none() {
            self.clients.remove(key as usize);
        }
    }

    /// The session leaves everything; the connection may live on to send its close frame.
    fn end_session(&mut self, key: u32, label: Label) {
        let Some(client) = self.clients.get_mut(key as usize) else {
            return;
        };
        let Some(mut session) = client.session.take() else {
            return;
        };
        if let Some(operation) = &mut client.operation {
            self.mailbox_bytes -= std::mem::take(&mut operation.held_bytes);
            operation.held.clear();
            operation.lost.clear();
            operation.ended.clear();
            operation.refused = Box::default();
            operation.deferred.clear();
            operation.backlog = Vec::new();
        }
        client.operation = client
            .operation
            .take()
            .filter(|operation| operation.kind != operations::Kind::Wait);
        let id = session.id();
        let mut effects = Vec::new();
        session.end(&mut effects);
        for effect in effects {
            if let Effect::Leave {
                channel,
                slot,
                present,
                covered,
            } = effect
            {
                self.leave((id, channel), slot, (present, covered));
            }
        }
        self.by_id.remove(&id);
        self.count_disconnect(label.0);
        self.log(EventKind::Disconnected, id, None, Some(label));
    }
}

/// How the session begins that the handshake's credential opens, or why there is none.
fn opening(
    (id, address, encoding): (SessionId, IpAddr, Encoding),
    credential: Credential,
) -> Result<Opening, CloseCode> {
    let native = |grant| {
        Opening::Native(NativeOpening {
            id,
            address,
            encoding,
            grant,
        })
    };
    match credential {
        Credential::Refused(code) => Err(code),
        Credential::Granted(grant) => Ok(native(Some(grant))),
        Credential::None => Ok(native(None)),
        Credential::App(app, version) => Ok(Opening::Pusher(PusherOpening {
            id,
            address,
            app,
            version,
        })),
    }
}

/// What `code` is on the wire, with its reason.
fn number(code: CloseCode, encoding: Encoding) -> (u16, &'static str) {
    match encoding {
        Encoding::Pusher => code.pusher(),
        _ => code.wire(),
    }
}

/// Whether a session closed with `code` gets nothing of what is queued.
fn drops_queue(code: CloseCode) -> bool {
    match code {
        CloseCode::Revoked
        | CloseCode::Forbidden
        | CloseCode::SlowConsumer
        | CloseCode::TokenExpired
        | CloseCode::Overloaded => true,
        CloseCode::Normal
        | CloseCode::ProtocolError
        | CloseCode::WrongKind
        | CloseCode::BadPayload
        | CloseCode::Policy
        | CloseCode::TooBig
        | CloseCode::BadFrame
        | CloseCode::Unauthenticated
        | CloseCode::RateLimited
        | CloseCode::Draining
        | CloseCode::Idle
        | CloseCode::Unsupported
        | CloseCode::NoVersion => false,
    }
}
