//! The API behind the gateway: a table of items, whose answers take their time, fail or are lost.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use http::Method;
use serde_json::{Value, json};

use super::Dice;
use crate::support::upstream::{Heard, Reply, json_reply, subject};

/// The API's table. `private`: each subject sees a canary of its own in every row.
pub(super) struct Table {
    pub(super) rows: BTreeMap<u64, u64>,
    version: u64,
    private: bool,
}

impl Table {
    pub(super) fn of(private: bool) -> Self {
        let (rows, version) = (BTreeMap::new(), 0);
        Self {
            rows,
            version,
            private,
        }
    }

    pub(super) fn write(&mut self, id: u64) -> Value {
        self.version += 1;
        let version = self.version;
        self.rows.insert(id, version);
        self.row(id, None).unwrap()
    }

    pub(super) fn row(&self, id: u64, who: Option<&str>) -> Option<Value> {
        let version = self.rows.get(&id)?;
        let canary = self.private.then_some(who).flatten();
        let status = if version % 2 == 0 { "even" } else { "odd" };
        Some(json!({"id": id, "version": version, "status": status, "canary": canary}))
    }

    /// What GET of `uri` answers.
    pub(super) fn read(&self, uri: &str, who: Option<&str>) -> Option<Value> {
        if let Some(id) = uri.strip_prefix("/posts/") {
            return self.row(id.parse().ok()?, who);
        }
        let wanted = uri.split_once("status=").map(|(_, status)| status);
        let rows = self.rows.keys().filter_map(|id| self.row(*id, who));
        Some(
            rows.filter(|row| wanted.is_none_or(|wanted| row["status"] == wanted))
                .collect(),
        )
    }
}

pub(super) type Shared = Arc<Mutex<Table>>;

/// Answers as the table is at some moment between the question and the answer.
pub(super) async fn answer(table: Shared, dice: Arc<Mutex<Dice>>, heard: Heard) -> Option<Reply> {
    let (mut before, roll) = {
        let mut dice = dice.lock().unwrap();
        let roll = dice.below(40);
        (dice.clone(), roll)
    };
    before.pause(8).await;
    let cut = roll == 1;
    if heard.method == Method::GET && roll < 2 {
        return (!cut).then(|| json_reply(503, &Value::Null));
    }
    let who = subject(&heard.headers);
    let reply = {
        let mut table = table.lock().unwrap();
        let id: Option<u64> = heard
            .path
            .strip_prefix("/posts/")
            .and_then(|id| id.parse().ok());
        match (heard.method, id) {
            (Method::GET, _) => match table.read(&heard.path, who.as_deref()) {
                Some(body) => json_reply(200, &body),
                None => json_reply(404, &Value::Null),
            },
            (Method::POST, _) => {
                let id = table.version + 100;
                table.write(id);
                json_reply(201, &table.row(id, who.as_deref()).unwrap())
            }
            (Method::PATCH, Some(id)) if table.rows.contains_key(&id) => {
                table.write(id);
                json_reply(200, &table.row(id, who.as_deref()).unwrap())
            }
            (Method::DELETE, Some(id)) if table.rows.remove(&id).is_some() => {
                json_reply(204, &Value::Null)
            }
            _ => json_reply(404, &Value::Null),
        }
    };
    before.pause(8).await;
    // What was written stays written, but nobody is told.
    (!cut).then_some(reply)
}
