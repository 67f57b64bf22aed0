//! An upstream that answers when and what it is told.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};

/// A request that waits for its answer.
pub(super) struct Asked {
    pub(super) method: Method,
    /// Path and query.
    pub(super) path: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    answer: oneshot::Sender<Response<Full<Bytes>>>,
}

impl Asked {
    pub(super) fn line(&self) -> String {
        format!("{} {}", self.method, self.path)
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// JSON, with more headers as `name: value`.
    pub(super) fn answer(self, status: u16, headers: &[&str], body: &str) {
        let mut response = Response::builder().status(status);
        let typed = headers.iter().any(|line| line.starts_with("content-type"));
        if !typed && !body.is_empty() {
            response = response.header("content-type", "application/json");
        }
        for line in headers {
            let (name, value) = line.split_once(": ").unwrap();
            response = response.header(name, value);
        }
        let body = Full::from(body.to_owned());
        let _ = self.answer.send(response.body(body).unwrap());
    }

    pub(super) fn ok(self, body: &str) {
        self.answer(200, &[], body);
    }
}

/// What it was asked, in order.
pub(super) struct Upstream {
    pub(super) base: String,
    asked: tokio::sync::Mutex<mpsc::Receiver<Asked>>,
    seen: Arc<Mutex<VecDeque<String>>>,
}

impl Upstream {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}/v1", listener.local_addr().unwrap());
        let (tell, asked) = mpsc::channel(1_000);
        let seen: Arc<Mutex<VecDeque<String>>> = Arc::default();
        let log = Arc::clone(&seen);
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let (tell, log) = (tell.clone(), Arc::clone(&log));
                let service = service_fn(move |request| serve(request, tell.clone(), log.clone()));
                let serving = http1::Builder::new().serve_connection(TokioIo::new(socket), service);
                tokio::spawn(async move {
                    let _ = serving.await;
                });
            }
        });
        Self {
            base,
            asked: asked.into(),
            seen,
        }
    }

    /// The next request.
    pub(super) async fn next(&self) -> Asked {
        let mut asked = self.asked.lock().await;
        let next = tokio::time::timeout(Duration::from_secs(5), asked.recv());
        next.await.expect("the upstream is asked nothing").unwrap()
    }

    /// The next request, which must be this one.
    pub(super) async fn expect(&self, line: &str) -> Asked {
        let asked = self.next().await;
        assert_eq!(asked.line(), line);
        asked
    }

    /// Everything it has been asked so far.
    pub(super) fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().iter().cloned().collect()
    }
}

async fn serve(
    request: Request<Incoming>,
    tell: mpsc::Sender<Asked>,
    log: Arc<Mutex<VecDeque<String>>>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map(|body| body.to_bytes());
    let path = parts.uri.path_and_query().unwrap().as_str();
    let (answer, answered) = oneshot::channel();
    let asked = Asked {
        method: parts.method,
        path: path.strip_prefix("/v1").unwrap().to_owned(),
        headers: parts.headers,
        body: body.unwrap_or_default(),
        answer,
    };
    log.lock().unwrap().push_back(asked.line());
    let _ = tell.send(asked).await;
    match answered.await {
        Ok(response) => Ok(response),
        // The test has let go of it: no answer ever.
        Err(_) => std::future::pending().await,
    }
}
