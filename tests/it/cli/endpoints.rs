//! `pogo endpoints`, over a restart and beside a settings file that changes.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{Server, text};

const USERS: &str = "name = 'users'
item = '/users/{id}'
collection = '/users'
audience = 'claims:[tenant]'
auth = {mode = 'mint', secret = '0123456789abcdef0123456789abcdef'}
cache = {swr = '1500ms'}
[upstream]
bases = ['http://api:80/v1']
timeout = '3s'
";
const POSTS: &str = "[[endpoint]]
name = 'posts'
item = '/posts/{id}'
upstream.bases = ['http://blog:80']
";

fn write(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
}

fn names(server: &Server) -> Vec<(String, String)> {
    let rows = server.json(&["endpoints", "ls"]);
    let field = |row: &Value, name: &str| row[name].as_str().unwrap().to_owned();
    rows.iter()
        .map(|row| (field(row, "name"), field(row, "source")))
        .collect()
}

fn row(name: &str, source: &str) -> (String, String) {
    (name.into(), source.into())
}

#[test]
fn endpoints_are_put_and_outlive_the_server() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name).display().to_string();
    let (state, config, users) = (at("state"), at("pogo.toml"), at("users.toml"));
    write(Path::new(&config), POSTS);
    write(Path::new(&users), USERS);
    let start = || Server::with(&["--config", &config], &[&format!("state.path={state}")]);

    let server = start();
    assert_eq!(names(&server), [row("posts", "file")]);
    let put = server.json(&["endpoints", "put", &users]).remove(0);
    assert_eq!(put["upstream"]["timeout"], "3s");
    assert_eq!(put["cache"]["swr"], "1500ms");
    assert_eq!(
        put["auth"],
        serde_json::json!({"mode": "mint", "ttl": "1m"})
    );
    assert!(!put.to_string().contains("0123456789abcdef"));
    drop(server);

    let server = start();
    assert_eq!(names(&server), [row("posts", "file"), row("users", "live")]);
    let ended = server.run(&["endpoints", "ls"]);
    let shown = text(&ended.stdout);
    let lines: Vec<Vec<&str>> = shown
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(
        lines[2],
        [
            "users",
            "/users/{id}",
            "/users",
            "http://api:80/v1",
            "claims:[tenant]",
            "live"
        ]
    );
    server.json(&["endpoints", "rm", "users"]);
    server.fails(&["endpoints", "rm", "users"], 3);
    server.fails(&["endpoints", "rm", "posts"], 1);
    assert_eq!(names(&server), [row("posts", "file")]);
}

#[test]
fn what_is_listed_can_be_put_again() {
    let server = Server::start(&[]);
    let put = |text: &str| {
        let mut child = server
            .command(&["endpoints", "put", "-", "--json"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child
            .stdin
            .take()
            .unwrap()
            .write_all(text.as_bytes())
            .unwrap();
        child.wait_with_output().unwrap()
    };
    assert!(put(POSTS).status.success());
    let listed = server.json(&["endpoints", "ls"]).remove(0);
    let again = put(&listed.to_string());
    assert!(again.status.success(), "{}", text(&again.stderr));
    assert_eq!(
        serde_json::from_slice::<Value>(&again.stdout).unwrap(),
        listed
    );

    let wrong = put("name = 'a'\nitm = '/a/{id}'\nupstream.bases = ['x']\n");
    assert_eq!(wrong.status.code(), Some(78));
    let said = text(&wrong.stderr);
    assert!(
        said.contains("did you mean `item`") && said.contains("not an http"),
        "{said}"
    );
    assert_eq!(put("{\"name\": 1").status.code(), Some(78));
    assert_eq!(put(&format!("{POSTS}{POSTS}")).status.code(), Some(78));
    // Only the server knows what else is there.
    let other = put(&POSTS.replace("'posts'", "'other'"));
    assert_eq!(other.status.code(), Some(1));
    let said = text(&other.stderr);
    assert!(
        said.contains("endpoint.item") && said.contains("the item of `posts`"),
        "{said}"
    );
    server.fails(&["endpoints", "put", "no/such/file"], 1);
}

#[test]
fn a_reload_swaps_the_files_endpoints() {
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("pogo.toml");
    write(&config, POSTS);
    let server = Server::with(&["--config", &config.display().to_string()], &[]);
    assert_eq!(names(&server), [row("posts", "file")]);
    write(&config, &POSTS.replace("posts", "pages"));
    let pid = server.child.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-HUP", &pid])
            .status()
            .unwrap()
            .success()
    );
    let until = Instant::now() + Duration::from_secs(20);
    while names(&server) != [row("pages", "file")] {
        assert!(Instant::now() < until, "not reloaded");
        std::thread::sleep(Duration::from_millis(20));
    }
}
