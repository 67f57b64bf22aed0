//! Options as clients write them, well and badly.

use proptest::prelude::*;

use super::*;

fn raw(text: &str) -> Box<RawValue> {
    RawValue::from_string(text.into()).unwrap()
}

fn from<'a>(epoch: &'a str, offset: u64) -> From<'a> {
    From {
        epoch: epoch.into(),
        offset,
        session: None,
    }
}

#[test]
fn without_options_the_defaults_hold() {
    for options in [
        None,
        Some(&*raw("{}")),
        Some(&*raw("null")),
        Some(&*raw(r#"{"other":[]}"#)),
    ] {
        assert_eq!(Subscribe::parse(options), Ok(Subscribe::default()));
        assert_eq!(SubscribeMany::parse(options), Ok(SubscribeMany::default()));
        let history = History {
            limit: 100,
            from: None,
            reverse: false,
        };
        assert_eq!(History::parse(options), Ok(history));
        assert_eq!(echo(options), Ok(true));
    }
}

#[test]
fn subscribe() {
    let options = raw(
        r#"{"recover":{"epoch":"e","offset":18446744073709551615,"session":"1.2","x":0},"rewind":5}"#,
    );
    let session = "1.2".parse().ok();
    let recover = Some(From {
        session,
        ..from("e", u64::MAX)
    });
    assert_eq!(
        Subscribe::parse(Some(&options)),
        Ok(Subscribe { recover, rewind: 5 })
    );
    let nulls = raw(r#"{"recover":null,"rewind":null}"#);
    assert_eq!(Subscribe::parse(Some(&nulls)), Ok(Subscribe::default()));
    let huge = raw(r#"{"rewind":99999999999999999999999}"#);
    assert_eq!(
        Subscribe::parse(Some(&huge)).map(|options| options.rewind),
        Ok(usize::MAX)
    );
}

#[test]
fn wrong_types_are_faults() {
    for bad in [
        "[]",
        "1",
        "\"x\"",
        r#"{"rewind":-1}"#,
        r#"{"rewind":1.5}"#,
        r#"{"rewind":1e2}"#,
        r#"{"rewind":"1"}"#,
        r#"{"rewind":true}"#,
        r#"{"recover":true}"#,
        r#"{"recover":[]}"#,
        r#"{"recover":{}}"#,
        r#"{"recover":{"epoch":"e"}}"#,
        r#"{"recover":{"offset":1}}"#,
        r#"{"recover":{"epoch":1,"offset":1}}"#,
        r#"{"recover":{"epoch":"e","offset":"1"}}"#,
        r#"{"recover":{"epoch":"e","offset":-1}}"#,
        r#"{"recover":{"epoch":"e","offset":1.0}}"#,
        r#"{"recover":{"epoch":"e","offset":18446744073709551616}}"#,
        r#"{"recover":{"epoch":"e","offset":1,"session":7}}"#,
        r#"{"recover":{"epoch":"e","offset":1,"session":"x"}}"#,
    ] {
        let options = raw(bad);
        assert!(Subscribe::parse(Some(&options)).is_err(), "{bad}");
    }
    for bad in [
        r#"{"limit":"1"}"#,
        r#"{"limit":-1}"#,
        r#"{"reverse":1}"#,
        r#"{"from":1}"#,
    ] {
        assert!(History::parse(Some(&raw(bad))).is_err(), "{bad}");
    }
    for bad in [r#"{"echo":0}"#, r#"{"echo":"false"}"#, "[]"] {
        assert!(echo(Some(&raw(bad))).is_err(), "{bad}");
    }
}

#[test]
fn several_channels_recover_each_from_its_own_place() {
    let options = raw(
        r#"{"recover":{"a":{"epoch":"e","offset":1},"b":null,"\u0063":{"epoch":"f","offset":2}},"rewind":1}"#,
    );
    let many = SubscribeMany::parse(Some(&options)).unwrap();
    assert_eq!(many.recover.get("a"), Some(&from("e", 1)));
    assert_eq!(many.recover.get("c"), Some(&from("f", 2)));
    assert_eq!((many.recover.len(), many.rewind), (2, 1));
    for bad in [
        r#"{"recover":{"a":1}}"#,
        r#"{"recover":[]}"#,
        r#"{"recover":{"a":{}}}"#,
    ] {
        assert!(SubscribeMany::parse(Some(&raw(bad))).is_err(), "{bad}");
    }
}

#[test]
fn the_last_of_duplicate_keys_counts() {
    let options = raw(
        r#"{"rewind":"x","rewind":2,"recover":1,"recover":{"epoch":1,"offset":{},"epoch":"e","offset":3}}"#,
    );
    let expected = Subscribe {
        recover: Some(from("e", 3)),
        rewind: 2,
    };
    assert_eq!(Subscribe::parse(Some(&options)), Ok(expected));
    let options = raw(r#"{"recover":{"a":5,"a":{"epoch":"e","offset":1},"b":5,"b":null}}"#);
    let many = SubscribeMany::parse(Some(&options)).unwrap();
    assert_eq!(many.recover.len(), 1);
}

#[test]
fn history() {
    let options = raw(r#"{"limit":0,"from":{"epoch":"\u0065","offset":0},"reverse":true}"#);
    let expected = History {
        limit: 0,
        from: Some(from("e", 0)),
        reverse: true,
    };
    assert_eq!(History::parse(Some(&options)), Ok(expected));
}

#[test]
fn echo_and_token() {
    assert_eq!(echo(Some(&raw(r#"{"echo":false}"#))), Ok(false));
    assert_eq!(
        token(Some(&raw(r#"{"token":"a\u002eb"}"#))).as_deref(),
        Ok("a.b")
    );
    for bad in [
        "null",
        "\"t\"",
        "{}",
        r#"{"token":1}"#,
        r#"{"token":null}"#,
        "[\"token\"]",
    ] {
        assert!(token(Some(&raw(bad))).is_err(), "{bad}");
    }
    assert!(token(None).is_err());
}

proptest! {
    #[test]
    fn any_object_is_parsed_or_refused(
        text in r#"\{("(recover|rewind|limit|from|reverse|echo|epoch)":(1|-2|"x"|\{\}|\[\]|null|true|\{"epoch":"e","offset":1\}),){0,5}"z":0\}"#,
    ) {
        let options = raw(&text);
        let _ = Subscribe::parse(Some(&options));
        let _ = SubscribeMany::parse(Some(&options));
        let _ = History::parse(Some(&options));
        let _ = echo(Some(&options));
    }
}

#[test]
fn rest() {
    let defaults = Rest {
        bind: true,
        recover: None,
        rewind: 0,
        snapshot: false,
        if_match: None,
        idempotency_key: None,
        echo: true,
    };
    let nulls = raw(r#"{"bind":null,"echo":null,"if_match":null,"recover":null}"#);
    for options in [None, Some(&*raw("{}")), Some(&*nulls)] {
        assert_eq!(Rest::parse(options), Ok(defaults.clone()));
    }
    let longest = "k".repeat(MAX_HEADER_BYTES);
    let all = raw(&format!(
        r#"{{"bind":false,"recover":{{"epoch":"e","offset":7}},"rewind":3,"snapshot":true,
            "if_match":"\"a\", W/\"b\"","idempotency_key":"{longest}","echo":false,"other":1}}"#,
    ));
    let expected = Rest {
        bind: false,
        recover: Some(from("e", 7)),
        rewind: 3,
        snapshot: true,
        if_match: Some("\"a\", W/\"b\"".into()),
        idempotency_key: Some(longest.into()),
        echo: false,
    };
    assert_eq!(Rest::parse(Some(&all)), Ok(expected));
}

#[test]
fn what_cannot_be_a_rest_option() {
    let long = "k".repeat(MAX_HEADER_BYTES + 1);
    for key in ["if_match", "idempotency_key"] {
        for bad in [
            "1",
            "[]",
            r#""""#,
            r#""é""#,
            r#""a\nb""#,
            r#""a\u0000""#,
            &format!("\"{long}\""),
        ] {
            let options = raw(&format!(r#"{{"{key}":{bad}}}"#));
            let fault = Rest::parse(Some(&options)).unwrap_err().to_string();
            assert!(fault.contains(key), "{fault}");
        }
    }
    for key in ["bind", "snapshot", "echo", "recover", "rewind"] {
        for bad in ["\"true\"", "[]", "-1"] {
            let options = raw(&format!(r#"{{"{key}":{bad}}}"#));
            let fault = Rest::parse(Some(&options)).unwrap_err().to_string();
            assert!(fault.contains(key), "{fault}");
        }
    }
    assert!(Rest::parse(Some(&raw("[]"))).is_err());
}
