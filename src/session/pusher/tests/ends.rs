//! Time, tokens and revocations.

use super::*;
use crate::auth::{Revocation, RevocationTarget};
use crate::channel::{Access, ChannelRule, Pattern, SlowPolicy};

fn revoke_token(rig: &Rig, id: &str) {
    rig.shared.revocations.insert(&Revocation {
        id: id.into(),
        target: RevocationTarget::TokenId(id.into()),
        reason: "".into(),
        created_at: rig.now.unix,
        expires_at: rig.now.unix + Duration::from_secs(1_000),
    });
}

#[test]
fn silence_is_asked_about_and_then_ended() {
    let mut rig = Rig::new(Some(7));
    assert!(rig.wait(Duration::from_secs(119)).is_empty());
    rig.run(|session, now, _| session.heard(now));
    assert!(rig.wait(Duration::from_secs(119)).is_empty());
    assert_eq!(events(&rig.wait(Duration::from_secs(1))), ["pusher:ping"]);
    assert!(rig.wait(Duration::from_secs(29)).is_empty());
    rig.run(|session, now, _| session.heard(now));
    assert!(rig.wait(Duration::from_secs(1)).is_empty(), "it answered");
    assert_eq!(events(&rig.wait(Duration::from_secs(119))), ["pusher:ping"]);
    let end = rig.wait(Duration::from_secs(30));
    assert_eq!(closes(&end), Some(CloseCode::Idle));
    assert!(rig.wait(Duration::from_secs(30)).is_empty(), "once");
}

#[test]
fn clients_that_know_no_pusher_ping_get_websockets() {
    for (version, knows) in [
        (Some(7), true),
        (Some(5), true),
        (Some(4), false),
        (None, false),
    ] {
        let mut rig = Rig::new(version);
        let asked = rig.wait(Duration::from_secs(120));
        assert_eq!(events(&asked).len(), usize::from(knows), "{version:?}");
        let plain = matches!(&asked[..], [Effect::Send(bytes)] if **bytes == *frame::ping_frame());
        assert_eq!(plain, !knows, "{version:?}");
    }
}

#[test]
fn an_error_goes_before_the_close_for_those_who_do_not_read_codes() {
    for (version, said) in [
        (Some(7), false),
        (Some(6), false),
        (Some(5), true),
        (None, true),
    ] {
        let rig = Rig::new(version);
        for code in [CloseCode::Revoked, CloseCode::Draining, CloseCode::Idle] {
            let farewell = rig.session.farewell(code).map(Effect::Send);
            assert_eq!(farewell.is_some(), said, "{version:?}");
            if let Some(frame) = farewell.as_ref().and_then(read) {
                assert_eq!(frame["data"]["code"], code.pusher().0);
            }
        }
        assert!(rig.session.farewell(CloseCode::TooBig).is_none());
    }
}

#[test]
fn the_earliest_end_counts_whatever_comes_later() {
    let mut rig = Rig::new(Some(7));
    rig.subscribe("private-a", Some(&memo(1, 60)));
    rig.subscribe("private-b", Some(&memo(2, 30)));
    rig.subscribe("private-c", Some(&memo(3, 90)));
    assert_eq!(rig.session.info().expires_at, Some(START + 30));
    rig.say("pusher:unsubscribe", json!({"channel": "private-b"}));
    assert!(closes(&rig.wait(Duration::from_secs(34))).is_none());
    let end = rig.wait(Duration::from_secs(1));
    assert_eq!(closes(&end), Some(CloseCode::TokenExpired));
}

#[test]
fn a_token_that_has_ended_or_is_revoked_opens_nothing() {
    let mut rig = Rig::new(Some(7));
    rig.wait(Duration::from_secs(100));
    let refused = rig.ask("private-a", Some(&memo(1, 95)));
    assert!(!performs(&refused));
    assert_eq!(
        events(&refused),
        ["pusher:error", "pusher:subscription_error"]
    );
    assert!(
        performs(&rig.ask("private-a", Some(&memo(2, 96)))),
        "within the leeway"
    );
    rig.resume(vec![Err(ErrorCode::Unavailable)]);

    revoke_token(&rig, "token-3");
    assert!(!performs(&rig.ask("private-b", Some(&memo(3, 500)))));
    let of_token = |number: u8| SessionFilter {
        token_id: Some(format!("token-{number}").into()),
        ..SessionFilter::default()
    };
    assert!(!rig.session.matches(&of_token(3)), "it is not taken");
    assert!(rig.session.matches(&of_token(2)));
}

