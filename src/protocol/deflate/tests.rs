//! What is compressed comes back; what was made up does no harm.

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::code::CloseCode;
use crate::metrics::Metrics;
use crate::protocol::frame::{self, Opcode};
use crate::protocol::{Encoding, Event, Message, Reply, RequestId, Resource, encode};

const MAX: usize = 65_536;

fn deflater() -> Deflater {
    Deflater::new(0, &Metrics::new())
}

fn inflater() -> Inflater {
    Inflater::new(MAX, &Metrics::new())
}

fn plain(payload: &[u8]) -> Bytes {
    let mut frame = frame::header(Opcode::Text, payload.len()).to_vec();
    frame.extend_from_slice(payload);
    frame.into()
}

/// What our own codec makes of `payload`; it must become shorter.
fn deflated(payload: &[u8]) -> Vec<u8> {
    let twin = deflater().frame(&plain(payload));
    assert_eq!(twin[0], 0xc1, "final, RSV1, text");
    frame::payload(&twin).to_vec()
}

fn text(bytes: &[u8]) -> Result<String, CloseCode> {
    match inflater().message(true, bytes)? {
        Message::Text(text) => Ok(text.into()),
        Message::Binary(bytes) => panic!("{bytes:?}"),
    }
}

/// Stored blocks, as a client may send them.
fn stored(payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for block in payload.chunks(60_000) {
        let length = u16::try_from(block.len()).unwrap();
        out.push(0);
        out.extend(length.to_le_bytes());
        out.extend((!length).to_le_bytes());
        out.extend(block);
    }
    out.push(0);
    out
}

