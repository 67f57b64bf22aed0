//! A WebSocket client that shares no code with the server. Every wait has an end.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use http::{HeaderName, HeaderValue, Request};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use super::{Codec, PATIENCE};

/// How to connect.
#[derive(Debug, Clone)]
pub struct Connect {
    path: String,
    protocols: Vec<String>,
    headers: Vec<(String, String)>,
}

impl Default for Connect {
    fn default() -> Self {
        Self {
            path: "/ws".into(),
            protocols: vec!["pogo.v1.json".into()],
            headers: vec![],
        }
    }
}

impl Connect {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn path(mut self, path: &str) -> Self {
        self.path = path.into();
        self
    }

    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Only these subprotocols; none at all if empty.
    pub fn protocols(mut self, protocols: &[&str]) -> Self {
        self.protocols = protocols.iter().map(|&protocol| protocol.into()).collect();
        self
    }

    /// The token as a browser sends it.
    pub fn token(mut self, token: &str) -> Self {
        self.protocols.push(format!("pogo.bearer.{token}"));
        self
    }

    /// The token as a service sends it.
    pub fn bearer(self, token: &str) -> Self {
        self.header("authorization", &format!("Bearer {token}"))
    }

    fn request(&self, edge: SocketAddr) -> Request<()> {
        let mut request = format!("ws://{edge}{}", self.path)
            .into_client_request()
            .unwrap();
        let headers = request.headers_mut();
        if !self.protocols.is_empty() {
            let offered = HeaderValue::from_str(&self.protocols.join(", ")).unwrap();
            headers.insert("sec-websocket-protocol", offered);
        }
        for (name, value) in &self.headers {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            headers.append(name, HeaderValue::from_str(value).unwrap());
        }
        request
    }

    /// Connects; a refusal is the HTTP response.
    pub async fn try_open(
        &self,
        server: impl Into<SocketAddr>,
    ) -> Result<Client, http::Response<Vec<u8>>> {
        let edge = server.into();
        let stream = TcpStream::connect(edge).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let opening = client_async(self.request(edge), stream);
        match tokio::time::timeout(PATIENCE, opening)
            .await
            .expect("the handshake hangs")
        {
            Ok((socket, response)) => {
                let chosen = response.headers().get("sec-websocket-protocol");
                let protocol = chosen.map(|chosen| chosen.to_str().unwrap().to_owned());
                let codec = protocol.as_deref().map(Codec::of);
                Ok(Client {
                    socket,
                    protocol,
                    codec: codec.unwrap_or_default(),
                    waiting: VecDeque::new(),
                    next_id: 1,
                })
            }
            Err(Error::Http(response)) => Err(response.map(Option::unwrap_or_default)),
            Err(error) => panic!("the handshake failed: {error}"),
        }
    }

    /// Connects without reading anything yet.
    pub async fn open(&self, server: impl Into<SocketAddr>) -> Client {
        self.try_open(server)
            .await
            .unwrap_or_else(|refusal| panic!("refused: {refusal:?}"))
    }

    /// The status of a refused handshake.
    pub async fn refused(&self, server: impl Into<SocketAddr>) -> u16 {
        match self.try_open(server).await {
            Ok(_) => panic!("the handshake was accepted"),
            Err(response) => response.status().as_u16(),
        }
    }
}

/// A connected client.
pub struct Client {
    socket: WebSocketStream<TcpStream>,
    /// The subprotocol that the server chose.
    pub protocol: Option<String>,
    codec: Codec,
    waiting: VecDeque<Value>,
    next_id: u64,
}

/// What came in.
enum Incoming {
    Frame(Value),
    Closed(u16, String),
}

impl Client {
    /// Connects with `token` and takes the welcome.
    pub async fn with(server: impl Into<SocketAddr>, token: &str) -> Self {
        Self::welcomed(server, &Connect::new().token(token)).await.0
    }

    /// Connects without a token and takes the welcome.
    pub async fn anonymous(server: impl Into<SocketAddr>) -> Self {
        Self::welcomed(server, &Connect::new()).await.0
    }

    /// Connects and returns the welcome's data too.
    pub async fn welcomed(server: impl Into<SocketAddr>, connect: &Connect) -> (Self, Value) {
        let mut client = connect.open(server).await;
        let welcome = client.next().await;
        assert_eq!(welcome["event"], "pogo:welcome", "{welcome}");
        (client, welcome["data"].clone())
    }

    pub async fn send(&mut self, command: &Value) {
        self.send_raw(self.codec.write(command)).await;
    }

    pub async fn send_raw(&mut self, message: Message) {
        self.socket.send(message).await.unwrap();
    }

