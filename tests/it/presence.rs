//! Presence: a member is a subject; it joins with its first session and leaves with its last.

use pogo::control::proto::ListMembersRequest;
use serde_json::{Value, json};

use crate::support::{Client, Connect, TestServer, Token};

const CHANNEL: &str = "presence-room";

async fn enter(server: &TestServer, subject: &str, info: Value) -> (Client, String) {
    let caps = json!({"presence-*": ["subscribe"]});
    let token = Token::of(subject)
        .claim("caps", caps)
        .claim("info", info)
        .sign();
    let (mut client, welcome) = Client::welcomed(server, &Connect::new().token(&token)).await;
    client.subscribe(CHANNEL).await;
    (client, welcome["session"].as_str().unwrap().to_owned())
}

async fn presence(client: &mut Client) -> Value {
    client
        .ok(json!({"event": "channel:presence", "channel": CHANNEL}))
        .await
}

#[tokio::test]
async fn a_subject_joins_once_and_leaves_once() {
    let server = TestServer::start().await;
    let (mut watcher, watcher_id) = enter(&server, "watcher", json!(null)).await;
    watcher.drain().await;
    let (first, first_id) = enter(&server, "alice", json!({"name": "Alice"})).await;
    let join = watcher.expect("pogo:join").await;
    assert_eq!(join["channel"], CHANNEL);
    let expected = json!({"subject": "alice", "session": first_id, "info": {"name": "Alice"}});
    assert_eq!(join["data"], expected);
    let (mut second, second_id) = enter(&server, "alice", json!({"name": "Alice"})).await;
    watcher.quiet().await;

    let seen = presence(&mut watcher).await;
    assert_eq!(seen["total"], 2);
    let rows = seen["members"].as_array().unwrap();
    let mut sessions: Vec<_> = rows
        .iter()
        .map(|row| row["session"].as_str().unwrap())
        .collect();
    sessions.sort_unstable();
    let mut expected = [watcher_id.as_str(), &first_id, &second_id];
    expected.sort_unstable();
    assert_eq!(sessions, expected, "a row a session");

    first.close().await;
    watcher.quiet().await;
    assert_eq!(presence(&mut watcher).await["total"], 2);
    second
        .ok(json!({"event": "channel:unsubscribe", "channel": CHANNEL}))
        .await;
    let leave = watcher.expect("pogo:leave").await;
    assert_eq!(
        (&leave["data"]["subject"], &leave["data"]["session"]),
        (&json!("alice"), &json!(second_id))
    );
    assert_eq!(presence(&mut watcher).await["total"], 1);
}

#[tokio::test]
async fn members_are_listed_to_those_who_may_ask() {
    let server = TestServer::start().await;
    let mut members = vec![];
    for n in 0..5 {
        members.push(enter(&server, &format!("m{n}"), json!({"n": n})).await);
    }
    let mut stranger = Client::with(&server, &Token::of("x").sign()).await;
    let ask = json!({"event": "channel:presence", "channel": CHANNEL});
    assert_eq!(stranger.error(ask.clone()).await, "forbidden");
    let caps = json!({CHANNEL: ["presence"]});
    let mut viewer = Client::with(&server, &Token::of("v").claim("caps", caps).sign()).await;
    assert_eq!(viewer.ok(ask).await["total"], 5);

    let mut control = server.control().await;
    let mut request = ListMembersRequest {
        channel: CHANNEL.into(),
        page_size: 2,
        ..Default::default()
    };
    let mut subjects = vec![];
    loop {
        let page = control
            .channels
            .list_members(request.clone())
            .await
            .unwrap()
            .into_inner();
        subjects.extend(page.members.into_iter().map(|member| member.subject));
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    subjects.sort_unstable();
    assert_eq!(subjects, ["m0", "m1", "m2", "m3", "m4"]);
}

#[tokio::test]
async fn a_lost_connection_leaves_too() {
    let server = TestServer::start().await;
    let (mut watcher, _) = enter(&server, "watcher", json!(null)).await;
    watcher.drain().await;
    let (gone, _) = enter(&server, "alice", json!(null)).await;
    watcher.expect("pogo:join").await;
    drop(gone);
    assert_eq!(
        watcher.expect("pogo:leave").await["data"]["subject"],
        "alice"
    );
}
