//! Floods, sizes and deadlines.

use super::*;

#[test]
fn too_many_fragments_are_1008() {
    let stream = |count: usize| {
        let middle = raw(0x00, b"").repeat(count - 2);
        [raw(0x01, b""), middle, raw(0x80, b"")].concat()
    };
    assert_eq!(read(&stream(64)), (vec![text("")], None));
    assert_eq!(
        read(&stream(64).repeat(3)).1,
        None,
        "counted for each message"
    );
    assert_eq!(read(&stream(65)).1, Some(CloseCode::Policy));
}

#[test]
fn too_many_control_frames_are_1008() {
    let ping = raw(0x89, b"");
    assert_eq!(read(&ping.repeat(20)).0.len(), 20);
    let (got, error) = read(&ping.repeat(21));
    assert_eq!((got.len(), error), (20, Some(CloseCode::Policy)));
    let inside = [raw(0x01, b""), raw(0x8a, b"").repeat(21)].concat();
    assert_eq!(read(&inside).1, Some(CloseCode::Policy));

    let mut reader = reader();
    let start = Instant::now();
    for round in 0..100 {
        let mut bytes = ping.clone();
        let now = start + Duration::from_millis(100) * round;
        assert!(
            reader.next(&mut &mut bytes[..], now).is_ok(),
            "ten a second are fine"
        );
    }
}

#[test]
fn what_stays_unfinished_is_1008() {
    let start = Instant::now();
    let late = start + Duration::from_secs(10);
    let beginnings = [
        vec![0x81],
        raw(0x81, b"xy")[..7].to_vec(),
        raw(0x01, b"x"),
        raw(0x89, b"xy")[..7].to_vec(),
    ];
    for beginning in beginnings {
        let mut reader = reader();
        let mut bytes = beginning.clone();
        assert_eq!(reader.next(&mut &mut bytes[..], start), Ok(None));
        assert_eq!(reader.deadline(), Some(late));
        assert_eq!(
            reader.next(&mut &mut [][..], late - Duration::from_millis(1)),
            Ok(None)
        );
        assert_eq!(
            reader.next(&mut &mut [][..], late),
            Err(CloseCode::Policy),
            "{beginning:x?}"
        );
    }
}

#[test]
fn the_deadline_runs_from_the_messages_first_byte() {
    let start = Instant::now();
    let later = start + Duration::from_secs(9);
    let mut reader = reader();
    let mut first = raw(0x01, b"x");
    assert_eq!(reader.next(&mut &mut first[..], start), Ok(None));
    let mut ping = [raw(0x00, b"y"), raw(0x89, b"")].concat();
    let mut input = &mut ping[..];
    assert_eq!(
        reader.next(&mut input, later),
        Ok(Some(Incoming::Ping(b"")))
    );
    assert_eq!(reader.deadline(), Some(start + Duration::from_secs(10)));
    let mut rest = raw(0x80, b"z");
    rest.push(0x81);
    let mut input = &mut rest[..];
    assert_eq!(
        reader.next(&mut input, later),
        Ok(Some(Incoming::Text("xyz")))
    );
    assert_eq!(reader.next(&mut input, later), Ok(None));
    assert_eq!(
        reader.deadline(),
        Some(later + Duration::from_secs(10)),
        "of the next message"
    );
}

#[test]
fn a_message_over_the_limit_is_1009_at_its_header() {
    let mut reader = reader_with(|limits| limits.max_message_bytes = 1000);
    assert_eq!(feed(&mut reader, &[&raw(0x82, &[0; 1000])]).1, None);
    let declared = &raw(0x82, &[0; 1001])[..8];
    assert_eq!(feed(&mut reader, &[declared]).1, Some(CloseCode::TooBig));
    assert_eq!(reader.buffered(), 0);

    let mut reader = reader_with(|limits| limits.max_message_bytes = 1000);
    let whole = [raw(0x02, &[0; 600]), raw(0x00, &[0; 400]), raw(0x80, b"")].concat();
    assert_eq!(
        feed(&mut reader, &[&whole]),
        (vec![Got::Binary(vec![0; 1000])], None)
    );
    let over = [raw(0x02, &[0; 600]), raw(0x80, &[0; 401])].concat();
    assert_eq!(feed(&mut reader, &[&over]).1, Some(CloseCode::TooBig));
    let huge = [0x82, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
    assert_eq!(read(&huge).1, Some(CloseCode::TooBig));
}

#[test]
fn memory_follows_what_has_come() {
    let mut reader = reader();
    let frame = raw(0x82, &[1; 65_536]);
    feed(&mut reader, &[&frame[..20]]);
    assert!(reader.buffered() < 64, "{}", reader.buffered());
    for chunk in frame[20..].chunks(1000) {
        let (got, _) = feed(&mut reader, &[chunk]);
        assert!(reader.buffered() <= 65_536 + 64);
        assert!(got.len() <= 1);
    }
    assert_eq!(reader.buffered(), 0);
}
