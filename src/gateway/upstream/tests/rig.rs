//! A server of bytes, and an endpoint in front of it.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Response};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use crate::gateway::upstream::{Asked, Config, RequestBody, UpstreamError, Upstreams};
use crate::metrics::Metrics;
use crate::resource::Endpoint;

pub(super) const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";

/// What a server does with a request.
pub(super) enum Reply {
    /// Says this, and waits for the next.
    Say(String),
    /// Says this, and closes.
    Last(String),
    /// Says these, with pauses between them.
    Slowly(Vec<String>, Duration),
    /// Says nothing.
    Nothing,
}

/// An address where nobody listens, and nobody else will: it stays taken.
pub(super) struct Nobody {
    _taken: TcpSocket,
    address: SocketAddr,
}

impl Nobody {
    pub(super) fn new() -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = socket.local_addr().unwrap();
        Self {
            _taken: socket,
            address,
        }
    }

    pub(super) fn base(&self) -> String {
        format!("http://{}", self.address)
    }
}

/// A server, and what it has seen.
pub(super) struct Server {
    pub(super) port: u16,
    seen: Arc<Mutex<Vec<String>>>,
    connections: Arc<AtomicUsize>,
}

impl Server {
    /// `answer` gets the number of the request, from 0, and its text.
    pub(super) async fn start(
        answer: impl Fn(usize, &str) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Self {
            port: listener.local_addr().unwrap().port(),
            seen: Arc::default(),
            connections: Arc::default(),
        };
        let (seen, connections) = (server.seen.clone(), server.connections.clone());
        let answer = Arc::new(answer);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                connections.fetch_add(1, Ordering::SeqCst);
                let (seen, answer) = (seen.clone(), answer.clone());
                tokio::spawn(async move {
                    let _ = serve(stream, &seen, &*answer).await;
                });
            }
        });
        server
    }

    pub(super) async fn saying(text: &'static str) -> Self {
        Self::start(move |_, _| Reply::Say(text.into())).await
    }

    pub(super) fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }

    pub(super) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// An endpoint that leads here, and may.
    pub(super) fn endpoint(&self) -> Endpoint {
        endpoint(&[&format!("http://127.0.0.1:{}/v1", self.port)])
    }
}

async fn serve(
    mut stream: TcpStream,
    seen: &Mutex<Vec<String>>,
    answer: &(dyn Fn(usize, &str) -> Reply + Send + Sync),
) -> std::io::Result<()> {
    let mut buffer = Vec::new();
    loop {
        let request = loop {
            if let Some(end) = whole(&buffer) {
                break String::from_utf8(buffer.drain(..end).collect()).unwrap();
            }
            if stream.read_buf(&mut buffer).await? == 0 {
                return Ok(());
            }
        };
        let number = {
            let mut seen = seen.lock().unwrap();
            seen.push(request.clone());
            seen.len() - 1
        };
        match answer(number, &request) {
            Reply::Say(text) => stream.write_all(text.as_bytes()).await?,
            Reply::Last(text) => return stream.write_all(text.as_bytes()).await,
            Reply::Slowly(parts, pause) => {
                for part in parts {
                    stream.write_all(part.as_bytes()).await?;
                    tokio::time::sleep(pause).await;
                }
            }
            Reply::Nothing => std::future::pending().await,
        }
    }
}

/// Where the first request in `bytes` ends, if it is all there.
fn whole(bytes: &[u8]) -> Option<usize> {
    let text = std::str::from_utf8(bytes).unwrap();
    let body = text.find("\r\n\r\n")? + 4;
    let head = text[..body].to_ascii_lowercase();
    if head.contains("transfer-encoding: chunked") {
        return Some(body + text[body..].find("0\r\n\r\n")? + 5);
    }
    let length = head.split("content-length: ").nth(1);
    let length = length.map_or(0, |rest| rest.lines().next().unwrap().parse().unwrap());
    (bytes.len() >= body + length).then_some(body + length)
}

/// An endpoint with these bases, which may be this machine; patient for a second.
pub(super) fn endpoint(bases: &[&str]) -> Endpoint {
    let bases = bases.iter().map(|base| base.parse().unwrap()).collect();
    let mut endpoint = Endpoint::new("posts", Some("/posts/{id}"), Some("/posts"), bases);
    endpoint.upstream.literal = true;
    endpoint.upstream.timeout = Duration::from_secs(2);
    endpoint
}

pub(super) fn upstreams() -> Upstreams {
    Upstreams::new(Config::default(), Metrics::new())
}

pub(super) fn asked(method: Method, path: &str, body: impl Into<Bytes>) -> Asked {
    Asked {
        method,
        path: path.into(),
        headers: HeaderMap::new(),
        identity: HeaderMap::new(),
        body: RequestBody::Whole(body.into()),
        idempotent: false,
        address: None,
    }
}

pub(super) fn get() -> Asked {
    asked(Method::GET, "/posts/1", "")
}

pub(super) fn post() -> Asked {
    asked(Method::POST, "/posts", "{}")
}

/// What a server that says this comes to.
pub(super) async fn fetched(text: &'static str) -> Result<Response<Bytes>, UpstreamError> {
    let server = Server::start(move |_, _| Reply::Last(text.into())).await;
    let mut endpoint = server.endpoint();
    endpoint.upstream.retries = 0;
    upstreams().fetch(&endpoint, get(), 1024).await
}
