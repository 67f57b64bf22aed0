//! What a service does to sessions, and what it can watch.

use std::collections::BTreeSet;

use pogo::control::proto::{
    GetSessionRequest, ListSessionsRequest, SendToSessionRequest, SubscribeSessionRequest,
    UnsubscribeSessionRequest, WatchRequest, subscribe_session_request,
    unsubscribe_session_request,
};
use serde_json::json;

use crate::support::{Client, Connect, Control, PATIENCE, TestServer, Token, publish_request};

/// How many sessions the pages of `request` bring, each once.
async fn count(control: &Control, request: ListSessionsRequest) -> usize {
    let mut control = control.clone();
    let mut request = ListSessionsRequest {
        page_size: 2,
        ..request
    };
    let mut found = BTreeSet::new();
    loop {
        let page = control
            .sessions
            .list_sessions(request.clone())
            .await
            .unwrap()
            .into_inner();
        assert!(page.sessions.len() <= 2);
        for session in page.sessions {
            assert!(found.insert(session.id), "listed twice");
        }
        if page.next_page_token.is_empty() {
            return found.len();
        }
        request.page_token = page.next_page_token;
    }
}

#[tokio::test]
async fn sessions_are_listed_by_what_is_asked_and_by_page() {
    let server = TestServer::start().await;
    let mut control = server.control().await;
    let mut clients = vec![];
    for n in 0..7 {
        let token =
            Token::of(if n < 4 { "alice" } else { "bob" }).claim("jti", json!(format!("t{n}")));
        let mut client = Client::with(&server, &token.sign()).await;
        if n % 2 == 0 {
            client.subscribe("even").await;
        }
        clients.push(client);
    }
    for (expected, subject, channel, address) in [
        (7, None, None, None),
        (4, Some("alice"), None, None),
        (4, None, Some("even"), None),
        (7, None, None, Some("127.0.0.1")),
        (0, None, None, Some("127.0.0.2")),
        (2, Some("bob"), Some("even"), None),
    ] {
        let request = ListSessionsRequest {
            subject: subject.map(str::to_owned),
            channel: channel.map(str::to_owned),
            address: address.map(str::to_owned),
            ..Default::default()
        };
        assert_eq!(
            count(&control, request.clone()).await,
            expected,
            "{request:?}"
        );
    }
    let bad = ListSessionsRequest {
        page_token: "nonsense".into(),
        ..Default::default()
    };
    let refused = control.sessions.list_sessions(bad).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::InvalidArgument);
}

#[tokio::test]
async fn a_session_is_shown_whole() {
    let server = TestServer::start().await;
    let mut control = server.control().await;
    let token = Token::of("alice").claim("jti", json!("t-1"));
    let (mut client, welcome) =
        Client::welcomed(&server, &Connect::new().token(&token.sign())).await;
    client.subscribe("news").await;
    let id = welcome["session"].as_str().unwrap().to_owned();
    let answer = control
        .sessions
        .get_session(GetSessionRequest { id: id.clone() })
        .await
        .unwrap();
    let session = answer.into_inner().session.unwrap();
    assert_eq!(
        (&session.id, session.subject.as_deref()),
        (&id, Some("alice"))
    );
    assert_eq!(
        (&*session.address, &*session.protocol),
        ("127.0.0.1", "pogo.v1.json")
    );
    assert_eq!(
        (session.channels, session.token_id.as_deref()),
        (vec!["news".to_owned()], Some("t-1"))
    );
    assert_eq!(
        u64::try_from(session.expires_at.unwrap().seconds).unwrap(),
        welcome["expires"]
    );
    assert!(session.connected_at.is_some() && !session.node.is_empty());
    client.close().await;
    let gone = control
        .sessions
        .get_session(GetSessionRequest { id: "1.2".into() })
        .await
        .unwrap_err();
    assert_eq!(gone.code(), tonic::Code::NotFound);
}

#[tokio::test]
async fn a_service_subscribes_sends_and_unsubscribes() {
    let server = TestServer::start().await;
    let mut control = server.control().await;
    let connect = Connect::new().token(&Token::of("alice").sign());
    let (mut client, welcome) = Client::welcomed(&server, &connect).await;
    let mut twin = Client::with(&server, &Token::of("alice").sign()).await;
    let session = welcome["session"].as_str().unwrap().to_owned();

    let subject = subscribe_session_request::Target::Subject("alice".into());
    let subscribe = SubscribeSessionRequest {
        target: Some(subject),
        channel: "private-orders".into(),
    };
    let answer = control.sessions.subscribe_session(subscribe).await.unwrap();
    assert_eq!(answer.into_inner().sessions, 2);
    for client in [&mut client, &mut twin] {
        let told = client.expect("pogo:subscribed").await;
        assert_eq!(told["channel"], "private-orders");
    }
    assert_eq!(
        control
            .publish("private-orders", "paid", &json!(81))
            .await
            .receivers,
        2
    );
    assert_eq!(client.expect("paid").await["data"], 81);
    twin.expect("paid").await;

    let unsubscribe = UnsubscribeSessionRequest {
        target: Some(unsubscribe_session_request::Target::Session(session)),
        channel: "private-orders".into(),
        reason: "over".into(),
    };
    assert_eq!(
        control
            .sessions
            .unsubscribe_session(unsubscribe)
            .await
            .unwrap()
            .into_inner()
            .sessions,
        1
    );
    let told = client.expect("pogo:unsubscribed").await;
    assert_eq!(
        (&told["channel"], &told["data"]["reason"]),
        (&json!("private-orders"), &json!("over"))
    );
    assert_eq!(
        control
            .publish("private-orders", "paid", &json!(82))
            .await
            .receivers,
        1
    );
    client.quiet().await;
}