#[test]
fn a_binary_frame_stays_one() {
    let id = RequestId::Number("1".into());
    let reply = Reply::Resource(Resource {
        data: Some(br#"["again and again","again and again","again and again"]"#),
        ..Default::default()
    });
    let event = Event::Reply { id: &id, reply };
    let plain = encode(Encoding::MsgPack, &event);
    let twin = deflater().frame(&plain);
    assert_eq!(twin[0], 0xc2, "final, RSV1, binary");
    match inflater().message(false, frame::payload(&twin)) {
        Ok(Message::Binary(bytes)) => assert_eq!(bytes, frame::payload(&plain)),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_rfcs_examples_are_read() {
    // RFC 7692, 7.2.3.1, 7.2.3.3, 7.2.3.4 and 7.2.3.5.
    let one_block = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
    let stored = [
        0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00,
    ];
    let last_block = [0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00];
    let two_blocks = [
        0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00,
    ];
    for example in [&one_block[..], &stored, &last_block, &two_blocks] {
        assert_eq!(text(example).as_deref(), Ok("Hello"), "{example:x?}");
    }
    assert_eq!(text(&[0x00]).as_deref(), Ok(""), "7.2.3.6");
}

#[test]
fn a_frame_that_would_not_get_shorter_stays_as_it_is() {
    let all: Vec<u8> = (0..=255).collect();
    for payload in [&b""[..], b"{}", b"0123456789", &all] {
        let frame = plain(payload);
        assert_eq!(deflater().frame(&frame), frame);
    }
    let long = plain(&[b'x'; 300]);
    let metrics = Metrics::new();
    assert_eq!(Deflater::new(301, &metrics).frame(&long), long, "too short");
    let short = Deflater::new(300, &metrics).frame(&long);
    assert!(short.len() < 20 && short[0] == 0xc1, "{short:x?}");
    let text = metrics.encode();
    for line in [
        "pogo_compression_bytes_total{what=\"publications_before\"} 304",
        &format!(
            "pogo_compression_bytes_total{{what=\"publications_after\"}} {}",
            short.len()
        ),
    ] {
        assert!(text.contains(line), "{text}");
    }
}

#[test]
fn codecs_are_used_again() {
    let deflater = deflater();
    let frame = plain(&b"again ".repeat(100));
    let first = deflater.frame(&frame);
    for _ in 0..10 {
        assert_eq!(deflater.frame(&frame), first, "no context is taken over");
    }
    let mut inflater = inflater();
    for _ in 0..10 {
        let message = inflater.message(true, frame::payload(&first)).unwrap();
        assert!(matches!(message, Message::Text(text) if text.len() == 600));
        assert!(inflater.message(true, b"\xff\xff").is_err(), "in between");
    }
}

#[test]
fn a_bomb_costs_the_cap_and_no_more() {
    for size in [MAX, MAX + 1, 2 * MAX, 50 << 20] {
        let bomb = deflated(&vec![b' '; size]);
        let mut inflater = inflater();
        let fits = inflater.message(true, &bomb);
        if size == MAX {
            assert!(matches!(fits, Ok(Message::Text(text)) if text.len() == MAX));
        } else {
            assert_eq!(fits.err(), Some(CloseCode::TooBig), "{size}");
        }
        assert!(inflater.room() <= MAX + 1, "{}", inflater.room());
    }
    assert_eq!(
        text(&stored(&[b'x'; MAX + 1])),
        Err(CloseCode::TooBig),
        "by a byte"
    );
}

#[test]
fn room_for_a_large_message_is_not_kept() {
    let mut inflater = Inflater::new(4 << 20, &Metrics::new());
    let large = deflated(&vec![b' '; 3 << 20]);
    assert!(inflater.message(true, &large).is_ok());
    assert!(inflater.message(true, &[0]).is_ok());
    assert!(inflater.room() <= 64 << 10, "{}", inflater.room());
}

#[test]
fn what_is_no_whole_message_is_1002() {
    let whole = deflated(&br#"{"event":"ping"},"#.repeat(40));
    for end in 0..whole.len() {
        assert_eq!(
            text(&whole[..end]),
            Err(CloseCode::ProtocolError),
            "cut at {end}"
        );
    }
    let with_tail = [&whole[..], &[0, 0, 0xff, 0xff]].concat();
    let bad: [&[u8]; 5] = [
        &[0xff; 20],
        &[0x06],
        // A last block without the byte behind it, a wrong length, a look back before the start.
        &[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00],
        &[
            0x00, 0x05, 0x00, 0xfa, 0xfe, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00,
        ],
        &[0x4b, 0x04, 0x52, 0x00, 0x00],
    ];
    for bytes in bad {
        assert_eq!(text(bytes), Err(CloseCode::ProtocolError), "{bytes:x?}");
    }
    // Nobody forbids to send what may be left out: it is an empty block more.
    assert!(text(&[&with_tail[..], &[0]].concat()).is_ok());
}

#[test]
fn text_is_checked_once_it_is_inflated() {
    let bad = stored(b"a\xff");
    assert_eq!(text(&bad), Err(CloseCode::BadPayload));
    let message = inflater().message(false, &bad).map(|message| {
        assert!(matches!(message, Message::Binary(b"a\xff")));
    });
    assert_eq!(message, Ok(()), "binary is not");
}

proptest! {
    #[test]
    fn what_is_compressed_comes_back(words in prop::collection::vec("[a-z]{1,6}|[0-9.]{1,8}|\\PC{0,3}", 0..2_000)) {
        let payload = words.concat();
        let frame = plain(payload.as_bytes());
        let twin = deflater().frame(&frame);
        if twin[0] == frame[0] {
            prop_assert_eq!(twin, frame);
        } else {
            prop_assert!(twin.len() < frame.len());
            prop_assert_eq!(text(frame::payload(&twin)), Ok(payload));
        }
    }

    #[test]
    fn a_mix_of_blocks_comes_back(parts in prop::collection::vec(("[a-z]{30,400}", any::<bool>()), 1..20)) {
        let mut sent = Vec::new();
        let mut whole = String::new();
        for (part, is_stored) in &parts {
            let part = part.repeat(2);
            // Each is a message of its own, and so a run of blocks.
            let mut blocks = if *is_stored { stored(part.as_bytes()) } else { deflated(part.as_bytes()) };
            sent.append(&mut blocks);
            if !is_stored {
                sent.extend([0, 0, 0xff, 0xff]);
            } else {
                sent.pop();
            }
            whole += &part;
        }
        sent.push(0);
        prop_assert_eq!(text(&sent), Ok(whole));
    }

    #[test]
    fn whatever_comes_stays_within_the_cap(bytes in prop::collection::vec(any::<u8>(), 0..500), max in 0_usize..2_000) {
        let mut inflater = Inflater::new(max, &Metrics::new());
        if let Ok(Message::Binary(bytes)) = inflater.message(false, &bytes) {
            prop_assert!(bytes.len() <= max);
        }
        prop_assert!(inflater.room() <= max + 1);
    }
}
