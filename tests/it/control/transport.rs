//! Who may call, and for how long.

use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use pogo::control::Config;
use pogo::control::proto::{ListNodesRequest, ListSessionsRequest, WatchRequest};
use tokio::net::TcpStream;
use tokio_stream::StreamExt;
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::{v1, v1alpha};

use super::rig::{ADMIN, READER, Rig, keys, limited, number_on, refused, soon};

/// A call without the habits of a gRPC client: the status, from headers or trailers.
async fn raw(
    rig: &Rig,
    path: &str,
    headers: &[(&str, &str)],
    message: Vec<u8>,
) -> (String, String) {
    let stream = TcpStream::connect(rig.address).await.unwrap();
    let (mut send, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
    let connection = tokio::spawn(connection);
    let mut request = Request::post(format!("http://{}{path}", rig.address))
        .header("content-type", "application/grpc")
        .header("te", "trailers");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let mut framed = vec![0];
    framed.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
    framed.extend(message);
    let request = request.body(Full::new(Bytes::from(framed))).unwrap();
    let response: Response<_> = soon(send.send_request(request)).await.unwrap();
    let mut headers = response.headers().clone();
    if let Ok(body) = soon(response.into_body().collect()).await {
        headers.extend(body.trailers().cloned().unwrap_or_default());
    }
    connection.abort();
    let text = |name: &str| headers.get(name).map(|v| v.to_str().unwrap().to_owned());
    (
        text("grpc-status").unwrap_or_default(),
        text("grpc-message").unwrap_or_default(),
    )
}

const NODES: &str = "/pogo.v1.Nodes/ListNodes";

fn bearer(secret: &str) -> String {
    format!("Bearer {secret}")
}

#[tokio::test]
async fn strangers_and_the_wrong_scope_are_refused() {
    let rig = Rig::start().await;
    for secret in [None, Some("wrong"), Some("")] {
        let mut clients = rig.clients_of(secret).await;
        let answer = clients.nodes.list_nodes(ListNodesRequest::default()).await;
        let details = refused(Code::Unauthenticated, answer);
        assert!(
            details
                .error_info()
                .unwrap()
                .reason
                .starts_with("CREDENTIAL_")
        );
    }
    let mut reader = rig.clients_of(Some(READER)).await;
    let answer = reader.nodes.list_nodes(ListNodesRequest::default()).await;
    let details = refused(Code::PermissionDenied, answer);
    assert_eq!(details.error_info().unwrap().metadata["scope"], "admin");
    refused(
        Code::PermissionDenied,
        reader.publisher.publish(number_on("x", 1)).await,
    );
    let watch = reader.events.watch(WatchRequest::default()).await;
    watch.unwrap();
    let admin = bearer(ADMIN);
    let twice = [
        ("authorization", admin.as_str()),
        ("authorization", admin.as_str()),
    ];
    assert_eq!(raw(&rig, NODES, &twice, vec![]).await.0, "16");
    assert_eq!(raw(&rig, NODES, &twice[..1], vec![]).await.0, "0");
    assert_eq!(
        raw(&rig, "/nowhere.Service/Method", &twice[..1], vec![])
            .await
            .0,
        "12"
    );
    assert_eq!(
        raw(&rig, "/nowhere.Service/Method", &[], vec![]).await.0,
        "16"
    );
}

#[tokio::test]
async fn without_keys_it_is_open_only_if_that_was_said() {
    for (open, expected) in [(true, "0"), (false, "16")] {
        let rig = Rig::with(|config| (config.keys, config.open) = (vec![], open)).await;
        assert_eq!(raw(&rig, NODES, &[], vec![]).await.0, expected);
    }
}

#[tokio::test]
async fn health_is_for_everyone() {
    let mut rig = Rig::start().await;
    let stranger = rig.clients_of(None).await.wire;
    let clients = rig.clients().await;
    let mut health = HealthClient::new(stranger.clone());
    for service in ["", "pogo.v1.Publisher", "pogo.v1.Nodes"] {
        let request = HealthCheckRequest {
            service: service.into(),
        };
        let answer = health.check(request).await.unwrap().into_inner();
        assert_eq!(answer.status(), ServingStatus::Serving);
    }
    let unknown = health
        .check(HealthCheckRequest {
            service: "other".into(),
        })
        .await;
    assert_eq!(unknown.unwrap_err().code(), Code::NotFound);
    refused(
        Code::Unauthenticated,
        health.watch(HealthCheckRequest::default()).await,
    );
    let mut health = HealthClient::new(clients.wire.clone());
    let mut watch = health
        .watch(HealthCheckRequest::default())
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        soon(watch.next()).await.unwrap().unwrap().status(),
        ServingStatus::Serving
    );
    rig.node.drain(Duration::ZERO);
    assert_eq!(
        soon(watch.next()).await.unwrap().unwrap().status(),
        ServingStatus::NotServing
    );
    let still = clients
        .nodes
        .clone()
        .list_nodes(pogo::control::proto::ListNodesRequest::default())
        .await;
    assert!(still.unwrap().into_inner().nodes[0].draining);

    rig.stop();
    soon(&mut rig.task).await.unwrap();
}

