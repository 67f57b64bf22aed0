//! `--dev`: a server on this machine that one can try at once. It fills in only what no other
//! source says.

use super::problem::Origin;
use super::secret::Secret;
use super::value::{Node, Table, Value};

/// Random keys, made once for a process, so that a reload changes nothing.
#[derive(Debug)]
pub struct DevKeys {
    /// Signs tokens (HS256).
    pub token: Secret,
    /// Opens the control plane with every scope.
    pub control: Secret,
    /// The key of the Pusher app.
    pub app_key: Secret,
    /// Its secret.
    pub app_secret: Secret,
}

impl DevKeys {
    /// New random keys.
    ///
    /// # Errors
    /// The operating system's random source failed.
    pub fn random() -> Result<Self, getrandom::Error> {
        Ok(Self {
            token: Secret::random()?,
            control: Secret::random()?,
            app_key: Secret::short()?,
            app_secret: Secret::short()?,
        })
    }
}

/// Fills in what `values` leaves open.
pub(super) fn fill(values: &mut Table, keys: &DevKeys) {
    if let Some(auth) = section(values, "auth") {
        let listed = auth
            .get("issuer")
            .is_some_and(|n| matches!(n.value, Value::List(_)));
        let keyless = !listed
            && ["secret", "secret_file", "public_key_file", "jwks_url"]
                .iter()
                .all(|name| !auth.contains_key(*name));
        put(auth, "required", Value::Flag(false));
        if keyless {
            put(auth, "secret", text(keys.token.expose()));
        }
    }
    if let Some(edge) = section(values, "edge") {
        put(edge, "listen", text("127.0.0.1:8080"));
        put(edge, "allowed_origins", list(&LOCAL_ORIGINS));
    }
    if let Some(control) = section(values, "control") {
        let key = [
            ("name", text("dev")),
            ("secret", text(keys.control.expose())),
            ("scopes", list(&["admin"])),
        ];
        put(control, "keys", one(key));
    }
    if let Some(pusher) = section(values, "pusher") {
        let app = [
            ("id", text("1")),
            ("key", text(keys.app_key.expose())),
            ("secret", text(keys.app_secret.expose())),
        ];
        put(pusher, "apps", one(app));
    }
}

/// Pages on this machine at any port, and those without an origin (a file).
const LOCAL_ORIGINS: [&str; 7] = [
    "http://localhost:*",
    "https://localhost:*",
    "http://127.0.0.1:*",
    "https://127.0.0.1:*",
    "http://[::1]:*",
    "https://[::1]:*",
    "null",
];

fn node(value: Value) -> Node {
    Node {
        value,
        origin: Origin::Dev,
    }
}

/// A section to fill; `None` where something else stands in its place, which is reported.
fn section<'a>(values: &'a mut Table, name: &str) -> Option<&'a mut Table> {
    let entry = values
        .entry(name.to_owned())
        .or_insert_with(|| node(Value::Table(Table::new())));
    match &mut entry.value {
        Value::Table(table) => Some(table),
        _ => None,
    }
}

fn put(section: &mut Table, name: &str, value: Value) {
    section
        .entry(name.to_owned())
        .or_insert_with(|| node(value));
}

/// A list of one table.
fn one<const N: usize>(entries: [(&str, Value); N]) -> Value {
    let entries = entries
        .into_iter()
        .map(|(name, value)| (name.to_owned(), node(value)));
    Value::List(vec![node(Value::Table(entries.collect()))])
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

fn list(items: &[&str]) -> Value {
    Value::List(items.iter().map(|item| node(text(item))).collect())
}