    /// Sends, and pays no heed to whether the server is still there.
    pub async fn try_send(&mut self, message: Message) -> bool {
        self.socket.send(message).await.is_ok()
    }

    /// Sends `command` with an id of its own and returns the whole reply. What is pushed meanwhile
    /// waits for [`Self::next`].
    pub async fn command(&mut self, mut command: Value) -> Value {
        let id = self.next_id;
        self.next_id += 1;
        command["id"] = json!(id);
        self.send(&command).await;
        loop {
            match self.read().await {
                Incoming::Frame(frame) if frame["id"] == json!(id) => return frame,
                Incoming::Frame(frame) => self.waiting.push_back(frame),
                Incoming::Closed(code, reason) => panic!("closed with {code} {reason}: {command}"),
            }
        }
    }

    /// The reply's data; anything but `ok` fails.
    pub async fn ok(&mut self, command: Value) -> Value {
        let reply = self.command(command.clone()).await;
        assert_eq!(reply["status"], "ok", "{command} → {reply}");
        reply["data"].clone()
    }

    /// The code of the error that `command` must get.
    pub async fn error(&mut self, command: Value) -> String {
        let reply = self.command(command.clone()).await;
        assert_eq!(reply["status"], "error", "{command} → {reply}");
        assert!(reply["error"]["message"].is_string(), "{reply}");
        reply["error"]["code"].as_str().unwrap().to_owned()
    }

    pub async fn subscribe(&mut self, channel: &str) -> Value {
        self.ok(json!({"event": "channel:subscribe", "channel": channel}))
            .await
    }

    /// The next frame that is no reply to [`Self::command`].
    pub async fn next(&mut self) -> Value {
        if let Some(frame) = self.waiting.pop_front() {
            return frame;
        }
        match self.read().await {
            Incoming::Frame(frame) => frame,
            Incoming::Closed(code, reason) => panic!("closed with {code} {reason}"),
        }
    }

    /// Drops what was pushed before the last reply and not taken.
    pub fn forget(&mut self) {
        self.waiting.clear();
    }

    /// The next text frame, letter for letter.
    pub async fn next_text(&mut self) -> String {
        assert!(self.waiting.is_empty(), "frames wait: {:?}", self.waiting);
        let next = tokio::time::timeout(PATIENCE, self.socket.next()).await;
        match next.expect("nothing comes") {
            Some(Ok(Message::Text(text))) => text.to_string(),
            other => panic!("no text: {other:?}"),
        }
    }

    /// The next push, which must be `event`.
    pub async fn expect(&mut self, event: &str) -> Value {
        let push = self.next().await;
        assert_eq!(push["event"], event, "{push}");
        push
    }

    /// Nothing has been pushed: two round trips lie between what was done before and this answer.
    pub async fn quiet(&mut self) {
        for _ in 0..2 {
            self.ok(json!({"event": "ping"})).await;
        }
        assert!(self.waiting.is_empty(), "pushed: {:?}", self.waiting);
    }

    /// Everything pushed until two round trips are over.
    pub async fn drain(&mut self) -> Vec<Value> {
        for _ in 0..2 {
            self.ok(json!({"event": "ping"})).await;
        }
        self.waiting.drain(..).collect()
    }

    /// Reads on until the server closes: code and reason.
    pub async fn closed(&mut self) -> (u16, String) {
        loop {
            match self.read().await {
                Incoming::Frame(frame) => self.waiting.push_back(frame),
                Incoming::Closed(code, reason) => return (code, reason),
            }
        }
    }

    /// Closes as a well-behaved client does.
    pub async fn close(mut self) {
        self.socket.close(None).await.unwrap();
        while let Ok(Some(Ok(_))) = tokio::time::timeout(PATIENCE, self.socket.next()).await {}
    }

    async fn read(&mut self) -> Incoming {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let next = tokio::time::timeout_at(deadline, self.socket.next()).await;
            match next.expect("nothing comes") {
                Some(Ok(message @ (Message::Text(_) | Message::Binary(_)))) => {
                    return Incoming::Frame(self.codec.read(&message));
                }
                Some(Ok(Message::Close(Some(close)))) => {
                    return Incoming::Closed(close.code.into(), close.reason.to_string());
                }
                Some(Ok(Message::Close(None))) => {
                    return Incoming::Closed(CloseCode::Status.into(), String::new());
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Incoming::Closed(1006, "no close frame".into()),
            }
        }
    }

    /// Waits `span` and fails if anything comes; a ping says nothing.
    pub async fn silent_for(&mut self, span: Duration) {
        let end = tokio::time::Instant::now() + span;
        while let Ok(next) = tokio::time::timeout_at(end, self.socket.next()).await {
            assert!(matches!(next, Some(Ok(Message::Ping(_)))), "came: {next:?}");
        }
    }
}
