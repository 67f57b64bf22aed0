//! What is sent, and what is made of answers, good and bad.

use http::{Method, StatusCode};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use ipnet::IpNet;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::rig::{OK, Reply, Server, asked, endpoint, fetched, get, post, upstreams};
use crate::gateway::upstream::{
    BadAnswer, BoxError, Config, RequestBody, UpstreamError, Upstreams,
};
use crate::metrics::Metrics;

fn why(answer: Result<impl Sized, UpstreamError>) -> BadAnswer {
    match answer.err() {
        Some(UpstreamError::BadAnswer { why, .. }) => why,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_request_goes_below_the_base_with_a_host_that_nobody_chose() {
    let server = Server::saying(OK).await;
    let mut ask = asked(Method::PATCH, "/posts/a%2520b?page=2", r#"{"a":1}"#);
    ask.headers.insert("host", "evil.example".parse().unwrap());
    ask.headers.insert("content-length", "999".parse().unwrap());
    ask.headers
        .insert("transfer-encoding", "chunked".parse().unwrap());
    let answer = upstreams().fetch(&server.endpoint(), ask, 1024).await;
    assert_eq!(answer.unwrap().body(), "{}");
    let seen = server.seen().remove(0);
    let (head, body) = seen.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("PATCH /v1/posts/a%2520b?page=2 HTTP/1.1\r\n"));
    assert_eq!(body, r#"{"a":1}"#);
    let lower = head.to_ascii_lowercase();
    assert!(lower.contains(&format!("\r\nhost: 127.0.0.1:{}\r\n", server.port)));
    assert!(lower.contains("\r\ncontent-length: 7"), "{lower}");
    assert!(
        !lower.contains("evil") && !lower.contains("chunked"),
        "{lower}"
    );
}

#[tokio::test]
async fn what_is_no_path_goes_nowhere() {
    let server = Server::saying(OK).await;
    for path in [
        "",
        "posts",
        "@evil.example/",
        "http://evil.example/",
        "/a b",
        "/a\r\nx: y",
    ] {
        let ask = asked(Method::GET, path, "");
        let answer = upstreams().fetch(&server.endpoint(), ask, 1024).await;
        assert_eq!(why(answer), BadAnswer::Request, "{path}");
    }
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn connections_serve_again_and_belong_to_one_endpoint() {
    let server = Server::saying(OK).await;
    let upstreams = upstreams();
    let mut other = server.endpoint();
    for _ in 0..50 {
        upstreams.fetch(&other, get(), 1024).await.unwrap();
    }
    let of_one = server.connections();
    assert!(of_one < 50, "each request has a connection of its own");
    other.name = "others".into();
    other.upstream.literal = false;
    let refused = upstreams.fetch(&other, get(), 1024).await;
    assert!(
        matches!(refused, Err(UpstreamError::Blocked)),
        "{refused:?}"
    );
    assert_eq!(server.connections(), of_one);
}

#[tokio::test]
async fn this_machine_is_reached_only_where_it_is_allowed() {
    let server = Server::saying(OK).await;
    let hosts = [
        "127.0.0.1",
        "localhost",
        "[::ffff:127.0.0.1]",
        "2130706433",
        "0.0.0.0",
    ];
    let ask = |config: Config, host: &str, literal: bool| {
        let mut endpoint = endpoint(&[&format!("http://{host}:{}", server.port)]);
        endpoint.upstream.literal = literal;
        endpoint.upstream.retries = 0;
        async move {
            Upstreams::new(config, Metrics::new())
                .fetch(&endpoint, get(), 1024)
                .await
        }
    };
    for host in hosts {
        let answer = ask(Config::default(), host, false).await;
        assert!(
            matches!(answer, Err(UpstreamError::Blocked)),
            "{host} {answer:?}"
        );
    }
    // A number is a name like any other: what it leads to was not written.
    let answer = ask(Config::default(), "2130706433", true).await;
    assert!(matches!(answer, Err(UpstreamError::Blocked)), "{answer:?}");
    assert_eq!(server.connections(), 0);
    for host in &hosts[..2] {
        ask(Config::default(), host, true).await.unwrap();
        let dev = Config {
            loopback: true,
            ..Config::default()
        };
        ask(dev, host, false).await.unwrap();
        let listed: IpNet = "127.0.0.0/8".parse().unwrap();
        let listed = Config {
            allow: vec![listed],
            ..Config::default()
        };
        ask(listed, host, false).await.unwrap();
    }
}

#[tokio::test]
async fn redirects_lead_nowhere() {
    let other = Server::saying(OK).await;
    let text = format!(
        "HTTP/1.1 307 Go\r\nLocation: http://127.0.0.1:{}/posts/1\r\nContent-Length: 0\r\n\r\n",
        other.port
    );
    let server = Server::start(move |_, _| Reply::Say(text.clone())).await;
    let upstreams = upstreams();
    let answer = upstreams.fetch(&server.endpoint(), post(), 1024).await;
    assert!(answer.as_ref().unwrap_err().is_outcome_unknown());
    assert_eq!(why(answer), BadAnswer::Redirect);
    let answer = upstreams.stream(&server.endpoint(), get()).await.unwrap();
    assert_eq!(answer.status(), 307);
    assert!(
        !answer.headers().contains_key("location"),
        "it is elsewhere"
    );
    assert_eq!(other.connections(), 0);
}

#[tokio::test]
async fn a_304_is_an_answer_and_so_is_a_4xx() {
    let answer = fetched("HTTP/1.1 304 Not Modified\r\nETag: \"1\"\r\n\r\n").await;
    assert_eq!(answer.unwrap().status(), StatusCode::NOT_MODIFIED);
    let answer = fetched("HTTP/1.1 422 No\r\nContent-Length: 2\r\n\r\n[]").await;
    assert_eq!(answer.unwrap().body(), "[]");
}

#[tokio::test]
async fn what_is_said_beforehand_is_passed_over() {
    let text = "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n\
                HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";
    let answer = fetched(text).await.unwrap();
    assert_eq!(answer.status(), 200);
    assert!(!answer.headers().contains_key("link"));
    let text = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n";
    assert_eq!(why(fetched(text).await), BadAnswer::Http);
}

#[tokio::test]
async fn what_is_no_answer_is_none() {
    for text in [
        "220 smtp.example.org ESMTP\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nshor",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}x",
        "HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\n{}",
        "HTTP/1.1 200 OK\r\nContent-Length: 2, 3\r\n\r\n{}",
        "HTTP/1.1 200 OK\r\nX : y\r\nContent-Length: 2\r\n\r\n{}",
        "HTTP/1.1 200 OK\r\nX: y\r\n z\r\nContent-Length: 2\r\n\r\n{}",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n{}\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff1\r\n{}",
        "HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 2\r\n\r\n{}",
    ] {
        let answer = fetched(text).await;
        assert_eq!(why(answer), BadAnswer::Http, "{text:?}");
    }
}

#[tokio::test]
async fn an_answer_that_ends_in_two_ways_is_none_and_leaves_nothing_behind() {
    let server = Server::start(|number, _| {
        let lengths = match number {
            0 => "Content-Length: 100\r\nTransfer-Encoding: chunked",
            1 => "Transfer-Encoding: chunked\r\nContent-Length: 2",
            2 => "Content-Length: 2\r\nContent-Length: 2",
            _ => return Reply::Say(OK.into()),
        };
        let evil = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";
        Reply::Say(format!(
            "HTTP/1.1 200 OK\r\n{lengths}\r\n\r\n2\r\n{{}}\r\n0\r\n\r\n{evil}"
        ))
    })
    .await;
    let upstreams = upstreams();
    let mut endpoint = server.endpoint();
    endpoint.upstream.retries = 0;
    for _ in 0..3 {
        let answer = upstreams.fetch(&endpoint, get(), 1024).await;
        assert_eq!(why(answer), BadAnswer::Http);
    }
    let answer = upstreams.fetch(&endpoint, get(), 1024).await;
    assert_eq!(answer.unwrap().body(), "{}");
}

#[tokio::test]
async fn what_follows_an_answer_is_nobodys_answer() {
    let server = Server::start(|number, _| {
        let evil = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";
        Reply::Say(if number == 0 {
            format!("{OK}{evil}")
        } else {
            OK.into()
        })
    })
    .await;
    let upstreams = upstreams();
    for _ in 0..5 {
        let answer = upstreams.fetch(&server.endpoint(), get(), 1024).await;
        assert_eq!(answer.unwrap().body(), "{}");
    }
}

#[tokio::test]
async fn what_is_too_long_is_not_taken() {
    let long = "HTTP/1.1 200 OK\r\nContent-Length: 9999999999\r\n\r\n{";
    assert_eq!(why(fetched(long).await), BadAnswer::TooLong);
    let server = Server::start(|_, _| {
        let chunk = format!("1000\r\n{}\r\n", "x".repeat(0x1000));
        Reply::Last(format!(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{}",
            chunk.repeat(64)
        ))
    })
    .await;
    let answer = upstreams().fetch(&server.endpoint(), get(), 1024).await;
    assert_eq!(why(answer), BadAnswer::TooLong);
    let head = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(1 << 20));
    let server = Server::start(move |_, _| Reply::Last(head.clone())).await;
    let mut endpoint = server.endpoint();
    endpoint.upstream.retries = 0;
    let answer = upstreams().fetch(&endpoint, get(), 1024).await;
    assert_eq!(why(answer), BadAnswer::Http);
}

#[tokio::test]
async fn bodies_go_through_as_they_come() {
    let server = Server::start(|_, request| {
        assert!(
            request
                .to_ascii_lowercase()
                .contains("transfer-encoding: chunked")
        );
        assert!(
            request.ends_with("5\r\nfirst\r\n6\r\nsecond\r\n0\r\n\r\n"),
            "{request}"
        );
        let head = "HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n";
        let rest = "1\r\nb\r\n0\r\n\r\n";
        let parts = [head, "1\r\na\r\n", rest].map(str::to_owned);
        Reply::Slowly(parts.to_vec(), std::time::Duration::from_millis(50))
    })
    .await;
    let (sender, parts) = mpsc::channel::<Result<Frame<bytes::Bytes>, BoxError>>(1);
    let mut ask = post();
    let body = StreamBody::new(ReceiverStream::new(parts));
    ask.body = RequestBody::Stream(BodyExt::boxed_unsync(body));
    let sending = async {
        sender.send(Ok(Frame::data("first".into()))).await.unwrap();
        tokio::task::yield_now().await;
        sender.send(Ok(Frame::data("second".into()))).await.unwrap();
        drop(sender);
    };
    let (upstreams, endpoint) = (upstreams(), server.endpoint());
    let (answer, ()) = tokio::join!(upstreams.stream(&endpoint, ask), sending);
    let mut answer = answer.unwrap();
    assert_eq!(answer.status(), 201);
    let first = answer.frame().await.unwrap().unwrap();
    assert_eq!(first.into_data().unwrap(), "a");
    assert_eq!(answer.collect().await.unwrap().to_bytes(), "b");
}

#[tokio::test]
async fn a_body_that_breaks_off_is_the_clients_fault() {
    let server = Server::saying(OK).await;
    let parts: [Result<Frame<bytes::Bytes>, BoxError>; 2] =
        [Ok(Frame::data("x".into())), Err("gone".into())];
    let mut ask = post();
    let body = StreamBody::new(tokio_stream::iter(parts));
    ask.body = RequestBody::Stream(BodyExt::boxed_unsync(body));
    let answer = upstreams().stream(&server.endpoint(), ask).await;
    assert!(matches!(answer, Err(UpstreamError::Body)), "{answer:?}");
    assert!(server.seen().is_empty(), "it never was a request");
}
