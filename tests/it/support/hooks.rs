//! A receiver of webhooks: it answers as it is told to and keeps what came.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use aws_lc_rs::hmac;
use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::AbortHandle;

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Hook {
    pub path: String,
    pub headers: HeaderMap,
    pub body: Bytes,
    /// What it was answered.
    pub status: u16,
}

impl Hook {
    /// Whether it is signed with `secret`.
    pub fn is_signed(&self, secret: &str) -> bool {
        self.headers["x-pusher-signature"] == signature(secret, &self.body)
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub fn events(&self) -> Vec<Value> {
        self.json()["events"].as_array().unwrap().clone()
    }
}

/// The hex HMAC-SHA256 of `text`.
pub fn signature(secret: &str, text: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let tag = hmac::sign(&key, text);
    tag.as_ref().iter().map(|b| format!("{b:02x}")).collect()
}

/// A running receiver; ends when dropped.
pub struct HookReceiver {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Hook>>>,
    task: AbortHandle,
}

impl HookReceiver {
    /// One that answers with these statuses and then with 200.
    pub async fn start(answers: &[u16]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let answers = Arc::new(Mutex::new(VecDeque::from(answers.to_vec())));
        let seen = Arc::<Mutex<Vec<Hook>>>::default();
        let (said, kept) = (answers, seen.clone());
        let accept = async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (answers, seen) = (said.clone(), kept.clone());
                let service =
                    service_fn(move |request| answer(request, answers.clone(), seen.clone()));
                tokio::spawn(
                    hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service),
                );
            }
        };
        let task = tokio::spawn(accept).abort_handle();
        Self {
            address,
            seen,
            task,
        }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// All requests so far.
    pub fn seen(&self) -> Vec<Hook> {
        self.seen.lock().unwrap().clone()
    }

    /// The events of all requests that were taken, in order, as `name channel [user]`.
    pub fn events(&self) -> Vec<String> {
        let taken = self.seen().into_iter().filter(|hook| hook.status == 200);
        let events = taken.flat_map(|hook| hook.events());
        let name = |event: Value| {
            let fields = ["name", "channel", "user_id"];
            let texts = fields.map(|field| event[field].as_str());
            texts.into_iter().flatten().collect::<Vec<_>>().join(" ")
        };
        events.map(name).collect()
    }

    /// Waits until these events, in this order, are all that were taken.
    pub async fn expect(&self, events: &[&str]) {
        let arrived = || async { (self.events().len() >= events.len()).then_some(()) };
        super::eventually(&format!("{events:?}"), arrived).await;
        assert_eq!(self.events(), events);
    }
}

impl Drop for HookReceiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(
    request: Request<Incoming>,
    answers: Arc<Mutex<VecDeque<u16>>>,
    seen: Arc<Mutex<Vec<Hook>>>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let status = answers.lock().unwrap().pop_front().unwrap_or(200);
    seen.lock().unwrap().push(Hook {
        path: head.uri.to_string(),
        headers: head.headers,
        body,
        status,
    });
    let response = Response::builder().status(status);
    Ok(response.body(Full::default()).unwrap())
}
