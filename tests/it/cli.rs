//! The command line against a server of `pogo serve --dev`: data on stdout, exit codes, and a
//! subscriber that comes back.

mod endpoints;

use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::Value;

/// A server, ended when dropped.
struct Server {
    child: Child,
    said: Value,
}

impl Server {
    fn start(settings: &[&str]) -> Self {
        Self::with(&[], settings)
    }

    /// One with these arguments too.
    fn with(arguments: &[&str], settings: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pogo"));
        command.args(["serve", "--dev", "--json"]).args(arguments);
        let listen = ["edge", "control", "admin"].map(|at| format!("{at}.listen=127.0.0.1:0"));
        for setting in listen
            .iter()
            .map(String::as_str)
            .chain(settings.iter().copied())
        {
            command.args(["--set", setting]);
        }
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        Self {
            child,
            said: serde_json::from_str(&line).unwrap(),
        }
    }

    fn url(&self, of: &str) -> &str {
        self.said["urls"][of].as_str().unwrap()
    }

    /// `pogo` with this server's addresses, key and token in its environment.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pogo"));
        command
            .args(arguments)
            .env("POGO_SERVER", self.url("control"))
            .env("POGO_URL", self.url("edge"))
            .env("POGO_ADMIN", self.url("admin"))
            .env("POGO_KEY", self.said["control_key"].as_str().unwrap())
            .env("POGO_TOKEN", self.said["token"].as_str().unwrap());
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Runs it to a good end: its lines, read as JSON.
    fn json(&self, arguments: &[&str]) -> Vec<Value> {
        let ended = self.run(&[arguments, &["--json"]].concat());
        let (out, said) = (text(&ended.stdout), text(&ended.stderr));
        assert!(ended.status.success(), "{arguments:?}: {said}");
        out.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    fn fails(&self, arguments: &[&str], code: i32) {
        let ended = self.run(arguments);
        assert_eq!(
            ended.status.code(),
            Some(code),
            "{arguments:?}: {}",
            text(&ended.stderr)
        );
        assert!(!ended.stderr.is_empty(), "{arguments:?} says nothing");
    }

    /// A subscriber of `channel` that the server knows of.
    fn subscriber(&self, channel: &str, url: &str) -> (Child, BufReader<ChildStdout>) {
        let mut command = self.command(&["subscribe", channel, "--json", "--url", url]);
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        self.wait_for_subscriber(channel);
        (child, lines)
    }

    fn wait_for_subscriber(&self, channel: &str) {
        for _ in 0..500 {
            let ended = self.run(&["channels", "show", channel, "--json"]);
            let shown: Value = serde_json::from_slice(&ended.stdout).unwrap_or_default();
            if shown["subscribers"].as_u64() > Some(0) {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        panic!("nobody subscribes to {channel}");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself, which the test has noticed then.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn next(lines: &mut impl BufRead) -> Value {
    let mut line = String::new();
    lines.read_line(&mut line).unwrap();
    serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"))
}

#[test]
fn what_is_published_is_seen_as_it_was_given() {
    let server = Server::start(&[]);
    let (mut child, mut lines) = server.subscriber("news", server.url("edge"));
    let data = r#"{"z": 1, "a":12345678901234567890123456789}"#;
    let receipts = server.json(&["publish", "news", "hello", data, "--ttl", "30s"]);
    assert_eq!(
        (&receipts[0]["channel"], &receipts[0]["receivers"]),
        (&"news".into(), &1.into())
    );
    let mut line = String::new();
    lines.read_line(&mut line).unwrap();
    assert_eq!(
        line,
        format!("{{\"channel\":\"news\",\"event\":\"hello\",\"data\":{data}}}\n")
    );

    let sessions = server.json(&["sessions", "ls"]);
    assert_eq!(sessions.len(), 1);
    let id = sessions[0]["id"].as_str().unwrap();
    assert_eq!(
        server.json(&["sessions", "show", id])[0]["channels"][0],
        "news"
    );
    let counted = server.json(&["revoke", "--subject", "dev", "--dry-run"]);
    assert_eq!(counted[0]["sessions_closed"], 1);
    assert_eq!(
        server.json(&["revoke", "--session", id])[0]["sessions_closed"],
        1
    );
    assert_eq!(child.wait().unwrap().code(), Some(4));
    server.fails(&["subscribe", "news"], 4);
}

#[test]
fn failures_have_their_exit_codes() {
    let server = Server::start(&[]);
    server.fails(&["channels", "show", "nobody-here"], 3);
    server.fails(&["sessions", "show", "1.2"], 3);
    server.fails(&["allow", "192.0.2.1"], 3);
    server.fails(&["publish", "news", "hello", "1", "--key", "wrong"], 4);
    server.fails(&["subscribe", "news", "--token", "wrong"], 4);
    server.fails(&["publish", "pogo:x", "hello", "1"], 1);
    server.fails(&["publish", "news", "hello", "no json"], 2);
    assert_eq!(server.json(&["check"])[0]["status"], "ready");
    assert_eq!(
        server.json(&["deny", "192.0.2.0/24"])[0]["sessions_closed"],
        0
    );
    assert_eq!(
        server.json(&["deny", "--list"])[0]["address"],
        "192.0.2.0/24"
    );
    assert_eq!(
        server.json(&["allow", "192.0.2.0/24"])[0]["address"],
        "192.0.2.0/24"
    );
    let wrong = server.run(&["publish", "news", "hello", "1", "--key", "wrong", "--json"]);
    let error: Value = serde_json::from_slice(&wrong.stderr).unwrap();
    assert_eq!(error["error"]["code"], "not_allowed");
}

#[test]
fn a_token_is_made_and_checked_with_the_configured_key() {
    let server = Server::start(&[]);
    let secret = "auth.secret=0123456789abcdef0123456789abcdef";
    let made = &server.json(&["token", "new", "--set", secret, "--subject", "ann"])[0];
    let token = made["token"].as_str().unwrap();
    let checked = &server.json(&["token", "check", token, "--set", secret])[0];
    assert_eq!(
        (&checked["valid"], &checked["claims"]["sub"]),
        (&true.into(), &"ann".into())
    );
    let other = "auth.secret=fedcba9876543210fedcba9876543210";
    server.fails(&["token", "check", token, "--set", other], 4);
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_pogo"))
        .args(["config", "default"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let mut said = String::new();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut said)
        .unwrap();
    assert_eq!((child.wait().unwrap().code(), said.as_str()), (Some(0), ""));
}

#[test]
fn a_subscriber_comes_back_and_misses_nothing() {
    let server = Server::start(&["channel=[{pattern=\"kept\", history={}}]"]);
    let road = Road::to(
        server
            .url("edge")
            .trim_start_matches("ws://")
            .parse()
            .unwrap(),
    );
    let (mut child, mut lines) = server.subscriber("kept", &format!("ws://{}", road.address));
    let publish = |n: &str| server.json(&["publish", "kept", "n", n]);
    publish("1");
    assert_eq!(next(&mut lines)["data"], 1);
    road.cut();
    publish("2");
    publish("3");
    road.open.store(true, Ordering::SeqCst);
    server.wait_for_subscriber("kept");
    publish("4");
    for expected in [2, 3, 4] {
        assert_eq!(next(&mut lines)["data"], expected);
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

/// A road to a server that can be cut.
struct Road {
    address: SocketAddr,
    open: Arc<AtomicBool>,
    streams: Arc<Mutex<Vec<TcpStream>>>,
}

impl Road {
    fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let road = Self {
            address,
            open: Arc::new(AtomicBool::new(true)),
            streams: Arc::default(),
        };
        let (open, streams) = (road.open.clone(), road.streams.clone());
        std::thread::spawn(move || {
            for client in listener.incoming().map(Result::unwrap) {
                if !open.load(Ordering::SeqCst) {
                    continue;
                }
                let server = TcpStream::connect(server).unwrap();
                let pair = |a: &TcpStream| a.try_clone().unwrap();
                streams
                    .lock()
                    .unwrap()
                    .extend([pair(&client), pair(&server)]);
                for (mut from, mut to) in [
                    (pair(&client), pair(&server)),
                    (pair(&server), pair(&client)),
                ] {
                    // Ends with the road.
                    std::thread::spawn(move || std::io::copy(&mut from, &mut to));
                }
            }
        });
        road
    }

    /// Ends what is under way and takes nothing new.
    fn cut(&self) {
        self.open.store(false, Ordering::SeqCst);
        for stream in self.streams.lock().unwrap().drain(..) {
            // One that has ended cannot be ended again.
            let _ = stream.shutdown(std::net::Shutdown::Both);
        }
    }
}
