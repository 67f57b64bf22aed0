//! A WebSocket client that costs as little as it can, so that the server is what is measured: one
//! small buffer, frames read in place, nothing decoded that is not looked at.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::Failure;

const TEXT: u8 = 1;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;
const FINAL: u8 = 0x80;
const MASKED: u8 = 0x80;
const BUFFER_BYTES: usize = 1024;

/// A connected client.
#[derive(Debug)]
pub struct Socket {
    stream: TcpStream,
    /// Bytes that came and are not used up; never much more than a frame.
    buffer: Vec<u8>,
}

impl Socket {
    /// Connects and takes the welcome: the session is there.
    pub async fn connect(address: &str, token: Option<&str>) -> Result<Self, Failure> {
        let bearer = token.map_or(String::new(), |token| format!(", pogo.bearer.{token}"));
        let mut stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let request = format!(
            "GET /ws HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             Sec-WebSocket-Protocol: pogo.v1.json{bearer}\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await?;
        let mut buffer = Vec::with_capacity(BUFFER_BYTES);
        let end = loop {
            if let Some(at) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            if stream.read_buf(&mut buffer).await? == 0 {
                return Err("closed during the handshake".into());
            }
        };
        if !buffer.starts_with(b"HTTP/1.1 101 ") {
            return Err(String::from_utf8_lossy(&buffer).into());
        }
        buffer.drain(..end);
        let mut socket = Self { stream, buffer };
        socket.frames(welcome).await?;
        Ok(socket)
    }

    pub async fn send(&mut self, text: &str) -> Result<(), Failure> {
        self.write(TEXT, text.as_bytes()).await
    }

    /// Gives every text to `take` until it says that that was the last (false).
    pub async fn frames(
        &mut self,
        mut take: impl FnMut(&[u8]) -> Result<bool, Failure>,
    ) -> Result<(), Failure> {
        loop {
            let mut used = 0;
            let mut pings = vec![];
            while let Some((opcode, payload, length)) = frame(&self.buffer[used..])? {
                match opcode {
                    TEXT if !take(payload)? => {
                        self.buffer.drain(..used + length);
                        return Ok(());
                    }
                    TEXT => {}
                    PING => pings.push(payload.to_vec()),
                    CLOSE => {
                        return Err(format!("closed: {}", String::from_utf8_lossy(payload)).into());
                    }
                    _ => return Err(format!("opcode {opcode}").into()),
                }
                used += length;
            }
            self.buffer.drain(..used);
            for ping in pings {
                self.write(PONG, &ping).await?;
            }
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err("the connection ended".into());
            }
        }
    }

    /// One frame of a client: masked, by a key of zeros.
    async fn write(&mut self, opcode: u8, payload: &[u8]) -> Result<(), Failure> {
        let length = u8::try_from(payload.len())
            .ok()
            .filter(|length| *length < 126);
        let mut bytes = match length {
            Some(length) => vec![FINAL | opcode, MASKED | length],
            None => {
                let [high, low] = u16::try_from(payload.len())?.to_be_bytes();
                vec![FINAL | opcode, MASKED | 126, high, low]
            }
        };
        bytes.extend([0; 4]);
        bytes.extend(payload);
        Ok(self.stream.write_all(&bytes).await?)
    }
}

/// The first frame, and the last that is waited for.
fn welcome(text: &[u8]) -> Result<bool, Failure> {
    let text = std::str::from_utf8(text)?;
    if text.contains("pogo:welcome") {
        Ok(false)
    } else {
        Err(text.into())
    }
}

/// An opcode, its payload and the whole frame's length.
type Frame<'a> = (u8, &'a [u8], usize);

/// The first whole frame in `bytes`, if there is one.
fn frame(bytes: &[u8]) -> Result<Option<Frame<'_>>, Failure> {
    let [first, second, rest @ ..] = bytes else {
        return Ok(None);
    };
    if first & FINAL == 0 || second & MASKED != 0 {
        return Err("a fragment, or a masked frame".into());
    }
    let (length, head) = match (second, rest) {
        (126, [high, low, ..]) => (usize::from(u16::from_be_bytes([*high, *low])), 4),
        (127, [number @ .., _]) if number.len() >= 7 => {
            let number: [u8; 8] = rest[..8].try_into()?;
            (usize::try_from(u64::from_be_bytes(number))?, 10)
        }
        (126 | 127, _) => return Ok(None),
        (length, _) => (usize::from(*length), 2),
    };
    let end = head + length;
    Ok(bytes
        .get(head..end)
        .map(|payload| (first & 0x0f, payload, end)))
}
