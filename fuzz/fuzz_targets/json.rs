//! Commands from any text: decoding and reading the options never panics, and a reply repeats the
//! id as JSON that means the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pogo::protocol::{Encoding, Event, Message, Reply, decode, encode, options};
use serde_json::Value;

fuzz_target!(|input: &[u8]| {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let mut scratch = String::new();
    let Ok(command) = decode(Encoding::Json, Message::Text(text), &mut scratch) else { return };
    let _ = options::Subscribe::parse(command.options);
    let _ = options::SubscribeMany::parse(command.options);
    let _ = options::History::parse(command.options);
    let _ = options::echo(command.options);
    let _ = options::token(command.data);
    let Some(id) = command.id else { return };
    let frame = encode(Encoding::Json, &Event::Reply { id: &id, reply: Reply::Done });
    let body = if frame[1] == 126 {
        &frame[4..]
    } else if frame[1] == 127 {
        &frame[10..]
    } else {
        &frame[2..]
    };
    // A number too large for this reader is no reason to refuse an id.
    let (Ok(sent), Ok(reply)) =
        (serde_json::from_str::<Value>(text), serde_json::from_slice::<Value>(body))
    else {
        return;
    };
    assert_eq!(reply["id"], sent["id"]);
});
