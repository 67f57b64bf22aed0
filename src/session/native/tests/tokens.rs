//! `auth`: taking a token, refreshing it, and what changes with it.

use super::*;
use crate::auth::{Revocation, RevocationTarget};

/// A revocation of the token with this `jti`.
pub(super) fn revocation(token_id: &str) -> Revocation {
    Revocation {
        id: "r1".into(),
        target: RevocationTarget::TokenId(token_id.into()),
        reason: "test".into(),
        created_at: Duration::from_secs(START),
        expires_at: Duration::from_secs(START + 9999),
    }
}

fn auth(rig: &mut Rig, result: Result<Grant, ErrorCode>) -> Vec<Seen> {
    let out = rig.say(json!({"id": 5, "event": "auth", "data": {"token": "a.b.c"}}));
    assert!(matches!(operation(out), Operation::Authenticate(token) if &*token == "a.b.c"));
    rig.resume(Outcome::Authenticated(result.map_err(NoGrant::from)))
}

#[test]
fn the_first_token_opens_the_session() {
    let (mut rig, _) = Rig::open(Settings::default(), None);
    let reply = frame(auth(&mut rig, Ok(grant("ann", 3600))));
    let session = rig.session.id().to_string();
    let data =
        json!({"expires": START + 3600, "session": session, "subject": "ann", "channels": []});
    assert_eq!(reply, json!({"id": 5, "status": "ok", "data": data}));
    rig.subscribe("news");
    assert!(
        rig.wait(Duration::from_secs(11))
            .iter()
            .all(|seen| matches!(seen, Seen::Ping))
    );
}

#[test]
fn a_token_without_a_subject_is_a_token() {
    let (mut rig, _) = Rig::open(Settings::default(), None);
    let reply = frame(auth(
        &mut rig,
        Ok(Grant {
            subject: None,
            ..grant("", 3600)
        }),
    ));
    assert_eq!(reply["data"]["subject"], Value::Null);
    rig.subscribe("news");
}

#[test]
fn its_channels_are_joined_before_the_reply() {
    let (mut rig, _) = Rig::open(Settings::default(), None);
    let fresh = Grant {
        channels: names(&["a", "members-1"]),
        ..grant("ann", 3600)
    };
    let requests = joins(auth(&mut rig, Ok(fresh)));
    assert!(requests[0].member.is_none());
    let member = requests[1].member.as_ref().unwrap();
    assert_eq!(
        (&*member.subject, member.session),
        ("ann", rig.session.id())
    );
    let join = Ok(Joined {
        slot: slot(3),
        page: blank(),
        members: None,
    });
    let reply = frame(rig.resume(Outcome::Joined(vec![Err(ErrorCode::Timeout), join])));
    assert_eq!(reply["data"]["channels"], json!(["members-1"]));
    let left = rig.run(|session, _, out| session.end(out));
    assert!(
        matches!(&left[..], [Seen::Leave(channel, at, true)] if channel == "members-1" && *at == slot(3))
    );
}

#[test]
fn a_refused_token_leaves_all_as_it_was() {
    for refused in [
        ErrorCode::Unauthenticated,
        ErrorCode::TokenExpired,
        ErrorCode::TokenRevoked,
        ErrorCode::Unavailable,
        ErrorCode::RateLimited,
    ] {
        let mut rig = Rig::ann("{}");
        rig.subscribe("news");
        let reply = frame(auth(&mut rig, Err(refused)));
        assert_eq!(
            (reply["id"].as_u64(), code(&reply)),
            (Some(5), refused.name())
        );
        assert_eq!(rig.session.info().expires_at, Some(START + 3600));
        assert_eq!(rig.session.info().channels.len(), 1);
    }
    let (mut rig, _) = Rig::open(Settings::default(), None);
    rig.say(json!({"id": 5, "event": "auth", "data": {"token": "a.b.c"}}));
    let reply = frame(rig.resume(Outcome::Authenticated(Err(NoGrant {
        code: ErrorCode::RateLimited,
        retry_after: Some(Duration::from_millis(1500)),
    }))));
    assert_eq!(reply["error"]["retry_after_ms"], 1500);
    auth(&mut rig, Err(ErrorCode::Unauthenticated));
    let out = rig.wait(Duration::from_secs(10));
    assert!(
        matches!(out[..], [Seen::Close(CloseCode::Unauthenticated)]),
        "the deadline stays"
    );
}

