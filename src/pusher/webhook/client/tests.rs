//! The client and a real receiver.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use futures_util::{StreamExt, stream};
use http::HeaderMap;
use http_body_util::combinators::BoxBody;
use http_body_util::{Empty, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rcgen::generate_simple_self_signed;
use rustls::pki_types::PrivateKeyDer;
use rustls::{RootCertStore, ServerConfig};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::auth::pusher::App;
use crate::pusher::webhook::Target;
use crate::pusher::webhook::lane::LaneId;

/// How a receiver answers.
#[derive(Debug, Clone)]
enum Answer {
    Status(u16),
    Redirect(String),
    /// Nothing, ever.
    Silence,
    /// 200 and a body that stops in the middle.
    Stall,
    /// 200 and a body without an end.
    Flood,
}

/// A request as it came.
#[derive(Debug, Clone)]
struct Seen {
    line: String,
    headers: HeaderMap,
    body: Bytes,
}

/// A receiver: what it has seen, and how many connections there were.
struct Receiver {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    connections: Arc<Mutex<usize>>,
}

impl Receiver {
    async fn start(answer: Answer, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let receiver = Self {
            address: listener.local_addr().unwrap(),
            seen: Arc::default(),
            connections: Arc::default(),
        };
        let (seen, connections) = (receiver.seen.clone(), receiver.connections.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                *connections.lock().unwrap() += 1;
                let (answer, seen, tls) = (answer.clone(), seen.clone(), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        None => serve(TokioIo::new(stream), answer, seen).await,
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                serve(TokioIo::new(stream), answer, seen).await;
                            }
                        }
                    }
                });
            }
        });
        receiver
    }

    async fn plain(answer: Answer) -> Self {
        Self::start(answer, None).await
    }

    fn url(&self, host: &str) -> String {
        format!("http://{host}:{}/hook?key=k1", self.address.port())
    }

    fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    fn connections(&self) -> usize {
        *self.connections.lock().unwrap()
    }
}

async fn serve<S>(stream: S, answer: Answer, seen: Arc<Mutex<Vec<Seen>>>)
where
    S: hyper::rt::Read + hyper::rt::Write + Unpin,
{
    let service = service_fn(|request: Request<Incoming>| {
        let (answer, seen) = (answer.clone(), seen.clone());
        async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await?.to_bytes();
            seen.lock().unwrap().push(Seen {
                line: format!("{} {}", head.method, head.uri),
                headers: head.headers,
                body,
            });
            respond(answer).await
        }
    });
    // The client may close it as it likes.
    let _ = hyper::server::conn::http1::Builder::new()
        .serve_connection(stream, service)
        .await;
}

async fn respond(answer: Answer) -> Result<Response<BoxBody<Bytes, Infallible>>, hyper::Error> {
    let chunk = || Ok(Frame::data(Bytes::from_static(&[b'x'; 4096])));
    let response = Response::builder();
    let response = match answer {
        Answer::Status(status) => response.status(status).body(Empty::new().boxed()),
        Answer::Redirect(to) => response
            .status(307)
            .header("location", to)
            .body(Empty::new().boxed()),
        Answer::Silence => std::future::pending().await,
        Answer::Stall => {
            let stream = stream::iter([chunk()]).chain(stream::pending());
            response.body(BoxBody::new(StreamBody::new(stream)))
        }
        Answer::Flood => {
            let stream = stream::repeat_with(chunk);
            response.body(BoxBody::new(StreamBody::new(stream)))
        }
    };
    Ok(response.unwrap())
}

/// What reaches this machine.
fn local() -> Config {
    Config {
        loopback: true,
        ..Config::default()
    }
}

fn attempt(url: &str) -> Attempt {
    Attempt {
        lane: LaneId(1),
        hook: Arc::new(Hook {
            app: Arc::new(App::new("1", "key", "secret")),
            target: Target::parse(url).unwrap(),
            kinds: vec![],
        }),
        body: r#"{"time_ms":1,"events":[]}"#.into(),
    }
}

async fn post(config: &Config, url: &str) -> Result<(), SendError> {
    Client::new(config).unwrap().post(attempt(url)).await
}

#[tokio::test]
async fn a_request_is_as_pusher_makes_it() {
    let receiver = Receiver::plain(Answer::Status(204)).await;
    let url = receiver
        .url("127.0.0.1")
        .replace("http://", "http://ann:pw@");
    post(&local(), &url).await.unwrap();
    let seen = receiver.seen();
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].line, "POST /hook?key=k1");
    assert_eq!(seen[0].body, r#"{"time_ms":1,"events":[]}"#);
    let header = |name: &str| seen[0].headers[name].to_str().unwrap().to_owned();
    assert_eq!(header("content-type"), "application/json");
    assert_eq!(header("x-pusher-key"), "key");
    assert_eq!(
        header("x-pusher-signature"),
        "7f7f57446968d787e73e1325b85147edc7991af069e8fffdc6a4e6fcc288693c"
    );
    assert_eq!(header("authorization"), "Basic YW5uOnB3");
    assert_eq!(header("host"), receiver.address.to_string());
    assert_eq!(header("content-length"), "25");
}

