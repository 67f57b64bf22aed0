//! Sessions under TLS.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use bytes::Bytes;
use rustls::pki_types::{PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection};

use super::*;
use crate::edge::connection::{Connection, Credential, Stream};
use crate::limits::ConnectionPermit;
use crate::protocol::Encoding;

/// A session under TLS whose first commands came with the handshake's last bytes.
fn join(rig: &mut Rig, narrow: bool, early: &[u8]) -> Client {
    let (mut client, mut server) = shake_hands();
    if !early.is_empty() {
        std::io::Write::write_all(&mut client.writer(), early).unwrap();
    }
    // What the client has said so far is decrypted already when the worker gets it.
    pump(&mut client, &mut server);
    let (ours, theirs) = rig.pair(narrow);
    theirs.set_nonblocking(true).unwrap();
    rig.adopt_as(
        0,
        Connection {
            stream: Stream::Tls(theirs, Box::new(server)),
            early: Bytes::new(),
            address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            encoding: Encoding::Json,
            deflate: false,
            credential: Credential::None,
            permit: ConnectionPermit::exempt(),
        },
    );
    let mut client = Client::new(ours, Some(client));
    assert_eq!(rig.text(&mut client)["event"], "pogo:welcome");
    client
}

fn shake_hands() -> (ClientConnection, ServerConnection) {
    let made = rcgen::generate_simple_self_signed(["server.test".to_owned()]).unwrap();
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let server = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key.into())
        .unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("server.test").unwrap();
    let mut client = ClientConnection::new(Arc::new(client), name).unwrap();
    let mut server = ServerConnection::new(Arc::new(server)).unwrap();
    while client.is_handshaking() || server.is_handshaking() {
        pump(&mut client, &mut server);
    }
    (client, server)
}

fn pump(client: &mut ClientConnection, server: &mut ServerConnection) {
    let mut wire = Vec::new();
    while client.wants_write() {
        client.write_tls(&mut wire).unwrap();
    }
    let mut rest = &wire[..];
    while !rest.is_empty() {
        server.read_tls(&mut rest).unwrap();
        server.process_new_packets().unwrap();
    }
    wire.clear();
    while server.wants_write() {
        server.write_tls(&mut wire).unwrap();
    }
    let mut rest = &wire[..];
    while !rest.is_empty() {
        client.read_tls(&mut rest).unwrap();
        client.process_new_packets().unwrap();
    }
}

#[test]
fn what_was_decrypted_before_the_hand_over_is_read() {
    let mut rig = Rig::new();
    let command = json!({"id": 1, "event": "channel:subscribe", "channel": "a"});
    let early = client::frame(1, command.to_string().as_bytes());
    let mut client = join(&mut rig, false, &early);
    assert_eq!(rig.text(&mut client)["id"], 1);
    rig.publish("a", &json!(1));
    assert_eq!(rig.text(&mut client)["data"], 1);
}

#[test]
fn much_goes_both_ways_and_stalls_without_losing_anything() {
    let mut rig = Rig::new();
    let mut client = join(&mut rig, true, &[]);
    rig.subscribe(&mut client, "log-a");
    let padding = "x".repeat(5_000);
    for n in 0..100 {
        rig.publish("log-a", &json!([n, padding]));
    }
    rig.settle();
    let waiting = rig.workers[0].mailbox_bytes;
    assert!(waiting > 300_000, "the socket is full: {waiting}");
    for n in 0..100 {
        assert_eq!(rig.text(&mut client)["data"][0], n);
    }
    rig.settle();
    assert_eq!(rig.workers[0].mailbox_bytes, 0);
    for n in 0..50 {
        client.send(&json!({"id": n, "event": "ping", "data": padding}));
        assert_eq!(rig.text(&mut client)["id"], n);
    }
    drop(client);
    rig.assert_empty();
}

#[test]
fn a_close_ends_tls_in_order() {
    let mut rig = Rig::new();
    let mut client = join(&mut rig, false, &[]);
    client.close(1001);
    assert_eq!(rig.next(&mut client), Frame::Close(1001));
    assert_eq!(rig.next(&mut client), Frame::End, "with close_notify");
    drop(client);
    rig.assert_empty();
}

#[test]
fn a_close_frame_leaves_a_full_socket_at_last() {
    let mut rig = Rig::new();
    let mut client = join(&mut rig, true, &[]);
    rig.subscribe(&mut client, "a");
    for n in 0..40 {
        rig.publish("a", &json!([n, "x".repeat(5_000)]));
    }
    rig.settle();
    client.raw(&client::frame(1, b"no command"));
    rig.settle();
    let frames = rig.take(&mut client, |frame| matches!(frame, Frame::Close(_)));
    assert_eq!(frames.len(), 41, "what was queued comes first");
    assert_eq!(frames.last(), Some(&Frame::Close(4000)));
    assert_eq!(rig.next(&mut client), Frame::End);
    drop(client);
    rig.assert_empty();
}

#[test]
fn bytes_that_are_no_tls_end_the_connection() {
    let mut rig = Rig::new();
    let mut client = join(&mut rig, false, &[]);
    client.flood();
    rig.assert_empty();
}
