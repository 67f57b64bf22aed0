//! RSV1: whole messages are compressed, and only where that was negotiated (RFC 7692, 6).

use super::*;

fn deflating() -> FrameReader {
    reader_with(|limits| limits.deflate = true)
}

#[test]
fn a_compressed_message_is_handed_out_as_it_came() {
    // Neither is text: that is checked once it is inflated.
    let got = |is_text| Got::Deflated(is_text, b"\xff\xfe\x00".to_vec());
    let stream = [
        raw(0xc1, b"\xff\xfe\x00"),
        raw(0xc2, b"\xff\xfe\x00"),
        raw(0x81, b"plain"),
        // RSV1 stands on the first frame and holds for all.
        raw(0x41, b"\xff"),
        raw(0x00, b"\xfe"),
        raw(0x89, b"between"),
        raw(0x80, b"\x00"),
        raw(0x01, b"pl"),
        raw(0x80, b"ain"),
    ]
    .concat();
    let expected = vec![
        got(true),
        got(false),
        text("plain"),
        Got::Ping(b"between".to_vec()),
        got(true),
        text("plain"),
    ];
    assert_eq!(feed(&mut deflating(), &[&stream]), (expected.clone(), None));
    for size in 1..20 {
        let chunks: Vec<_> = stream.chunks(size).collect();
        assert_eq!(feed(&mut deflating(), &chunks), (expected.clone(), None));
    }
}

#[test]
fn rsv1_elsewhere_is_1002_at_its_byte() {
    for (what, bytes) in [
        ("on a control frame", vec![0xc9]),
        ("on a close", vec![0xc8]),
        (
            "on a continuation of a compressed message",
            [raw(0x41, b"x"), vec![0xc0]].concat(),
        ),
        (
            "on a continuation of a plain message",
            [raw(0x01, b"x"), vec![0x40]].concat(),
        ),
        ("with RSV2", vec![0xe1]),
        ("with RSV3", vec![0xd2]),
    ] {
        let end = feed(&mut deflating(), &[&bytes]).1;
        assert_eq!(end, Some(CloseCode::ProtocolError), "{what}");
    }
    for first in [0xc1, 0xc2, 0x41] {
        assert_eq!(read(&[first]).1, Some(CloseCode::ProtocolError));
    }
}

#[test]
fn a_compressed_message_has_the_limits_of_others() {
    let mut reader = reader_with(|limits| {
        limits.deflate = true;
        limits.max_message_bytes = 100;
    });
    let over = [raw(0x41, &[0; 60]), raw(0x80, &[0; 41])].concat();
    assert_eq!(feed(&mut reader, &[&over]).1, Some(CloseCode::TooBig));
}
