//! Clients of the rig, what they ask, and the endpoint that most of them ask about.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::auth::{Capabilities, Grant, Presented};
use crate::channel::ChannelName;
use crate::resource::{AccessRule, Audience, CallOptions, Caller, Endpoint, Origin};

/// One client.
#[derive(Clone)]
pub(super) struct Client {
    pub(super) origin: Origin,
    pub(super) caller: Arc<Caller>,
}

/// `/posts` and `/posts/{id}` of `upstream`, public and shared.
pub(super) fn posts(base: &str) -> Endpoint {
    let bases = vec![base.parse().unwrap()];
    let mut posts = Endpoint::new("posts", Some("/posts/{id}"), Some("/posts"), bases);
    posts.access = AccessRule::Public;
    posts.audience = Audience::Shared;
    posts.query = vec!["page".into()];
    posts.upstream.timeout = Duration::from_secs(2);
    posts
}

/// How a call is made.
#[derive(Default, Clone)]
pub(super) struct How<'a> {
    pub(super) body: &'a str,
    /// Without a copy of one's own.
    pub(super) quiet: bool,
    pub(super) options: CallOptions,
}

impl<'a> How<'a> {
    /// Without binding.
    pub(super) fn alone() -> Self {
        Self::default()
    }

    /// With binding.
    pub(super) fn bound() -> Self {
        let options = CallOptions {
            bind: true,
            ..CallOptions::default()
        };
        Self {
            options,
            ..Self::default()
        }
    }

    pub(super) fn with(self, body: &'a str) -> Self {
        Self { body, ..self }
    }
}

pub(super) fn name(text: &str) -> ChannelName {
    ChannelName::parse(text).unwrap()
}

pub(super) fn caller(claims: &Value) -> Arc<Caller> {
    static TOKENS: Mutex<u32> = Mutex::new(0);
    let address = std::net::Ipv4Addr::LOCALHOST.into();
    if claims.is_null() {
        let grant = None;
        let turn = 0;
        return Arc::new(Caller {
            grant,
            address,
            turn,
        });
    }
    let mut tokens = TOKENS.lock().unwrap();
    // A later token of a session has a higher number.
    *tokens += 1;
    let turn = *tokens;
    let text = claims.to_string();
    let grant = Grant {
        subject: claims["sub"].as_str().map(Into::into),
        token_id: claims["jti"].as_str().map(Into::into),
        issued_at: None,
        expires_at: u64::MAX,
        channels: Vec::new(),
        capabilities: Capabilities::default(),
        info: None,
        fingerprint: u128::from(turn).to_be_bytes(),
        presented: Some(Arc::new(Presented {
            token: format!("token-{turn}").into(),
            claims: RawValue::from_string(text).unwrap(),
        })),
    };
    let grant = Some(Arc::new(grant));
    Arc::new(Caller {
        grant,
        address,
        turn,
    })
}

/// Who is `sub`.
pub(super) fn sub(name: &str) -> Value {
    json!({ "sub": name })
}