#[test]
fn a_remembered_token_is_a_token_and_never_a_capability() {
    let mut rig = Rig::new(Some(7));
    let rule = |pattern: &str, subscribe| ChannelRule {
        pattern: Pattern::parse(pattern).unwrap(),
        subscribe,
        publish: Access::Default,
        presence: false,
        history: None,
        slow: SlowPolicy::Disconnect,
    };
    let rules = vec![
        rule("club", Access::Token),
        rule("staff", Access::Capability),
    ];
    rig.shared.rules.store(Arc::new(Rules::new(rules, false)));
    let unsigned = |channel| json!({"channel": channel, "auth": ""});
    assert!(!performs(&rig.say("pusher:subscribe", unsigned("club"))));
    rig.subscribe("private-a", Some(&memo(1, 60)));
    assert!(performs(&rig.say("pusher:subscribe", unsigned("club"))));
    rig.resume(vec![joined(2)]);
    assert!(!performs(&rig.say("pusher:subscribe", unsigned("staff"))));
    rig.subscribe("staff", None);
}

#[test]
fn sessions_are_found_by_their_tokens_and_by_the_user_of_the_app() {
    let mut rig = Rig::new(Some(7));
    rig.subscribe("private-a", Some(&memo(1, 60)));
    let subject = |name: &str, issued_until| SessionFilter {
        subject: Some(name.into()),
        issued_until,
        ..SessionFilter::default()
    };
    assert!(rig.session.matches(&SessionFilter::default()));
    assert!(rig.session.matches(&subject("subject-1", Some(START))));
    assert!(!rig.session.matches(&subject("subject-1", Some(START - 2))));
    assert!(!rig.session.matches(&subject("ann", None)));
    assert!(performs(&rig.sign_in(json!({"id": "ann"}), None)));
    assert!(rig.session.matches(&subject("ann", None)), "at once");
    rig.resume(vec![joined(1)]);
    assert!(rig.session.matches(&subject("ann", Some(1))));
    let both = SessionFilter {
        token_id: Some("token-1".into()),
        ..subject("ann", None)
    };
    assert!(!rig.session.matches(&both), "no token says both");

    let mut rig = Rig::new(Some(7));
    rig.sign_in(json!({"id": "ann"}), Some(&memo(2, 60)));
    rig.resume(vec![joined(1)]);
    let user = SessionFilter {
        user: Some("ann".into()),
        ..SessionFilter::default()
    };
    assert!(rig.session.matches(&user));
    assert!(
        !rig.session.matches(&subject("ann", Some(START))),
        "the token says who it is to revocations"
    );
    assert!(rig.session.matches(&subject("subject-2", Some(START))));
}

#[test]
fn tokens_are_bounded() {
    let mut rig = Rig::new(Some(7));
    let full = (0..=255).position(|number| {
        !performs(&rig.ask("private-a", Some(&memo(number, 60)))) || {
            rig.resume(vec![Err(ErrorCode::Unavailable)]);
            false
        }
    });
    assert_eq!(full, Some(64));
    rig.subscribe("private-a", Some(&memo(5, 60)));
}

#[test]
fn an_app_that_is_gone_signs_no_more() {
    let mut rig = Rig::new(Some(7));
    rig.subscribe("private-a", None);
    rig.shared.apps.store(Arc::default());
    assert!(!performs(&rig.ask("private-b", None)));
    let text = json!({"event": "client-e", "channel": "private-a", "data": 1}).to_string();
    let refused = rig.run(|session, now, out| {
        session.handle(Message::Text(&text), Ok(()), now, out);
    });
    assert_eq!(events(&refused), ["pusher:error"]);
}

#[test]
fn a_sign_in_without_the_users_own_channel_is_none() {
    let mut rig = Rig::new(Some(7));
    let user = json!({"id": "ann", "watchlist": ["bob"]});
    rig.sign_in(user.clone(), None);
    let refused = rig.resume(vec![Err(ErrorCode::Unavailable), joined(2)]);
    assert_eq!(events(&refused), ["pusher:error"]);
    assert_eq!(leaves(&refused), [("#user-bob", 2, false)]);
    rig.sign_in(user, None);
    let done = rig.resume(vec![joined(1), Err(ErrorCode::Unavailable)]);
    let told = ["pusher:signin_success", "pusher_internal:watchlist_events"];
    assert_eq!(events(&done), told);
    assert!(rig.session.info().channels.is_empty(), "they are our own");
    let mut out = Vec::new();
    rig.session.end(&mut out);
    assert_eq!(leaves(&out), [("#user-ann", 1, true)]);
}

#[test]
fn who_goes_on_over_the_rate_is_closed_whatever_it_sends() {
    for text in [r#"{"event":"pusher:ping"}"#, "no frame"] {
        let mut rig = Rig::new(Some(7));
        let most = Settings::default().max_refusals;
        let mut closes = 0;
        for _ in 0..most {
            let wait = Err(Duration::from_secs(1));
            let effects =
                rig.run(|session, now, out| session.handle(Message::Text(text), wait, now, out));
            closes += effects
                .iter()
                .filter(|effect| matches!(effect, Effect::Close(CloseCode::RateLimited)))
                .count();
        }
        assert_eq!(closes, 1, "{text}");
    }
}
