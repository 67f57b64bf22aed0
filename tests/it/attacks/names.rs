//! Names that mean something elsewhere, and too many of them.

use serde_json::json;

use crate::support::{Client, TestServer, Token, publish_request};

#[tokio::test]
async fn names_that_cannot_be_are_refused_by_every_door() {
    let server = TestServer::start().await;
    let mut client = Client::with(&server, &Token::master("a").sign()).await;
    let mut control = server.control().await;
    let (long, long_uri) = ("x".repeat(201), format!("/{}", "x".repeat(1_024)));
    for bad in [
        "",
        "*",
        "a*b",
        "a b",
        " a",
        "a\t",
        "a\0b",
        "a\r\nb",
        "a\u{7f}",
        "a\u{85}",
        "a\u{2028}b",
        "a\u{a0}b",
        "a\u{3000}",
        "pogo:x",
        "#server",
        &long,
        &long_uri,
    ] {
        for command in [
            json!({"event": "channel:subscribe", "channel": bad}),
            json!({"event": "channel:unsubscribe", "channel": bad}),
            json!({"event": "channel:presence", "channel": bad}),
            json!({"event": "channel:history", "channel": bad}),
            json!({"event": "bind", "uri": bad}),
            json!({"event": "show", "uri": bad}),
            json!({"event": "e", "channel": bad, "data": 1}),
        ] {
            assert_eq!(
                client.error(command.clone()).await,
                "bad_request",
                "{command}"
            );
        }
        let many = json!({"event": "channel:subscribe", "channels": [bad, "good"]});
        let results = client.ok(many).await["results"].clone();
        assert_eq!(results[0]["error"]["code"], "bad_request", "{bad:?}");
        assert!(results[1].get("error").is_none(), "{bad:?}: {results}");
        let refused = control
            .publisher
            .publish(publish_request(bad, "e", &json!(1)))
            .await;
        assert_eq!(
            refused.unwrap_err().code(),
            tonic::Code::InvalidArgument,
            "{bad:?}"
        );
    }
}

/// What is a pattern, a path or a reserved subject in some broker is a name here, and no more.
#[tokio::test]
async fn names_that_mean_something_elsewhere_mean_only_themselves() {
    let server = TestServer::start().await;
    let mut control = server.control().await;
    let names = [
        ">",
        "a.>",
        "?",
        "[a-z]",
        "a.?",
        "$SYS.REQ",
        "_INBOX.1",
        "__keyspace@0__:x",
        "../x",
        "/../x",
        "/a/../x",
        "/%2e%2e/x",
        "//x",
        "{x}",
        "%s",
        "a\u{301}",
        "\u{e1}",
        "\u{202e}x",
        "news",
        "x",
    ];
    let mut readers = vec![];
    for name in names {
        let mut reader = Client::with(&server, &Token::of("a").sign()).await;
        reader.subscribe(name).await;
        readers.push(reader);
    }
    for name in names {
        assert_eq!(
            control.publish(name, "e", &json!(name)).await.receivers,
            1,
            "{name}"
        );
    }
    for (reader, name) in readers.iter_mut().zip(names) {
        let push = reader.next().await;
        assert_eq!(
            (&push["channel"], &push["data"]),
            (&json!(name), &json!(name))
        );
        reader.quiet().await;
    }
}

#[tokio::test]
async fn ten_thousand_subscribes_are_a_thousand_channels() {
    let server = TestServer::start().await;
    let mut client = Client::with(&server, &Token::of("a").sign()).await;
    let subscribe = |n: u32| json!({"event": "channel:subscribe", "channel": format!("c{n}")});
    for n in 0..1_000 {
        client.ok(subscribe(n)).await;
    }
    for n in 1_000..10_000 {
        let mut command = subscribe(n);
        command["id"] = json!("over");
        client.send(&command).await;
        let reply = client.next().await;
        assert_eq!(reply["error"]["code"], "limit_exceeded", "{reply}");
    }
    let names: Vec<_> = (0..3_000).map(|n| format!("m{n}")).collect();
    let reply = client
        .command(json!({"event": "channel:subscribe", "channels": names}))
        .await;
    let results = reply["data"]["results"].as_array();
    let none = results.is_none_or(|rows| rows.iter().all(|row| row.get("error").is_some()));
    assert!(none, "{reply}");
    assert!(server.metric("pogo_channels").await <= 1_000.0);
    client
        .ok(json!({"event": "channel:unsubscribe", "channel": "c0"}))
        .await;
    client.ok(subscribe(20_000)).await;
}

/// The worst that 16 wildcards and 1,024 bytes can do to the matcher, a thousand times.
#[test]
fn no_pattern_is_slow() {
    let pattern = pogo::channel::Pattern::parse(&format!("{}b", "**a".repeat(8))).unwrap();
    let most = pogo::channel::Pattern::parse(&format!("{}b", "*a".repeat(16))).unwrap();
    let name = format!("/{}", "a".repeat(1_023));
    let since = std::time::Instant::now();
    for _ in 0..1_000 {
        assert!(!pattern.matches(&name) && !most.matches(&name[1..]));
    }
    assert!(since.elapsed().as_secs() < 10, "{:?}", since.elapsed());
}
