//! A socket that never blocks: plain, under TLS, or one end of a pair within this process. rustls is
//! driven here without a task of its own; what it owes the peer leaves with the next write.

use std::io::{self, IoSlice, Read, Write};
use std::net::Shutdown;

use mio::event::Source;
use mio::net::{TcpStream, UnixStream};
use rustls::ServerConnection;

use crate::edge::connection::Stream;

/// A plain or encrypted byte stream.
#[derive(Debug)]
pub(super) enum Transport {
    /// Bytes as they are.
    Plain(TcpStream),
    /// Through rustls.
    Tls(TcpStream, Box<ServerConnection>),
    /// To a fallback transport.
    Local(UnixStream),
}

impl From<Stream> for Transport {
    fn from(stream: Stream) -> Self {
        match stream {
            Stream::Plain(stream) => Self::Plain(TcpStream::from_std(stream)),
            Stream::Tls(stream, tls) => Self::Tls(TcpStream::from_std(stream), tls),
            Stream::Local(stream) => Self::Local(UnixStream::from_std(stream)),
        }
    }
}

impl Transport {
    /// The socket, to register it.
    pub(super) fn source(&mut self) -> &mut dyn Source {
        match self {
            Self::Plain(stream) | Self::Tls(stream, _) => stream,
            Self::Local(stream) => stream,
        }
    }

    /// Ends both directions at once.
    pub(super) fn cut(&self) {
        self.shutdown(Shutdown::Both);
    }

    fn shutdown(&self, how: Shutdown) {
        // A peer that has gone already is no error here.
        let _ = match self {
            Self::Plain(stream) | Self::Tls(stream, _) => stream.shutdown(how),
            Self::Local(stream) => stream.shutdown(how),
        };
    }

    /// Whether bytes may lie here that no socket event will tell of.
    pub(super) fn is_buffered(&self) -> bool {
        matches!(self, Self::Tls(..))
    }

    /// Reads what is there; 0 is the end.
    ///
    /// # Errors
    /// `WouldBlock` when nothing is there, and whatever the socket or TLS says.
    pub(super) fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let (stream, tls) = match self {
            Self::Plain(stream) => return retry(|| stream.read(into)),
            Self::Local(stream) => return retry(|| stream.read(into)),
            Self::Tls(stream, tls) => (stream, tls),
        };
        loop {
            match tls.reader().read(into) {
                // An end without close_notify: the WebSocket says itself what is whole.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(0),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                other => return other,
            }
            if retry(|| tls.read_tls(stream))? == 0 {
                return Ok(0);
            }
            if let Err(error) = tls.process_new_packets() {
                // Tell the peer why, as far as that goes.
                let _ = tls.write_tls(stream);
                return Err(io::Error::new(io::ErrorKind::InvalidData, error));
            }
        }
    }

    /// Writes one run of bytes and returns how many were taken.
    ///
    /// # Errors
    /// `WouldBlock` when none could be, and whatever the socket says.
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => retry(|| stream.write(bytes)),
            Self::Local(stream) => retry(|| stream.write(bytes)),
            Self::Tls(stream, tls) => {
                // What was taken before must be gone first: then at most one run lies in
                // rustls's own buffer, and the mailbox stays what the slow-consumer policy sees.
                write_out(stream, tls)?;
                let taken = tls.writer().write(bytes)?;
                match write_out(stream, tls) {
                    Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
                    _ => Ok(taken),
                }
            }
        }
    }

    /// Writes several runs at once and returns how many bytes were taken. Only for plain
    /// sockets; TLS copies anyway, and takes one run.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub(super) fn write_vectored(&mut self, runs: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => retry(|| stream.write_vectored(runs)),
            Self::Local(stream) => retry(|| stream.write_vectored(runs)),
            Self::Tls(..) => match runs.first() {
                Some(run) => self.write(run),
                None => Ok(0),
            },
        }
    }

    /// Writes what TLS owes the peer (tickets, key updates, what was taken but not sent).
    ///
    /// # Errors
    /// `WouldBlock` when something is left, and whatever the socket says.
    pub(super) fn settle(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(_) | Self::Local(_) => Ok(()),
            Self::Tls(stream, tls) => write_out(stream, tls),
        }
    }

    /// Says that nothing more will be written.
    pub(super) fn shut_down(&mut self) {
        if let Self::Tls(stream, tls) = self {
            tls.send_close_notify();
            let _ = tls.write_tls(stream);
        }
        self.shutdown(Shutdown::Write);
    }
}

fn write_out(stream: &mut TcpStream, tls: &mut ServerConnection) -> io::Result<()> {
    while tls.wants_write() {
        retry(|| tls.write_tls(stream))?;
    }
    Ok(())
}

/// Does it again when a signal came between.
fn retry(mut io: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    loop {
        match io() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}
