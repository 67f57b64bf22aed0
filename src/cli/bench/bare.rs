//! The bare limit: a process whose threads do nothing but `send` the same number of bytes to as
//! many sockets, and another that reads them. Both are children of the run and are told by lines
//! on stdin what to do, so that their rounds alternate with the server's.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::Duration;

use super::process::{Cpu, Process};
use super::spawn;
use crate::cli::error::CliError;
use crate::cli::output::Output;

/// What the bytes are: a text frame's first byte, and nobody reads the rest.
const FILL: u8 = 0x81;

/// The sending process (started by the run itself).
#[derive(Debug, clap::Args)]
pub(super) struct BareSend {
    /// Threads that send
    #[arg(long)]
    threads: usize,
    /// Sockets that they share
    #[arg(long)]
    sockets: usize,
    /// Bytes of a frame
    #[arg(long)]
    length: usize,
}

/// The reading process (started by the run itself).
#[derive(Debug, clap::Args)]
pub(super) struct BareRead {
    /// Where the sending process listens
    #[arg(long)]
    address: SocketAddr,
    /// Sockets to open
    #[arg(long)]
    sockets: usize,
    /// Bytes of a frame
    #[arg(long)]
    length: usize,
}

fn failed(error: impl std::fmt::Display) -> CliError {
    CliError::Failed(format!("the bare limit: {error}"))
}

impl BareSend {
    /// Says its address, takes the sockets, then sends as many frames as each line asks for.
    pub(super) fn run(self, out: &mut Output) -> Result<(), CliError> {
        super::raise_limits();
        let listener = TcpListener::bind("127.0.0.1:0").map_err(failed)?;
        out.line(&listener.local_addr().map_err(failed)?.to_string())?;
        let mut shares: Vec<Vec<TcpStream>> = Vec::new();
        shares.resize_with(self.threads.max(1), Vec::new);
        let threads = shares.len();
        for index in 0..self.sockets {
            let (mut socket, _) = listener.accept().map_err(failed)?;
            socket.set_nodelay(true).map_err(failed)?;
            // The reader waits for it: connecting ahead of this loop would overflow the backlog.
            socket.write_all(&[FILL]).map_err(failed)?;
            shares[index % threads].push(socket);
        }
        let length = self.length;
        let orders: Vec<SyncSender<usize>> = shares
            .into_iter()
            .map(|sockets| {
                let (order, orders) = sync_channel::<usize>(1);
                std::thread::spawn(move || {
                    let mut buffer = Vec::new();
                    for frames in orders {
                        buffer.resize(frames * length, FILL);
                        for mut socket in &sockets {
                            // A reader that is gone is seen by the reader's own process.
                            let _ = socket.write_all(&buffer);
                        }
                    }
                });
                order
            })
            .collect();
        for line in std::io::stdin().lines() {
            let frames = line.map_err(failed)?.parse().map_err(failed)?;
            for order in &orders {
                order.send(frames).map_err(failed)?;
            }
        }
        Ok(())
    }
}

impl BareRead {
    /// Connects, then reads as many frames from each socket as each line asks for, and says so.
    pub(super) fn run(self, out: &mut Output) -> Result<(), CliError> {
        super::raise_limits();
        let mut sockets = Vec::with_capacity(self.sockets);
        for _ in 0..self.sockets {
            let mut socket = TcpStream::connect(self.address).map_err(failed)?;
            socket.read_exact(&mut [0]).map_err(failed)?;
            sockets.push(socket);
        }
        out.line("ready")?;
        let mut buffer = Vec::new();
        for line in std::io::stdin().lines() {
            let frames: usize = line.map_err(failed)?.parse().map_err(failed)?;
            buffer.resize(frames * self.length, 0);
            for socket in &mut sockets {
                socket.read_exact(&mut buffer).map_err(failed)?;
            }
            out.line("read")?;
        }
        Ok(())
    }
}

/// A child that takes lines and answers with lines.
struct Told {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
}

impl Told {
    fn start(arguments: &[String]) -> Result<Self, CliError> {
        let mut command = spawn::program()?;
        command.arg("bench").args(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().map_err(failed)?;
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        let stdout = stdout.ok_or_else(|| failed("no pipe"))?;
        Ok(Self {
            child,
            stdin,
            stdout: BufReader::new(stdout),
        })
    }

    fn tell(&mut self, frames: u64) -> Result<(), CliError> {
        let stdin = self.stdin.as_mut().ok_or_else(|| failed("no pipe"))?;
        writeln!(stdin, "{frames}").map_err(failed)
    }

    fn answer(&mut self) -> Result<String, CliError> {
        let mut line = String::new();
        match self.stdout.read_line(&mut line).map_err(failed)? {
            0 => Err(failed("its process has ended")),
            _ => Ok(line.trim_end().to_owned()),
        }
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        spawn::end(&mut self.child);
    }
}

/// The bare limit, ready for rounds.
pub(super) struct Bare {
    sender: Told,
    reader: Told,
    process: Process,
}

impl Bare {
    /// Connects `sockets` sockets, shared by `threads` threads, for frames of `length` bytes.
    pub(super) fn start(threads: usize, sockets: usize, length: usize) -> Result<Self, CliError> {
        let words =
            |text: String| -> Vec<String> { text.split(' ').map(ToOwned::to_owned).collect() };
        let same = format!("--sockets {sockets} --length {length}");
        let mut sender = Told::start(&words(format!("bare-send --threads {threads} {same}")))?;
        let address = sender.answer()?;
        let mut reader = Told::start(&words(format!("bare-read --address {address} {same}")))?;
        reader.answer()?;
        let process = Process::of(sender.child.id()).map_err(failed)?;
        Ok(Self {
            sender,
            reader,
            process,
        })
    }

    /// CPU time up to now.
    pub(super) fn cpu(&mut self) -> Result<Cpu, CliError> {
        self.process.cpu().map_err(failed)
    }

    /// Sends `frames` to every socket as one buffer each, then lets them be read.
    pub(super) fn round(&mut self, frames: u64, limit: Duration) -> Result<(), CliError> {
        self.sender.tell(frames)?;
        if !self.process.wait_quiet(limit) {
            return Err(failed("a round took too long"));
        }
        self.reader.tell(frames)?;
        self.reader.answer().map(|_| ())
    }
}
