//! The messages of the vectors: every command, every reply, every push.

use std::time::Duration;

use pogo::channel::ChannelName;
use pogo::code::ErrorCode;
use pogo::protocol::{
    Encoding, Event, Failure, Member, Name, Past, Reply, RequestId, Resource, Spelling,
    SubscribeResult, Subscribed, Welcome,
};
use pogo::publication::Position;
use serde_json::value::RawValue;

/// The rows of the table in `docs/protocol.md`.
pub const COUNTED: [&str; 9] = [
    "bind",
    "channel:subscribe",
    "a publication with 16 bytes of data",
    "update with 34 bytes of data",
    "reply without data",
    "reply to channel:subscribe",
    "reply with 158 bytes of data",
    "an error",
    "push: update with 158 bytes of data",
];

pub const COMMANDS: &[(&str, &str)] = &[
    (
        "auth",
        r#"{"id":1,"event":"auth","data":{"token":"a.b.c"}}"#,
    ),
    ("bind", r#"{"id":17,"event":"bind","uri":"/posts/1234"}"#),
    (
        "bind with a snapshot",
        r#"{"id":"x","event":"bind","uri":"/posts?page=2","options":{"snapshot":true,"rewind":3}}"#,
    ),
    ("unbind", r#"{"id":2,"event":"unbind","uri":"/posts/1234"}"#),
    (
        "channel:subscribe",
        r#"{"id":3,"event":"channel:subscribe","channel":"room.1"}"#,
    ),
    (
        "channel:subscribe and recover",
        r#"{"id":4,"event":"channel:subscribe","channel":"room.1","options":{"recover":{"epoch":"k3fj9x2m","offset":41,"session":"8123.4567"}}}"#,
    ),
    (
        "channel:subscribe to several",
        r#"{"id":5,"event":"channel:subscribe","channels":["room.1","p"],"options":{"recover":{"p":{"epoch":"k3fj9x2m","offset":40}}}}"#,
    ),
    (
        "channel:unsubscribe",
        r#"{"id":6,"event":"channel:unsubscribe","channel":"room.1"}"#,
    ),
    (
        "a publication with 16 bytes of data",
        r#"{"id":7,"event":"say","channel":"room.1","data":{"text":"hello"}}"#,
    ),
    (
        "a publication named like a letter",
        r#"{"event":"s","channel":"room.1","data":{"event":"s","id":1},"options":{"echo":false}}"#,
    ),
    (
        "a publication of all kinds of data",
        r#"{"id":-1.5,"event":"say","uri":"/a","data":[null,true,false,0,-1,-33,128,65536,4294967296,18446744073709551615,-9223372036854775808,1.5,0.1,"","é\n",{"a":{"b":[]}}]}"#,
    ),
    (
        "channel:presence",
        r#"{"id":8,"event":"channel:presence","channel":"presence-room"}"#,
    ),
    (
        "channel:history",
        r#"{"id":9,"event":"channel:history","channel":"room.1","options":{"limit":2,"from":{"epoch":"k3fj9x2m","offset":40},"reverse":true}}"#,
    ),
    (
        "index",
        r#"{"id":10,"event":"index","uri":"/posts","data":{"page":2}}"#,
    ),
    (
        "show",
        r#"{"id":11,"event":"show","uri":"/posts/1234","options":{"bind":false}}"#,
    ),
    (
        "create",
        r#"{"id":12,"event":"create","uri":"/posts","data":{"title":"New"},"options":{"idempotency_key":"k-1"}}"#,
    ),
    (
        "update with 34 bytes of data",
        r#"{"id":13,"event":"update","uri":"/posts/1234","data":{"title":"A title of some length"},"options":{"if_match":"\"v1\"","echo":false}}"#,
    ),
    (
        "delete",
        r#"{"id":14,"event":"delete","uri":"/posts/1234"}"#,
    ),
    ("ping", r#"{"id":18446744073709551615,"event":"ping"}"#),
];

const POST: &[u8] = br#"{"id":1234,"title":"Pogo, from inside","author_id":7,"tags":["realtime","rest"],"body":"How a REST API is made realtime.","updated_at":"2026-01-01T10:00:00Z"}"#;

const PAST: Past<'static> = Past {
    event: "update",
    item: None,
    data: b"{\"id\":9}",
    offset: 42,
    time: 1_767_220_000_123,
};

fn channel(text: &str) -> Name<'_> {
    Name {
        spelling: Spelling::Channel,
        text,
    }
}

fn uri(text: &str) -> Name<'_> {
    Name {
        spelling: Spelling::Uri,
        text,
    }
}

