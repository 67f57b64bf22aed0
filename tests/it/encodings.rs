//! A publication is encoded once for each encoding and spelling that somebody uses, however many
//! receive it and on however many workers; the server's own count says so.

use pogo::protocol::Encoding;
use serde_json::json;

use crate::support::{Client, Connect, TestServer, Token};

const WORKERS: usize = 3;
/// Sessions of each kind: more than workers, so that each has some.
const EACH: usize = 2 * WORKERS;
const PUBLICATIONS: usize = 20;

/// One way to be told of a publication.
#[derive(Debug, Clone, Copy)]
struct Kind {
    encoding: Encoding,
    key: &'static str,
    /// Whether permessage-deflate is offered: what is compressed is not encoded again.
    deflate: bool,
}

/// Every way there is, so that a new encoding is counted here from its first day.
fn kinds(deflate: bool) -> Vec<Kind> {
    let keys = ["channel", "uri"];
    let of = |encoding| {
        keys.map(|key| Kind {
            encoding,
            key,
            deflate,
        })
    };
    Encoding::ALL.into_iter().flat_map(of).collect()
}

async fn crowd(server: &TestServer, kind: Kind, channel: &str) -> Vec<Client> {
    let token = Token::master("crowd").sign();
    let mut connect = Connect::new()
        .protocols(&[kind.encoding.subprotocol()])
        .bearer(&token);
    if kind.deflate {
        connect = connect.header("sec-websocket-extensions", "permessage-deflate");
    }
    let mut clients = vec![];
    for _ in 0..EACH {
        let (mut client, _) = Client::welcomed(server, &connect).await;
        let event = match kind.key {
            "uri" => "bind",
            _ => "channel:subscribe",
        };
        client.ok(json!({"event": event, kind.key: channel})).await;
        clients.push(client);
    }
    let protocol = kind.encoding.subprotocol();
    let open = format!("pogo_sessions{{protocol=\"{protocol}\"}}");
    assert!(server.metric(&open).await >= EACH as f64, "{open}");
    clients
}

/// Publishes, one at a time and then together, and returns how many encodings that took.
async fn encodings(server: &TestServer, channel: &str, clients: &mut [Client]) -> f64 {
    let mut control = server.control().await;
    let name = "pogo_encodings_total";
    let before = server.metric(name).await;
    for n in 0..PUBLICATIONS {
        control.publish(channel, "e", &json!(n)).await;
        for client in &mut *clients {
            assert_eq!(client.expect("e").await["data"], n);
        }
    }
    let requests = (0..PUBLICATIONS)
        .map(|n| crate::support::publish_request(channel, "e", &json!(n)))
        .collect();
    let batch = pogo::control::proto::PublishBatchRequest { requests };
    control.publisher.publish_batch(batch).await.unwrap();
    for client in &mut *clients {
        for n in 0..PUBLICATIONS {
            assert_eq!(client.expect("e").await["data"], n);
        }
    }
    server.metric(name).await - before
}

#[tokio::test]
async fn one_encoding_for_each_wire_in_use() {
    let settings = format!("[edge]\nworkers = {WORKERS}\ncompression = true");
    let server = TestServer::with(&settings).await;
    let published = 2.0 * PUBLICATIONS as f64;
    assert_eq!(encodings(&server, "/none", &mut []).await, 0.0);

    let (mut all, mut wires) = (vec![], 0.0);
    for kind in kinds(false) {
        let mut alone = crowd(&server, kind, "/alone").await;
        assert_eq!(
            encodings(&server, "/alone", &mut alone).await,
            published,
            "{kind:?} alone"
        );
        for client in alone {
            client.close().await;
        }
        all.extend(crowd(&server, kind, "/all").await);
        wires += 1.0;
        assert_eq!(
            encodings(&server, "/all", &mut all).await,
            wires * published,
            "{kind:?} is the last of {wires}"
        );
    }
    for kind in kinds(true) {
        // Too short to be compressed, which the client here could not read.
        all.extend(crowd(&server, kind, "/all").await);
    }
    let compressed = server.metric("pogo_compressed_sessions").await;
    assert!(compressed > 0.0, "it was negotiated");
    assert_eq!(
        encodings(&server, "/all", &mut all).await,
        wires * published
    );
}
