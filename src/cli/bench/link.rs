//! A client's socket: plain, or TLS by rustls. It never blocks.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;

use mio::net::TcpStream;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};

/// How TLS is spoken, where it is.
#[derive(Debug, Clone)]
pub(super) struct Tls {
    pub(super) config: Arc<ClientConfig>,
    pub(super) name: ServerName<'static>,
}

/// A connection.
pub(super) enum Link {
    Plain(TcpStream),
    Tls(TcpStream, Box<ClientConnection>),
}

impl Link {
    /// Starts to connect.
    pub(super) fn connect(address: SocketAddr, tls: Option<&Tls>) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        let Some(tls) = tls else {
            return Ok(Self::Plain(stream));
        };
        let session = ClientConnection::new(tls.config.clone(), tls.name.clone());
        let session = session.map_err(io::Error::other)?;
        Ok(Self::Tls(stream, Box::new(session)))
    }

    pub(super) fn stream(&mut self) -> &mut TcpStream {
        match self {
            Self::Plain(stream) | Self::Tls(stream, _) => stream,
        }
    }

    /// Reads; true beside the length: there may be more.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> io::Result<(usize, bool)> {
        match self {
            Self::Plain(stream) => {
                let length = stream.read(buffer)?;
                Ok((length, length == buffer.len()))
            }
            Self::Tls(stream, session) => loop {
                match session.reader().read(buffer) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    done => return done.map(|length| (length, length > 0)),
                }
                if session.read_tls(stream)? == 0 {
                    return Ok((0, false));
                }
                session.process_new_packets().map_err(io::Error::other)?;
                Self::flush_tls(stream, session)?;
            },
        }
    }

    /// Writes all of `bytes`, which are few: a socket that does not take them is an error.
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.write_all(bytes),
            Self::Tls(stream, session) => {
                session.writer().write_all(bytes)?;
                Self::flush_tls(stream, session)
            }
        }
    }

    /// Writes what TLS still has to say.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(_) => Ok(()),
            Self::Tls(stream, session) => Self::flush_tls(stream, session),
        }
    }

    fn flush_tls(stream: &mut TcpStream, session: &mut ClientConnection) -> io::Result<()> {
        while session.wants_write() {
            match session.write_tls(stream) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
