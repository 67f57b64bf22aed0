//! `pogo token new` and `check`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Subcommand;
use serde_json::{Map, Value, json};

use super::config::From;
use super::error::CliError;
use super::output::Output;
use super::publish::stdin;
use super::remote::{parse_duration, read};
use crate::auth::{self, Algorithm, AuthError, Authenticator, SigningKey};
use crate::clock::Now;
use crate::config::{Secret, Signing};

/// What to do with a token.
#[derive(Debug, clap::Args)]
pub(super) struct TokenArguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a token, signed with the configured secret (or another key)
    New(Box<New>),
    /// Say what a token holds, and whether the configuration takes it
    Check {
        /// The token; without it, POGO_TOKEN or stdin
        #[arg(env = "POGO_TOKEN", hide_env_values = true)]
        token: Option<String>,
        #[command(flatten)]
        from: From,
    },
}

#[derive(Debug, clap::Args)]
struct New {
    /// Who it is for (sub)
    #[arg(long, alias = "sub", value_name = "SUBJECT")]
    subject: Option<String>,
    /// Channels that are subscribed when it is taken, separated by commas
    #[arg(long, value_delimiter = ',', value_name = "CHANNEL")]
    channels: Vec<String>,
    /// What it allows, as JSON: {"room-*": ["subscribe", "publish"]}
    #[arg(long, value_parser = parse_object, value_name = "JSON")]
    caps: Option<Value>,
    /// Shown in presence, as JSON
    #[arg(long, value_parser = parse_json, value_name = "JSON")]
    info: Option<Value>,
    /// How long it is valid
    #[arg(long, default_value = "1h", value_parser = parse_duration, value_name = "DURATION")]
    ttl: Duration,
    /// Its id (jti); a random one without
    #[arg(long, value_name = "JTI")]
    token_id: Option<String>,
    /// Its iss; the configured one without
    #[arg(long, value_name = "ISS")]
    issuer: Option<String>,
    /// Its aud; the first configured one without
    #[arg(long, value_name = "AUD")]
    audience: Option<String>,
    /// The algorithm; the key's usual one without
    #[arg(long, value_name = "ALG")]
    algorithm: Option<Algorithm>,
    /// The key's id (kid)
    #[arg(long, value_name = "KID")]
    key_id: Option<String>,
    /// Sign with the shared secret in this file, in place of the configured one
    #[arg(long, conflicts_with = "private_key_file", value_name = "FILE")]
    secret_file: Option<PathBuf>,
    /// Sign with the private key in this PEM file, in place of the configured secret
    #[arg(long, value_name = "FILE")]
    private_key_file: Option<PathBuf>,
    #[command(flatten)]
    from: From,
}

/// The key that signs.
enum Key {
    Secret(Secret),
    Pem(String),
}

fn parse_json(text: &str) -> Result<Value, String> {
    serde_json::from_str(text).map_err(|error| format!("not JSON: {error}"))
}

fn parse_object(text: &str) -> Result<Value, String> {
    let value = parse_json(text)?;
    if value.is_object() {
        return Ok(value);
    }
    Err("expected an object like {\"room-*\": [\"subscribe\"]}".to_owned())
}

impl TokenArguments {
    pub(super) fn run(self, out: &mut Output) -> Result<(), CliError> {
        match self.command {
            Command::New(new) => new.run(out),
            Command::Check { token, from } => {
                let token = token.map_or_else(stdin, Ok)?;
                super::wait(check(token.trim(), from, out))
            }
        }
    }
}

