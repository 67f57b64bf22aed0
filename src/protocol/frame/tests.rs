//! Every rule of the frame reader.

mod deflate;
mod limits;
mod streams;

use std::sync::Arc;
use std::time::Instant;

use super::*;

const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// What came, in memory of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Got {
    Text(String),
    Binary(Vec<u8>),
    Deflated(bool, Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<u16>),
}

impl From<Incoming<'_>> for Got {
    fn from(incoming: Incoming<'_>) -> Self {
        match incoming {
            Incoming::Text(text) => Self::Text(text.into()),
            Incoming::Binary(bytes) => Self::Binary(bytes.into()),
            Incoming::Deflated { is_text, bytes } => Self::Deflated(is_text, bytes.into()),
            Incoming::Ping(bytes) => Self::Ping(bytes.into()),
            Incoming::Pong(bytes) => Self::Pong(bytes.into()),
            Incoming::Close(code) => Self::Close(code),
        }
    }
}

fn text(text: &str) -> Got {
    Got::Text(text.into())
}

/// A client's frame: `first` is the first byte, whole.
fn raw(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = header(Opcode::Text, payload.len()).to_vec();
    frame[0] = first;
    frame[1] |= 0x80;
    frame.extend_from_slice(&KEY);
    let start = frame.len();
    frame.extend_from_slice(payload);
    unmask(&mut frame[start..], KEY);
    frame
}

/// Feeds `chunks` one after another and returns what came until the end or an error.
fn feed(reader: &mut FrameReader, chunks: &[&[u8]]) -> (Vec<Got>, Option<CloseCode>) {
    let now = Instant::now();
    let mut got = Vec::new();
    for chunk in chunks {
        let mut scratch = chunk.to_vec();
        let mut input = &mut scratch[..];
        loop {
            match reader.next(&mut input, now) {
                Ok(Some(incoming)) => got.push(incoming.into()),
                Ok(None) => break,
                Err(code) => return (got, Some(code)),
            }
        }
        assert!(input.is_empty(), "all input is used");
    }
    (got, None)
}

fn reader() -> FrameReader {
    reader_with(|_| {})
}

fn reader_with(change: impl FnOnce(&mut Limits)) -> FrameReader {
    let mut limits = Limits::default();
    change(&mut limits);
    FrameReader::new(Arc::new(limits))
}

fn read(bytes: &[u8]) -> (Vec<Got>, Option<CloseCode>) {
    feed(&mut reader(), &[bytes])
}

#[test]
fn an_idle_reader_is_small_and_owns_nothing() {
    assert!(
        size_of::<FrameReader>() <= 64,
        "{}",
        size_of::<FrameReader>()
    );
    let mut reader = reader();
    feed(&mut reader, &[&raw(0x81, b"whole")]);
    assert!(reader.partial.is_none() && reader.deadline().is_none());
    let cut = raw(0x81, b"in two pieces");
    feed(&mut reader, &[&cut[..9]]);
    assert!(reader.deadline().is_some() && reader.buffered() > 0);
    assert_eq!(feed(&mut reader, &[&cut[9..]]).0, [text("in two pieces")]);
    assert!(reader.partial.is_none() && reader.deadline().is_none() && reader.buffered() == 0);
}

#[test]
fn a_whole_message_is_not_copied() {
    let mut scratch = raw(0x82, &[7; 300]);
    let range = scratch.as_ptr_range();
    let mut input = &mut scratch[..];
    let mut reader = reader();
    let Ok(Some(Incoming::Binary(payload))) = reader.next(&mut input, Instant::now()) else {
        panic!("a message");
    };
    assert!(range.contains(&payload.as_ptr()));
    assert_eq!(payload, [7; 300]);
}

#[test]
fn the_rfcs_example_is_read() {
    let frame = [
        0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58,
    ];
    assert_eq!(read(&frame), (vec![text("Hello")], None));
}

#[test]
fn fragments_and_what_comes_between_them() {
    let stream = [
        raw(0x01, b"one "),
        raw(0x89, b"?"),
        raw(0x00, b""),
        raw(0x00, b"two "),
        raw(0x8a, b"!"),
        raw(0x80, b"three"),
        raw(0x82, b"next"),
        raw(0x02, b"b"),
        raw(0x80, b""),
    ]
    .concat();
    let expected = [
        Got::Ping(b"?".to_vec()),
        Got::Pong(b"!".to_vec()),
        text("one two three"),
        Got::Binary(b"next".to_vec()),
        Got::Binary(b"b".to_vec()),
    ];
    assert_eq!(read(&stream), (expected.to_vec(), None));
    let bytes: Vec<&[u8]> = stream.chunks(1).collect();
    assert_eq!(feed(&mut reader(), &bytes), (expected.to_vec(), None));
}