/// Hands every event to `take`, with its name.
pub fn events(mut take: impl FnMut(&str, &Event<'_>)) {
    assert_eq!(POST.len(), 158);
    pushes(&mut take);
    welcomes(&mut take);
    own(&mut take);
    let id = RequestId::Number("17".into());
    replies(&mut |name, reply| take(name, &Event::Reply { id: &id, reply }));
    presence(&mut |name, reply| take(name, &Event::Reply { id: &id, reply }));
    gateway(&mut |name, reply| take(name, &Event::Reply { id: &id, reply }));
    let (id, reply) = (&RequestId::Text("a\"é".into()), Reply::Done);
    take(
        "reply to an id that is a string",
        &Event::Reply { id, reply },
    );
}

fn position() -> Position {
    Position {
        epoch: "k3fj9x2m".into(),
        offset: 43,
    }
}

fn pushes(take: &mut impl FnMut(&str, &Event<'_>)) {
    let push = |event, name, data, offset| Event::Push {
        event,
        name,
        data,
        offset,
        item: None,
        re: None,
    };
    let update = push("update", Some(uri("/posts/1234")), POST, Some(812));
    take("push: update with 158 bytes of data", &update);
    let say = push(
        "say",
        Some(channel("room.1")),
        b"{\"text\":\"hello\"}",
        None,
    );
    take("push: say", &say);
    let letter = push(
        "u",
        Some(channel("u")),
        b"[{\"event\":\"u\",\"e\":1.5}]",
        Some(u64::MAX),
    );
    take("push: an event named like a letter", &letter);
    take("push: to one session", &push(":x", None, b"null", None));
    let create = Event::Push {
        event: "create",
        name: Some(uri("/posts")),
        data: b"{\"id\":9}",
        offset: Some(4),
        item: Some("/posts/9"),
        re: Some(b"\"my id\""),
    };
    take("push: the writer's own copy on a collection", &create);
}

fn welcomes(take: &mut impl FnMut(&str, &Event<'_>)) {
    let channels = [ChannelName::parse("user.anna").unwrap()];
    // The protocol is the session's; the vector shows one for all.
    let welcome = Welcome {
        session: "8123.4567".parse().unwrap(),
        protocol: Encoding::Json,
        ping_interval: Duration::from_secs(25),
        version: "1.2.3",
        subject: Some("anna"),
        expires: Some(1_767_225_600),
        channels: &channels,
    };
    let bare = Welcome {
        subject: None,
        expires: None,
        channels: &[],
        ..welcome.clone()
    };
    take("pogo:welcome", &Event::Welcome(welcome));
    take("pogo:welcome without a token", &Event::Welcome(bare));
}

/// The server's own.
fn own(take: &mut impl FnMut(&str, &Event<'_>)) {
    let position = position();
    for (name, event) in [
        (
            "pogo:expiring",
            Event::Expiring {
                expires: 1_767_225_600,
            },
        ),
        (
            "pogo:subscribed",
            Event::Subscribed {
                name: channel("news"),
                position: Some(&position),
            },
        ),
        (
            "pogo:subscribed without history",
            Event::Subscribed {
                name: uri("/a"),
                position: None,
            },
        ),
        (
            "pogo:unsubscribed",
            Event::Unsubscribed {
                name: uri("/posts/1234"),
                reason: "gone",
            },
        ),
        (
            "pogo:gap",
            Event::Gap {
                name: channel("room.1"),
                before: Some(&position),
            },
        ),
        (
            "pogo:drain",
            Event::Drain {
                reconnect_after: Duration::from_millis(5200),
            },
        ),
    ] {
        take(name, &event);
    }
}

fn replies(take: &mut impl FnMut(&str, Reply<'_>)) {
    let (position, past, session) = (position(), [PAST], "8123.4567".parse().unwrap());
    let channels = [ChannelName::parse("user.anna").unwrap()];
    let subscribed = |name| Subscribed {
        name,
        position: Some(&position),
        recovered: Some(true),
        publications: Some(&past),
    };
    let alone = Subscribed {
        position: None,
        recovered: None,
        publications: None,
        ..subscribed(channel("room.1"))
    };
    let failure = Failure::new(ErrorCode::Forbidden, "No.");
    let results = [
        SubscribeResult::Ok(subscribed(channel("room.1"))),
        SubscribeResult::Failed {
            channel: "p",
            failure,
        },
    ];
    let busy = Failure {
        retry_after: Some(Duration::from_millis(250)),
        ..Failure::new(ErrorCode::RateLimited, "Too many commands.")
    };
    let auth = Reply::Authenticated {
        expires: 1_767_225_600,
        session,
        subject: None,
        channels: &channels,
    };
    take("reply without data", Reply::Done);
    take("reply to auth", auth);
    take("reply to channel:subscribe", Reply::Subscribed(alone));
    take(
        "reply to bind with what was missed",
        Reply::Subscribed(subscribed(uri("/a"))),
    );
    take("reply to several channels", Reply::Results(&results));
    take("reply to a publication", Reply::Published(Some(&position)));
    take(
        "reply to a publication without history",
        Reply::Published(None),
    );
    let history = Reply::History {
        position: Some(&position),
        publications: &past,
    };
    take("reply to channel:history", history);
    take(
        "reply to ping",
        Reply::Time {
            time: 1_767_220_003_000,
        },
    );
    take("an error that passes", Reply::Error(busy));
}

fn presence(take: &mut impl FnMut(&str, Reply<'_>)) {
    let session = "8123.4567".parse().unwrap();
    let info = RawValue::from_string(r#"{"name":"Anna"}"#.into()).unwrap();
    let member = |info| Member {
        subject: "anna",
        session,
        info,
    };
    let members = [member(Some(&*info)), member(None)];
    let reply = Reply::Presence {
        members: &members,
        total: 1,
    };
    take("reply to channel:presence", reply);
}

fn gateway(take: &mut impl FnMut(&str, Reply<'_>)) {
    let position = position();
    let created = [Past {
        event: "create",
        item: Some("/posts/9"),
        ..PAST
    }];
    let shown = Resource {
        code: Some(200),
        data: Some(POST),
        etag: Some("W/\"1\""),
        bound: Some("/posts/1234"),
        position: Some(&position),
        ..Resource::default()
    };
    let recovered = Resource {
        code: None,
        data: None,
        recovered: Some(true),
        publications: Some(&created),
        ..shown
    };
    let deleted = Resource {
        code: Some(204),
        ..Resource::default()
    };
    let missing = Failure {
        http: Some(404),
        ..Failure::new(ErrorCode::NotFound, "Not Found")
    };
    let invalid = Failure {
        http: Some(422),
        details: Some(br#"{"code":"blank","message":["title"]}"#),
        ..Failure::new(
            ErrorCode::Invalid,
            "The service found the data invalid; see `details`.",
        )
    };
    let unknown = Failure {
        outcome_unknown: true,
        ..Failure::new(ErrorCode::Timeout, "The service took too long.")
    };
    take("reply with 158 bytes of data", Reply::Resource(shown));
    take("reply with what was missed", Reply::Resource(recovered));
    take("reply to delete", Reply::Resource(deleted));
    take("an error", Reply::Error(missing));
    take("an error with details", Reply::Error(invalid));
    take(
        "an error that leaves the outcome open",
        Reply::Error(unknown),
    );
}
