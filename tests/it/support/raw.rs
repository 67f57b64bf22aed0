//! A connection without manners: bytes as the test writes them.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::PATIENCE;

const FINAL: u8 = 0x80;
const MASKED: u8 = 0x80;
pub const CONTINUATION: u8 = 0;
pub const TEXT: u8 = 1;
pub const CLOSE: u8 = 8;
pub const PING: u8 = 9;

/// A TCP connection.
pub struct Raw(TcpStream);

/// The head of an HTTP response.
#[derive(Debug)]
pub struct Head {
    pub status: u16,
    pub text: String,
}

impl Raw {
    pub async fn connect(address: SocketAddr) -> Self {
        Self(TcpStream::connect(address).await.unwrap())
    }

    /// A WebSocket after its handshake.
    pub async fn upgraded(address: SocketAddr) -> Self {
        let mut raw = Self::connect(address).await;
        let head = raw.request(&upgrade("/ws", &[])).await;
        assert_eq!(head.status, 101, "{}", head.text);
        raw
    }

    /// Writes; the server may have gone already.
    pub async fn write(&mut self, bytes: &[u8]) -> bool {
        self.0.write_all(bytes).await.is_ok()
    }

    /// Writes a request and reads the head of the response.
    pub async fn request(&mut self, request: &str) -> Head {
        self.write(request.as_bytes()).await;
        self.head().await
    }

    async fn head(&mut self) -> Head {
        let mut bytes = vec![];
        while !bytes.ends_with(b"\r\n\r\n") {
            let byte = tokio::time::timeout(PATIENCE, self.0.read_u8())
                .await
                .expect("no answer");
            bytes.push(byte.expect("closed without an answer"));
        }
        let text = String::from_utf8(bytes).unwrap();
        let status = text.split(' ').nth(1).unwrap().parse().unwrap();
        Head {
            status,
            text: text.to_lowercase(),
        }
    }

    /// Writes one frame, masked with a key of zeros.
    pub async fn frame(&mut self, first: u8, payload: &[u8]) -> bool {
        self.write(&frame(first, payload)).await
    }

    /// Reads frames until the server closes: the close frame's code, or `None` where the
    /// connection ended without one.
    pub async fn closed(&mut self) -> Option<u16> {
        tokio::time::timeout(PATIENCE, self.read_close())
            .await
            .expect("never closed")
    }

    async fn read_close(&mut self) -> Option<u16> {
        loop {
            let (first, payload) = self.read_frame().await?;
            if first == whole(CLOSE) {
                return Some(u16::from_be_bytes([payload[0], payload[1]]));
            }
        }
    }

    /// The next frame: its first byte and its payload.
    pub async fn receive(&mut self) -> (u8, Vec<u8>) {
        tokio::time::timeout(PATIENCE, self.read_frame())
            .await
            .expect("nothing came")
            .expect("the connection ended")
    }

    async fn read_frame(&mut self) -> Option<(u8, Vec<u8>)> {
        let mut head = [0; 2];
        self.0.read_exact(&mut head).await.ok()?;
        let length = match head[1] {
            126 => usize::from(self.0.read_u16().await.ok()?),
            127 => usize::try_from(self.0.read_u64().await.ok()?).unwrap(),
            short => usize::from(short),
        };
        let mut payload = vec![0; length];
        self.0.read_exact(&mut payload).await.ok()?;
        Some((head[0], payload))
    }

    /// How long until the other side ends the connection; what it says is dropped.
    pub async fn ended(&mut self) -> Duration {
        let begun = std::time::Instant::now();
        let mut dropped = [0; 4096];
        let read = async { while !matches!(self.0.read(&mut dropped).await, Ok(0) | Err(_)) {} };
        tokio::time::timeout(PATIENCE, read)
            .await
            .expect("never ended");
        begun.elapsed()
    }
}

/// One frame with the final bit set.
pub fn whole(opcode: u8) -> u8 {
    FINAL | opcode
}

/// A frame's bytes.
pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    match payload.len() {
        length @ 0..126 => bytes.push(MASKED | u8::try_from(length).unwrap()),
        length @ 126..65_536 => {
            bytes.push(MASKED | 126);
            bytes.extend(u16::try_from(length).unwrap().to_be_bytes());
        }
        length => {
            bytes.push(MASKED | 127);
            bytes.extend(u64::try_from(length).unwrap().to_be_bytes());
        }
    }
    bytes.extend([0; 4]);
    bytes.extend(payload);
    bytes
}

/// An upgrade request with these header lines besides; one of a name that is there replaces it.
pub fn upgrade(path: &str, extra: &[&str]) -> String {
    let usual = [
        "Host: pogo.test",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    ];
    let name = |line: &str| line.split(':').next().unwrap().to_lowercase();
    let kept = usual
        .into_iter()
        .filter(|line| extra.iter().all(|other| name(other) != name(line)));
    let set = extra.iter().copied().filter(|line| !line.ends_with(": -"));
    let lines: Vec<_> = kept.chain(set).collect();
    format!("GET {path} HTTP/1.1\r\n{}\r\n\r\n", lines.join("\r\n"))
}