#[test]
fn protocol_errors_are_1002() {
    let long = |first, marker: u8, length: &[u8]| [&[first, 0x80 | marker], length, &KEY].concat();
    let cases: [(&str, Vec<u8>); 20] = [
        ("rsv1", raw(0xc1, b"x")),
        ("rsv2", raw(0xa1, b"x")),
        ("rsv3", raw(0x91, b"x")),
        ("rsv on a control frame", raw(0xc9, b"")),
        ("opcode 3", raw(0x83, b"")),
        ("opcode 7", raw(0x87, b"")),
        ("opcode 11", raw(0x8b, b"")),
        ("opcode 15", raw(0x8f, b"")),
        ("unmasked", vec![0x81, 0x01, b'x']),
        ("unmasked, empty", vec![0x81, 0x00]),
        ("a long ping", long(0x89, 126, &[0, 126])),
        ("a fragmented ping", raw(0x09, b"")),
        ("a fragmented close", raw(0x08, b"")),
        ("continuation without start", raw(0x80, b"x")),
        (
            "data inside a message",
            [raw(0x01, b"x"), raw(0x81, b"y")].concat(),
        ),
        ("16 bits for 125", long(0x81, 126, &[0, 125])),
        (
            "64 bits for 65535",
            long(0x81, 127, &[0, 0, 0, 0, 0, 0, 0xff, 0xff]),
        ),
        ("64 bits for 1", long(0x81, 127, &[0, 0, 0, 0, 0, 0, 0, 1])),
        (
            "the top bit of 64",
            long(0x81, 127, &[0x80, 0, 0, 0, 0, 0, 0, 0]),
        ),
        ("a close of one byte", raw(0x88, &[3])),
    ];
    for (what, bytes) in cases {
        assert_eq!(read(&bytes).1, Some(CloseCode::ProtocolError), "{what}");
    }
}

#[test]
fn a_refused_header_is_refused_at_its_first_wrong_byte() {
    for bytes in [&[0xc1][..], &[0x83], &[0x09], &[0x81, 0x01], &[0x89, 0xfe]] {
        assert_eq!(read(bytes).1, Some(CloseCode::ProtocolError), "{bytes:x?}");
    }
    // Not even the mask is awaited.
    assert_eq!(
        read(&[0x81, 0xff, 0, 0, 0, 0, 0, 1, 0, 1]).1,
        Some(CloseCode::TooBig)
    );
}

#[test]
fn close_frames() {
    let close = |number: u16, reason: &[u8]| {
        read(&raw(0x88, &[&number.to_be_bytes()[..], reason].concat()))
    };
    assert_eq!(read(&raw(0x88, b"")), (vec![Got::Close(None)], None));
    for good in [
        1000, 1001, 1002, 1003, 1007, 1011, 1012, 1014, 3000, 3999, 4000, 4999,
    ] {
        assert_eq!(
            close(good, "grüß".as_bytes()),
            (vec![Got::Close(Some(good))], None)
        );
    }
    for bad in [
        0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535,
    ] {
        assert_eq!(close(bad, b"").1, Some(CloseCode::ProtocolError), "{bad}");
    }
    assert_eq!(close(1000, b"\xff").1, Some(CloseCode::BadPayload));
    assert_eq!(close(1000, &[b'x'; 123]).1, None);
}

#[test]
fn bad_utf8_is_1007_as_soon_as_it_is_seen() {
    let bad: [&[u8]; 6] = [
        b"\xff",
        b"a\xc0\xaf",
        b"\xed\xa0\x80",
        b"\xf4\x90\x80\x80",
        b"x\xe2\x82",
        b"\x80",
    ];
    for bytes in bad {
        assert_eq!(
            read(&raw(0x81, bytes)).1,
            Some(CloseCode::BadPayload),
            "{bytes:x?}"
        );
        let cut = [raw(0x01, &bytes[..1]), raw(0x80, &bytes[1..])].concat();
        assert_eq!(
            read(&cut).1,
            Some(CloseCode::BadPayload),
            "{bytes:x?} in two frames"
        );
    }
    assert_eq!(
        read(&raw(0x01, b"ok\xff")).1,
        Some(CloseCode::BadPayload),
        "in the first fragment"
    );
    let unfinished = &raw(0x81, b"ok\xff and much more")[..10];
    assert_eq!(
        read(unfinished).1,
        Some(CloseCode::BadPayload),
        "in an unfinished frame"
    );
    let euro = "€".as_bytes();
    let cut = [
        raw(0x01, &euro[..1]),
        raw(0x00, &euro[1..2]),
        raw(0x80, &euro[2..]),
    ]
    .concat();
    assert_eq!(read(&cut), (vec![text("€")], None));
    assert_eq!(
        read(&raw(0x82, b"\xff")),
        (vec![Got::Binary(vec![0xff])], None)
    );
}

#[test]
fn frames_from_the_server() {
    assert_eq!(close_frame(CloseCode::Idle)[..], *b"\x88\x06\x10\x6aidle");
    assert_eq!(close_frame(CloseCode::Normal)[..], *b"\x88\x02\x03\xe8");
    assert_eq!(close_reply(Some(1001))[..], *b"\x88\x02\x03\xe9");
    assert_eq!(close_reply(None)[..], *b"\x88\x00");
    assert_eq!(ping_frame()[..], *b"\x89\x00");
    assert_eq!(pong_frame(b"x")[..], *b"\x8a\x01x");
    assert_eq!(header(Opcode::Text, 125)[..], [0x81, 125]);
    assert_eq!(header(Opcode::Text, 126)[..], [0x81, 126, 0, 126]);
    assert_eq!(header(Opcode::Binary, 65_535)[..], [0x82, 126, 0xff, 0xff]);
    assert_eq!(
        header(Opcode::Text, 65_536)[..],
        [0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]
    );
    for code in CloseCode::ALL {
        for (number, reason) in [code.wire(), code.pusher()] {
            let frame = close_frame_of(number, reason);
            let read = read(&raw(0x88, &frame[2..])).0;
            assert_eq!(read, [Got::Close(Some(number))]);
        }
    }
}
