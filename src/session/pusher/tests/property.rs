//! Whatever clients, the server and the worker do, and in whatever order.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// Something that happens.
#[derive(Debug, Clone)]
enum Step {
    Say(&'static str, usize),
    SignIn(usize),
    Publish(usize),
    Finish(Vec<bool>),
    ServerSubscribe(usize),
    ServerUnsubscribe(usize),
    Wait(u64),
    Garbage(String),
}

const CHANNELS: [&str; 6] = [
    "news",
    "private-a",
    "presence-a",
    "cache-a",
    "private-cache-a",
    "#server-to-user-u0",
];

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let channel = 0..CHANNELS.len();
    let step = prop_oneof![
        4 => channel.clone().prop_map(|at| Step::Say("pusher:subscribe", at)),
        2 => channel.clone().prop_map(|at| Step::Say("pusher:unsubscribe", at)),
        1 => (0..2usize).prop_map(Step::SignIn),
        2 => channel.clone().prop_map(Step::Publish),
        6 => proptest::collection::vec(any::<bool>(), 3).prop_map(Step::Finish),
        1 => channel.clone().prop_map(Step::ServerSubscribe),
        1 => channel.prop_map(Step::ServerUnsubscribe),
        1 => (0..100u64).prop_map(Step::Wait),
        1 => ".{0,20}".prop_map(Step::Garbage),
    ];
    proptest::collection::vec(step, 0..60)
}

/// What the worker knows: slots that are taken, and the operation under way.
#[derive(Default)]
struct Model {
    next: u32,
    taken: BTreeMap<u32, String>,
    running: Option<Operation>,
    closed: bool,
}

impl Model {
    fn take(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Send(bytes) => {
                    assert!(!self.closed, "nothing is said after a close");
                    if bytes[0] == 0x81 {
                        let text = frame::payload(&bytes);
                        serde_json::from_slice::<Value>(text).unwrap();
                    }
                }
                Effect::Close(_) => self.closed = true,
                Effect::Perform(operation) => {
                    assert!(self.running.is_none(), "one at a time");
                    self.running = Some(operation);
                }
                Effect::Call(call) => panic!("{call:?}"),
                Effect::Hold(uris, _) => panic!("{uris:?}"),
                Effect::Leave { channel, slot, .. } => {
                    let left = self.taken.remove(&slot.index);
                    assert_eq!(left.as_deref(), Some(channel.as_str()));
                }
            }
        }
    }

    /// Ends what is under way, each join as `ok` says.
    fn finish(&mut self, rig: &mut Rig, ok: &[bool]) {
        let outcome = match self.running.take() {
            None => return,
            Some(Operation::Join(requests)) => {
                let mut results = Vec::new();
                for (request, ok) in requests.iter().zip(ok.iter().cycle()) {
                    let name = request.channel.as_str();
                    let twice = self.taken.values().any(|taken| taken == name);
                    assert!(!twice, "{name} is joined twice");
                    if *ok {
                        self.next += 1;
                        self.taken.insert(self.next, name.to_owned());
                        results.push(joined(self.next));
                    } else {
                        results.push(Err(ErrorCode::Unavailable));
                    }
                }
                Outcome::Joined(results)
            }
            Some(_) => Outcome::Published(Err(ErrorCode::Timeout)),
        };
        let effects = rig.run(|session, now, out| session.resume(outcome, now, out));
        self.take(effects);
    }
}

fn act(rig: &mut Rig, step: &Step) -> Vec<Effect> {
    match step {
        Step::Say("pusher:subscribe", at) if CHANNELS[*at].starts_with("presence-") => {
            let (channel, data) = (CHANNELS[*at], r#"{"user_id":1}"#);
            let subject = Subject::Channel {
                channel,
                channel_data: Some(data),
            };
            let auth = app().sign(rig.session.id, subject, None);
            let data = json!({"channel": channel, "auth": auth, "channel_data": data});
            rig.say("pusher:subscribe", data)
        }
        Step::Say("pusher:subscribe", at) => rig.ask(CHANNELS[*at], None),
        Step::Say(event, at) => rig.say(event, json!({"channel": CHANNELS[*at]})),
        Step::SignIn(who) => rig.sign_in(
            json!({"id": format!("u{who}"), "watchlist": ["u0", "x"]}),
            None,
        ),
        Step::Publish(at) => {
            let text =
                json!({"event": "client-e", "channel": CHANNELS[*at], "data": 1}).to_string();
            rig.run(|session, now, out| session.handle(Message::Text(&text), Ok(()), now, out))
        }
        Step::ServerSubscribe(at) => {
            let channel = ChannelName::parse_pusher(CHANNELS[*at]).unwrap();
            rig.run(|session, now, out| {
                session.server_subscribe(channel, now, out);
            })
        }
        Step::ServerUnsubscribe(at) => rig.run(|session, _, out| {
            session.server_unsubscribe(CHANNELS[*at], "over", out);
        }),
        Step::Wait(seconds) => rig.wait(Duration::from_secs(*seconds)),
        Step::Garbage(text) => {
            rig.run(|session, now, out| session.handle(Message::Text(text), Ok(()), now, out))
        }
        Step::Finish(_) => Vec::new(),
    }
}

proptest! {
    #[test]
    fn what_is_joined_is_left_once(steps in steps(), last in any::<bool>()) {
        let (mut rig, mut model) = (Rig::new(Some(7)), Model::default());
        for step in &steps {
            if let Step::Finish(ok) = step {
                model.finish(&mut rig, ok);
            } else {
                let effects = act(&mut rig, step);
                model.take(effects);
            }
            let known: Vec<_> = rig.session.subscriptions.iter().map(|(name, _)| name.as_str()).collect();
            let mut taken: Vec<_> = model.taken.values().map(String::as_str).collect();
            taken.sort_unstable();
            prop_assert_eq!(known, taken);
            prop_assert_eq!(rig.session.is_busy(), model.running.is_some());
        }
        let mut out = Vec::new();
        rig.session.end(&mut out);
        model.take(out);
        model.finish(&mut rig, &[last]);
        prop_assert!(model.taken.is_empty(), "{:?}", model.taken);
    }
}
