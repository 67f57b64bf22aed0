//! What a stranger may throw at the control plane: it ends, costs no memory, and nobody else
//! notices.

use std::time::Duration;

use futures_util::future::join_all;
use pogo::control::proto::{
    Channel, GetChannelRequest, ListNodesRequest, PublishBatchRequest, RevokeSessionsRequest,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tonic::Code;

use super::rig::{PATIENCE, Rig, limited, number_on, refused, soon};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const SETTINGS: u8 = 4;
const PING: u8 = 6;
/// `:method: POST`, `:scheme: http`, `:path: /`, all from the static table.
const POST: &[u8] = &[0x83, 0x86, 0x84];

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = vec![length[1], length[2], length[3], kind, flags];
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

async fn greeted(rig: &Rig) -> TcpStream {
    let mut stream = TcpStream::connect(rig.address).await.unwrap();
    let hello = [PREFACE, &frame(SETTINGS, 0, 0, &[])].concat();
    stream.write_all(&hello).await.unwrap();
    stream
}

/// Sends `flood` again and again, reading what comes: whether the server ends the connection
/// before all `times` are written.
async fn is_cut(rig: &Rig, first: &[u8], flood: &[u8], times: usize) -> bool {
    let (mut read, mut write) = greeted(rig).await.into_split();
    let reader = tokio::spawn(async move {
        let mut sink = vec![0; 65_536];
        while !matches!(read.read(&mut sink).await, Ok(0) | Err(_)) {}
    });
    let writing = async {
        if write.write_all(first).await.is_err() {
            return true;
        }
        for _ in 0..times {
            if write.write_all(flood).await.is_err() {
                return true;
            }
        }
        // All of it is in the kernel's buffers: the answer tells.
        tokio::time::timeout(Duration::from_secs(2), reader)
            .await
            .is_ok()
    };
    soon(writing).await
}

async fn all_are_cut(floods: &[(&str, &[u8], Vec<u8>, usize)]) {
    let rig = Rig::start().await;
    for (what, first, flood, times) in floods {
        assert!(is_cut(&rig, first, flood, *times).await, "{what}");
    }
    let mut clients = rig.clients().await;
    soon(clients.nodes.list_nodes(ListNodesRequest::default()))
        .await
        .unwrap();
}

#[tokio::test]
async fn floods_of_frames_without_a_call_end_the_connection() {
    let thousand = |kind, payload: &[u8]| frame(kind, 0, 0, payload).repeat(1_000);
    let priority = frame(2, 0, 1, &[0, 0, 0, 0, 16]);
    all_are_cut(&[
        ("pings", &[], thousand(PING, &[7; 8]), 300),
        ("settings", &[], thousand(SETTINGS, &[]), 300),
        ("priorities", &[], priority.repeat(1_000), 300),
        ("unknown frames", &[], thousand(0xbb, b"?"), 300),
    ])
    .await;
    let rig = Rig::start().await;
    let few = thousand(PING, &[7; 8]);
    assert!(!is_cut(&rig, &[], &few, 5).await, "5,000 are no flood");
}

#[tokio::test]
async fn floods_within_a_call_end_the_connection() {
    let (whole, unfinished) = (frame(1, 4, 1, POST), frame(1, 0, 1, POST));
    let fields = [0, 1, b'a', 1, b'b'].repeat(800);
    // 12,000 references to one field of 4,000 bytes that was put into the table.
    let field = [POST, b"\x40\x01a\x7f\xa1\x1e", &[b'x'; 4_000]].concat();
    let bomb = [field, vec![0xbe; 12_000]].concat();
    let too_long = [&[0xff; 3][..], &[0, 0, 0, 0, 0, 1], &[0; 65_536]].concat();
    all_are_cut(&[
        ("empty data", &whole, frame(0, 0, 1, &[]).repeat(1_000), 300),
        ("continuations", &unfinished, frame(9, 0, 1, &fields), 100),
        (
            "empty ones",
            &unfinished,
            frame(9, 0, 1, &[]).repeat(1_000),
            100,
        ),
        ("an HPACK bomb", &[], frame(1, 5, 1, &bomb), 1),
        ("a frame of 16 MB", &[], too_long, 1),
        ("a push", &[], frame(5, 4, 1, &[0, 0, 0, 2, 0x83]), 1),
    ])
    .await;
}

#[tokio::test]
async fn streams_beyond_the_limit_are_refused_one_by_one() {
    let rig = Rig::with(limited(|limits| limits.streams = 4)).await;
    let mut stream = greeted(&rig).await;
    let opened: Vec<u8> = (0..8_u32)
        .flat_map(|n| frame(1, 4, 2 * n + 1, POST))
        .collect();
    stream.write_all(&opened).await.unwrap();
    let mut refused = 0;
    soon(async {
        while refused < 4 {
            let mut head = [0; 9];
            stream.read_exact(&mut head).await.unwrap();
            let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
            stream.read_exact(&mut payload).await.unwrap();
            // RST_STREAM with REFUSED_STREAM: the call has not begun and may be made again.
            refused += usize::from(head[3] == 3 && payload == [0, 0, 0, 7]);
        }
    })
    .await;
}

#[tokio::test]
async fn strangers_do_not_keep_callers_out() {
    let rig = Rig::with(limited(|limits| {
        limits.connections = 8;
        limits.handshake_deadline = Duration::from_millis(200);
    }))
    .await;
    let mut known = rig.clients().await;
    known
        .nodes
        .list_nodes(ListNodesRequest::default())
        .await
        .unwrap();
    let strangers = join_all((0..7).map(|_| greeted(&rig))).await;
    let mut caller = tokio::time::timeout(PATIENCE, rig.clients()).await.unwrap();
    soon(caller.nodes.list_nodes(ListNodesRequest::default()))
        .await
        .unwrap();
    known
        .nodes
        .list_nodes(ListNodesRequest::default())
        .await
        .unwrap();
    drop(strangers);
}

/// A subscriber that does not read holds its publications, and not the requests they came in.
#[tokio::test]
async fn a_publication_does_not_hold_its_request() {
    let rig = Rig::start().await;
    let mut clients = rig.clients().await;
    let pattern = pogo::channel::Pattern::parse("small").unwrap();
    let mut watcher = rig.node.hub().watch(vec![pattern]).unwrap();
    let mut large = number_on("large", 1);
    large.data = format!("\"{}\"", "x".repeat(60_000)).into();
    let requests = vec![number_on("small", 7), large];
    clients
        .publisher
        .publish_batch(PublishBatchRequest { requests })
        .await
        .unwrap();
    let pogo::hub::Watched::Publication(publication) = soon(watcher.next()).await else {
        panic!("a gap");
    };
    let data = publication.data;
    assert_eq!(data, "7");
    let held = data.try_into_mut().map_or(usize::MAX, |own| own.capacity());
    assert!(held < 1_000, "it holds {held} bytes");
}

#[tokio::test]
async fn no_method_answers_without_a_credential() {
    let rig = Rig::start().await;
    let stranger = rig.clients_of(None).await;
    let mut paths = vec![
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo".to_owned(),
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo".to_owned(),
        "/grpc.health.v1.Health/Watch".to_owned(),
        "/nowhere.Service/Method".to_owned(),
    ];
    paths.extend(every_method());
    assert!(paths.len() > 25, "{paths:?}");
    for path in paths {
        let mut grpc = tonic::client::Grpc::new(stranger.wire.clone());
        grpc.ready().await.unwrap();
        let codec = tonic_prost::ProstCodec::<GetChannelRequest, Channel>::default();
        let request = tonic::Request::new(tokio_stream::once(GetChannelRequest::default()));
        let answer = grpc.streaming(request, path.parse().unwrap(), codec).await;
        refused(Code::Unauthenticated, answer.map(|_| path));
    }
}

/// `/package.Service/Method` of every method in `proto/`.
fn every_method() -> Vec<String> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/proto/pogo/v1");
    let mut paths = vec![];
    for file in std::fs::read_dir(folder).unwrap() {
        let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
        let mut service = "";
        for line in text.lines().map(str::trim_start) {
            let word = |text: &'static str| line.strip_prefix(text);
            let name = |rest: &str| rest.split([' ', '(', '{']).next().unwrap().to_owned();
            if let Some(rest) = word("service ") {
                service = rest.split(' ').next().unwrap();
            } else if let Some(rest) = word("rpc ") {
                paths.push(format!("/pogo.v1.{service}/{}", name(rest)));
            }
        }
    }
    paths
}

#[tokio::test]
async fn what_no_token_can_say_takes_no_place_in_the_store() {
    let rig = Rig::start().await;
    let mut clients = rig.clients().await;
    let target =
        pogo::control::proto::revoke_sessions_request::Target::Subject("x".repeat(1 << 20));
    let request = RevokeSessionsRequest {
        target: Some(target),
        ..Default::default()
    };
    refused(
        Code::InvalidArgument,
        clients.sessions.revoke_sessions(request).await,
    );
}
