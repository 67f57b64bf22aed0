//! Plain HTTP to the edge, and requests signed as a Pusher library signs them.

use std::net::SocketAddr;

use aws_lc_rs::hmac;
use md5::{Digest, Md5};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{PATIENCE, unix_now};

/// The app of the tests.
pub const APP: &str = r#"
    [[pusher.apps]]
    id = "1"
    key = "278d425bdf160c739803"
    secret = "7ad3773142a6692b25b8"
"#;
pub const APP_KEY: &str = "278d425bdf160c739803";
pub const APP_SECRET: &str = "7ad3773142a6692b25b8";

/// An answer, read to the end of the connection.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    head: String,
    pub body: String,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }

    pub fn json(&self) -> Value {
        let answer = serde_json::from_str(&self.body);
        answer.unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }
}

/// One request; `headers` are whole lines.
pub async fn ask(
    address: impl Into<SocketAddr>,
    method: &str,
    target: &str,
    headers: &[&str],
    body: &str,
) -> Answer {
    let address = address.into();
    let mut stream = TcpStream::connect(address).await.unwrap();
    let lines: String = headers.iter().map(|line| format!("{line}\r\n")).collect();
    let request = format!(
        "{method} {target} HTTP/1.1\r\nhost: {address}\r\ncontent-length: {}\r\n{lines}\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    tokio::time::timeout(PATIENCE, stream.read_to_string(&mut answer))
        .await
        .expect("an answer in time")
        .unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    Answer {
        status: head.split(' ').nth(1).unwrap().parse().unwrap(),
        head: head.into(),
        body: body.into(),
    }
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// `target` as the app signs it, `rest` (raw `name=value`, in order of names) among its parameters.
pub fn signed_target(method: &str, path: &str, rest: &str, body: &str) -> String {
    let mut pairs = vec![
        format!("auth_key={APP_KEY}"),
        format!("auth_timestamp={}", unix_now()),
        "auth_version=1.0".into(),
    ];
    if !body.is_empty() {
        pairs.push(format!("body_md5={}", hex(&Md5::digest(body))));
    }
    pairs.extend(rest.split('&').filter(|s| !s.is_empty()).map(Into::into));
    pairs.sort();
    let query = pairs.join("&");
    let key = hmac::Key::new(hmac::HMAC_SHA256, APP_SECRET.as_bytes());
    let signature = hmac::sign(&key, format!("{method}\n{path}\n{query}").as_bytes());
    format!("{path}?{query}&auth_signature={}", hex(signature.as_ref()))
}

/// A call of Pusher's HTTP API.
pub async fn call(
    server: impl Into<SocketAddr>,
    method: &str,
    path: &str,
    rest: &str,
    body: &str,
) -> Answer {
    let target = signed_target(method, path, rest, body);
    ask(
        server,
        method,
        &target,
        &["content-type: application/json"],
        body,
    )
    .await
}