#[test]
fn a_refresh_replaces_the_token_but_never_the_subject() {
    let mut rig = Rig::ann("{}");
    for other in [Some("bob"), Some("Ann"), Some(""), None] {
        let other = Grant {
            subject: other.map(Arc::from),
            ..grant("bob", 9000)
        };
        let reply = frame(auth(&mut rig, Ok(other)));
        assert_eq!(code(&reply), "forbidden");
        assert_eq!(rig.session.info().subject.as_deref(), Some("ann"));
        assert_eq!(rig.session.info().expires_at, Some(START + 3600));
    }
    let reply = frame(auth(&mut rig, Ok(grant("ann", 7200))));
    assert_eq!(reply["data"]["expires"], START + 7200);
    assert_eq!(rig.session.info().expires_at, Some(START + 7200));
}

#[test]
fn a_revoked_refresh_is_refused_and_the_old_token_stays() {
    let mut rig = Rig::ann("{}");
    rig.subscribe("news");
    rig.shared.revocations.insert(&revocation("fresh"));
    let fresh = Grant {
        token_id: Some("fresh".into()),
        ..grant("ann", 7200)
    };
    assert_eq!(code(&frame(auth(&mut rig, Ok(fresh)))), "token_revoked");
    let info = rig.session.info();
    assert_eq!(
        (info.token_id.as_deref(), info.channels.len()),
        (Some("token-ann"), 1)
    );
    let (mut rig, _) = Rig::open_on(rig.shared, None);
    let fresh = Grant {
        token_id: Some("fresh".into()),
        ..grant("ann", 7200)
    };
    assert_eq!(code(&frame(auth(&mut rig, Ok(fresh)))), "token_revoked");
    assert_eq!(rig.session.info().subject, None);
}

#[test]
fn a_refresh_drops_what_it_no_longer_allows_then_joins_then_answers() {
    let capabilities = caps(r#"{"private-*": ["subscribe"], "/posts/*": ["subscribe"]}"#);
    let before = Grant {
        capabilities,
        channels: names(&["presence-1", "presence-2"]),
        ..grant("ann", 3600)
    };
    let (mut rig, _) = Rig::open(Settings::default(), Some(before));
    rig.joined(vec![blank(), blank()]);
    rig.subscribe("private-1");
    rig.subscribe("private-2");
    rig.subscribe("news");
    let out = rig.run(|session, now, out| {
        assert!(session.server_subscribe(name("private-9"), now, out));
    });
    assert_eq!(joins(out).len(), 1);
    rig.joined(vec![blank()]);
    let after = Grant {
        capabilities: caps(r#"{"private-2": ["subscribe"]}"#),
        channels: names(&["presence-2", "new"]),
        ..grant("ann", 7200)
    };
    let mut out = auth(&mut rig, Ok(after));
    let Some(Seen::Perform(Operation::Join(requests))) = out.pop() else {
        panic!("{out:?}")
    };
    assert_eq!(requests[0].channel.as_str(), "new");
    let mut dropped = Vec::new();
    for pair in out.chunks(2) {
        let [Seen::Frame(frame), Seen::Leave(channel, _, present)] = pair else {
            panic!("{pair:?}")
        };
        let data = json!({"reason": "forbidden"});
        assert_eq!(
            *frame,
            json!({"event": "pogo:unsubscribed", "channel": channel, "data": data})
        );
        dropped.push((channel.as_str(), *present));
    }
    assert_eq!(dropped, [("presence-1", true), ("private-1", false)]);
    let reply = frame(rig.joined(vec![blank()]));
    assert_eq!(reply["data"]["channels"], json!(["presence-2", "new"]));
    let left: Vec<_> = rig.session.info().channels;
    assert_eq!(
        left,
        names(&["new", "news", "presence-2", "private-2", "private-9"])
    );
}

#[test]
fn presence_shows_what_the_token_shows() {
    let info = Some(RawValue::from_string(r#"{"n":1}"#.into()).unwrap());
    let (mut rig, _) = Rig::open(
        Settings::default(),
        Some(Grant {
            info,
            ..grant("ann", 60)
        }),
    );
    let requests =
        joins(rig.say(json!({"id": 1, "event": "channel:subscribe", "channel": "members-1"})));
    let member = requests[0].member.as_ref().unwrap();
    assert_eq!(member.info.as_ref().unwrap().get(), r#"{"n":1}"#);
    let settings = Settings {
        auth_required: false,
        ..Settings::default()
    };
    let (mut rig, _) = Rig::open(settings, None);
    let mut rules = vec![rule("**", Access::Anyone)];
    rules[0].presence = true;
    rig.shared.rules.store(Arc::new(Rules::new(rules, false)));
    let requests = joins(rig.say(json!({"id": 1, "event": "channel:subscribe", "channel": "a"})));
    let member = requests[0].member.as_ref().unwrap();
    assert_eq!(
        *member.subject,
        rig.session.id().to_string(),
        "anonymous: the session is the member"
    );
}
