//! Endpoints come and go while sessions are on what they cover.

use pogo::control::proto::{
    DeleteEndpointRequest, Endpoint, EndpointAccess, EndpointAuth, PutEndpointRequest,
    Upstream as To,
};
use serde_json::json;

use super::{SHARED, client, posts, verb};
use crate::support::process::{Process, whole};
use crate::support::upstream::Upstream;
use crate::support::{Client, Control, TestServer, Token};

/// Channels are open to those with a token.
const RULE: &str = "[[channel]]\npattern = \"**\"\nsubscribe = \"token\"\npublish = \"token\"\n";

async fn ends(one: &mut Client, uri: &str, reason: &str) {
    let ended = one.expect("pogo:unsubscribed").await;
    let named = (&ended["uri"], &ended["channel"]);
    assert!(named.0 == uri || named.1 == uri, "{ended}");
    assert_eq!(ended["data"]["reason"], reason, "{ended}");
}

async fn put(control: &mut Control, name: &str, item: &str) {
    let upstream = To {
        bases: vec!["http://127.0.0.1:9/".into()],
        ..To::default()
    };
    let endpoint = Endpoint {
        name: name.into(),
        item: item.into(),
        upstream: Some(upstream),
        access: Some(EndpointAccess {
            rule: "public".into(),
            ttl: None,
        }),
        auth: Some(EndpointAuth {
            mode: "none".into(),
            ..EndpointAuth::default()
        }),
        audience: "shared".into(),
        ..Endpoint::default()
    };
    let request = PutEndpointRequest {
        endpoint: Some(endpoint),
        update_mask: None,
    };
    control.endpoints.put_endpoint(request).await.unwrap();
}

async fn delete(control: &mut Control, name: &str) {
    let request = DeleteEndpointRequest { name: name.into() };
    control.endpoints.delete_endpoint(request).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_comes_takes_its_uris_from_the_channels() {
    let server = TestServer::with(RULE).await;
    let mut control = server.control().await;
    let mut ann = client(&server, "ann").await;
    for channel in ["/pages/1", "/posts/1"] {
        ann.subscribe(channel).await;
    }
    put(&mut control, "posts", "/posts/{id}").await;
    ends(&mut ann, "/posts/1", "covered").await;
    ann.ok(verb("bind", "/posts/1")).await;
    control.publish("/posts/1", "said", &json!({"id": 1})).await;
    assert_eq!(ann.expect("said").await["data"]["id"], 1);
    control.publish("/pages/1", "say", &json!(1)).await;
    ann.expect("say").await;
    delete(&mut control, "posts").await;
    ends(&mut ann, "/posts/1", "no_route").await;
    ann.quiet().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_goes_lets_the_files_one_take_its_uris_again() {
    let api = Upstream::held().await;
    let server = TestServer::with(&format!("{RULE}{}", posts(&api.upstream, SHARED))).await;
    let mut control = server.control().await;
    put(&mut control, "posts", "/pages/{id}").await;
    let mut ann = client(&server, "ann").await;
    ann.subscribe("/posts/1").await;
    delete(&mut control, "posts").await;
    ends(&mut ann, "/posts/1", "covered").await;
    control
        .publish("/posts/1", "update", &json!({"id": 1}))
        .await;
    ann.quiet().await;
}

#[tokio::test]
async fn a_reload_takes_uris_from_the_channels_too() {
    let process = Process::start(RULE, None).await;
    let mut ann = Client::with(process.edge, &Token::of("ann").sign()).await;
    ann.subscribe("/posts/1").await;
    let endpoint = "[[endpoint]]\nname = \"posts\"\nitem = \"/posts/{id}\"\n\
                    upstream.bases = [\"http://api:80\"]\n";
    let text = whole(process.edge, &format!("{RULE}{endpoint}"));
    std::fs::write(process.folder.path().join("pogo.toml"), text).unwrap();
    process.signal("-HUP");
    ends(&mut ann, "/posts/1", "covered").await;
}
