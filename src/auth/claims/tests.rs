//! What a token may say, by the contract's section 4.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::auth::Op;
use crate::auth::fixture::{NOW, claims};

fn refused(json: &str) -> Option<AuthError> {
    refused_at(json, Duration::from_secs(NOW))
}

fn refused_at(json: &str, now: Duration) -> Option<AuthError> {
    Claims::parse(json)
        .and_then(|claims| claims.check(&Config::default(), now))
        .err()
}

fn grant(more: Value) -> Grant {
    Claims::parse(&claims(more))
        .unwrap_or_else(|error| panic!("{error}"))
        .into_grant([0; 16], None)
}

#[test]
fn times_are_plain_integers_and_exp_is_required() {
    assert_eq!(refused(r#"{"sub":"ann"}"#), Some(bad("exp", "is missing")));
    let forms = [
        "-1",
        "-0",
        "1.0",
        "1800000600.0",
        "1.8000006e9",
        "1e300",
        "1E10",
        "\"1800000600\"",
        "null",
        "true",
        "[1800000600]",
        "{}",
        "18446744073709551616",
    ];
    for claim in ["exp", "nbf", "iat"] {
        for form in forms {
            let others = if claim == "exp" {
                ""
            } else {
                r#""exp":1800000600,"#
            };
            let json = format!(r#"{{{others}"{claim}":{form}}}"#);
            assert_eq!(
                refused(&json),
                Some(bad(claim, "is not a positive integer")),
                "{json}"
            );
        }
        let json = format!(r#"{{"{claim}":NaN}}"#);
        assert!(
            matches!(refused(&json), Some(AuthError::Malformed { .. })),
            "{json}"
        );
    }
    assert_eq!(refused(&format!(r#"{{"exp":{}}}"#, NOW + 600)), None);
    for exp in [u64::MAX, u64::MAX / 1000, NOW * 1000] {
        let error = refused(&format!(r#"{{"exp":{exp}}}"#));
        assert!(
            matches!(error, Some(AuthError::Lifetime { .. })),
            "{exp}: {error:?}"
        );
    }
    assert!(matches!(
        refused(r#"{"exp":0}"#),
        Some(AuthError::Expired { .. })
    ));
}

#[test]
fn a_token_is_good_while_now_is_less_than_exp_and_leeway() {
    let json = format!(r#"{{"exp":{NOW}}}"#);
    let at = |milliseconds: u64| refused_at(&json, Duration::from_millis(milliseconds));
    assert_eq!(at(NOW * 1000 - 1), None);
    assert_eq!(at(NOW * 1000), None);
    assert_eq!(at(NOW * 1000 + 4_999), None);
    assert_eq!(
        at(NOW * 1000 + 5_000),
        Some(AuthError::Expired { seconds: 5 })
    );
    assert_eq!(
        at(NOW * 1000 + 65_000),
        Some(AuthError::Expired { seconds: 65 })
    );
}

#[test]
fn nbf_and_iat_may_lie_ahead_by_the_leeway_at_most() {
    for claim in ["nbf", "iat"] {
        let json = claims(json!({ claim: NOW }));
        let at = |milliseconds: u64| refused_at(&json, Duration::from_millis(milliseconds));
        assert_eq!(at(NOW * 1000), None);
        assert_eq!(at(NOW * 1000 - 5_000), None);
        assert_eq!(
            at(NOW * 1000 - 5_001),
            Some(AuthError::TooEarly { claim, seconds: 6 })
        );
        assert_eq!(
            at(NOW * 1000 - 60_000),
            Some(AuthError::TooEarly { claim, seconds: 60 })
        );
    }
}

#[test]
fn no_token_lives_longer_than_the_limit() {
    let month = 30 * 86_400;
    for (more, good) in [
        (json!({ "iat": NOW, "exp": NOW + month }), true),
        (json!({ "iat": NOW, "exp": NOW + month + 1 }), false),
        // Counted from `iat`, however little of it is left.
        (json!({ "iat": NOW - month, "exp": NOW }), true),
        (json!({ "iat": NOW - month, "exp": NOW + 1 }), false),
        (json!({ "iat": 0, "exp": NOW + 1 }), false),
        // Without `iat`, from now.
        (json!({ "exp": NOW + month }), true),
        (json!({ "exp": NOW + month + 1 }), false),
    ] {
        let error = refused(&more.to_string());
        assert_eq!(error.is_none(), good, "{more}: {error:?}");
        assert!(
            good || matches!(
                error,
                Some(AuthError::Lifetime {
                    limit: 2_592_000,
                    ..
                })
            ),
            "{error:?}"
        );
    }
}

/// Why a token that says `more` is refused where `configured` is the audience.
fn audience_refusal(configured: &[&str], more: Value) -> Option<AuthError> {
    let audience = configured.iter().map(ToString::to_string).collect();
    let config = Config {
        audience,
        ..Config::default()
    };
    let claims = Claims::parse(&claims(more));
    claims
        .and_then(|claims| claims.check(&config, Duration::from_secs(NOW)))
        .err()
}

#[test]
fn aud_is_ours_or_an_array_that_contains_it_exactly() {
    let ours = ["pogo", "live"];
    for good in [
        json!("pogo"),
        json!(["pogo"]),
        json!(["other", "pogo"]),
        json!("live"),
    ] {
        assert_eq!(
            audience_refusal(&ours, json!({ "aud": good })),
            None,
            "{good}"
        );
    }
    for wrong in [
        "Pogo",
        "pog",
        "pogo ",
        "pogo,live",
        "https://pogo",
        "",
        "other",
        "ogo",
    ] {
        for form in [json!(wrong), json!([wrong]), json!([wrong, "x"])] {
            let refused = audience_refusal(&ours, json!({ "aud": form }));
            assert_eq!(refused, Some(AuthError::Audience), "{form}");
        }
    }
    for form in [json!([]), json!(["pog", "o"])] {
        assert_eq!(
            audience_refusal(&ours, json!({ "aud": form })),
            Some(AuthError::Audience)
        );
    }
    for form in [
        json!(null),
        json!(1),
        json!({"pogo": 1}),
        json!([["pogo"]]),
        json!(["pogo", 1]),
    ] {
        let refused = audience_refusal(&ours, json!({ "aud": form }));
        assert!(
            matches!(refused, Some(AuthError::Claim { claim: "aud", .. })),
            "{refused:?}"
        );
    }
}

#[test]
fn aud_is_there_exactly_if_one_is_configured() {
    assert_eq!(
        audience_refusal(&["pogo"], json!({})),
        Some(AuthError::Audience)
    );
    assert_eq!(audience_refusal(&[], json!({})), None);
    for form in [json!("pogo"), json!(["pogo"]), json!([]), json!("")] {
        let refused = audience_refusal(&[], json!({ "aud": form }));
        assert_eq!(refused, Some(AuthError::Audience), "{form}");
    }
}

#[test]
fn names_are_strings_kept_byte_for_byte() {
    for name in [
        "a\0b",
        "\u{202e}nna",
        "a\nb",
        "\u{e9}",
        "e\u{301}",
        " a ",
        "ANN",
        "\u{ff41}nn",
        "🦀",
    ] {
        let grant = grant(json!({ "sub": name, "jti": name }));
        assert_eq!(
            grant.subject.as_deref().map(str::as_bytes),
            Some(name.as_bytes())
        );
        assert_eq!(
            grant.token_id.as_deref().map(str::as_bytes),
            Some(name.as_bytes())
        );
    }
    let anonymous = Claims::parse(&json!({ "exp": NOW }).to_string()).unwrap_or_else(|_| panic!());
    assert_eq!(anonymous.into_grant([0; 16], None).subject, None);
    for claim in ["sub", "jti", "iss"] {
        for form in [
            json!(1),
            json!(null),
            json!(["ann"]),
            json!({}),
            json!(true),
        ] {
            let error = refused(&claims(json!({ claim: form })));
            assert_eq!(error, Some(bad(claim, "is not a string")), "{claim} {form}");
        }
    }
    assert_eq!(
        refused(&claims(json!({ "sub": "" }))),
        Some(bad("sub", "is empty"))
    );
    assert_eq!(
        refused(&claims(json!({ "jti": "" }))),
        Some(bad("jti", "is empty"))
    );
    assert_eq!(
        refused(r#"{"exp":1800000600,"sub":"\ud800"}"#),
        Some(bad("sub", "is not a string"))
    );
}

#[test]
fn a_claim_given_twice_is_refused_in_every_spelling() {
    for twice in [
        r#""sub":"ann","sub":"bob""#,
        r#""sub":"ann","sub":"ann""#,
        r#""sub":"ann","s\u0075b":"bob""#,
        r#""exp":1800000600,"sub":"ann""#,
        r#""other":1,"other":1"#,
    ] {
        let json = format!(r#"{{"exp":1800000600,{twice}}}"#);
        assert!(
            matches!(refused(&json), Some(AuthError::Malformed { .. })),
            "{json}"
        );
    }
    for form in [
        "[]",
        "\"\"",
        "1",
        "",
        "{",
        r#"{"exp":1800000600}x"#,
        r#"{"exp":1800000600,}"#,
    ] {
        assert!(
            matches!(refused(form), Some(AuthError::Malformed { .. })),
            "{form}"
        );
    }
}

#[test]
fn our_own_claims_are_taken_or_the_token_is_not() {
    let grant = grant(json!({
        "channels": ["room-1", "/posts/1", "room-1"],
        "caps": { "room-*": ["publish"] },
        "info": { "name": "Ann", "n": 1.50 },
        "unknown": [1, 2, 3],
    }));
    let channels: Vec<_> = grant.channels.iter().map(ChannelName::as_str).collect();
    assert_eq!(channels, ["room-1", "/posts/1"]);
    assert!(grant.capabilities.allow(Op::Publish, "room-7"));
    assert!(grant.info.is_some());
    for (more, claim) in [
        (json!({ "channels": "room-1" }), "channels"),
        (json!({ "channels": ["a b"] }), "channels"),
        (json!({ "channels": ["room-*"] }), "channels"),
        (json!({ "channels": ["pogo:x"] }), "channels"),
        (json!({ "channels": ["#server-to-user-1"] }), "channels"),
        (json!({ "channels": [1] }), "channels"),
        (json!({ "channels": null }), "channels"),
        (
            json!({ "channels": (0..257).map(|n| format!("c{n}")).collect::<Vec<_>>() }),
            "channels",
        ),
        (json!({ "caps": ["subscribe"] }), "caps"),
        (json!({ "caps": { "a": ["admin"] } }), "caps"),
        (json!({ "caps": null }), "caps"),
    ] {
        let error = refused(&claims(more.clone()));
        assert!(
            matches!(&error, Some(AuthError::Claim { claim: named, .. }) if *named == claim),
            "{more}: {error:?}"
        );
    }
}

#[test]
fn info_is_kept_as_it_was_written() {
    let info = |text: &str| {
        let json = format!(r#"{{"exp":1800000600,"info":{text}}}"#);
        let claims = Claims::parse(&json).unwrap_or_else(|error| panic!("{error}"));
        claims
            .into_grant([0; 16], None)
            .info
            .map(|info| info.get().to_owned())
    };
    for text in [
        r#"{"b":1.50,"a":[1e2]}"#,
        r#""x\u0041""#,
        "12345678901234567890123",
        "false",
        "[]",
    ] {
        assert_eq!(info(text).as_deref(), Some(text));
    }
    assert_eq!(info("null"), None);
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "\\PC*") {
        let _ = Claims::parse(&text).map(|claims| claims.check(&Config::default(), Duration::from_secs(NOW)));
    }

    #[test]
    fn what_is_taken_obeys_every_rule(
        exp in any::<u64>(), iat in any::<Option<u64>>(), nbf in any::<Option<u64>>(),
        near in proptest::option::of(-20_i64..20), now in 0_u64..4_000_000_000,
    ) {
        // Half of the time near the edges, where the rules differ.
        let exp = near.map_or(exp, |near| now.saturating_add_signed(near));
        let mut json = json!({ "exp": exp });
        if let Some(iat) = iat { json["iat"] = json!(iat.min(now.saturating_add(7))); }
        if let Some(nbf) = nbf { json["nbf"] = json!(nbf % 4_000_000_000); }
        let taken = refused_at(&json.to_string(), Duration::from_secs(now)).is_none();
        let wide = |value: u64| i128::from(value);
        let start = json["iat"].as_u64().unwrap_or(now);
        let rules = wide(now) < wide(exp) + 5
            && wide(exp) - wide(start) <= 30 * 86_400
            && json["iat"].as_u64().is_none_or(|iat| wide(iat) <= wide(now) + 5)
            && json["nbf"].as_u64().is_none_or(|nbf| wide(nbf) <= wide(now) + 5);
        prop_assert_eq!(taken, rules);
    }
}
