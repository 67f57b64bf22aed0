//! The frame reader on streams cut at any place, and on any bytes.

use proptest::prelude::*;

use super::*;

/// A message and how it is cut into frames.
fn messages() -> impl Strategy<Value = (Vec<u8>, Vec<Got>)> {
    let payload = prop_oneof![".{0,20}", "[a-zé€😀]{100,200}"];
    let message = (
        payload,
        any::<bool>(),
        prop::collection::vec(any::<prop::sample::Index>(), 0..4),
    );
    prop::collection::vec((message, any::<bool>()), 0..8).prop_map(|messages| {
        let (mut stream, mut expected) = (Vec::new(), Vec::new());
        for ((payload, is_text, mut cuts), ping) in messages {
            let bytes = payload.as_bytes();
            cuts.sort_by_key(|cut| cut.index(bytes.len() + 1));
            let mut from = 0;
            let mut opcode = if is_text { 1 } else { 2 };
            for cut in cuts {
                let to = cut.index(bytes.len() + 1);
                stream.extend(raw(opcode, &bytes[from..to]));
                (from, opcode) = (to, 0);
                if ping {
                    stream.extend(raw(0x89, b"between"));
                    expected.push(Got::Ping(b"between".to_vec()));
                }
            }
            stream.extend(raw(0x80 | opcode, &bytes[from..]));
            expected.push(if is_text {
                Got::Text(payload)
            } else {
                Got::Binary(payload.into())
            });
        }
        (stream, expected)
    })
}

proptest! {
    #[test]
    fn a_stream_means_the_same_however_it_is_cut(
        (stream, expected) in messages(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
    ) {
        let limits = |limits: &mut Limits| limits.control_burst = 1000;
        let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
        at.extend([0, stream.len()]);
        at.sort_unstable();
        let chunks: Vec<&[u8]> = at.windows(2).map(|pair| &stream[pair[0]..pair[1]]).collect();
        let mut reader = reader_with(limits);
        prop_assert_eq!(feed(&mut reader, &chunks), (expected.clone(), None));
        prop_assert!(reader.partial.is_none());
        prop_assert_eq!(feed(&mut reader_with(limits), &[&stream]), (expected, None));
    }

    #[test]
    fn any_bytes_give_the_same_answer_whole_and_cut(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        masked in any::<bool>(),
        size in 1..20_usize,
    ) {
        // Masked, small frames with known opcodes get deeper than noise.
        let bytes = if masked { plausible(&bytes) } else { bytes };
        let (whole, error) = feed(&mut reader(), &[&bytes]);
        let chunks: Vec<&[u8]> = bytes.chunks(size).collect();
        let (cut, cut_error) = feed(&mut reader(), &chunks);
        prop_assert_eq!(error, cut_error);
        prop_assert_eq!(whole, cut);
    }

    #[test]
    fn unmasking_is_exclusive_or(mut data: Vec<u8>, key: [u8; 4]) {
        let expected: Vec<u8> = data.iter().zip(key.iter().cycle()).map(|(a, b)| a ^ b).collect();
        unmask(&mut data, key);
        prop_assert_eq!(data, expected);
    }
}

fn plausible(bytes: &[u8]) -> Vec<u8> {
    let mut stream = Vec::new();
    for chunk in bytes.chunks(5) {
        let first = [0x81, 0x01, 0x00, 0x80, 0x82, 0x02, 0x89, 0x88][usize::from(chunk[0] & 7)];
        stream.extend(raw(first, &chunk[1..]));
    }
    stream
}
