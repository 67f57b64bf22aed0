//! Whatever is published, asked, answered late and read when: each session gets each publication
//! of its channels once and in order, from the position that its reply told.

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Step {
    Publish,
    Subscribe(usize),
    Recover(usize),
    Rewind(usize, u64),
    Unsubscribe(usize),
    Ping(usize),
    Turn,
    Settle,
    Hold(bool, bool),
    LetGo,
}

fn step() -> impl Strategy<Value = Step> {
    let client = 0..3_usize;
    prop_oneof![
        8 => Just(Step::Publish),
        3 => client.clone().prop_map(Step::Subscribe),
        2 => client.clone().prop_map(Step::Recover),
        1 => (client.clone(), 1..6_u64).prop_map(|(client, n)| Step::Rewind(client, n)),
        1 => client.clone().prop_map(Step::Unsubscribe),
        1 => client.prop_map(Step::Ping),
        4 => Just(Step::Turn),
        1 => Just(Step::Settle),
        2 => (any::<bool>(), any::<bool>()).prop_map(|(requests, answers)| Step::Hold(requests, answers)),
        5 => Just(Step::LetGo),
    ]
}

/// What a client knows.
#[derive(Debug, Default)]
struct Known {
    /// The last offset it has, while it is subscribed.
    at: Option<u64>,
    asked: u64,
}

impl Known {
    fn take(&mut self, text: &Value) {
        if let Some(id) = text["id"].as_str() {
            assert_eq!(text["status"], "ok", "{text}");
            let data = &text["data"];
            if id.starts_with("leave") {
                self.at = None;
            } else if id.starts_with("join") {
                self.joined(id, data);
            }
            return;
        }
        if text["event"] == "e" {
            let offset = text["offset"].as_u64().unwrap();
            assert_eq!(Some(offset - 1), self.at, "out of order: {text}");
            self.at = Some(offset);
        }
    }

    fn joined(&mut self, id: &str, data: &Value) {
        let offset = data["offset"].as_u64().unwrap();
        let past = data["publications"].as_array();
        let past: Option<Vec<u64>> = past.map(|all| {
            all.iter()
                .map(|one| one["offset"].as_u64().unwrap())
                .collect()
        });
        if let Some(past) = &past {
            let last = offset + 1 - past.len() as u64;
            assert_eq!(
                past,
                &(last..=offset).collect::<Vec<_>>(),
                "the last so many: {data}"
            );
        }
        if let Some(from) = id.strip_prefix("join-from-") {
            assert_eq!(data["recovered"], true);
            let from: u64 = from.parse().unwrap();
            assert_eq!(past.unwrap(), (from + 1..=offset).collect::<Vec<_>>());
        } else if let Some(at) = self.at {
            // On the channel already: it goes on where it was.
            assert_eq!(offset, at, "a jump: {data}");
        }
        self.at = Some(offset);
    }
}

struct Race {
    rig: Rig,
    clients: Vec<(Client, Known)>,
    published: u64,
    epoch: Value,
}

impl Race {
    fn new() -> Self {
        let mut rig = Rig::new();
        let position = rig.publish("log-a", &json!(0)).position.unwrap();
        let clients = (0..3).map(|_| (rig.join(), Known::default())).collect();
        Self {
            rig,
            clients,
            published: 1,
            epoch: json!(&*position.epoch),
        }
    }

    fn run(&mut self, step: &Step) {
        match *step {
            Step::Publish => {
                let held = self.rig.broker.hold_off();
                self.rig.publish("log-a", &json!(self.published));
                self.published += 1;
                self.rig.broker.hold(held.0, held.1);
            }
            Step::Subscribe(client) => self.send(client, "join", &json!({})),
            Step::Recover(client) => {
                // Only what was surely read: an older position than the server knows of.
                let Some(at) = self.clients[client].1.at else {
                    return;
                };
                let options = json!({"recover": {"epoch": self.epoch, "offset": at}});
                self.send(client, &format!("join-from-{at}"), &options);
            }
            Step::Rewind(client, n) => self.send(client, "join", &json!({"rewind": n})),
            Step::Unsubscribe(client) => {
                if self.clients[client].1.at.is_some() {
                    self.leave(client);
                }
            }
            Step::Ping(client) => self.clients[client]
                .0
                .send(&json!({"id": "ping", "event": "ping"})),
            Step::Turn => self.rig.turn(),
            Step::Settle => self.rig.settle(),
            Step::Hold(requests, answers) => self.rig.broker.hold(requests, answers),
            Step::LetGo => {
                self.rig.broker.let_go();
            }
        }
        self.read();
    }

    fn send(&mut self, client: usize, id: &str, options: &Value) {
        let (client, known) = &mut self.clients[client];
        known.asked += 1;
        client.send(&json!({"id": id, "event": "channel:subscribe", "channel": "log-a", "options": options}));
    }

    /// Leaves, once nothing else is under way.
    fn leave(&mut self, client: usize) {
        let held = self.rig.broker.hold_off();
        while self.rig.broker.let_go() {
            self.rig.settle();
        }
        self.barrier(client);
        if self.clients[client].1.at.is_some() {
            self.clients[client]
                .0
                .send(&json!({"id": "leave", "event": "channel:unsubscribe", "channel": "log-a"}));
        }
        self.barrier(client);
        self.rig.broker.hold(held.0, held.1);
    }

    /// Everything that the client was owed has been read.
    fn barrier(&mut self, client: usize) {
        let (client, known) = &mut self.clients[client];
        for frame in self.rig.drain(client) {
            if let Frame::Text(text) = frame {
                known.take(&text);
            }
        }
    }

    fn read(&mut self) {
        for (client, known) in &mut self.clients {
            while let Some(frame) = client.pop() {
                match frame {
                    Frame::Text(text) => known.take(&text),
                    Frame::Ping => {}
                    other => panic!("{other:?}"),
                }
            }
        }
    }

    fn finish(mut self) {
        self.rig.broker.open();
        for client in 0..self.clients.len() {
            self.barrier(client);
        }
        for (_, known) in &self.clients {
            assert!(
                known.at.is_none_or(|at| at == self.published),
                "lost: {known:?} of {}",
                self.published
            );
        }
        drop(self.clients);
        self.rig.assert_empty();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]
    #[test]
    fn joining_leaves_no_gap(steps in prop::collection::vec(step(), 1..60)) {
        let mut race = Race::new();
        for step in &steps {
            race.run(step);
        }
        race.finish();
    }
}