#[tokio::test]
async fn reflection_is_for_callers_in_both_versions() {
    let rig = Rig::start().await;
    let stranger = rig.clients_of(None).await.wire;
    let clients = rig.clients().await;
    let list = || {
        let message_request =
            v1::server_reflection_request::MessageRequest::ListServices("".into());
        let message_request = Some(message_request);
        tokio_stream::once(v1::ServerReflectionRequest {
            message_request,
            ..Default::default()
        })
    };
    use v1::server_reflection_client::ServerReflectionClient as V1;
    refused(
        Code::Unauthenticated,
        V1::new(stranger).server_reflection_info(list()).await,
    );
    let mut answers = V1::new(clients.wire.clone())
        .server_reflection_info(list())
        .await
        .unwrap()
        .into_inner();
    let answer = format!("{:?}", soon(answers.next()).await.unwrap().unwrap());
    for name in [
        "Publisher",
        "Channels",
        "Sessions",
        "Firewall",
        "Endpoints",
        "Events",
        "Nodes",
    ] {
        assert!(answer.contains(&format!("pogo.v1.{name}")), "{name}");
    }
    use v1alpha::server_reflection_client::ServerReflectionClient as V1Alpha;
    let symbol = v1alpha::server_reflection_request::MessageRequest::FileContainingSymbol(
        "pogo.v1.Publisher".into(),
    );
    let request = v1alpha::ServerReflectionRequest {
        message_request: Some(symbol),
        ..Default::default()
    };
    let mut answers = V1Alpha::new(clients.wire)
        .server_reflection_info(tokio_stream::once(request))
        .await
        .unwrap()
        .into_inner();
    let answer = format!("{:?}", soon(answers.next()).await.unwrap().unwrap());
    assert!(answer.contains("FileDescriptorResponse"), "{answer}");
}

#[tokio::test]
async fn deadlines_hold_for_calls_and_streams() {
    let rig = Rig::with(limited(|limits| {
        limits.default_deadline = Duration::from_millis(150);
    }))
    .await;
    let admin = bearer(ADMIN);
    let with = |timeout| [("authorization", admin.as_str()), ("grpc-timeout", timeout)];
    assert_eq!(raw(&rig, NODES, &with("5S"), vec![]).await.0, "0");
    assert_eq!(raw(&rig, NODES, &with("0m"), vec![]).await.0, "4");
    assert_eq!(raw(&rig, NODES, &with("soon"), vec![]).await.0, "3");

    rig.worker.mute.store(true, Ordering::Relaxed);
    assert_eq!(raw(&rig, NODES, &with("50m"), vec![]).await.0, "4");
    let mut clients = rig.clients().await;
    let slow = clients
        .sessions
        .list_sessions(ListSessionsRequest::default())
        .await;
    let details = refused(Code::DeadlineExceeded, slow);
    assert_eq!(details.error_info().unwrap().reason, "DEADLINE");

    // A stream is bound by its own deadline, and not by the one for calls without.
    let watch = "/pogo.v1.Events/Watch";
    assert_eq!(raw(&rig, watch, &with("100m"), vec![]).await.0, "4");
    let mut watch = clients
        .events
        .watch(WatchRequest::default())
        .await
        .unwrap()
        .into_inner();
    let longer = Duration::from_millis(400);
    assert!(
        tokio::time::timeout(longer, watch.next()).await.is_err(),
        "the stream goes on"
    );
}

#[tokio::test]
async fn a_message_over_the_limit_is_resource_exhausted() {
    let rig = Rig::with(limited(|limits| limits.request_bytes = 100_000)).await;
    let mut clients = rig.clients().await;
    let mut huge = number_on("x", 1);
    huge.data = vec![b'x'; 200_000].into();
    let details = refused(
        Code::ResourceExhausted,
        clients.publisher.publish(huge.clone()).await,
    );
    assert_eq!(details.error_info().unwrap().reason, "MESSAGE_TOO_LARGE");
    let request = pogo::control::proto::PublishStreamRequest {
        sequence: 1,
        publish: Some(huge),
    };
    let stream = clients
        .publisher
        .publish_stream(tokio_stream::once(request))
        .await;
    let answer = soon(stream.unwrap().into_inner().next()).await.unwrap();
    refused(Code::ResourceExhausted, answer);
}

#[tokio::test]
async fn a_stream_ends_when_its_key_is_taken_away() {
    let rig = Rig::start().await;
    let mut reader = rig.clients_of(Some(READER)).await;
    let mut watch = reader
        .events
        .watch(WatchRequest::default())
        .await
        .unwrap()
        .into_inner();
    let mut others = keys();
    others.retain(|key| key.name() != "reader");
    rig.control
        .reload(Config {
            keys: others,
            ..Config::default()
        })
        .unwrap();
    refused(Code::Unauthenticated, soon(watch.next()).await.unwrap());
    refused(
        Code::Unauthenticated,
        reader.events.watch(WatchRequest::default()).await,
    );
    rig.clients()
        .await
        .nodes
        .list_nodes(ListNodesRequest::default())
        .await
        .unwrap();
}

#[tokio::test]
async fn the_end_lets_calls_finish_and_tells_streams() {
    let mut rig = Rig::start().await;
    let mut clients = rig.clients().await;
    let mut watch = clients
        .events
        .watch(WatchRequest::default())
        .await
        .unwrap()
        .into_inner();
    rig.stop();
    let details = refused(Code::Unavailable, soon(watch.next()).await.unwrap());
    assert_eq!(details.error_info().unwrap().reason, "DRAINING");
    assert!(details.retry_info().unwrap().retry_delay.is_some());
    soon(&mut rig.task).await.unwrap();
    assert!(
        TcpStream::connect(rig.address).await.is_err(),
        "the port is closed"
    );
}
