//! Time: pings, the deadline for a token, its warning and its end.

use super::*;

/// Lets time pass in steps until `end`, answering pings, and returns the rest with its second.
fn live(rig: &mut Rig, end: u64) -> Vec<(u64, Seen)> {
    let begin = rig.now.unix;
    let mut all = Vec::new();
    while rig.now.unix - begin < Duration::from_secs(end) {
        for seen in rig.wait(Duration::from_millis(500)) {
            let after = (rig.now.unix - begin).as_secs();
            match seen {
                Seen::Ping => rig.session.heard(rig.now),
                other => all.push((after, other)),
            }
        }
    }
    all
}

#[test]
fn a_token_is_due_within_the_deadline() {
    let (mut rig, _) = Rig::open(Settings::default(), None);
    let out = live(&mut rig, 30);
    assert!(
        matches!(out[..], [(10, Seen::Close(CloseCode::Unauthenticated))]),
        "{out:?}"
    );
    let settings = Settings {
        auth_required: false,
        ..Settings::default()
    };
    let (mut rig, _) = Rig::open(settings, None);
    assert!(live(&mut rig, 60).is_empty());
}

#[test]
fn the_end_of_a_token_is_announced_once_and_kept() {
    let (mut rig, _) = Rig::open(Settings::default(), Some(grant("ann", 100)));
    let out = live(&mut rig, 200);
    let [(warned, Seen::Frame(warning)), (ended, Seen::Close(code))] = &out[..] else {
        panic!("{out:?}")
    };
    assert_eq!(
        *warning,
        json!({"event": "pogo:expiring", "data": {"expires": START + 100}})
    );
    // At exp − 30 s; at exp + leeway.
    assert_eq!((*warned, *ended, *code), (70, 105, CloseCode::TokenExpired));
}

#[test]
fn a_short_token_is_announced_at_once_after_the_welcome() {
    let short = Grant {
        channels: names(&["a"]),
        ..grant("ann", 20)
    };
    let (mut rig, out) = Rig::open(Settings::default(), Some(short));
    joins(out);
    assert!(
        rig.wait(Duration::ZERO)
            .iter()
            .all(|seen| matches!(seen, Seen::Ping)),
        "not before the welcome"
    );
    rig.joined(vec![blank()]);
    assert!(rig.session.deadline() <= rig.now.instant);
    let out = rig.wait(Duration::ZERO);
    assert!(
        matches!(&out[..], [Seen::Frame(warning)] if warning["event"] == "pogo:expiring"),
        "{out:?}"
    );
}

#[test]
fn a_refresh_in_time_prevents_the_close_and_is_announced_anew() {
    let (mut rig, _) = Rig::open(Settings::default(), Some(grant("ann", 40)));
    assert_eq!(live(&mut rig, 30).len(), 1, "announced");
    rig.say(json!({"id": 1, "event": "auth", "data": {"token": "t"}}));
    rig.resume(Outcome::Authenticated(Ok(grant("ann", 130))));
    let out = live(&mut rig, 200);
    let [
        (warned, Seen::Frame(_)),
        (ended, Seen::Close(CloseCode::TokenExpired)),
    ] = &out[..]
    else {
        panic!("{out:?}")
    };
    assert_eq!((*warned, *ended), (70, 105));
}

#[test]
fn an_expired_token_ends_a_session_that_waits_for_something() {
    let (mut rig, _) = Rig::open(Settings::default(), Some(grant("ann", 40)));
    rig.say(json!({"id": 1, "event": "channel:subscribe", "channel": "members-1"}));
    let out = live(&mut rig, 60);
    assert!(
        matches!(out.last(), Some((45, Seen::Close(CloseCode::TokenExpired)))),
        "{out:?}"
    );
    // What was joined too late is left again.
    let left = rig.joined(vec![blank()]);
    assert!(
        matches!(&left[..], [Seen::Leave(channel, _, true)] if channel == "members-1"),
        "{left:?}"
    );
}

#[test]
fn a_token_that_ended_before_the_start_ends_the_session_at_once() {
    let old = Grant {
        expires_at: START - 5,
        ..grant("ann", 0)
    };
    let (rig, _) = Rig::open(Settings::default(), Some(old));
    assert!(rig.session.deadline() <= rig.now.instant);
    let far = Grant {
        expires_at: u64::MAX,
        ..grant("ann", 0)
    };
    let (mut rig, _) = Rig::open(Settings::default(), Some(far));
    assert!(live(&mut rig, 60).is_empty());
}

#[test]
fn silence_after_a_ping_closes_and_any_byte_is_a_sign_of_life() {
    let settings = Settings {
        auth_required: false,
        ..Settings::default()
    };
    let (mut rig, _) = Rig::open(settings, None);
    let (mut pings, mut at, mut closed) = (0, 0, None);
    while closed.is_none() && at < 200 {
        at += 1;
        for seen in rig.wait(Duration::from_secs(1)) {
            match seen {
                Seen::Ping if pings < 3 => {
                    pings += 1;
                    rig.session.heard(rig.now);
                }
                Seen::Ping => pings += 1,
                Seen::Close(code) => closed = Some(code),
                other => panic!("{other:?}"),
            }
        }
    }
    assert_eq!((pings, closed), (4, Some(CloseCode::Idle)));
    assert!(
        (100..=126).contains(&at),
        "first ping within 25 s, then every 25 s: {at}"
    );
}

#[test]
fn first_pings_are_spread_over_half_the_interval() {
    let settings = Settings {
        auth_required: false,
        ..Settings::default()
    };
    let firsts: Vec<_> = (0..200)
        .map(|_| {
            let (rig, _) = Rig::open(settings.clone(), None);
            rig.session.deadline() - rig.now.instant
        })
        .collect();
    assert!(
        firsts
            .iter()
            .all(|first| (12.5..=25.0).contains(&first.as_secs_f64()))
    );
    let early = firsts
        .iter()
        .filter(|first| **first < Duration::from_millis(18_750))
        .count();
    assert!((40..160).contains(&early), "{early} of 200");
}

#[test]
fn settings_that_change_are_followed() {
    let settings = Settings {
        auth_required: false,
        ..Settings::default()
    };
    let (mut rig, _) = Rig::open(settings.clone(), None);
    rig.shared.settings.store(Arc::new(Settings::default()));
    let out = live(&mut rig, 60);
    assert!(
        matches!(out[..], [(_, Seen::Close(CloseCode::Unauthenticated))]),
        "{out:?}"
    );
    let (mut rig, _) = Rig::open(
        Settings {
            auth_deadline: Duration::from_secs(60),
            ..Settings::default()
        },
        None,
    );
    rig.shared.settings.store(Arc::new(settings));
    assert!(live(&mut rig, 120).is_empty());
}
