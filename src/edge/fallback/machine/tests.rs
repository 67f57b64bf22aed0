//! The machine on its own: what each side says, in time that the test makes.

use proptest::prelude::*;

use super::*;
use crate::code::CloseCode;
use crate::protocol::frame::{self, FrameReader, Incoming, Limits};
use std::sync::Arc;

const HEARTBEAT: Duration = Duration::from_secs(25);
const ABANDONED: Duration = Duration::from_secs(10);
const BUFFER: usize = 4_096;

fn machine(family: Family, now: Instant) -> Machine {
    let bounds = Bounds {
        buffer_bytes: BUFFER,
        heartbeat: HEARTBEAT,
        abandoned_after: ABANDONED,
    };
    Machine::new(family, bounds, now)
}

/// A machine whose client receives by streaming and has had its `o`.
fn streaming(now: Instant) -> (Machine, u64) {
    let mut machine = machine(Family::Pusher, now);
    let id = machine.attach(Receiver::Streaming, now).unwrap();
    assert_eq!(pull(&mut machine, id, now), "o{}\n");
    (machine, id)
}

/// What the worker writes for a message.
fn said(message: &str) -> Vec<u8> {
    [
        &frame::header(Opcode::Text, message.len())[..],
        message.as_bytes(),
    ]
    .concat()
}

fn pull(machine: &mut Machine, id: u64, now: Instant) -> String {
    match machine.pull(id, now) {
        Pull::Chunk(bytes) => String::from_utf8(bytes.to_vec()).unwrap(),
        other => format!("{other:?}"),
    }
}

/// What the worker reads.
fn heard(machine: &mut Machine, now: Instant) -> Vec<String> {
    let mut bytes = std::mem::take(machine.outbox());
    let mut reader = FrameReader::new(Arc::new(Limits::default()));
    let (mut input, mut heard) = (&mut bytes[..], vec![]);
    while let Some(message) = reader.next(&mut input, now).unwrap() {
        heard.push(match message {
            Incoming::Text(text) => text.to_owned(),
            Incoming::Pong(_) => "(pong)".to_owned(),
            other => panic!("{other:?}"),
        });
    }
    heard
}

#[test]
fn a_stream_opens_brings_and_ends() {
    let now = Instant::now();
    let (mut machine, id) = streaming(now);
    assert_eq!(pull(&mut machine, id, now), "Wait");
    let words = [
        said("one"),
        said("two"),
        frame::close_frame(CloseCode::Draining).to_vec(),
    ];
    for byte in words.concat() {
        machine.receive(&[byte], now);
    }
    assert_eq!(pull(&mut machine, id, now), "a[\"one\",\"two\"]\n");
    assert!(!machine.is_over());
    assert_eq!(pull(&mut machine, id, now), "c[4200,\"draining\"]\n");
    assert_eq!(pull(&mut machine, id, now), "End");
    assert!(machine.is_over());
}

#[test]
fn a_poll_is_answered_once() {
    let now = Instant::now();
    for (family, open) in [(Family::Pusher, "o{}\n"), (Family::SockJs, "o\n")] {
        let mut machine = machine(family, now);
        let first = machine.attach(Receiver::Polling, now).unwrap();
        machine.receive(&said("one"), now);
        assert_eq!(pull(&mut machine, first, now), open);
        assert_eq!(pull(&mut machine, first, now), "End");
        machine.detach(first, now);
        let second = machine.attach(Receiver::Polling, now).unwrap();
        assert_eq!(pull(&mut machine, second, now), "a[\"one\"]\n");
        assert_eq!(pull(&mut machine, second, now), "End");
    }
}

#[test]
fn whoever_receives_next_displaces_the_last_but_not_over_sockjs() {
    let now = Instant::now();
    let (mut machine, old) = streaming(now);
    let new = machine.attach(Receiver::Streaming, now).unwrap();
    machine.receive(&said("one"), now);
    assert_eq!(pull(&mut machine, old, now), "End");
    machine.detach(old, now);
    assert!(machine.is_current(new));
    assert_eq!(pull(&mut machine, new, now), "a[\"one\"]\n");

    let mut machine = super::tests::machine(Family::SockJs, now);
    let first = machine.attach(Receiver::Streaming, now).unwrap();
    assert_eq!(machine.attach(Receiver::Polling, now), None);
    assert!(machine.is_current(first));
}

