//! Random lives of a session: whatever comes, nothing panics, at most one operation is under way,
//! each id is answered once, the welcome is first, and each slot that was given is left once.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::broker::{Accepted, Members};
use crate::resource::{Bound, Verb};

/// One thing that happens.
#[derive(Debug, Clone)]
enum Step {
    Command {
        shape: usize,
        channel: usize,
        with_id: bool,
        admitted: bool,
    },
    Garbage(String),
    Resume {
        fails: u8,
        revoked: bool,
    },
    Answer {
        which: prop::sample::Index,
        fails: bool,
    },
    Wait(u64),
    ServerSubscribe(usize),
    ServerUnsubscribe(usize),
    Tell,
    Heard,
}

const CHANNELS: [&str; 9] = [
    "open-1",
    "news",
    "members-1",
    "members-2",
    "log-1",
    "private-1",
    "closed-1",
    "/posts/1",
    "/posts?b=1&a=2",
];

fn step() -> impl Strategy<Value = Step> {
    let channel = 0..CHANNELS.len();
    prop_oneof![
        8 => (0..17usize, channel.clone(), any::<bool>(), prop::bool::weighted(0.9))
            .prop_map(|(shape, channel, with_id, admitted)| Step::Command { shape, channel, with_id, admitted }),
        1 => "\\PC{0,20}".prop_map(Step::Garbage),
        12 => (any::<u8>(), prop::bool::weighted(0.2))
            .prop_map(|(fails, revoked)| Step::Resume { fails, revoked }),
        8 => (any::<prop::sample::Index>(), prop::bool::weighted(0.2))
            .prop_map(|(which, fails)| Step::Answer { which, fails }),
        2 => (0u64..40).prop_map(Step::Wait),
        2 => channel.clone().prop_map(Step::ServerSubscribe),
        2 => channel.prop_map(Step::ServerUnsubscribe),
        1 => Just(Step::Tell),
        3 => Just(Step::Heard),
    ]
}

fn command(shape: usize, channel: &str) -> Value {
    let others = json!([
        channel,
        "news",
        channel,
        "log-1",
        "/posts?a=2&b=1",
        "bad name"
    ]);
    let recover = json!({"epoch": "e1", "offset": 1});
    match shape {
        0 => json!({"event": "auth", "data": {"token": "t"}}),
        1 => json!({"event": "bind", "uri": channel}),
        2 => json!({"event": "unbind", "uri": channel}),
        3 => {
            json!({"event": "channel:subscribe", "channel": channel, "options": {"recover": recover}})
        }
        4 => json!({"event": "channel:unsubscribe", "channel": channel}),
        5 => json!({"event": "channel:subscribe", "channels": others, "options": {"rewind": 2}}),
        6 => json!({"event": "channel:unsubscribe", "channels": others}),
        7 => json!({"event": "shout", "channel": channel, "data": [1]}),
        8 => json!({"event": "channel:presence", "channel": channel}),
        9 => json!({"event": "channel:history", "channel": channel}),
        10 => json!({"event": "show", "uri": channel}),
        14 => json!({"event": "index", "uri": channel}),
        15 => json!({"event": "create", "uri": channel, "data": {"a": 1}}),
        16 => json!({"event": "delete", "uri": channel}),
        11 => json!({"event": "ping"}),
        12 => json!({"event": "channel:subscribe", "channel": channel}),
        _ => json!({"event": "ping", "channel": channel}),
    }
}

/// What the world outside knows of the session.
#[derive(Debug)]
struct World {
    rig: Rig,
    operation: Option<Operation>,
    calls: Vec<Call>,
    /// What the gateway has bound the session to.
    bound: BTreeSet<String>,
    next_id: u64,
    waiting: BTreeSet<u64>,
    slots: BTreeSet<u32>,
    next_slot: u32,
    greeted: bool,
    closed: bool,
}

impl World {
    fn new(grant: Option<Grant>, settings: Settings) -> Self {
        let shared = shared(settings);
        shared.routes.store(Arc::new(rest::routes()));
        let (rig, out) = Rig::open_on(shared, grant);
        let mut world = Self {
            rig,
            operation: None,
            calls: Vec::new(),
            bound: BTreeSet::new(),
            next_id: 0,
            waiting: BTreeSet::new(),
            slots: BTreeSet::new(),
            next_slot: 0,
            greeted: false,
            closed: false,
        };
        world.take(out);
        world
    }

