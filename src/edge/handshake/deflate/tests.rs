//! Offers as clients make them, and as they must not.

use proptest::prelude::*;

use super::*;

fn answer(lines: &[&str]) -> Result<Option<&'static str>, Malformed> {
    grant(lines.iter().map(|line| line.as_bytes()))
}

#[test]
fn what_clients_offer_is_granted() {
    for offer in [
        "permessage-deflate",
        "permessage-deflate; client_max_window_bits",
        "permessage-deflate;client_max_window_bits=15",
        "permessage-deflate; client_max_window_bits=8",
        "permessage-deflate ; server_no_context_takeover ;client_no_context_takeover",
        "x-webkit-deflate-frame, permessage-deflate; client_max_window_bits",
        "permessage-bzip2; level=\"9\\0\", , permessage-deflate,",
    ] {
        assert_eq!(answer(&[offer]), Ok(Some(GRANTED)), "{offer}");
    }
    for offer in [
        "permessage-deflate; server_max_window_bits=12; client_max_window_bits=12",
        "permessage-deflate; server_max_window_bits=15",
        "permessage-deflate; server_max_window_bits = \"13\"",
        "permessage-deflate; server_max_window_bits=\"\\1\\4\"",
    ] {
        assert_eq!(answer(&[offer]), Ok(Some(GRANTED_BOUNDED)), "{offer}");
    }
}

#[test]
fn an_offer_that_cannot_be_honoured_is_declined() {
    for parameters in [
        "server_max_window_bits=11",
        "server_max_window_bits=8",
        "server_max_window_bits=16",
        "server_max_window_bits=7",
        "server_max_window_bits=012",
        "server_max_window_bits=+12",
        "server_max_window_bits=1e1",
        "server_max_window_bits=99999999999999999999",
        "server_max_window_bits",
        "client_max_window_bits=7",
        "client_max_window_bits=16",
        "client_max_window_bits=x",
        "server_no_context_takeover=1",
        "client_no_context_takeover=\"true\"",
        "client_no_context_takeover; client_no_context_takeover",
        "client_max_window_bits; client_max_window_bits=10",
        "server_max_window_bits=12; server_max_window_bits=12",
        "mode=fast",
        "Server_No_Context_Takeover",
    ] {
        let offer = format!("permessage-deflate; {parameters}");
        assert_eq!(answer(&[&offer]), Ok(None), "{offer}");
        // The next one may do.
        let next = format!("{offer}, permessage-deflate");
        assert_eq!(answer(&[&next]), Ok(Some(GRANTED)), "{next}");
        let bounded = "permessage-deflate; server_max_window_bits=12";
        assert_eq!(answer(&[&offer, bounded]), Ok(Some(GRANTED_BOUNDED)));
    }
    for none in [
        "",
        " ",
        ",",
        "permessage-deflated",
        "a;b=c, d",
        "PERMESSAGE-DEFLATE",
    ] {
        assert_eq!(answer(&[none]), Ok(None), "{none}");
    }
    assert_eq!(answer(&[]), Ok(None));
}

#[test]
fn the_first_that_can_be_honoured_counts() {
    let both = "permessage-deflate, permessage-deflate; server_max_window_bits=12";
    assert_eq!(answer(&[both]), Ok(Some(GRANTED)));
    let turned = "permessage-deflate; server_max_window_bits=12, permessage-deflate";
    assert_eq!(answer(&[turned]), Ok(Some(GRANTED_BOUNDED)));
}

#[test]
fn what_is_no_list_of_extensions_is_refused() {
    for line in [
        ";",
        "=",
        "permessage-deflate;",
        "permessage-deflate;;",
        "permessage-deflate; =1",
        "permessage-deflate; a=",
        "permessage-deflate; a=\"",
        "permessage-deflate; a=\"\"",
        "permessage-deflate; a=\"1",
        "permessage-deflate; a=\"1 2\"",
        "permessage-deflate; a=\"1,2\"",
        "permessage-deflate; a=\"\\",
        "permessage-deflate; a=\"1\"2",
        "permessage-deflate client_max_window_bits",
        "permessage-deflate; a b",
        "permessage-deflate; a=b=c",
        "permessage/deflate",
        "\"permessage-deflate\"",
        "permessage-deflate, a@b",
    ] {
        assert_eq!(answer(&[line]), Err(Malformed), "{line}");
        assert_eq!(
            answer(&["permessage-deflate", line]),
            Err(Malformed),
            "{line}"
        );
    }
    assert_eq!(
        grant([&b"permessage-deflate; \xff"[..]].into_iter()),
        Err(Malformed)
    );
}

/// A parameter: as it is written, and whether an offer may have it.
fn parameter() -> impl Strategy<Value = (usize, String, bool)> {
    let bits = 0_u8..20;
    prop_oneof![
        (0_usize..2).prop_map(|index| (index, PARAMETERS[index].to_owned(), true)),
        (bits.clone(), any::<bool>()).prop_map(|(bits, quoted)| {
            let value = if quoted {
                format!("\"{bits}\"")
            } else {
                bits.to_string()
            };
            (
                2,
                format!("{}={value}", PARAMETERS[2]),
                (12..=15).contains(&bits),
            )
        }),
        bits.prop_map(|bits| (
            3,
            format!("{}={bits}", PARAMETERS[3]),
            (8..=15).contains(&bits)
        )),
        Just((3, PARAMETERS[3].to_owned(), true)),
    ]
}

proptest! {
    #[test]
    fn offers_are_read_as_they_are_written(
        offers in prop::collection::vec(prop::collection::vec(parameter(), 0..5), 0..5),
        space in "[ \t]{0,2}",
        split in any::<bool>(),
    ) {
        let mut expected = None;
        let mut written = Vec::new();
        for offer in &offers {
            let parts = offer.iter().map(|(_, text, _)| format!("{space};{space}{text}"));
            written.push(format!("permessage-deflate{}", parts.collect::<String>()));
            let mut indices: Vec<_> = offer.iter().map(|(index, ..)| *index).collect();
            indices.sort_unstable();
            let twice = indices.windows(2).any(|pair| pair[0] == pair[1]);
            if !twice && offer.iter().all(|(.., fine)| *fine) {
                let bounded = indices.contains(&SERVER_MAX_WINDOW_BITS);
                expected = expected.or(Some(if bounded { GRANTED_BOUNDED } else { GRANTED }));
            }
        }
        let joined = [written.join(&format!("{space},{space}"))];
        let lines = if split { &written[..] } else { &joined };
        prop_assert_eq!(grant(lines.iter().map(|line| line.as_bytes())), Ok(expected));
    }

    #[test]
    fn any_line_is_read_to_an_end(lines in prop::collection::vec("[permsagdflt_; ,=\"\\\\0-9-]{0,60}|\\PC{0,40}", 0..4)) {
        let _ = grant(lines.iter().map(|line| line.as_bytes()));
    }
}
