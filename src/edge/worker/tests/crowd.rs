//! Many sessions, narrow sockets among them, on a huge and on small channels at a time: each gets
//! all that it was promised, once and in order, and the worker's sums stay true.

use std::sync::atomic::Ordering;

use proptest::prelude::*;

use super::*;
use crate::edge::Config;
use crate::edge::worker::client::Phase;
use crate::edge::worker::walks::SLICE;

/// Channels; all sessions begin on the first.
const CHANNELS: [&str; 3] = ["log-huge", "log-b", "log-c"];
const CLIENTS: usize = SLICE + 16;
/// Every so many is narrow.
const NARROW: usize = 9;

#[derive(Debug, Clone)]
enum Step {
    Publish(usize, usize),
    Subscribe(usize, usize),
    Unsubscribe(usize, usize),
    Ping(usize),
    Close(usize),
    Read(usize),
    Turn,
}

fn step() -> impl Strategy<Value = Step> {
    let (client, channel) = (0..CLIENTS, 0..CHANNELS.len());
    let size = prop_oneof![4 => Just(1_usize), 1 => Just(30_000)];
    prop_oneof![
        8 => (channel.clone(), size).prop_map(|(channel, size)| Step::Publish(channel, size)),
        4 => (client.clone(), channel.clone()).prop_map(|(client, of)| Step::Subscribe(client, of)),
        3 => (client.clone(), channel).prop_map(|(client, of)| Step::Unsubscribe(client, of)),
        1 => client.clone().prop_map(Step::Ping),
        1 => client.clone().prop_map(Step::Close),
        3 => client.prop_map(Step::Read),
        6 => Just(Step::Turn),
    ]
}

/// What a client knows.
#[derive(Debug, Default)]
struct Known {
    /// The last offset of each channel that it is on.
    at: [Option<u64>; CHANNELS.len()],
    closing: bool,
    pushes: u64,
}

impl Known {
    fn take(&mut self, frame: Frame) {
        let text = match frame {
            Frame::Text(text) => text,
            Frame::Ping | Frame::Pong => return,
            _ if self.closing => return,
            other => panic!("{other:?}"),
        };
        let of = |text: &Value| CHANNELS.iter().position(|name| text["channel"] == *name);
        if let Some(id) = text["id"].as_str() {
            assert_eq!(text["status"], "ok", "{text}");
            if let Some((what, channel)) = id.split_once(' ') {
                let channel: usize = channel.parse().unwrap();
                let offset = text["data"]["offset"].as_u64();
                match (what, self.at[channel]) {
                    ("join", None) => self.at[channel] = Some(offset.unwrap()),
                    ("join", Some(at)) => assert_eq!(offset, Some(at), "a jump: {text}"),
                    _ => self.at[channel] = None,
                }
            }
            return;
        }
        if text["event"] == "e" {
            let (channel, offset) = (of(&text).unwrap(), text["offset"].as_u64().unwrap());
            assert_eq!(Some(offset - 1), self.at[channel], "{}", CHANNELS[channel]);
            self.at[channel] = Some(offset);
            self.pushes += 1;
        }
    }
}

struct Crowd {
    rig: Rig,
    clients: Vec<(Client, Known)>,
    published: [u64; CHANNELS.len()],
}

impl Crowd {
    fn new() -> Self {
        let mut rig = Rig::with(&Setup {
            config: Config {
                mailbox_bytes: 64 << 20,
                ..Config::default()
            },
            ..Setup::default()
        });
        let mut clients = Vec::new();
        for n in 0..CLIENTS {
            let mut client = if n % NARROW == 0 {
                rig.narrow()
            } else {
                rig.join()
            };
            let mut known = Known::default();
            client.send(
                &json!({"id": "join 0", "event": "channel:subscribe", "channel": CHANNELS[0]}),
            );
            for frame in rig.drain(&mut client) {
                known.take(frame);
            }
            clients.push((client, known));
        }
        Self {
            rig,
            clients,
            published: [0; CHANNELS.len()],
        }
    }

