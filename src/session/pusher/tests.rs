//! The machine without a worker: frames, outcomes and time go in, effects are looked at.

mod ends;
mod property;

use std::net::Ipv4Addr;
use std::time::Instant;

use arc_swap::ArcSwap;
use serde_json::{Value, json};

use super::*;
use crate::auth::Revocations;
use crate::auth::pusher::{Apps, Memo, Subject};
use crate::broker::{HistoryPage, Members};
use crate::channel::Rules;
use crate::metrics::Metrics;
use crate::notice::Notices;
use crate::protocol::frame;
use crate::session::{Settings, Slot};

/// The calendar when a rig begins, Unix seconds.
const START: u64 = 1_800_000_000;

/// A session with its surroundings.
struct Rig {
    session: Session,
    shared: Arc<Shared>,
    now: Now,
}

fn app() -> App {
    App::new("1", "key", "secret")
}

fn slot(index: u32) -> Slot {
    Slot { channel: 7, index }
}

/// A join that brought nothing.
fn joined(index: u32) -> Result<Joined, ErrorCode> {
    Ok(Joined {
        slot: slot(index),
        page: HistoryPage {
            position: None,
            sequence: 0,
            publications: Vec::new(),
            complete: true,
        },
        members: Some(Members::default()),
    })
}

fn memo(number: u8, seconds: u64) -> Memo {
    Memo {
        subject: Some(format!("subject-{number}").into()),
        token_id: Some(format!("token-{number}").into()),
        issued_at: Some(START - 1),
        expires_at: START + seconds,
        fingerprint: [number; 16],
    }
}

impl Rig {
    fn new(version: Option<u8>) -> Self {
        let metrics = Metrics::new();
        let shared = Arc::new(Shared {
            rules: ArcSwap::from_pointee(Rules::new(vec![], false)),
            revocations: Arc::new(Revocations::default()),
            routes: ArcSwap::default(),
            apps: ArcSwap::from_pointee(Apps::new([app()])),
            settings: ArcSwap::from_pointee(Settings::default()),
            notices: Arc::new(Notices::new(100, 100_000, &metrics)),
            metrics,
        });
        let now = Now {
            instant: Instant::now(),
            unix: Duration::from_secs(START),
        };
        let opening = PusherOpening {
            id: "12.34".parse().unwrap(),
            address: Ipv4Addr::LOCALHOST.into(),
            app: Arc::new(app()),
            version,
        };
        let mut out = Vec::new();
        let session = Session::open(shared.clone(), opening, now, &mut out);
        assert_eq!(events(&out), ["pusher:connection_established"]);
        Self {
            session,
            shared,
            now,
        }
    }

    fn run(&mut self, act: impl FnOnce(&mut Session, Now, &mut Vec<Effect>)) -> Vec<Effect> {
        let mut out = Vec::new();
        act(&mut self.session, self.now, &mut out);
        out
    }

    #[allow(
        clippy::needless_pass_by_value,
        reason = "what `json!` gives, as it stands"
    )]
    fn say(&mut self, event: &str, data: Value) -> Vec<Effect> {
        let text = json!({"event": event, "data": data}).to_string();
        self.run(|session, now, out| session.handle(Message::Text(&text), Ok(()), now, out))
    }

    /// Asks for a channel with a signature that remembers `memo`.
    fn ask(&mut self, channel: &str, memo: Option<&Memo>) -> Vec<Effect> {
        let subject = Subject::Channel {
            channel,
            channel_data: None,
        };
        let auth = app().sign(self.session.id, subject, memo);
        self.say(
            "pusher:subscribe",
            json!({"channel": channel, "auth": auth}),
        )
    }

    fn resume(&mut self, results: Vec<Result<Joined, ErrorCode>>) -> Vec<Effect> {
        self.run(|session, now, out| session.resume(Outcome::Joined(results), now, out))
    }

    fn subscribe(&mut self, channel: &str, memo: Option<&Memo>) {
        assert!(performs(&self.ask(channel, memo)));
        let told = self.resume(vec![joined(1)]);
        assert_eq!(events(&told)[0], "pusher_internal:subscription_succeeded");
    }

    #[allow(
        clippy::needless_pass_by_value,
        reason = "what `json!` gives, as it stands"
    )]
    fn sign_in(&mut self, user: Value, memo: Option<&Memo>) -> Vec<Effect> {
        let text = user.to_string();
        let auth = app().sign(self.session.id, Subject::User(&text), memo);
        self.say("pusher:signin", json!({"auth": auth, "user_data": text}))
    }

    /// Lets time pass and calls when a deadline has come.
    fn wait(&mut self, time: Duration) -> Vec<Effect> {
        self.now = Now {
            instant: self.now.instant + time,
            unix: self.now.unix + time,
        };
        if self.session.deadline() > self.now.instant {
            return Vec::new();
        }
        self.run(Session::on_deadline)
    }
}

/// The events that are sent; closes and others are left out.
fn events(effects: &[Effect]) -> Vec<String> {
    effects
        .iter()
        .filter_map(read)
        .map(|frame| frame["event"].as_str().unwrap().to_owned())
        .collect()
}

fn read(effect: &Effect) -> Option<Value> {
    match effect {
        Effect::Send(bytes) if bytes[0] == 0x81 => {
            Some(serde_json::from_slice(frame::payload(bytes)).unwrap())
        }
        _ => None,
    }
}

fn performs(effects: &[Effect]) -> bool {
    effects
        .iter()
        .any(|effect| matches!(effect, Effect::Perform(_)))
}

fn closes(effects: &[Effect]) -> Option<CloseCode> {
    effects.iter().find_map(|effect| match effect {
        Effect::Close(code) => Some(*code),
        _ => None,
    })
}

#[test]
fn a_refusal_repeats_little_of_what_came() {
    let long = "é".repeat(20_000);
    for data in [
        json!({"channel": "private-a", "auth": format!("key:{long}")}),
        json!({"channel": "private-a", "auth": "key:x", "channel_data": long}),
        json!({"channel": format!("private-{long}"), "auth": "x"}),
        json!({"channel": long, "auth": ""}),
    ] {
        let mut rig = Rig::new(Some(7));
        let effects = rig.say("pusher:subscribe", data);
        assert_eq!(effects.len(), 2);
        for effect in effects {
            let Effect::Send(frame) = effect else {
                panic!("{effect:?}")
            };
            assert!(frame.len() < 3_000, "{}", frame.len());
        }
    }
    let mut rig = Rig::new(Some(7));
    let data = json!({"channel": "private-a", "auth": format!("key:{long}"), "channel_data": long});
    let told = rig.say("pusher:subscribe", data);
    let told = read(&told[0]).unwrap();
    let message = told["data"]["message"].as_str().unwrap();
    assert!(message.contains("12.34:private-a:é") && message.contains(", but got é"));
}

/// What is left, with the slot.
fn leaves(effects: &[Effect]) -> Vec<(&str, u32, bool)> {
    let leave = |effect| match effect {
        &Effect::Leave {
            ref channel,
            slot,
            present,
            ..
        } => Some((channel.as_str(), slot.index, present)),
        _ => None,
    };
    effects.iter().filter_map(leave).collect()
}