#[tokio::test]
async fn what_is_not_2xx_has_failed_and_redirects_lead_nowhere() {
    let other = Receiver::plain(Answer::Status(200)).await;
    for answer in [
        Answer::Status(500),
        Answer::Status(404),
        Answer::Status(304),
        Answer::Redirect(other.url("127.0.0.1")),
    ] {
        let receiver = Receiver::plain(answer.clone()).await;
        let failed = post(&local(), &receiver.url("127.0.0.1")).await;
        assert!(matches!(failed, Err(SendError::Status(_))), "{answer:?}");
        assert_eq!(receiver.seen().len(), 1);
    }
    assert_eq!(other.connections(), 0);
}

#[tokio::test]
async fn private_addresses_are_not_even_connected_to() {
    let receiver = Receiver::plain(Answer::Status(200)).await;
    let hosts = [
        "127.0.0.1",
        "localhost",
        "[::ffff:127.0.0.1]",
        "2130706433",
        "0x7f.1",
    ];
    let urls = hosts.map(|host| receiver.url(host));
    let tls = urls[..3].iter().map(|url| url.replace("http:", "https:"));
    for url in urls.iter().cloned().chain(tls) {
        // Without a webhook by https no certificates are looked for.
        let failed = post(&Config::default(), &url).await;
        assert!(
            matches!(failed, Err(SendError::Blocked)),
            "{url} {failed:?}"
        );
    }
    assert_eq!(receiver.connections(), 0);
    let allowed = Config {
        allow: vec!["127.0.0.0/8".parse().unwrap()],
        ..Config::default()
    };
    for host in ["127.0.0.1", "localhost", "2130706433"] {
        post(&allowed, &receiver.url(host)).await.unwrap();
    }
    assert_eq!(receiver.seen().len(), 3);
}

#[tokio::test]
async fn silence_ends_with_the_timeout() {
    let config = Config {
        timeout: Duration::from_millis(200),
        ..local()
    };
    let receiver = Receiver::plain(Answer::Silence).await;
    let failed = post(&config, &receiver.url("127.0.0.1")).await;
    assert!(matches!(failed, Err(SendError::Timeout)), "{failed:?}");
    // The status counts; what follows it does not.
    let receiver = Receiver::plain(Answer::Stall).await;
    post(&config, &receiver.url("127.0.0.1")).await.unwrap();
}

#[tokio::test]
async fn a_body_without_an_end_is_cut_off() {
    let receiver = Receiver::plain(Answer::Flood).await;
    let config = Config {
        timeout: Duration::from_secs(3_600),
        ..local()
    };
    post(&config, &receiver.url("127.0.0.1")).await.unwrap();
}

#[tokio::test]
async fn a_connection_serves_again() {
    let receiver = Receiver::plain(Answer::Status(200)).await;
    let client = Client::new(&local()).unwrap();
    // When it is free again is the client's own affair.
    for _ in 0..100 {
        client
            .post(attempt(&receiver.url("127.0.0.1")))
            .await
            .unwrap();
        if receiver.connections() < receiver.seen().len() {
            return;
        }
    }
    panic!("each request has a connection of its own");
}

#[tokio::test]
async fn nobody_there_is_a_failure() {
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", gone.local_addr().unwrap());
    drop(gone);
    let failed = post(&local(), &url).await;
    assert!(matches!(failed, Err(SendError::Failed(_))), "{failed:?}");
}

#[tokio::test]
async fn tls_checks_the_name_although_the_address_is_pinned() {
    let signed = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(signed.signing_key.serialize_der()).unwrap();
    let certificate = signed.cert.der().clone();
    let provider = || Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let server = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(server));
    let receiver = Receiver::start(Answer::Status(200), Some(acceptor)).await;
    let client = |roots: RootCertStore| {
        let tls = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        Client::with_tls(&local(), tls)
    };
    let mut trusted = RootCertStore::empty();
    trusted.add(certificate).unwrap();
    let url = |host: &str| receiver.url(host).replace("http:", "https:");
    let trusting = client(trusted.clone());
    trusting.post(attempt(&url("localhost"))).await.unwrap();
    assert_eq!(receiver.seen().len(), 1);
    for (roots, host) in [
        (trusted, "127.0.0.1"),
        (RootCertStore::empty(), "localhost"),
    ] {
        let failed = client(roots).post(attempt(&url(host))).await;
        assert!(matches!(failed, Err(SendError::Failed(_))), "{failed:?}");
    }
    assert_eq!(receiver.seen().len(), 1);
}
