//! The REST gateway over sockets: an API whose answers the test holds back, events by gRPC, and
//! what clients see.

mod access;
mod changes;
mod convergence;
mod events;
mod joins;
mod queries;

use serde_json::{Value, json};

use crate::support::{Client, TestServer, Token, upstream::Upstream};

/// An endpoint `posts` in front of `upstream`; `more` is TOML.
pub fn posts(upstream: &Upstream, more: &str) -> String {
    format!(
        r#"
        [gateway]
        allow = ["127.0.0.0/8"]
        [[endpoint]]
        name = "posts"
        item = "/posts/{{id}}"
        collection = "/posts"
        upstream.bases = ["{}"]
        query.allow = ["status", "page"]
        {more}
        "#,
        upstream.base
    )
}

/// Everyone may read the same, and no answer is kept.
pub const SHARED: &str = r#"
    access = "public"
    audience = "shared"
    auth.mode = "none"
    cache.max_ttl = "0s"
"#;

/// As [`SHARED`], with a version in each body.
pub const VERSIONED: &str = r#"
    access = "public"
    audience = "shared"
    auth.mode = "none"
    cache.max_ttl = "0s"
    version = "body:/version"
    write_returns = "representation"
"#;

/// A client that may do what its subject may.
pub async fn client(server: &TestServer, subject: &str) -> Client {
    Client::with(server, &Token::of(subject).sign()).await
}

/// `show`, or another verb without data.
pub fn verb(event: &str, uri: &str) -> Value {
    json!({"event": event, "uri": uri})
}
