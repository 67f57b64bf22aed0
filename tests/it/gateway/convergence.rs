//! Convergence: random writers, through Pogo and behind its back with events that come late, twice
//! and out of order; fetches that take their time; clients that come and go. At rest every client
//! holds what its own GET says, no version ever went back, and nobody has seen another's data.

mod api;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use super::{client, posts};
use crate::support::upstream::Upstream;
use crate::support::{Client, Control, TestServer};
use api::{Shared, Table, answer};

const ITEMS: u64 = 4;
const CLIENTS: usize = 8;
const WRITES: u64 = 60;

/// Pseudo-random numbers that a seed repeats.
#[derive(Clone)]
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    async fn pause(&mut self, most: u64) {
        tokio::time::sleep(Duration::from_millis(self.below(most))).await;
    }
}

/// What a client holds of one uri, from its replies and pushes alone.
struct View {
    uri: String,
    who: String,
    state: Value,
    /// The highest version seen of each item.
    seen: BTreeMap<String, u64>,
}

impl View {
    fn replace(&mut self, data: &Value) {
        self.state = data.clone();
        self.look(data);
    }

    fn look(&mut self, data: &Value) {
        for row in data
            .as_array()
            .map_or(std::slice::from_ref(data), Vec::as_slice)
        {
            let (Some(id), Some(version)) = (row["id"].as_u64(), row["version"].as_u64()) else {
                continue;
            };
            let seen = self.seen.entry(format!("/posts/{id}")).or_default();
            assert!(
                version >= *seen,
                "{} went back from {seen} to {version}",
                self.uri
            );
            *seen = version;
            let canary = row["canary"].as_str();
            assert!(
                canary.is_none_or(|canary| canary == self.who),
                "another's data: {row}"
            );
        }
    }

    /// Takes a push; true: fetch again.
    fn take(&mut self, push: &Value) -> bool {
        let event = push["event"].as_str().unwrap();
        match event {
            "pogo:gap" | "pogo:unsubscribed" => return true,
            _ => self.look(&push["data"]),
        }
        let Some(item) = push["item"].as_str() else {
            self.state = if event == "delete" {
                Value::Null
            } else {
                push["data"].clone()
            };
            return false;
        };
        let id: u64 = item.rsplit('/').next().unwrap().parse().unwrap();
        let rows = self.state.as_array_mut().unwrap();
        rows.retain(|row| row["id"] != id);
        if event != "delete" {
            rows.push(push["data"].clone());
        }
        rows.sort_by_key(|row| row["id"].as_u64());
        false
    }
}

/// What each client holds now.
type Views = Arc<Mutex<BTreeMap<usize, Value>>>;

/// How far a run has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Writing,
    /// Nobody writes or disconnects any more.
    Resting,
    Over,
}

/// A client that holds one uri, through losses and reconnects, to the run's end.
async fn hold(
    server: Arc<TestServer>,
    mut view: View,
    mut dice: Dice,
    views: Views,
    (number, stage): (usize, watch::Receiver<Stage>),
) {
    loop {
        let mut one = client(&server, &view.who).await;
        let end = Instant::now() + Duration::from_millis(20 + dice.below(400));
        let mut again = true;
        while Instant::now() < end || *stage.borrow() == Stage::Resting {
            if again {
                again = fetch(&mut one, &mut view, &mut dice).await;
            } else if let Ok(push) = timeout(Duration::from_millis(20), one.next()).await {
                again = view.take(&push);
            }
            views.lock().unwrap().insert(number, view.state.clone());
        }
        if *stage.borrow() == Stage::Over {
            return;
        }
    }
}

/// Fetches and binds; true: not yet.
async fn fetch(one: &mut Client, view: &mut View, dice: &mut Dice) -> bool {
    let event = if view.uri.starts_with("/posts/") {
        "show"
    } else {
        "index"
    };
    let reply = one.command(json!({"event": event, "uri": view.uri})).await;
    // What was pushed before the reply is in it.
    one.forget();
    if reply["status"] == "ok" {
        view.replace(&reply["data"]);
        return false;
    }
    let code = reply["error"]["code"].as_str().unwrap();
    if code == "not_found" {
        view.state = Value::Null;
    }
    // An item that is gone may come back; what fails is tried again.
    dice.pause(30).await;
    true
}

