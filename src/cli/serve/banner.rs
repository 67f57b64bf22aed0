//! What `pogo serve` prints when it is up: in `--dev` all that is needed to try it.

use std::time::Duration;

use serde_json::json;

use super::super::error::CliError;
use super::super::output::{Output, Style};
use super::super::token;
use crate::config::Config;
use crate::server::Addresses;

/// How long the token of `--dev` is valid.
const TOKEN_TTL: Duration = Duration::from_secs(24 * 3_600);

/// This program as it was called: `cargo run` puts it on no path.
fn program() -> String {
    let called = std::env::args_os().next().unwrap_or_else(|| "pogo".into());
    called.to_string_lossy().into_owned()
}

pub(super) fn show(config: &Config, at: &Addresses, out: &mut Output) -> Result<(), CliError> {
    let secure = |tls: bool| if tls { "s" } else { "" };
    let edge = format!("ws{}://{}", secure(config.edge.tls.is_some()), at.edge);
    let page = format!("http{}://{}/", secure(config.edge.tls.is_some()), at.edge);
    let control = format!(
        "http{}://{}",
        secure(config.control.tls.is_some()),
        at.control
    );
    let admin = format!("http://{}", at.admin);
    let dev = config.dev.is_some();
    if !dev && !out.is_json() {
        return Ok(());
    }
    let signing = config.signing.as_ref().filter(|_| dev);
    let token = signing
        .map(|signing| token::for_dev(signing, TOKEN_TTL))
        .transpose()?;
    let key = config.dev_control_key().map(|key| key.expose());
    let urls = json!({"edge": edge, "control": control, "admin": admin});
    let app = config
        .dev_app()
        .map(|(key, secret)| json!({"id": "1", "key": key.expose(), "secret": secret.expose()}));
    let value = json!({
        "urls": urls, "token": token, "control_key": key, "dev": dev, "pusher": app,
    });

    let title = format!("Pogo {} for development", env!("CARGO_PKG_VERSION"));
    let mut text = format!(
        "{}\n\n  edge     {edge}    page: {page}\n  control  {control}\n  admin    {admin}\n",
        out.styled(Style::Strong, &title)
    );
    if let Some(token) = &token {
        text += &format!("\n  token    valid for 24 h, for everything\n\n{token}\n");
    }
    if let Some((key, secret)) = config.dev_app() {
        text += &format!(
            "\n  pusher   app 1, key {}, secret {}\n",
            key.expose(),
            secret.expose()
        );
    }
    let bearer = token.map_or_else(String::new, |token| format!(", \"pogo.bearer.{token}\""));
    text += &format!(
        "\n  Paste into a browser's console:\n\n\
         const ws = new WebSocket(\"{edge}/ws\", [\"pogo.v1.json\"{bearer}]);\n\
         ws.onmessage = ({{ data }}) => console.log(data);\n\
         ws.onopen = () => ws.send('{{\"id\":1,\"event\":\"channel:subscribe\",\"channel\":\"news\"}}');\n\
         \n  Then publish from another terminal:\n\n\
         {}{} publish --server {control} news hello '{{\"text\":\"Hi\"}}'\n",
        key.map_or_else(String::new, |key| format!("POGO_KEY={key} ")),
        program()
    );
    out.record(&text, &value)
}