    fn take(&mut self, out: Vec<Seen>) {
        for seen in out {
            assert!(
                matches!(self.operation, None | Some(Operation::Wait))
                    || !matches!(seen, Seen::Perform(_)),
                "one at a time"
            );
            match seen {
                Seen::Frame(frame) => {
                    assert!(!self.closed, "nothing after the close: {frame}");
                    let welcome = frame["event"] == "pogo:welcome";
                    assert_eq!(
                        welcome,
                        !std::mem::replace(&mut self.greeted, true),
                        "{frame}"
                    );
                    if let Some(id) = frame.get("id") {
                        assert!(
                            self.waiting.remove(&id.as_u64().unwrap()),
                            "answered once: {frame}"
                        );
                    }
                }
                Seen::Ping => assert!(!self.closed),
                Seen::Close(_) => assert!(!std::mem::replace(&mut self.closed, true)),
                Seen::Perform(operation) => self.operation = Some(operation),
                Seen::Leave(channel, slot, _) => {
                    assert!(self.slots.remove(&slot.index), "left once: {channel}");
                    self.bound.remove(&channel);
                }
                Seen::Call(call) => self.calls.push(*call),
                Seen::Hold(uris, _) => assert!(!uris.is_empty()),
            }
        }
        let busy = self.rig.session.is_busy();
        if matches!(self.operation, Some(Operation::Wait)) && !busy {
            self.operation = None;
        }
        assert!(self.calls.len() <= 3, "no more calls than may be");
        assert_eq!(busy, self.operation.is_some());
        if !self.closed {
            let asked = self.calls.iter().filter_map(|call| call.options.re.clone());
            let asked: BTreeSet<u64> = asked
                .map(|id| serde_json::from_slice(&id).unwrap())
                .collect();
            assert!(
                busy || self.waiting == asked,
                "answered: {:?} but {asked:?}",
                self.waiting
            );
            assert_eq!(self.rig.session.info().channels.len(), self.slots.len());
        }
    }

    fn outcome(&mut self, operation: Operation, fails: u8, revoked: bool) -> Outcome {
        let failed = fails & 1 == 1;
        match operation {
            Operation::Authenticate(_) if failed => {
                Outcome::Authenticated(Err(ErrorCode::TokenExpired.into()))
            }
            Operation::Authenticate(_) => Outcome::Authenticated(Ok(self.fresh(fails, revoked))),
            Operation::Join(requests) => {
                let join = |(request, bit): (JoinRequest, u8)| {
                    if fails >> (bit % 8) & 1 == 1 {
                        return Err(ErrorCode::Unavailable);
                    }
                    let slot = request.slot.unwrap_or_else(|| {
                        self.next_slot += 1;
                        self.slots.insert(self.next_slot);
                        slot(self.next_slot)
                    });
                    Ok(Joined {
                        slot,
                        page: page(3, &[2, 3]),
                        members: None,
                    })
                };
                Outcome::Joined(requests.into_iter().zip(0..).map(join).collect())
            }
            Operation::Wait => unreachable!("answers end it"),
            Operation::Publish { .. } if failed => Outcome::Published(Err(ErrorCode::Timeout)),
            Operation::Publish { .. } => Outcome::Published(Ok(Accepted {
                position: None,
                receivers: 0,
                deduplicated: false,
            })),
            Operation::Presence(_) => Outcome::Members(Ok(Members::default())),
            Operation::History(..) => Outcome::History(Ok(page(3, &[1, 2, 3]))),
        }
    }

    /// A token for the refresh: now and then of another subject, revoked, or of fewer rights.
    fn fresh(&self, fails: u8, revoked: bool) -> Grant {
        let subject = if fails & 6 == 6 { "bob" } else { "ann" };
        let left = (self.rig.now.unix.as_secs() - START) + u64::from(fails);
        let token_id = if revoked { "revoked" } else { "fine" };
        Grant {
            token_id: Some(token_id.into()),
            channels: names(&CHANNELS[..usize::from(fails % 8)]),
            capabilities: caps(if fails & 8 == 8 {
                "{}"
            } else {
                r#"{"**": ["*"]}"#
            }),
            ..grant(subject, left)
        }
    }