    fn run(&mut self, step: &Step) {
        let command = |what: &str, channel: usize| {
            let event = if what == "join" {
                "channel:subscribe"
            } else {
                "channel:unsubscribe"
            };
            json!({"id": format!("{what} {channel}"), "event": event, "channel": CHANNELS[channel]})
        };
        match *step {
            Step::Publish(channel, size) => {
                self.rig
                    .publish(CHANNELS[channel], &json!("x".repeat(size)));
                self.published[channel] += 1;
            }
            Step::Subscribe(client, channel) => self.send(client, &command("join", channel)),
            Step::Unsubscribe(client, channel) => {
                self.catch_up(client);
                if self.clients[client].1.at[channel].is_some() {
                    self.send(client, &command("leave", channel));
                    self.catch_up(client);
                }
            }
            Step::Ping(client) => self.send(client, &json!({"id": "ping", "event": "ping"})),
            Step::Close(client) => {
                let (client, known) = &mut self.clients[client];
                if !std::mem::replace(&mut known.closing, true) {
                    client.close(1000);
                }
            }
            Step::Read(client) => {
                let (client, known) = &mut self.clients[client];
                while let Some(frame) = client.pop() {
                    known.take(frame);
                }
            }
            Step::Turn => self.rig.turn(),
        }
        self.check_sums();
    }

    fn send(&mut self, client: usize, command: &Value) {
        let (client, known) = &mut self.clients[client];
        if !known.closing {
            client.send(command);
        }
    }

    /// What the client was owed has been read.
    fn catch_up(&mut self, client: usize) {
        let (client, known) = &mut self.clients[client];
        if known.closing {
            return;
        }
        for frame in self.rig.drain(client) {
            known.take(frame);
        }
    }

    fn check_sums(&self) {
        let worker = &self.rig.workers[0];
        let waiting: Vec<usize> = worker
            .clients
            .iter()
            .map(|(_, client)| client.waiting_bytes())
            .collect();
        assert_eq!(worker.mailbox_bytes, waiting.iter().sum::<usize>());
        let open = worker
            .clients
            .iter()
            .filter(|(_, client)| client.phase == Phase::Open);
        let largest = open.map(|(_, client)| client.waiting_bytes()).max();
        assert!(Some(worker.largest) >= largest);
        for (key, client) in &worker.clients {
            let listed = worker
                .dirty
                .iter()
                .filter(|one| **one as usize == key)
                .count();
            assert_eq!(
                listed,
                usize::from(client.dirty),
                "listed once or not at all"
            );
            assert!(
                client.mailbox.is_empty() || client.blocked || client.dirty,
                "nobody would flush it"
            );
        }
    }

    fn finish(mut self) {
        for client in 0..CLIENTS {
            self.catch_up(client);
        }
        let mut pushes = 0;
        let mut anyone_closed = false;
        for (_, known) in &self.clients {
            pushes += known.pushes;
            anyone_closed |= known.closing;
            for (at, published) in known.at.iter().zip(self.published) {
                let whole = known.closing || at.is_none_or(|at| at == published);
                assert!(whole, "lost: {known:?} of {:?}", self.published);
            }
        }
        let counted = self.rig.workers[0]
            .gauges
            .deliveries
            .load(Ordering::Relaxed);
        assert!(
            counted >= pushes && (anyone_closed || counted == pushes),
            "{counted} for {pushes}"
        );
        drop(self.clients);
        self.rig.assert_empty();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20, ..ProptestConfig::default() })]
    #[test]
    fn everyone_gets_everything_once_and_in_order(steps in prop::collection::vec(step(), 1..150)) {
        let mut crowd = Crowd::new();
        for step in &steps {
            crowd.run(step);
        }
        crowd.finish();
    }
}
