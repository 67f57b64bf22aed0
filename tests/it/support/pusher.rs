//! A Pusher client on a plain WebSocket, as pusher-js is one. Every wait has an end.

use aws_lc_rs::hmac;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use super::http::{APP_KEY, APP_SECRET, hex};
use super::{Client, Connect, TestServer};

/// What pusher-js of today asks with.
pub const QUERY: &str = "?protocol=7&client=js&version=8.6.0&flash=false";

/// A connected client.
pub struct Pusher {
    client: Client,
    /// The id that the server gave it.
    pub id: String,
}

impl Pusher {
    pub async fn open(server: &TestServer) -> Self {
        Self::with_query(server, QUERY).await
    }

    pub async fn with_query(server: &TestServer, query: &str) -> Self {
        let mut client = connect(APP_KEY, query).open(server).await;
        let established = client.next().await;
        assert_eq!(established["event"], "pusher:connection_established");
        let data = inner(&established);
        assert_eq!(data["activity_timeout"], 120);
        let id = data["socket_id"].as_str().unwrap().to_owned();
        Self { client, id }
    }

    pub async fn say(&mut self, event: &str, data: Value) {
        self.client
            .send(&json!({"event": event, "data": data}))
            .await;
    }

    pub async fn send(&mut self, frame: Value) {
        self.client.send(&frame).await;
    }

    pub async fn send_raw(&mut self, message: Message) {
        self.client.send_raw(message).await;
    }

    pub async fn next(&mut self) -> Value {
        self.client.next().await
    }

    /// The next frame, which must be `event`; its data, read where it is a string.
    pub async fn expect(&mut self, event: &str) -> Value {
        let frame = self.next().await;
        assert_eq!(frame["event"], event, "{frame}");
        if frame["data"].is_string() {
            inner(&frame)
        } else {
            frame["data"].clone()
        }
    }

    /// Subscribes with the app's signature (public channels go without) and returns what
    /// subscription_succeeded says.
    pub async fn subscribe(&mut self, channel: &str) -> Value {
        let auth = match channel.starts_with("private-") {
            true => self.auth(channel, None),
            false => String::new(),
        };
        self.say(
            "pusher:subscribe",
            json!({"channel": channel, "auth": auth}),
        )
        .await;
        self.expect("pusher_internal:subscription_succeeded").await
    }

    /// Subscribes to a presence channel as `user`.
    pub async fn join(&mut self, channel: &str, user: Value) -> Value {
        let data = json!({"user_id": user, "user_info": {"of": user}}).to_string();
        let auth = self.auth(channel, Some(&data));
        let subscribe = json!({"channel": channel, "auth": auth, "channel_data": data});
        self.say("pusher:subscribe", subscribe).await;
        self.expect("pusher_internal:subscription_succeeded").await
    }

    /// The app's signature for a channel.
    pub fn auth(&self, channel: &str, channel_data: Option<&str>) -> String {
        let more = channel_data.map_or(String::new(), |data| format!(":{data}"));
        sign(&format!("{}:{channel}{more}", self.id))
    }

    /// Signs in with `user_data`.
    pub async fn sign_in(&mut self, user_data: &Value) -> Value {
        let text = user_data.to_string();
        let auth = sign(&format!("{}::user::{text}", self.id));
        self.say("pusher:signin", json!({"auth": auth, "user_data": text}))
            .await;
        self.expect("pusher:signin_success").await
    }

    /// Nothing has been pushed: two round trips lie between what was done before and this answer.
    pub async fn quiet(&mut self) {
        for _ in 0..2 {
            self.say("pusher:ping", json!({})).await;
            self.expect("pusher:pong").await;
        }
    }

    pub async fn closed(&mut self) -> (u16, String) {
        self.client.closed().await
    }

    pub async fn close(self) {
        self.client.close().await;
    }
}

/// A connection to the app of this key.
pub fn connect(key: &str, query: &str) -> Connect {
    let path = format!("/app/{key}{query}");
    Connect::new().path(&path).protocols(&[])
}

/// The data of a frame that has it as a string.
pub fn inner(frame: &Value) -> Value {
    let text = frame["data"].as_str();
    let text = text.unwrap_or_else(|| panic!("the data is no string: {frame}"));
    serde_json::from_str(text).unwrap()
}

fn sign(text: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, APP_SECRET.as_bytes());
    format!(
        "{APP_KEY}:{}",
        hex(hmac::sign(&key, text.as_bytes()).as_ref())
    )
}
