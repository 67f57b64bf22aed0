//! The other end of a socket: writes frames, reads what has come, never waits.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};

use rustls::ClientConnection;
use serde_json::Value;

/// What a client has read.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Frame {
    Text(Value),
    Ping,
    Pong,
    Close(u16),
    /// The server sends no more.
    End,
    /// The connection was reset.
    Reset,
}

/// One end of a socket.
pub(super) struct Client {
    stream: TcpStream,
    tls: Option<ClientConnection>,
    bytes: Vec<u8>,
    frames: VecDeque<Frame>,
    over: bool,
}

/// A masked frame of a client; the mask is zero.
pub(super) fn frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x80 | opcode];
    match payload.len() {
        short @ ..126 => bytes.push(0x80 | short as u8),
        long => {
            bytes.push(0x80 | 126);
            bytes.extend((long as u16).to_be_bytes());
        }
    }
    bytes.extend([0; 4]);
    bytes.extend(payload);
    bytes
}

impl Client {
    pub(super) fn new(stream: TcpStream, tls: Option<ClientConnection>) -> Self {
        stream.set_nonblocking(true).unwrap();
        Self {
            stream,
            tls,
            bytes: Vec::new(),
            frames: VecDeque::new(),
            over: false,
        }
    }

    pub(super) fn send(&mut self, command: &Value) {
        self.raw(&frame(1, command.to_string().as_bytes()));
    }

    /// Little enough that the socket takes it at once.
    pub(super) fn raw(&mut self, bytes: &[u8]) {
        match &mut self.tls {
            None => self.stream.write_all(bytes).unwrap(),
            Some(tls) => {
                tls.writer().write_all(bytes).unwrap();
                while tls.wants_write() {
                    tls.write_tls(&mut self.stream).unwrap();
                }
            }
        }
    }

    pub(super) fn close(&mut self, code: u16) {
        self.raw(&frame(8, &code.to_be_bytes()));
    }

    /// Writes whatever the socket takes.
    pub(super) fn flood(&mut self) {
        let _ = self.stream.write(&[0; 64 * 1024]);
    }

    /// Ends its own half.
    pub(super) fn end(&self) {
        self.stream.shutdown(Shutdown::Write).unwrap();
    }

    /// The next frame that has come.
    pub(super) fn pop(&mut self) -> Option<Frame> {
        if self.frames.is_empty() {
            self.fill();
        }
        self.frames.pop_front()
    }

    fn fill(&mut self) {
        let mut scratch = vec![0; 64 * 1024];
        let mut end = None;
        while !self.over {
            let read = match &mut self.tls {
                None => self.stream.read(&mut scratch),
                Some(tls) => read_tls(tls, &mut self.stream, &mut scratch),
            };
            match read {
                Ok(0) => {
                    self.over = true;
                    end = Some(Frame::End);
                }
                Ok(read) => self.bytes.extend(&scratch[..read]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(_) => {
                    self.over = true;
                    end = Some(Frame::Reset);
                }
            }
        }
        let mut at = 0;
        while let Some((frame, length)) = parse(&self.bytes[at..]) {
            at += length;
            self.frames.push_back(frame);
        }
        self.bytes.drain(..at);
        self.frames.extend(end);
    }
}

fn read_tls(
    tls: &mut ClientConnection,
    stream: &mut TcpStream,
    scratch: &mut [u8],
) -> std::io::Result<usize> {
    loop {
        match tls.reader().read(scratch) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            other => return other,
        }
        if tls.read_tls(stream)? == 0 {
            // Without close_notify: cut off.
            return Err(ErrorKind::UnexpectedEof.into());
        }
        tls.process_new_packets().unwrap();
    }
}

/// The first frame of `bytes`, if it is whole, and its length.
fn parse(bytes: &[u8]) -> Option<(Frame, usize)> {
    let (&first, &second) = (bytes.first()?, bytes.get(1)?);
    assert_eq!(second & 0x80, 0, "a server masks nothing");
    let (length, head) = match second {
        126 => (u16::from_be_bytes(*bytes[2..].first_chunk()?) as usize, 4),
        127 => (u64::from_be_bytes(*bytes[2..].first_chunk()?) as usize, 10),
        short => (usize::from(short), 2),
    };
    let payload = bytes.get(head..head + length)?;
    let frame = match first {
        0x81 => Frame::Text(serde_json::from_slice(payload).unwrap()),
        0x88 => Frame::Close(
            payload
                .first_chunk()
                .map_or(1005, |two| u16::from_be_bytes(*two)),
        ),
        0x89 => Frame::Ping,
        0x8a => Frame::Pong,
        other => panic!("frame {other:x}"),
    };
    Some((frame, head + length))
}
