//! Fan-out: one encoding for all, fair slices, what an idle connection owns.

use std::sync::Arc;

use super::*;
use crate::edge::worker::mailbox::Mailbox;
use crate::edge::worker::walks::Lane;
use crate::edge::worker::{Worker, client as connection};
use crate::protocol::frame::FrameReader;
use crate::session::Session;

/// As if no socket took anything, so that all is gathered in the mailboxes.
fn block(worker: &mut Worker) {
    for (_, client) in &mut worker.clients {
        client.blocked = true;
    }
}

fn unblock(worker: &mut Worker) {
    for (key, client) in &mut worker.clients {
        client.blocked = false;
        worker.dirty.push(crate::edge::worker::table::key(key));
    }
}

#[test]
fn a_publication_is_encoded_once_for_each_spelling() {
    let mut rig = Rig::new();
    let mut clients: Vec<_> = (0..6).map(|_| rig.join()).collect();
    for (index, client) in clients.iter_mut().enumerate() {
        let command = if index % 2 == 0 {
            json!({"event": "channel:subscribe", "channel": "/posts/1"})
        } else {
            json!({"event": "bind", "uri": "/posts/1"})
        };
        let (_, reply) = rig.ask(client, command);
        assert_eq!(reply["status"], "ok", "{reply}");
    }
    rig.publish("/posts/1", &json!({"a": [1, 2, 3]}));
    let worker = &mut rig.workers[0];
    block(worker);
    worker.take_inbox();
    worker.walk(Lane::Small);
    // By address: what is shared was encoded once.
    let mut frames: Vec<*const u8> = worker
        .clients
        .iter()
        .flat_map(|(_, client)| client.mailbox.chunks().map(<[u8]>::as_ptr))
        .collect();
    assert_eq!(frames.len(), 6);
    frames.sort_unstable();
    frames.dedup();
    assert_eq!(frames.len(), 2);
}

#[test]
fn a_slice_is_bounded_in_publications_too() {
    let mut rig = Rig::new();
    let mut client = rig.join();
    rig.subscribe(&mut client, "busy");
    for n in 0..6_000 {
        rig.publish("busy", &json!(n));
    }
    let worker = &mut rig.workers[0];
    block(worker);
    worker.take_inbox();
    worker.walk(Lane::Small);
    let waiting = worker
        .clients
        .iter()
        .map(|(_, client)| client.mailbox.chunks().count())
        .sum::<usize>();
    assert!((1..=4_096).contains(&waiting), "{waiting} in one slice");
    unblock(worker);
    for n in 0..6_000 {
        assert_eq!(rig.text(&mut client)["data"], n);
    }
}

#[test]
fn an_idle_connection_owns_next_to_nothing() {
    let mut rig = Rig::new();
    let mut client = rig.join();
    rig.subscribe(&mut client, "a");
    for n in 0..100 {
        rig.publish("a", &json!(n));
    }
    rig.drain(&mut client);
    let worker = &rig.workers[0];
    let (_, idle) = worker.clients.iter().next().unwrap();
    assert_eq!(idle.mailbox.room(), 0, "no ring");
    assert_eq!(idle.reader.buffered(), 0);
    assert!(idle.operation.is_none());
    let sizes = [
        ("FrameReader", size_of::<FrameReader>(), 32),
        ("Mailbox", size_of::<Mailbox>(), 64),
        ("Session", size_of::<Session>(), 256),
        ("Client", size_of::<connection::Client>(), 576),
        ("InFlight", size_of::<connection::InFlight>(), 192),
        (
            "Entry",
            size_of::<crate::edge::worker::mailbox::Entry>(),
            96,
        ),
        (
            "Subscriber",
            size_of::<crate::edge::worker::subscribers::Subscriber>(),
            24,
        ),
        ("Input", size_of::<crate::edge::worker::inbox::Input>(), 256),
    ];
    for (what, size, most) in sizes {
        println!("{what}: {size}");
        assert!(size <= most, "{what} has {size} bytes");
    }
    let _ = Arc::strong_count(&rig.shared);
}