#[test]
fn a_long_stream_waits_for_its_client_to_ask_anew() {
    let now = Instant::now();
    let (mut machine, id) = streaming(now);
    // As its client counts: é is one letter there, 𝄞 two.
    let (mut sent, filler) = (4, "é𝄞".repeat(400));
    while sent <= 256 * 1024 {
        machine.receive(&said(&filler), now);
        sent += pull(&mut machine, id, now).encode_utf16().count();
    }
    machine.receive(&said("kept"), now);
    assert_eq!(pull(&mut machine, id, now), "Wait");
    assert!(machine.is_earned(), "it asks again because it must");
    machine.detach(id, now);
    assert_eq!(machine.deadline(), now + ABANDONED);
    let next = machine.attach(Receiver::Streaming, now).unwrap();
    assert_eq!(pull(&mut machine, next, now), "a[\"kept\"]\n");
}

#[test]
fn a_long_stream_whose_client_stays_goes_on() {
    let now = Instant::now();
    let (mut machine, id) = streaming(now);
    machine.receive(&said(&"x".repeat(256 * 1024)), now);
    assert!(pull(&mut machine, id, now).len() > 256 * 1024);
    machine.receive(&said("kept"), now);
    assert_eq!(pull(&mut machine, id, now), "Wait");
    let later = now + HEARTBEAT;
    machine.on_deadline(later);
    assert_eq!(pull(&mut machine, id, later), "a[\"kept\"]\n");
}

#[test]
fn sockjs_streams_end_when_they_are_long() {
    let now = Instant::now();
    let mut machine = machine(Family::SockJs, now);
    let id = machine.attach(Receiver::Streaming, now).unwrap();
    let first = pull(&mut machine, id, now);
    assert_eq!(first.len(), 2_048 + 1 + 2);
    assert!(first.ends_with("h\no\n"), "prelude, then `o`");
    machine.receive(&said(&"x".repeat(128 * 1024)), now);
    assert!(pull(&mut machine, id, now).starts_with("a[\"xxx"));
    assert_eq!(pull(&mut machine, id, now), "End");
    assert!(machine.is_earned());
}

#[test]
fn a_session_lives_on_while_its_client_may_come_back() {
    let now = Instant::now();
    let mut polled = machine(Family::Pusher, now);
    let id = polled.attach(Receiver::Polling, now).unwrap();
    pull(&mut polled, id, now);
    polled.detach(id, now);
    polled.on_deadline(now + ABANDONED - Duration::from_millis(1));
    assert!(!polled.is_over());
    polled.on_deadline(now + ABANDONED);
    assert!(polled.is_over());

    let (mut cut, id) = streaming(now);
    cut.detach(id, now);
    assert!(!cut.is_earned(), "that may not be had for nothing again");
    assert_eq!(cut.deadline(), now + CUT_GRACE);
    cut.on_deadline(now + CUT_GRACE);
    assert!(cut.is_over());
}

#[test]
fn nobody_waits_for_ever_for_a_client_that_does_not_read_the_end() {
    let now = Instant::now();
    let (mut machine, id) = streaming(now);
    machine.finish(4201, "idle", now);
    assert!(machine.is_current(id));
    machine.on_deadline(now + ABANDONED);
    assert!(machine.is_over() && !machine.is_current(id));
}

#[test]
fn signs_of_life_go_both_ways_and_never_in_circles() {
    let now = Instant::now();
    let (mut machine, id) = streaming(now);
    let later = machine.deadline();
    assert_eq!(later, now + HEARTBEAT);
    machine.on_deadline(later);
    assert_eq!(pull(&mut machine, id, later), "h\n");
    assert_eq!(heard(&mut machine, now), Vec::<String>::new());
    // The client's answer to `h`.
    machine.send(&[]).unwrap();
    assert_eq!(heard(&mut machine, now), ["(pong)"]);
    assert_eq!(pull(&mut machine, id, later), "Wait");
    // Its own ping.
    machine.send(&[]).unwrap();
    assert_eq!(heard(&mut machine, now), Vec::<String>::new());
    assert_eq!(pull(&mut machine, id, later), "a[]\n");
    // The worker's ping.
    machine.receive(&frame::ping_frame(), later);
    assert_eq!(pull(&mut machine, id, later), "h\n");
    machine.send(&["{}".to_owned()]).unwrap();
    assert_eq!(heard(&mut machine, now), ["(pong)", "{}"]);
}

