//! A REST API behind the gateway: one whose answers the test holds back one by one, or gives by a
//! function. It shares no code with the server.

use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::PATIENCE;

/// Requests that the test has not taken yet; further ones wait before they are told.
const MAX_ASKED: usize = 1024;

/// What is answered.
pub type Reply = Response<Full<Bytes>>;

/// A running API; dropping it ends it.
pub struct Upstream {
    pub base: String,
    task: JoinHandle<()>,
}

/// A request that came.
#[derive(Debug)]
pub struct Heard {
    pub method: Method,
    /// With its query.
    pub path: String,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// An API whose requests the test answers one by one.
pub struct Held {
    pub upstream: Upstream,
    asked: mpsc::Receiver<Asked>,
}

/// A request that waits for its answer; dropped without one, its connection is cut.
#[derive(Debug)]
pub struct Asked {
    pub heard: Heard,
    answer: oneshot::Sender<Reply>,
}

impl Upstream {
    /// Answers each request by `answer`; `None` cuts the connection.
    pub async fn answering<F, A>(answer: F) -> Self
    where
        F: Fn(Heard) -> A + Send + Sync + 'static,
        A: Future<Output = Option<Reply>> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let answer = Arc::new(answer);
        let task = tokio::spawn(async move {
            // Its connections end with it.
            let mut connections = tokio::task::JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let answer = answer.clone();
                let service = service_fn(move |request: Request<Incoming>| {
                    let answer = answer.clone();
                    async move {
                        let (head, body) = request.into_parts();
                        let body = body.collect().await.map_err(|_| "cut")?.to_bytes();
                        let path = head.uri.path_and_query().unwrap().to_string();
                        let heard = Heard {
                            method: head.method,
                            path,
                            headers: head.headers,
                            body,
                        };
                        answer(heard).await.ok_or("cut")
                    }
                });
                let connection =
                    http1::Builder::new().serve_connection(TokioIo::new(stream), service);
                connections.spawn(async move {
                    let _: Result<(), _> = connection.await;
                });
            }
        });
        Self { base, task }
    }

    /// Every request waits for the test.
    pub async fn held() -> Held {
        let (tell, asked) = mpsc::channel(MAX_ASKED);
        let upstream = Self::answering(move |heard| {
            let (answer, answered) = oneshot::channel();
            let tell = tell.clone();
            async move {
                // A test that is over answers nobody.
                tell.send(Asked { heard, answer }).await.ok()?;
                answered.await.ok()
            }
        })
        .await;
        Held { upstream, asked }
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Held {
    /// The next request.
    pub async fn next(&mut self) -> Asked {
        let next = tokio::time::timeout(PATIENCE, self.asked.recv()).await;
        next.expect("nothing is asked").unwrap()
    }

    /// The next request, which must be this one.
    pub async fn expect(&mut self, method: &str, path: &str) -> Asked {
        let asked = self.next().await;
        let heard = (asked.heard.method.as_str(), asked.heard.path.as_str());
        assert_eq!(heard, (method, path));
        asked
    }

    /// Nothing has been asked that was not taken.
    pub fn idle(&mut self) {
        if let Ok(asked) = self.asked.try_recv() {
            panic!("asked: {:?}", asked.heard);
        }
    }
}

impl Asked {
    /// Answers with JSON.
    pub fn json(self, status: u16, body: &Value) {
        self.reply(json_reply(status, body));
    }

    /// Answers.
    pub fn reply(self, reply: Reply) {
        // Whoever asked may have given up.
        let _: Result<(), _> = self.answer.send(reply);
    }

    /// Whose token came with it: its `sub`, read without a check.
    pub fn subject(&self) -> Option<String> {
        subject(&self.heard.headers)
    }
}

/// The `sub` of a bearer token, read without a check.
pub fn subject(headers: &HeaderMap) -> Option<String> {
    use base64::Engine;
    let token = headers.get("authorization")?.to_str().unwrap();
    let claims = token.strip_prefix("Bearer ")?.split('.').nth(1)?;
    let claims = base64::engine::general_purpose::URL_SAFE_NO_PAD
        .decode(claims)
        .ok()?;
    let claims: Value = serde_json::from_slice(&claims).ok()?;
    Some(claims["sub"].as_str()?.to_owned())
}

/// A JSON answer.
pub fn json_reply(status: u16, body: &Value) -> Reply {
    let status = StatusCode::from_u16(status).unwrap();
    let body = if status == StatusCode::NO_CONTENT {
        Bytes::new()
    } else {
        Bytes::from(body.to_string())
    };
    Response::builder()
        .status(status)
        .header("content-type", "application/json")
        .body(Full::new(body))
        .unwrap()
}
