//! A whole server in the test's process, on a thread and a runtime of its own, every listener on
//! port 0. Dropping it stops it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::thread::JoinHandle;

use pogo::config::{self, Config, Sources};
use pogo::server::Server;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use toml::{Table, Value};

use super::{Control, SECRET};

/// The admin key of the test server's control plane.
const KEY: &str = "the control plane's test key, long enough to be taken";

/// What every test server starts from; a test lays its own settings over it.
fn base() -> Table {
    let text = format!(
        r#"
        [edge]
        listen = "127.0.0.1:0"
        [control]
        listen = "127.0.0.1:0"
        keys = [{{ name = "test", secret = "{KEY}", scopes = ["admin"] }}]
        [admin]
        listen = "127.0.0.1:0"
        [auth]
        secret = "{SECRET}"
        algorithms = ["HS256"]
        [limits]
        allow = ["127.0.0.0/8"]
        [drain]
        period = "1s"
        "#
    );
    text.parse().unwrap()
}

/// A server in the making.
pub struct TestServerBuilder {
    settings: Table,
    folder: TempDir,
    dev: bool,
}

/// A running server.
pub struct TestServer {
    edge: SocketAddr,
    control: SocketAddr,
    admin: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
    folder: TempDir,
}

impl TestServer {
    pub fn builder() -> TestServerBuilder {
        TestServerBuilder {
            settings: base(),
            folder: TempDir::new().unwrap(),
            dev: false,
        }
    }

    /// One with the settings of every test, and these over them.
    pub async fn with(settings: &str) -> Self {
        Self::builder().config(settings).start().await
    }

    pub async fn start() -> Self {
        Self::builder().start().await
    }

    pub fn edge(&self) -> SocketAddr {
        self.edge
    }

    pub fn control_address(&self) -> SocketAddr {
        self.control
    }

    /// The control plane's clients, with every scope.
    pub async fn control(&self) -> Control {
        Control::connect(self.control, Some(KEY)).await
    }

    /// `GET` on the admin listener: status and body.
    pub async fn admin(&self, path: &str) -> (u16, String) {
        http_get(self.admin, path).await
    }

    /// The value of a metric, by its name with labels as printed; 0 where it is not.
    pub async fn metric(&self, name: &str) -> f64 {
        let (status, body) = self.admin("/metrics").await;
        assert_eq!(status, 200, "{body}");
        let of_name = |line: &&str| {
            line.strip_prefix(name)
                .is_some_and(|rest| rest.starts_with(' '))
        };
        let value = body
            .lines()
            .find(of_name)
            .and_then(|line| line.rsplit(' ').next());
        value.map_or(0.0, |value| value.parse().unwrap())
    }

    /// Asks the server to stop, as SIGTERM does; it drains from now on.
    pub fn stop(&mut self) {
        if let Some(stop) = self.stop.take() {
            // Whoever has stopped already cannot be told.
            let _ = stop.send(());
        }
    }

    /// Stops it, waits for its end and keeps its files for the next.
    pub async fn stopped(mut self) -> TempDir {
        self.stop();
        let thread = self.thread.take().unwrap();
        tokio::task::spawn_blocking(move || thread.join().unwrap())
            .await
            .unwrap();
        std::mem::replace(&mut self.folder, TempDir::new().unwrap())
    }

    /// Whether the process's end of it is over.
    pub fn is_over(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }
}

/// A client is told where to go by the server itself.
impl From<&TestServer> for SocketAddr {
    fn from(server: &TestServer) -> Self {
        server.edge
    }
}

/// Stops it and does not wait: the clients' own tasks must run for their connections to end.
impl Drop for TestServer {
    fn drop(&mut self) {
        self.stop();
    }
}

impl TestServerBuilder {
    /// Lays these settings (TOML) over the others; tables are merged, all else is replaced.
    /// `{folder}` stands for the server's own folder.
    pub fn config(mut self, settings: &str) -> Self {
        let text = settings.replace("{folder}", self.folder.path().to_str().unwrap());
        lay_over(&mut self.settings, text.parse().unwrap());
        self
    }

    /// Takes a setting of the base away.
    pub fn without(mut self, section: &str, key: &str) -> Self {
        self.settings
            .get_mut(section)
            .unwrap()
            .as_table_mut()
            .unwrap()
            .remove(key);
        self
    }

    /// Goes on with the files of an earlier server.
    pub fn folder(mut self, folder: TempDir) -> Self {
        self.folder = folder;
        self
    }

    /// Where its files are.
    pub fn folder_path(&self) -> PathBuf {
        self.folder.path().to_owned()
    }

    pub fn dev(mut self) -> Self {
        self.dev = true;
        self
    }

    fn load(&self) -> Config {
        let path: PathBuf = self.folder.path().join("pogo.toml");
        std::fs::write(&path, self.settings.to_string()).unwrap();
        let sources = Sources::new(Some(path), vec![], self.dev)
            .unwrap()
            .with_environment([]);
        config::load(&sources).unwrap_or_else(|errors| panic!("{errors}\n{}", self.settings))
    }

    pub async fn start(self) -> TestServer {
        let config = self.load();
        let (tell, told) = oneshot::channel();
        let (stop, stopping) = oneshot::channel::<()>();
        let serve = async move {
            let server = Server::bind(config).await.unwrap();
            tell.send(server.addresses())
                .unwrap_or_else(|_| panic!("the test is gone"));
            let shutdown = async {
                let _ = stopping.await;
            };
            server.run(shutdown).await.unwrap();
        };
        let run = move || {
            let mut builder = tokio::runtime::Builder::new_multi_thread();
            builder
                .worker_threads(2)
                .enable_all()
                .build()
                .unwrap()
                .block_on(serve);
        };
        let thread = std::thread::spawn(run);
        let at = told.await.expect("the server starts");
        super::eventually("it is ready", || async {
            (http_get(at.admin, "/readyz").await.0 == 200).then_some(())
        })
        .await;
        TestServer {
            edge: at.edge,
            control: at.control,
            admin: at.admin,
            stop: Some(stop),
            thread: Some(thread),
            folder: self.folder,
        }
    }
}

fn lay_over(under: &mut Table, over: Table) {
    for (key, value) in over {
        match (under.get_mut(&key), value) {
            (Some(Value::Table(below)), Value::Table(above)) => lay_over(below, above),
            (_, value) => {
                under.insert(key, value);
            }
        }
    }
}

/// A plain HTTP/1.1 request: status and body.
pub async fn http_get(address: SocketAddr, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    tokio::time::timeout(super::PATIENCE, stream.read_to_string(&mut answer))
        .await
        .unwrap()
        .unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, body.to_owned())
}
