//! A client of the fallback transports as pusher-js is one: requests that receive, by streaming or
//! polling, and requests that send. It shares no code with the server, and every wait has an end.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use super::PATIENCE;
use super::http::{APP_KEY, Answer, ask};

/// A response that is read as it comes.
pub struct Response {
    stream: BufReader<TcpStream>,
    pub status: u16,
    pub head: String,
    text: String,
}

impl Response {
    /// Sends a request without a body and reads the head of the response.
    pub async fn of(address: SocketAddr, method: &str, target: &str, headers: &str) -> Self {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!(
            "{method} {target} HTTP/1.1\r\nhost: {address}\r\ncontent-length: 0\r\n{headers}\r\n"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut stream = BufReader::new(stream);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            let read = tokio::time::timeout(PATIENCE, stream.read_line(&mut head));
            assert_ne!(read.await.expect("an answer").unwrap(), 0, "cut: {head}");
        }
        Self {
            stream,
            status: head.split(' ').nth(1).unwrap().parse().unwrap(),
            head: head.to_lowercase(),
            text: String::new(),
        }
    }

    /// The next line without its end; `None` is the response's end.
    pub async fn line(&mut self) -> Option<String> {
        tokio::time::timeout(PATIENCE, self.next_line())
            .await
            .expect("a line in time")
    }

    async fn next_line(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.text.find('\n') {
                let line = self.text[..end].to_owned();
                self.text.drain(..=end);
                return Some(line);
            }
            let chunk = self.chunk().await?;
            self.text.push_str(&chunk);
        }
    }

    /// All that is left of it.
    pub async fn rest(mut self) -> String {
        let read = async {
            while let Some(chunk) = self.chunk().await {
                self.text.push_str(&chunk);
            }
        };
        tokio::time::timeout(PATIENCE, read)
            .await
            .expect("an end in time");
        self.text
    }

    async fn chunk(&mut self) -> Option<String> {
        let mut size = String::new();
        self.stream.read_line(&mut size).await.ok()?;
        let size = usize::from_str_radix(size.trim(), 16).ok()?;
        let mut chunk = vec![0; size + 2];
        self.stream.read_exact(&mut chunk).await.ok()?;
        chunk.truncate(size);
        (size > 0).then(|| String::from_utf8(chunk).unwrap())
    }
}

/// How a client receives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    Streaming,
    Polling,
}

/// A client.
pub struct Xhr {
    pub address: SocketAddr,
    pub path: String,
    mode: Mode,
    response: Option<Response>,
    read: usize,
    pub requests: usize,
    pub opened: usize,
    messages: VecDeque<Value>,
}

impl Xhr {
    pub fn new(address: impl Into<SocketAddr>, mode: Mode) -> Self {
        static LAST: AtomicU64 = AtomicU64::new(0);
        let number = LAST.fetch_add(1, Ordering::Relaxed);
        Self {
            address: address.into(),
            path: format!("/pusher/app/{APP_KEY}/{}/{number:08}", number % 1_000),
            mode,
            response: None,
            read: 0,
            requests: 0,
            opened: 0,
            messages: VecDeque::new(),
        }
    }

    /// One whose session has begun.
    pub async fn connect(address: impl Into<SocketAddr>, mode: Mode) -> Self {
        let mut xhr = Self::new(address, mode);
        let first = xhr.next().await;
        assert_eq!(first["event"], "pusher:connection_established", "{first}");
        xhr
    }

    /// Sends a request that receives.
    pub async fn request(&mut self) -> &mut Response {
        let how = match self.mode {
            Mode::Streaming => "xhr_streaming",
            Mode::Polling => "xhr",
        };
        let target = format!(
            "{}/{how}?protocol=7&client=js&version=8.6.0&t=1&n={}",
            self.path, self.requests
        );
        self.requests += 1;
        self.read = 0;
        let headers = "content-type: application/json\r\n";
        let response = Response::of(self.address, "POST", &target, headers).await;
        self.response.insert(response)
    }

    /// Gives up the response that it reads.
    pub fn abort(&mut self) {
        self.response = None;
    }

    /// The next frame, asking anew as pusher-js does; `None`: the response ended where it may not.
    pub async fn frame(&mut self) -> Option<String> {
        loop {
            if self.read > 256 * 1024 {
                self.abort();
            }
            if self.response.is_none() {
                let response = self.request().await;
                assert_eq!(response.status, 200, "{}", response.head);
            }
            match self.response.as_mut().unwrap().line().await {
                Some(line) => {
                    self.read += line.encode_utf16().count() + 1;
                    return Some(line);
                }
                None if self.mode == Mode::Polling && self.read > 0 => self.abort(),
                None => return None,
            }
        }
    }

    /// The next message. An `o` on the way is counted, an `h` is answered.
    pub async fn next(&mut self) -> Value {
        loop {
            if let Some(message) = self.messages.pop_front() {
                return message;
            }
            let frame = self.frame().await.expect("the response ended");
            match frame.split_at(1) {
                ("o", _) => self.opened += 1,
                ("h", _) if self.mode == Mode::Streaming => drop(self.send_raw("[]").await),
                ("h", _) => {}
                ("a", rest) => {
                    let texts: Vec<String> = serde_json::from_str(rest).unwrap();
                    let messages = texts.iter().map(|text| serde_json::from_str(text).unwrap());
                    self.messages.extend(messages);
                }
                _ => panic!("unexpected: {frame}"),
            }
        }
    }

    /// Reads until the session is closed: code and reason.
    pub async fn closed(&mut self) -> (u64, String) {
        loop {
            let frame = self.frame().await.expect("the response ended");
            if let Some(rest) = frame.strip_prefix('c') {
                return serde_json::from_str(rest).unwrap();
            }
        }
    }

    /// Sends a body.
    pub async fn send_raw(&self, body: &str) -> Answer {
        let target = format!("{}/xhr_send?t=1&n=1", self.path);
        let headers = ["content-type: application/json"];
        ask(self.address, "POST", &target, &headers, body).await
    }

    /// Sends one message.
    pub async fn send(&self, message: &Value) {
        let body = json!([message.to_string()]).to_string();
        let answer = self.send_raw(&body).await;
        assert_eq!(answer.status, 204, "{answer:?}");
    }

    /// Subscribes and waits until that is done.
    pub async fn subscribe(&mut self, channel: &str) {
        let data = json!({ "channel": channel });
        self.send(&json!({ "event": "pusher:subscribe", "data": data }))
            .await;
        let answer = self.next().await;
        assert_eq!(
            answer["event"], "pusher_internal:subscription_succeeded",
            "{answer}"
        );
    }
}