#[tokio::test]
async fn a_service_sends_to_one_session() {
    let server = TestServer::start().await;
    let mut control = server.control().await;
    let connect = Connect::new().token(&Token::of("alice").sign());
    let (mut client, welcome) = Client::welcomed(&server, &connect).await;
    let mut twin = Client::with(&server, &Token::of("alice").sign()).await;
    let session = welcome["session"].as_str().unwrap().to_owned();
    let send = SendToSessionRequest {
        session,
        event: "hello".into(),
        data: "{\"you\":true}".into(),
    };
    assert_eq!(
        control
            .sessions
            .send_to_session(send.clone())
            .await
            .unwrap()
            .into_inner()
            .sessions,
        1
    );
    assert_eq!(
        client.next().await,
        json!({"event": "hello", "data": {"you": true}})
    );
    twin.quiet().await;
    let reserved = SendToSessionRequest {
        event: "pogo:welcome".into(),
        ..send
    };
    let refused = control
        .sessions
        .send_to_session(reserved)
        .await
        .unwrap_err();
    assert_eq!(refused.code(), tonic::Code::InvalidArgument);
}

#[tokio::test]
async fn what_happens_can_be_watched_and_resumed() {
    let server = TestServer::start().await;
    let mut control = server.control().await;
    let mut watch = control
        .events
        .watch(WatchRequest::default())
        .await
        .unwrap()
        .into_inner();
    let mut client = Client::with(&server, &Token::of("alice").sign()).await;
    client.subscribe("news").await;
    client
        .ok(json!({"event": "channel:unsubscribe", "channel": "news"}))
        .await;
    client.close().await;
    let mut kinds = vec![];
    let mut resume = String::new();
    while kinds.last().map(String::as_str) != Some("disconnected") {
        let next = tokio::time::timeout(PATIENCE, watch.message())
            .await
            .expect("nothing more");
        let event = next.unwrap().unwrap();
        if kinds.is_empty() {
            resume = event.resume_token.clone();
        }
        kinds.push(event.kind);
    }
    for kind in [
        "connected",
        "subscribed",
        "occupied",
        "unsubscribed",
        "disconnected",
    ] {
        assert!(kinds.iter().any(|seen| seen == kind), "{kind} in {kinds:?}");
    }
    let again = WatchRequest {
        resume_token: Some(resume),
        ..Default::default()
    };
    let mut watch = control.events.watch(again).await.unwrap().into_inner();
    let next = tokio::time::timeout(PATIENCE, watch.message())
        .await
        .expect("nothing to resume");
    let event = next.unwrap().unwrap();
    assert_eq!(event.kind, kinds[1], "it goes on after the token");
}

#[tokio::test]
async fn a_caller_needs_a_key_and_its_scope() {
    let settings = r#"
        [control]
        keys = [
            { name = "news", secret = "a key that may only publish news", scopes = ["publish:news-*"] },
            { name = "admin", secret = "the control plane's test key, long enough", scopes = ["admin"] },
        ]
    "#;
    let server = TestServer::with(settings).await;
    let request = |channel: &str| publish_request(channel, "e", &json!(1));
    for key in [None, Some("nonsense"), Some("")] {
        let mut nobody = Control::connect(server.control_address(), key).await;
        let refused = nobody
            .publisher
            .publish(request("news-1"))
            .await
            .unwrap_err();
        assert_eq!(refused.code(), tonic::Code::Unauthenticated, "{key:?}");
    }
    let key = Some("a key that may only publish news");
    let mut news = Control::connect(server.control_address(), key).await;
    news.publisher.publish(request("news-1")).await.unwrap();
    let refused = news.publisher.publish(request("other")).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::PermissionDenied);
    let refused = news
        .sessions
        .list_sessions(ListSessionsRequest::default())
        .await
        .unwrap_err();
    assert_eq!(refused.code(), tonic::Code::PermissionDenied);
}
