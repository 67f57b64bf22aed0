//! `pogo serve` as a process: how it starts, refuses to start, reloads, runs short and ends.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;
use tempfile::TempDir;

use crate::support::process::{Process, free_address, whole};
use crate::support::{Client, Connect, PATIENCE, Token, eventually};

/// Runs `pogo` to its end.
fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_pogo"))
        .args(arguments)
        .output()
        .unwrap()
}

#[test]
fn a_wrong_configuration_is_told_whole_and_ends_with_78() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("pogo.toml");
    std::fs::write(
        &path,
        "[edge]\nlisten = \"nowhere\"\nlisen = 1\n[auth]\nsecrets = \"x\"\n",
    )
    .unwrap();
    let ended = run(&["serve", "--config", path.to_str().unwrap()]);
    let said = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(78), "{said}");
    for part in [
        "pogo.toml:2",
        "pogo.toml:3",
        "pogo.toml:5",
        "lisen",
        "secrets",
        "listen",
    ] {
        assert!(said.contains(part), "{part} in\n{said}");
    }
    assert!(ended.stdout.is_empty());
    assert_eq!(
        run(&["serve", "--config", "/nowhere/pogo.toml"])
            .status
            .code(),
        Some(78)
    );
    assert_eq!(run(&["serve", "--nonsense"]).status.code(), Some(2));
}

#[test]
fn an_open_server_does_not_start() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("pogo.toml");
    for open in [
        "edge.listen = \"127.0.0.1:0\"\n".to_owned(),
        whole(free_address(), "")
            .replace("control.listen = \"127.0.0.1", "control.listen = \"0.0.0.0"),
    ] {
        std::fs::write(&path, &open).unwrap();
        let ended = run(&["serve", "--config", path.to_str().unwrap()]);
        assert_eq!(ended.status.code(), Some(78), "{open}");
    }
}

#[test]
fn a_taken_port_stops_the_start() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("pogo.toml");
    std::fs::write(&path, whole(taken.local_addr().unwrap(), "")).unwrap();
    let ended = run(&["serve", "--config", path.to_str().unwrap()]);
    assert_eq!(ended.status.code(), Some(1));
    assert!(!ended.stderr.is_empty());
}

#[tokio::test]
async fn sigterm_drains_and_ends_well() {
    let mut process = Process::start("", None).await;
    let mut client = Client::with(process.edge, &Token::of("a").sign()).await;
    process.signal("-TERM");
    client.expect("pogo:drain").await;
    assert_eq!(client.closed().await.0, 4200);
    assert_eq!(process.ended().await, Some(0));
}

#[tokio::test]
async fn sighup_reloads_the_rules_and_refuses_a_broken_file() {
    let process = Process::start("", None).await;
    let path = process.folder.path().join("pogo.toml");
    let mut client = Client::with(process.edge, &Token::of("a").sign()).await;
    let subscribe = json!({"event": "channel:subscribe", "channel": "private-room"});
    assert_eq!(client.error(subscribe.clone()).await, "forbidden");
    let rule = "[[channel]]\npattern = \"private-*\"\nsubscribe = \"token\"\n";
    std::fs::write(&path, whole(process.edge, rule)).unwrap();
    process.signal("-HUP");
    while client.command(subscribe.clone()).await["status"] != "ok" {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    std::fs::write(&path, "nonsense").unwrap();
    process.signal("-HUP");
    tokio::time::sleep(Duration::from_millis(200)).await;
    client
        .ok(json!({"event": "channel:subscribe", "channel": "private-other"}))
        .await;
}

/// A session begins, as soon as the server has seen that descriptors are free again.
async fn welcome_back(edge: SocketAddr, token: &str) {
    let connect = Connect::new().token(token);
    let mut later = eventually("there is room", || async {
        connect.try_open(edge).await.ok()
    })
    .await;
    later.expect("pogo:welcome").await;
}

#[tokio::test]
async fn it_runs_out_of_files_and_lives() {
    let process = Process::start("", Some(80)).await;
    let mut first = Client::with(process.edge, &Token::of("a").sign()).await;
    let held: Vec<_> = (0..150)
        .map(|_| TcpStream::connect(process.edge).unwrap())
        .collect();
    first.ok(json!({"event": "ping"})).await;
    drop(held);
    let token = Token::of("b").sign();
    welcome_back(process.edge, &token).await;
}

#[tokio::test]
async fn who_finds_no_descriptor_is_told_and_closed() {
    let process = Process::start("", Some(80)).await;
    let mut first = Client::with(process.edge, &Token::of("a").sign()).await;
    let begun = Instant::now();
    // Silent ones take all descriptors; those behind them ask.
    let held: Vec<_> = (0..80)
        .map(|_| TcpStream::connect(process.edge).unwrap())
        .collect();
    let mut refused = 0;
    for _ in 0..40 {
        let mut asking = TcpStream::connect(process.edge).unwrap();
        asking.set_read_timeout(Some(PATIENCE)).unwrap();
        let request = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
        asking.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        asking.read_to_string(&mut answer).unwrap();
        refused += usize::from(answer.starts_with("HTTP/1.1 503"));
        first.ok(json!({"event": "ping"})).await;
    }
    assert!(refused > 0, "nobody was told");
    let times = process.log().matches("cannot be accepted").count() as u64;
    let most = begun.elapsed().as_secs() + 1;
    assert!((1..=most).contains(&times), "{times} lines, at most {most}");
    drop(held);
    let token = Token::of("b").sign();
    welcome_back(process.edge, &token).await;
}

#[tokio::test]
async fn sessions_leave_descriptors_for_the_rest() {
    let process = Process::start("", Some(120)).await;
    let token = Token::of("a").sign();
    let mut sessions = Vec::new();
    let refused = loop {
        assert!(sessions.len() <= 120, "more sessions than open files");
        match Connect::new().token(&token).try_open(process.edge).await {
            Ok(session) => sessions.push(session),
            Err(refused) => break refused,
        }
    };
    assert_eq!(refused.status(), 503);
    assert_eq!(sessions.len(), 60, "half of the open files");
    for session in &mut sessions {
        session.ok(json!({"event": "ping"})).await;
    }
    assert!(!process.log().contains("cannot be accepted"));
}

#[tokio::test]
async fn dev_says_all_that_one_needs_to_begin() {
    let (edge, control, admin) = (free_address(), free_address(), free_address());
    let listen = |name: &str, at: SocketAddr| format!("{name}.listen=\"{at}\"");
    let mut child = Command::new(env!("CARGO_BIN_EXE_pogo"))
        .args(["serve", "--dev", "--set", &listen("edge", edge)])
        .args([
            "--set",
            &listen("control", control),
            "--set",
            &listen("admin", admin),
        ])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    eventually("it listens", || async { TcpStream::connect(edge).ok() }).await;
    let mut client = Client::anonymous(edge).await;
    client.subscribe("news").await;
    client
        .ok(json!({"event": "hi", "channel": "news", "data": 1}))
        .await;
    client.expect("hi").await;
    let terminated = Command::new("kill")
        .args(["-TERM", &child.id().to_string()])
        .status();
    assert!(terminated.unwrap().success());
    let mut said = String::new();
    child
        .stdout
        .take()
        .unwrap()
        .read_to_string(&mut said)
        .unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    for part in [
        edge.to_string(),
        control.to_string(),
        admin.to_string(),
        "eyJ".into(),
    ] {
        assert!(said.contains(&part), "{part} in\n{said}");
    }
}