#[test]
fn a_polls_next_request_is_its_sign_of_life() {
    let now = Instant::now();
    let mut machine = machine(Family::Pusher, now);
    let id = machine.attach(Receiver::Polling, now).unwrap();
    pull(&mut machine, id, now);
    machine.receive(&frame::ping_frame(), now);
    assert_eq!(heard(&mut machine, now), Vec::<String>::new());
    machine.attach(Receiver::Polling, now).unwrap();
    assert_eq!(heard(&mut machine, now), ["(pong)"]);
}

#[test]
fn what_waits_is_bounded_both_ways() {
    let now = Instant::now();
    let (mut machine, id) = streaming(now);
    machine.receive(&said(&"x".repeat(BUFFER)), now);
    assert!(!machine.has_room());
    pull(&mut machine, id, now);
    assert!(machine.has_room());

    let long = ["y".repeat(2 * BUFFER)];
    assert_eq!(machine.send(&long), Ok(()), "alone it always has room");
    assert_eq!(machine.send(&["z".into()]), Err(SendError::Full));
    machine.outbox().clear();
    assert_eq!(machine.send(&["z".into()]), Ok(()));
    machine.lose(now);
    assert_eq!(machine.send(&["z".into()]), Err(SendError::Ended));
}

/// What a client or time does next.
#[derive(Debug, Clone)]
enum Step {
    Worker(usize),
    Read,
    Wait(u64),
    Ping,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0..100_000_usize).prop_map(Step::Worker),
        6 => Just(Step::Read),
        1 => (0..30_u64).prop_map(Step::Wait),
        1 => Just(Step::Ping),
    ];
    prop::collection::vec(step, 1..60)
}

/// A client as pusher-js is: it asks anew when a response has ended (polling) or when it has read
/// all of one that has become long (streaming).
struct Reader {
    receiver: Receiver,
    id: u64,
    read: usize,
    opened: usize,
    got: Vec<String>,
}

impl Reader {
    fn read(&mut self, machine: &mut Machine, now: Instant) -> bool {
        match machine.pull(self.id, now) {
            Pull::Wait => return false,
            Pull::End => self.ask(machine, now),
            Pull::Chunk(bytes) => {
                let text = std::str::from_utf8(&bytes).unwrap();
                self.read += text.encode_utf16().count();
                match &text[..1] {
                    "o" => self.opened += 1,
                    "a" => self
                        .got
                        .extend(serde_json::from_str::<Vec<String>>(&text[1..]).unwrap()),
                    "h" => {}
                    other => panic!("{other}"),
                }
                if self.receiver == Receiver::Streaming && self.read > 256 * 1024 {
                    self.ask(machine, now);
                }
            }
        }
        true
    }

    fn ask(&mut self, machine: &mut Machine, now: Instant) {
        assert!(
            machine.is_earned(),
            "each request follows from what was read"
        );
        machine.detach(self.id, now);
        self.id = machine.attach(self.receiver.clone(), now).unwrap();
        self.read = 0;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_client_that_keeps_asking_gets_everything_once_and_in_order(
        steps in steps(),
        polls in any::<bool>(),
    ) {
        let mut now = Instant::now();
        let mut machine = machine(Family::Pusher, now);
        let receiver = if polls { Receiver::Polling } else { Receiver::Streaming };
        let id = machine.attach(receiver.clone(), now).unwrap();
        let mut client = Reader { receiver, id, read: 0, opened: 0, got: vec![] };
        let mut told = vec![];
        for step in steps {
            match step {
                Step::Worker(length) if machine.has_room() => {
                    let message = format!("{}:{}", told.len(), "x".repeat(length));
                    machine.receive(&said(&message), now);
                    told.push(message);
                }
                Step::Worker(_) => {}
                Step::Read => drop(client.read(&mut machine, now)),
                Step::Wait(seconds) => {
                    now += Duration::from_secs(seconds);
                    if machine.deadline() <= now && machine.is_current(client.id) {
                        machine.on_deadline(now);
                        prop_assert!(machine.deadline() > now, "the task does not spin");
                    }
                }
                Step::Ping => prop_assert_eq!(machine.send(&[]), Ok(())),
            }
            machine.outbox().clear();
        }
        while client.read(&mut machine, now) {}
        prop_assert_eq!(client.opened, 1);
        prop_assert_eq!(client.got, told);
        prop_assert!(!machine.is_over());
    }
}
