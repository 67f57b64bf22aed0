//! The machine under test: commands, outcomes and time go in, and what comes out is decoded.

mod commands;
mod limits;
mod opening;
mod property;
mod publish;
mod rest;
mod server;
mod subscribe;
mod timers;
mod tokens;

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::Session;
use super::*;
use crate::auth::Capabilities;
use crate::broker::Retained;
use crate::channel::{Access, ChannelRule, HistoryRule, Pattern, SlowPolicy};
use crate::session::*;

/// The calendar when a rig begins, Unix seconds.
const START: u64 = 1_800_000_000;

/// An effect, decoded.
#[derive(Debug)]
enum Seen {
    Frame(Value),
    Ping,
    Close(CloseCode),
    Perform(Operation),
    Leave(String, Slot, bool),
    Call(Box<Call>),
    Hold(Vec<ChannelName>, Arc<Caller>),
}

/// A session with its surroundings.
#[derive(Debug)]
struct Rig {
    session: super::Session,
    shared: Arc<Shared>,
    now: Now,
}

fn rule(pattern: &str, access: Access) -> ChannelRule {
    ChannelRule {
        pattern: Pattern::parse(pattern).unwrap(),
        subscribe: access,
        publish: access,
        presence: false,
        history: None,
        slow: SlowPolicy::Disconnect,
    }
}

/// Rules by first letters: `open-`, `closed-` (nobody), `members-` (presence), `log-` (history);
/// the rest by default.
fn rules() -> Rules {
    let history = Some(HistoryRule {
        size: 10,
        ttl: Duration::from_secs(60),
    });
    Rules::new(
        vec![
            rule("open-**", Access::Anyone),
            rule("closed-**", Access::Nobody),
            ChannelRule {
                presence: true,
                ..rule("members-**", Access::Token)
            },
            ChannelRule {
                history,
                ..rule("log-**", Access::Token)
            },
        ],
        false,
    )
}

fn shared(settings: Settings) -> Arc<Shared> {
    let metrics = Metrics::new();
    Arc::new(Shared {
        rules: ArcSwap::from_pointee(rules()),
        revocations: Arc::default(),
        routes: ArcSwap::default(),
        apps: ArcSwap::default(),
        settings: ArcSwap::from_pointee(settings),
        notices: Arc::new(Notices::new(100, 100_000, &metrics)),
        metrics,
    })
}

/// A token of `subject` that ends after `seconds`.
fn grant(subject: &str, seconds: u64) -> Grant {
    Grant {
        subject: Some(subject.into()),
        token_id: Some(format!("token-{subject}").into()),
        issued_at: Some(START - 1),
        expires_at: START + seconds,
        channels: Vec::new(),
        capabilities: Capabilities::default(),
        info: None,
        fingerprint: [1; 16],
        presented: None,
    }
}

fn caps(json: &str) -> Capabilities {
    Capabilities::parse(&RawValue::from_string(json.into()).unwrap()).unwrap()
}

fn name(text: &str) -> ChannelName {
    ChannelName::parse(text).unwrap()
}

fn names(texts: &[&str]) -> Vec<ChannelName> {
    texts.iter().map(|text| name(text)).collect()
}

fn at(epoch: &str, offset: u64) -> Position {
    Position {
        epoch: epoch.into(),
        offset,
    }
}

fn slot(index: u32) -> Slot {
    Slot { channel: 7, index }
}

/// A page of a channel without history.
fn blank() -> HistoryPage {
    HistoryPage {
        position: None,
        sequence: 0,
        publications: Vec::new(),
        complete: true,
    }
}

/// A page of a channel with history.
fn page(last: u64, offsets: &[u64]) -> HistoryPage {
    let publications = offsets.iter().map(|offset| retained(*offset)).collect();
    HistoryPage {
        position: Some(at("e1", last)),
        sequence: last,
        publications,
        complete: true,
    }
}

fn retained(offset: u64) -> Retained {
    Retained {
        event: "e".into(),
        data: Bytes::from(offset.to_string()),
        offset,
        time: 5,
        expires: None,
        exclude: None,
        form: crate::publication::Form::Json,
        item: None,
    }
}

/// A channel that is joined, with what was read of it.
fn arrived(index: u32, page: HistoryPage) -> Result<Joined, ErrorCode> {
    Ok(Joined {
        slot: slot(index),
        page,
        members: None,
    })
}

impl Rig {
    /// Opens with `grant`; what comes out first is returned too.
    fn open(settings: Settings, grant: Option<Grant>) -> (Self, Vec<Seen>) {
        Self::open_on(shared(settings), grant)
    }

    fn open_on(shared: Arc<Shared>, grant: Option<Grant>) -> (Self, Vec<Seen>) {
        let now = Now {
            instant: Instant::now(),
            unix: Duration::from_secs(START),
        };
        let opening = NativeOpening {
            id: SessionId::random().unwrap(),
            address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            encoding: Encoding::Json,
            grant,
        };
        let mut out = Vec::new();
        let session = Session::open(shared.clone(), opening, now, &mut out);
        (
            Self {
                session,
                shared,
                now,
            },
            seen(out),
        )
    }

