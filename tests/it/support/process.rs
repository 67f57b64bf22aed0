//! `pogo serve` as a process of its own, from a configuration file in a folder of its own.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use super::{SECRET, eventually};

/// A port that nobody listens on just now.
pub fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
}

/// A running `pogo serve`; dropping it kills it.
pub struct Process {
    child: Child,
    pub edge: SocketAddr,
    pub folder: TempDir,
}

impl Process {
    /// Starts with `settings` and, where given, at most so many open files.
    pub async fn start(settings: &str, files: Option<u32>) -> Self {
        let edge = free_address();
        Self::run(edge, &whole(edge, settings), files).await
    }

    /// Starts with a whole configuration.
    pub async fn run(edge: SocketAddr, text: &str, files: Option<u32>) -> Self {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("pogo.toml");
        std::fs::write(&path, text).unwrap();
        let limit = files.map_or(String::new(), |files| format!("ulimit -n {files}; "));
        let script = format!("{limit}exec \"$0\" \"$@\"");
        let mut command = Command::new("sh");
        command
            .args([
                "-c",
                &script,
                env!("CARGO_BIN_EXE_pogo"),
                "serve",
                "--config",
            ])
            .arg(&path);
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        let quiet = command.stdout(Stdio::null()).stderr(log);
        let process = Self {
            child: quiet.spawn().unwrap(),
            edge,
            folder,
        };
        eventually("it listens", || async { TcpStream::connect(edge).ok() }).await;
        process
    }

    /// What it has logged so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap()
    }

    /// Its memory that is in use (RSS), in KiB.
    pub fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:"));
        line.unwrap()
            .split_whitespace()
            .nth(1)
            .unwrap()
            .parse()
            .unwrap()
    }

    pub fn signal(&self, name: &str) {
        let done = Command::new("kill")
            .args([name, &self.child.id().to_string()])
            .status()
            .unwrap();
        assert!(done.success());
    }

    pub async fn ended(&mut self) -> Option<i32> {
        eventually("it ends", || {
            let status = self.child.try_wait().unwrap();
            async move { status }
        })
        .await
        .code()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A whole configuration.
pub fn whole(edge: SocketAddr, settings: &str) -> String {
    format!(
        "edge.listen = \"{edge}\"\ncontrol.listen = \"127.0.0.1:0\"\nadmin.listen = \"127.0.0.1:0\"\n\
         auth.secret = \"{SECRET}\"\nlimits.allow = [\"127.0.0.0/8\"]\ndrain.period = \"200ms\"\n{settings}"
    )
}
