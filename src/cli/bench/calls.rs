//! `pogo bench calls`: what a call to the gateway costs beside a ping, which does nothing: a show
//! that the cache answers, and one that the upstream is asked for each time.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE};
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::{WebSocketStream, client_async};

use super::fanout::cpu;
use super::report::micros;
use super::target::{Target, TargetArguments};
use crate::cli::error::CliError;
use crate::cli::output::Output;

/// Calls before those that count.
const WARM_UP: usize = 1_000;

/// How many calls, of what.
#[derive(Debug, clap::Args)]
pub(super) struct Calls {
    /// Calls of each kind
    #[arg(long, short = 'n', default_value_t = 20_000, value_name = "N")]
    calls: usize,
    /// Calls under way at a time, by one session
    #[arg(long, default_value_t = 1, value_name = "N")]
    depth: usize,
    /// Bytes of the resource
    #[arg(long, default_value_t = 512, value_name = "BYTES")]
    size: usize,
    #[command(flatten)]
    target: TargetArguments,
}

fn failed(error: impl std::fmt::Display) -> CliError {
    CliError::Failed(error.to_string())
}

impl Calls {
    pub(super) async fn run(mut self, out: &mut Output) -> Result<(), CliError> {
        if !self.target.spawn {
            let message = "this needs --spawn: the server's upstream is this process";
            return Err(CliError::Usage(message.into()));
        }
        let upstream = Upstream::start(self.size).await.map_err(failed)?;
        self.target.set.extend([
            "gateway.allow=[\"127.0.0.0/8\"]".to_owned(),
            format!(
                "endpoint=[{{name=\"bench\", item=\"/bench/{{kind}}/{{id}}\", access=\"public\", \
                 audience=\"shared\", auth={{mode=\"none\"}}, autobind=false, \
                 upstream={{bases=[\"{}\"]}}}}]",
                upstream.base
            ),
        ]);
        let mut target = self.target.resolve()?;
        let mut socket = connect(&target).await?;
        let kinds = [
            ("ping", json!({"id": 0, "event": "ping"})),
            ("cached", show("/bench/kept/1")),
            ("fetched", show("/bench/new/1")),
        ];
        let mut value = json!({"bench": "calls", "calls": self.calls, "depth": self.depth});
        let mut text = format!(
            "{} calls of each kind, {} at a time",
            self.calls, self.depth
        );
        for (kind, command) in kinds {
            self.ask(&mut socket, &command, WARM_UP).await?;
            let (before, asked) = (cpu(&mut target)?, upstream.asked());
            self.ask(&mut socket, &command, self.calls).await?;
            let used = cpu(&mut target)?.since(&before).total as f64 / self.calls as f64;
            let requests = upstream.asked() - asked;
            value[kind] = json!({"cpu_us": micros(used), "upstream_requests": requests});
            text += &format!(
                "\n{kind:<8} {:6.2} µs of CPU a call, {requests} requests to the upstream",
                used / 1e3
            );
        }
        out.record(&text, &value)
    }

    /// Sends `command` so many times and takes the replies.
    async fn ask(
        &self,
        socket: &mut WebSocketStream<TcpStream>,
        command: &Value,
        calls: usize,
    ) -> Result<(), CliError> {
        let command = Message::text(command.to_string());
        let mut left = calls;
        while left > 0 {
            let now = left.min(self.depth.max(1));
            for _ in 0..now {
                socket.feed(command.clone()).await.map_err(failed)?;
            }
            socket.flush().await.map_err(failed)?;
            let mut replies = 0;
            while replies < now {
                let message = socket.next().await;
                match message.ok_or_else(|| failed("the server has closed"))? {
                    Ok(Message::Text(reply)) if reply.contains("\"status\":\"ok\"") => replies += 1,
                    Ok(Message::Text(reply)) => return Err(failed(reply)),
                    Ok(_) => {}
                    Err(error) => return Err(failed(error)),
                }
            }
            left -= now;
        }
        Ok(())
    }
}

fn show(uri: &str) -> Value {
    json!({"id": 0, "event": "show", "uri": uri})
}

/// A client beyond its welcome.
async fn connect(target: &Target) -> Result<WebSocketStream<TcpStream>, CliError> {
    let (url, token) = target.door();
    let mut request = url.into_client_request().map_err(failed)?;
    if let Some(token) = token {
        let bearer = format!("Bearer {token}").parse().map_err(failed)?;
        request.headers_mut().insert(AUTHORIZATION, bearer);
    }
    let stream = TcpStream::connect(target.address()).await.map_err(failed)?;
    stream.set_nodelay(true).map_err(failed)?;
    let (mut socket, _) = client_async(request, stream).await.map_err(failed)?;
    socket
        .next()
        .await
        .ok_or_else(|| failed("no welcome"))?
        .map_err(failed)?;
    Ok(socket)
}

/// The REST API behind the server: every answer is the same, `/bench/kept/…` may be kept.
struct Upstream {
    base: String,
    asked: Arc<AtomicU64>,
}

impl Upstream {
    async fn start(size: usize) -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let base = format!("http://{}", listener.local_addr()?);
        let asked = Arc::new(AtomicU64::new(0));
        let counted = asked.clone();
        let body = Bytes::from(json!({"id": 1, "text": "x".repeat(size)}).to_string());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (asked, body) = (counted.clone(), body.clone());
                let service = service_fn(move |request: Request<Incoming>| {
                    asked.fetch_add(1, Ordering::Relaxed);
                    let kept = request.uri().path().contains("/kept/");
                    let response = Response::builder()
                        .header(CONTENT_TYPE, "application/json")
                        .header(
                            CACHE_CONTROL,
                            if kept { "max-age=3600" } else { "no-store" },
                        )
                        .body(Full::new(body.clone()))
                        .unwrap_or_default();
                    async move { Ok::<_, Infallible>(response) }
                });
                let connection = http1::Builder::new();
                tokio::spawn(connection.serve_connection(TokioIo::new(stream), service));
            }
        });
        Ok(Self { base, asked })
    }

    /// Requests up to now.
    fn asked(&self) -> u64 {
        self.asked.load(Ordering::Relaxed)
    }
}
