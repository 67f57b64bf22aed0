//! The front half on real sockets, with sessions that only take connections and keep them.

mod fallback;
mod limits;
mod proxies;
mod requests;
mod sites;
mod slow;
mod streams;
mod tls;
mod tokens;

use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use super::*;
use crate::auth::pusher::{App, Apps};
use crate::auth::{self, IssuerConfig, KeySource, SigningKey};
use crate::channel::Rules;
use crate::edge::{Connection, Stream};
use crate::notice::Notices;

const SECRET: &[u8] = b"a secret that is long enough for HS256";
/// Beyond it a test has failed.
const PATIENCE: Duration = Duration::from_secs(20);

/// Sessions that keep what they are given.
struct Shelf {
    taken: mpsc::Sender<Connection>,
    busy: Mutex<Option<Busy>>,
}

impl Sessions for Shelf {
    fn ready(&self) -> Result<(), Busy> {
        self.busy.lock().unwrap().map_or(Ok(()), Err)
    }

    fn adopt(&self, connection: Connection) -> Result<(), Box<Connection>> {
        self.taken
            .try_send(connection)
            .map_err(|error| Box::new(error.into_inner()))
    }
}

/// A running front.
struct Edge {
    address: SocketAddr,
    front: Arc<Front>,
    shelf: Arc<Shelf>,
    taken: mpsc::Receiver<Connection>,
    serving: tokio::task::JoinHandle<()>,
}

impl Drop for Edge {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Edge {
    async fn start(config: Config) -> Self {
        Self::limited(config, limits::roomy()).await
    }

    async fn limited(config: Config, limits: crate::limits::Config) -> Self {
        let metrics = Metrics::new();
        let (sender, taken) = mpsc::channel(1_000);
        let shelf = Arc::new(Shelf {
            taken: sender,
            busy: Mutex::default(),
        });
        let issuer = IssuerConfig {
            issuer: None,
            algorithms: Vec::new(),
            keys: KeySource::Secret(SECRET.to_vec()),
        };
        let auth = auth::Config {
            issuers: vec![issuer],
            ..auth::Config::default()
        };
        let services = FrontServices {
            limits: Arc::new(Limits::new(&limits, Arc::default(), &metrics)),
            authenticator: Arc::new(Authenticator::new(auth).unwrap()),
            revocations: Arc::default(),
            sessions: Arc::clone(&shelf) as Arc<dyn Sessions>,
            sites: vec![Arc::new(sites::Echo)],
            stream: Some(Arc::new(streams::Echo)),
            shared: Arc::new(Shared {
                rules: ArcSwap::from_pointee(Rules::new(Vec::new(), false)),
                revocations: Arc::default(),
                routes: ArcSwap::default(),
                apps: ArcSwap::from_pointee(Apps::new([App::new("1", "app", "secret")])),
                settings: ArcSwap::default(),
                notices: Arc::new(Notices::new(1, 0, &metrics)),
                metrics: metrics.clone(),
            }),
            metrics,
        };
        let front = Arc::new(Front::new(config, services).unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = tokio::spawn(Arc::clone(&front).serve(listener, std::future::pending()));
        Self {
            address,
            front,
            shelf,
            taken,
            serving,
        }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Sends `request` and returns everything that comes back, until the server closes or hands
    /// the connection over (then: the head).
    async fn ask(&self, request: impl AsRef<[u8]>) -> String {
        let mut stream = self.connect().await;
        stream.write_all(request.as_ref()).await.unwrap();
        read_answer(&mut stream).await
    }

    /// Opens a WebSocket.
    async fn open(&mut self, request: &str) -> (TcpStream, Connection) {
        let mut stream = self.connect().await;
        stream.write_all(request.as_bytes()).await.unwrap();
        let answer = read_answer(&mut stream).await;
        assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
        (stream, self.next().await)
    }

    async fn next(&mut self) -> Connection {
        tokio::time::timeout(PATIENCE, self.taken.recv())
            .await
            .unwrap()
            .unwrap()
    }
}

async fn read_answer(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> String {
    let mut bytes = Vec::new();
    let read = async {
        loop {
            let mut scratch = [0; 4096];
            match stream.read(&mut scratch).await {
                Ok(0) | Err(_) => break,
                Ok(read) => bytes.extend(&scratch[..read]),
            }
            if bytes.starts_with(b"HTTP/1.1 101 ") && bytes.ends_with(b"\r\n\r\n") {
                break;
            }
        }
    };
    tokio::time::timeout(PATIENCE, read)
        .await
        .expect("an answer in time");
    String::from_utf8(bytes).unwrap()
}

/// A handshake; `extra` lines are added.
fn upgrade(extra: &str) -> String {
    upgrade_at("/", extra)
}

fn upgrade_at(target: &str, extra: &str) -> String {
    format!(
        "GET {target} HTTP/1.1\r\nHost: server.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{extra}\r\n"
    )
}

fn status(answer: &str) -> u16 {
    let status = answer
        .starts_with("HTTP/1.")
        .then(|| answer.get(9..12))
        .flatten();
    status
        .and_then(|status| status.parse().ok())
        .unwrap_or_else(|| panic!("no answer: {answer:?}"))
}

/// The value of a header.
fn header<'a>(answer: &'a str, name: &str) -> Option<&'a str> {
    let head = answer.split("\r\n\r\n").next()?;
    head.lines().skip(1).find_map(|line| {
        let (found, value) = line.split_once(':')?;
        found.eq_ignore_ascii_case(name).then_some(value.trim())
    })
}

fn token(subject: &str, lifetime: i64) -> String {
    let expires = i64::try_from(Now::read().unix.as_secs()).unwrap() + lifetime;
    let claims = format!(r#"{{"sub":"{subject}","exp":{expires},"jti":"{subject}-1"}}"#);
    auth::sign(&claims, SigningKey::Secret(SECRET), None, None).unwrap()
}