    /// The gateway answers one of the calls, and the worker does its part.
    fn answer(&mut self, which: prop::sample::Index, fails: bool) -> Vec<Seen> {
        if self.calls.is_empty() {
            return Vec::new();
        }
        let call = self.calls.remove(which.index(self.calls.len()));
        let uri = match call.verb {
            Verb::Create => name("/posts/9"),
            _ => call.uri.clone(),
        };
        let binds = call.options.bind && !fails && call.verb != Verb::Delete;
        let bound = binds.then(|| Bound {
            fresh: self.bound.insert(uri.to_string()),
            position: Some(at("e1", 4)),
            uri: uri.clone(),
        });
        let fresh = bound.as_ref().is_some_and(|bound| bound.fresh);
        let answer = rest::answer(call.id, (!fails).then_some("[1]"), bound);
        let slot = self.rig.session.binding(&answer).map(|binding| {
            match binding.slot.filter(|_| !binding.whole) {
                Some(slot) => slot,
                None => {
                    if let Some(old) = binding.slot {
                        self.slots.remove(&old.index);
                    }
                    self.next_slot += 1;
                    self.slots.insert(self.next_slot);
                    slot(self.next_slot)
                }
            }
        });
        if slot.is_none() && fresh {
            self.bound.remove(uri.as_str());
        }
        self.rig
            .run(|session, _, out| session.answered(answer, slot, out))
    }

    fn step(&mut self, step: Step) {
        let busy = self.operation.is_some();
        let out = match step {
            Step::Command { .. } | Step::Garbage(_) if busy => Vec::new(),
            Step::Command {
                shape,
                channel,
                with_id,
                admitted,
            } => {
                let mut command = command(shape, CHANNELS[channel]);
                if with_id {
                    self.next_id += 1;
                    command["id"] = json!(self.next_id);
                    self.waiting.insert(self.next_id);
                }
                let text = command.to_string();
                let admitted = if admitted {
                    Ok(())
                } else {
                    Err(Duration::from_millis(9))
                };
                self.rig.run(|session, now, out| {
                    session.handle(Message::Text(&text), admitted, now, out);
                })
            }
            Step::Garbage(text) => self
                .rig
                .run(|session, now, out| session.handle(Message::Text(&text), Ok(()), now, out)),
            Step::Answer { which, fails } => self.answer(which, fails),
            Step::Resume { fails, revoked } => {
                if matches!(self.operation, Some(Operation::Wait)) {
                    return;
                }
                let Some(operation) = self.operation.take() else {
                    return;
                };
                let outcome = self.outcome(operation, fails, revoked);
                self.rig.resume(outcome)
            }
            Step::Wait(seconds) => self.rig.wait(Duration::from_secs(seconds)),
            Step::ServerSubscribe(channel) => self.rig.run(|session, now, out| {
                let _ = session.server_subscribe(name(CHANNELS[channel]), now, out);
            }),
            Step::ServerUnsubscribe(channel) => self.rig.run(|session, _, out| {
                let _ = session.server_unsubscribe(CHANNELS[channel], "because", out);
            }),
            Step::Tell => self.rig.run(|session, _, out| {
                session.server_send("e", b"1", out);
                session.gap("news", None, out);
                session.drain(Duration::from_secs(1), out);
            }),
            Step::Heard => self.rig.run(|session, now, _| session.heard(now)),
        };
        self.take(out);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn a_life_keeps_its_promises(
        steps in prop::collection::vec(step(), 0..60),
        with_token in any::<bool>(),
        auth_required in any::<bool>(),
        end_first in any::<bool>(),
    ) {
        let token = Grant { channels: names(&["news", "members-1"]), ..grant("ann", 60) };
        let settings = Settings { auth_required, max_channels: 5, max_calls: 3, max_refusals: 4, ..Settings::default() };
        let mut world = World::new(with_token.then_some(token), settings);
        world.rig.shared.revocations.insert(&tokens::revocation("revoked"));
        for step in steps {
            world.step(step);
        }
        // The end comes before or after what is still under way: no slot is left behind.
        if !end_first {
            world.step(Step::Resume { fails: 0, revoked: false });
            world.step(Step::Resume { fails: 0, revoked: false });
        }
        world.closed = true;
        let out = world.rig.run(|session, _, out| session.end(out));
        world.take(out);
        if matches!(world.operation, Some(Operation::Wait)) {
            world.operation = None;
        }
        world.step(Step::Resume { fails: 0, revoked: false });
        prop_assert!(world.slots.is_empty(), "{:?}", world.slots);
        prop_assert!(world.bound.is_empty(), "{:?}", world.bound);
        prop_assert!(!world.rig.session.is_busy());
    }
}