impl New {
    fn run(self, out: &mut Output) -> Result<(), CliError> {
        let mut claims = Map::new();
        let now = Now::read().unix.as_secs();
        let mut put = |name: &str, value: Option<Value>| {
            if let Some(value) = value {
                claims.insert(name.to_owned(), value);
            }
        };
        let id = match self.token_id {
            Some(id) => id,
            None => random_id()?,
        };
        put("sub", self.subject.map(Value::from));
        put("jti", Some(id.into()));
        put("iat", Some(now.into()));
        put("exp", Some((now + self.ttl.as_secs()).into()));
        put(
            "channels",
            (!self.channels.is_empty()).then(|| json!(self.channels)),
        );
        put("caps", self.caps);
        put("info", self.info);
        let key = match (&self.secret_file, &self.private_key_file) {
            (Some(path), _) => Key::Secret(Secret::new(read(path)?.trim_end_matches(['\r', '\n']))),
            (None, Some(path)) => Key::Pem(read(path)?),
            (None, None) => {
                let Signing {
                    secret,
                    algorithm,
                    issuer,
                    audience,
                } = signing(self.from)?;
                put("iss", self.issuer.clone().or(issuer).map(Value::from));
                put("aud", self.audience.clone().or(audience).map(Value::from));
                let algorithm = self.algorithm.or(Some(algorithm));
                return sign(
                    &claims,
                    &Key::Secret(secret),
                    algorithm,
                    self.key_id.as_deref(),
                    out,
                );
            }
        };
        put("iss", self.issuer.map(Value::from));
        put("aud", self.audience.map(Value::from));
        sign(&claims, &key, self.algorithm, self.key_id.as_deref(), out)
    }
}

fn signing(from: From) -> Result<Signing, CliError> {
    from.load()?.signing.ok_or_else(|| {
        CliError::Failed(
            "the configuration has no shared secret to sign with: give --private-key-file".into(),
        )
    })
}

fn sign(
    claims: &Map<String, Value>,
    key: &Key,
    algorithm: Option<Algorithm>,
    key_id: Option<&str>,
    out: &mut Output,
) -> Result<(), CliError> {
    let key = match key {
        Key::Secret(secret) => SigningKey::Secret(secret.expose().as_bytes()),
        Key::Pem(text) => SigningKey::Pem(text),
    };
    let text = Value::Object(claims.clone()).to_string();
    let token = auth::sign(&text, key, algorithm, key_id);
    let token = token.map_err(|error| CliError::Failed(error.to_string()))?;
    out.record(&token, &json!({"token": token, "claims": claims}))
}

/// Signs a token as `pogo serve --dev` shows it.
pub(super) fn for_dev(signing: &Signing, ttl: Duration) -> Result<String, CliError> {
    let now = Now::read().unix.as_secs();
    let mut claims = json!({
        "sub": "dev",
        "jti": random_id()?,
        "iat": now,
        "exp": now + ttl.as_secs(),
        "caps": {"**": ["*"]},
    });
    if let Some(issuer) = &signing.issuer {
        claims["iss"] = json!(issuer);
    }
    if let Some(audience) = &signing.audience {
        claims["aud"] = json!(audience);
    }
    let key = SigningKey::Secret(signing.secret.expose().as_bytes());
    auth::sign(&claims.to_string(), key, Some(signing.algorithm), None)
        .map_err(|error| CliError::Failed(error.to_string()))
}

fn random_id() -> Result<String, CliError> {
    let random = getrandom::u64();
    let random = random.map_err(|error| CliError::Failed(format!("no random numbers: {error}")))?;
    Ok(format!("{random:016x}"))
}

async fn check(token: &str, from: From, out: &mut Output) -> Result<(), CliError> {
    let config = from.load()?;
    let authenticator =
        Authenticator::new(config.auth).map_err(|error| CliError::Failed(error.to_string()))?;
    authenticator.start(&tokio::runtime::Handle::current());
    let explained = authenticator.explain(token, Now::read()).await;
    let part = |text: &Option<String>| {
        text.as_deref()
            .map(|text| parse_json(text).unwrap_or_default())
    };
    let (header, claims) = (part(&explained.header), part(&explained.claims));
    let value = json!({
        "valid": explained.verdict.is_ok(),
        "message": explained.sentence,
        "header": header,
        "claims": claims,
    });
    let mut text = explained.sentence.clone();
    for (name, part) in [("header", header), ("claims", claims)] {
        if let Some(part) = part {
            text = format!("{text}\n{name}  {part}");
        }
    }
    out.record(&text, &value)?;
    match explained.verdict {
        Ok(_) => Ok(()),
        Err(AuthError::KeysUnavailable) => Err(CliError::Unavailable(explained.sentence)),
        Err(_) => Err(CliError::NotAllowed("the token is not taken".into())),
    }
}