/// Writes behind Pogo's back and tells of it: late, twice, out of order.
async fn outside(table: Shared, mut control: Control, mut dice: Dice) {
    let mut telling = vec![];
    for _ in 0..WRITES {
        let id = 1 + dice.below(ITEMS);
        let (event, data) = {
            let mut table = table.lock().unwrap();
            if dice.below(6) == 0 {
                table.rows.remove(&id);
                ("delete", Value::Null)
            } else {
                ("update", table.write(id))
            }
        };
        for _ in 0..=dice.below(2) {
            let (mut control, mut dice, data) = (control.clone(), dice.clone(), data.clone());
            dice.below(7 + id);
            telling.push(tokio::spawn(async move {
                dice.pause(60).await;
                control.publish(&format!("/posts/{id}"), event, &data).await;
            }));
        }
        dice.pause(20).await;
    }
    join_all(telling).await;
    // Whatever order the rest came in: every item is told of once more, as a service would that
    // sends its outbox again.
    for id in 1..=ITEMS {
        let row = table.lock().unwrap().row(id, None);
        let event = if row.is_some() { "update" } else { "delete" };
        control
            .publish(&format!("/posts/{id}"), event, &row.unwrap_or_default())
            .await;
    }
}

/// Writes through Pogo.
async fn inside(server: Arc<TestServer>, who: &str, mut dice: Dice) {
    let mut one = client(&server, who).await;
    for _ in 0..WRITES {
        let uri = format!("/posts/{}", 1 + dice.below(ITEMS));
        let command = match dice.below(8) {
            0 => json!({"event": "delete", "uri": uri, "options": {"bind": false}}),
            1 => {
                json!({"event": "create", "uri": "/posts", "data": {}, "options": {"bind": false}})
            }
            _ => json!({"event": "update", "uri": uri, "data": {}, "options": {"bind": false}}),
        };
        // An item that another has deleted is not found; that is no matter.
        one.command(command).await;
        dice.pause(20).await;
    }
}

async fn converges(more: &str, private: bool, seed: u64) {
    let table: Shared = Arc::new(Mutex::new(Table::of(private)));
    for id in 1..=ITEMS {
        table.lock().unwrap().write(id);
    }
    let dice = Dice(seed);
    let api = {
        let (table, dice) = (table.clone(), Arc::new(Mutex::new(dice.clone())));
        Upstream::answering(move |heard| answer(table.clone(), dice.clone(), heard)).await
    };
    let server = Arc::new(TestServer::with(&posts(&api, more)).await);
    let views = Views::default();
    let (stage, staged) = watch::channel(Stage::Writing);
    let uris = ["/posts", "/posts/1", "/posts?status=odd", "/posts/2"];
    let (mut held, mut clients) = (vec![], JoinSet::new());
    for number in 0..CLIENTS {
        let (who, uri) = (["ann", "bob"][number / 4 % 2], uris[number % 4]);
        let dice = Dice(seed.wrapping_mul(31 + number as u64) | 1);
        held.push((who, uri));
        let view = View {
            uri: uri.to_owned(),
            who: who.to_owned(),
            state: Value::Null,
            seen: BTreeMap::new(),
        };
        let about = (number, staged.clone());
        clients.spawn(hold(server.clone(), view, dice, views.clone(), about));
    }
    let control = server.control().await;
    tokio::join!(
        outside(table.clone(), control, Dice(seed ^ 0x5555)),
        inside(server.clone(), "ann", Dice(seed ^ 0x1234)),
        inside(server.clone(), "bob", Dice(seed ^ 0x9876)),
    );
    stage.send_replace(Stage::Resting);
    let expected: Vec<Value> = {
        let table = table.lock().unwrap();
        held.iter()
            .map(|(who, uri)| table.read(uri, private.then_some(*who)).unwrap_or_default())
            .collect()
    };
    agree(&views, &held, &expected, seed).await;
    stage.send_replace(Stage::Over);
    // What one of them has seen that must not be fails the test here.
    clients.join_all().await;
}

/// Waits until each client holds what is expected of it.
async fn agree(views: &Views, held: &[(&str, &str)], expected: &[Value], seed: u64) {
    let differ = || {
        let views = views.lock().unwrap();
        (0..CLIENTS).find(|at| views.get(at) != Some(&expected[*at]))
    };
    let deadline = Instant::now() + Duration::from_secs(15);
    while let Some(at) = differ() {
        assert!(
            Instant::now() < deadline,
            "seed {seed}: {:?} holds {:?}, not {}",
            held[at],
            views.lock().unwrap().get(&at),
            expected[at],
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

const OPEN: &str = r#"
    access = "public"
    audience = "shared"
    auth.mode = "none"
"#;

#[tokio::test(flavor = "multi_thread")]
async fn shared_with_versions() {
    let more = format!("{OPEN}version = \"body:/version\"\nwrite_returns = \"representation\"");
    converges(&more, false, 0x9E37_79B9_7F4A_7C15).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn shared_without_versions() {
    converges(OPEN, false, 0xD1B5_4A32_D192_ED03).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_its_own_with_versions() {
    converges("version = \"body:/version\"", true, 0x2545_F491_4F6C_DD1D).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_its_own_without_versions() {
    converges("", true, 0x94D0_49BB_1331_11EB).await;
}