    /// With a token of `ann` for an hour that has `caps`, beyond the welcome.
    fn ann(caps_json: &str) -> Self {
        let grant = Grant {
            capabilities: caps(caps_json),
            ..grant("ann", 3600)
        };
        Self::open(Settings::default(), Some(grant)).0
    }

    fn run(&mut self, act: impl FnOnce(&mut Session, Now, &mut Vec<Effect>)) -> Vec<Seen> {
        let mut out = Vec::new();
        act(&mut self.session, self.now, &mut out);
        let performs = out
            .iter()
            .filter(|effect| matches!(effect, Effect::Perform(_)))
            .count();
        assert!(performs <= 1, "one operation at a time");
        seen(out)
    }

    #[allow(
        clippy::needless_pass_by_value,
        reason = "what `json!` gives, as it stands"
    )]
    fn say(&mut self, command: Value) -> Vec<Seen> {
        let text = command.to_string();
        self.run(|session, now, out| session.handle(Message::Text(&text), Ok(()), now, out))
    }

    /// A command that is answered at once, and its reply.
    fn ask(&mut self, command: Value) -> Value {
        frame(self.say(command))
    }

    fn resume(&mut self, outcome: Outcome) -> Vec<Seen> {
        self.run(|session, now, out| session.resume(outcome, now, out))
    }

    /// Says `command`, has its joins end with `pages` (slots are counted from `first`), and
    /// returns the requests and what came out.
    fn join(&mut self, command: Value, pages: Vec<HistoryPage>) -> (Vec<JoinRequest>, Vec<Seen>) {
        let requests = joins(self.say(command));
        assert_eq!(requests.len(), pages.len());
        (requests, self.joined(pages))
    }

    fn joined(&mut self, pages: Vec<HistoryPage>) -> Vec<Seen> {
        let join = |(page, index)| arrived(index, page);
        self.resume(Outcome::Joined(
            pages.into_iter().zip(0..).map(join).collect(),
        ))
    }

    /// Puts the session on `channel`.
    fn subscribe(&mut self, channel: &str) {
        let reply = self.join(
            json!({"id": 0, "event": "channel:subscribe", "channel": channel}),
            vec![blank()],
        );
        assert_eq!(frame(reply.1)["status"], "ok");
    }

    /// Lets `seconds` pass and calls when a deadline has come.
    fn wait(&mut self, time: Duration) -> Vec<Seen> {
        self.now = Now {
            instant: self.now.instant + time,
            unix: self.now.unix + time,
        };
        if self.session.deadline() > self.now.instant {
            return Vec::new();
        }
        self.run(Session::on_deadline)
    }

    fn commands(&self, event: &'static str, status: &'static str) -> u64 {
        let labels = crate::metrics::CommandLabels { event, status };
        self.shared.metrics.commands.get_or_create(&labels).get()
    }
}

/// Decodes effects: one WebSocket frame each, unmasked and final.
fn seen(effects: Vec<Effect>) -> Vec<Seen> {
    effects
        .into_iter()
        .map(|effect| match effect {
            Effect::Send(bytes) => decode(&bytes),
            Effect::Close(code) => Seen::Close(code),
            Effect::Perform(operation) => Seen::Perform(operation),
            Effect::Leave {
                channel,
                slot,
                present,
                ..
            } => Seen::Leave(channel.as_str().to_owned(), slot, present),
            Effect::Call(call) => Seen::Call(call),
            Effect::Hold(uris, caller) => Seen::Hold(uris, caller),
        })
        .collect()
}

fn decode(bytes: &[u8]) -> Seen {
    let (length, header) = match bytes[1] {
        126 => (usize::from(u16::from_be_bytes([bytes[2], bytes[3]])), 4),
        127 => (
            usize::try_from(u64::from_be_bytes(bytes[2..10].try_into().unwrap())).unwrap(),
            10,
        ),
        short => (usize::from(short), 2),
    };
    let payload = &bytes[header..];
    assert_eq!(payload.len(), length, "one whole frame");
    match bytes[0] {
        0x81 => Seen::Frame(serde_json::from_slice(payload).unwrap()),
        0x89 => Seen::Ping,
        other => panic!("an unexpected frame: {other:#x}"),
    }
}

/// The one frame that came out, and nothing else.
fn frame(seen: Vec<Seen>) -> Value {
    match <[Seen; 1]>::try_from(seen) {
        Ok([Seen::Frame(value)]) => value,
        other => panic!("expected one frame: {other:?}"),
    }
}

/// The one operation that came out, last.
fn operation(mut seen: Vec<Seen>) -> Operation {
    match seen.pop() {
        Some(Seen::Perform(operation)) => operation,
        other => panic!("expected an operation: {other:?}"),
    }
}

fn joins(seen: Vec<Seen>) -> Vec<JoinRequest> {
    match operation(seen) {
        Operation::Join(requests) => requests,
        other => panic!("expected joins: {other:?}"),
    }
}

/// A refusal's code; its message must be a sentence.
fn code(reply: &Value) -> &str {
    assert_eq!(reply["status"], "error", "{reply}");
    let message = reply["error"]["message"].as_str().unwrap();
    assert!(message.ends_with('.') && message.len() > 20, "{message}");
    reply["error"]["code"].as_str().unwrap()
}
