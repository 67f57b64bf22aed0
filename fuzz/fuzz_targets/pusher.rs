//! Pusher's frames from any text: reading one and what its data holds never panics, and what is shown
//! of it to others, an error or a member, is JSON again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pogo::protocol::frame;
use pogo::protocol::pusher::{Event, Frame, Identity, User, encode, excerpt};
use serde_json::Value;

fuzz_target!(|input: &[u8]| {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let error = sent(&Event::Error { code: None, message: excerpt(text, 1024) });
    assert!(text.starts_with(error["data"]["message"].as_str().unwrap_or("\0")));
    for identity in [
        Identity::decode(text).ok(),
        User::decode(text).ok().map(|user| user.identity),
    ] {
        assert!(identity.is_none_or(|identity| !identity.id.is_empty()));
    }
    let Ok(frame) = Frame::decode(text) else { return };
    let _ = frame.subscribe();
    let _ = frame.unsubscribe();
    let Ok(asked) = frame.sign_in() else { return };
    let told = sent(&Event::SignedIn(&asked.user_data));
    assert_eq!(told["data"]["user_data"], *asked.user_data);
});

/// What the client reads.
fn sent(event: &Event<'_>) -> Value {
    serde_json::from_slice(frame::payload(&encode(event))).expect("JSON")
}
