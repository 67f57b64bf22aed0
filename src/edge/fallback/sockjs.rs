//! What is SockJS's own: what its clients ask before they choose a transport, scripts and forms,
//! and the first message of a Pusher client. (`iframe.html` is not here: it would run a script of
//! somebody else's in this origin. pusher-js 2 and 3 try it and fall through to `jsonp`.)

use bytes::Bytes;
use http::request::Parts;
use http::{Method, StatusCode};

use super::path::{Action, Path};
use super::receiver::is_callback;
use super::{answer, wire};
use crate::edge::response::{Answer, Refusal};
use crate::protocol::pairs::{Pairs, Plus};

/// Answers what is of no session.
pub(super) fn about(path: Path<'_>, head: &Parts) -> Result<Answer, Refusal> {
    match head.method {
        Method::GET => {}
        Method::OPTIONS => return Ok(answer::preflight()),
        _ => return Err(Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "Use GET.")),
    }
    match path {
        Path::Greeting => {
            let hello = Bytes::from_static(b"Welcome to SockJS!\n");
            return Ok(answer::whole(StatusCode::OK, answer::PLAIN, hello));
        }
        Path::Info => {}
        Path::WebSocket | Path::Session(_) => {
            let says = "Open a WebSocket here.";
            return Err(Refusal::new(StatusCode::UPGRADE_REQUIRED, says));
        }
    }
    // Clients stir it into their own random numbers.
    let entropy = getrandom::u32().unwrap_or_default();
    let info = format!(
        r#"{{"websocket":true,"origins":["*:*"],"cookie_needed":false,"entropy":{entropy}}}"#
    );
    let kind = "application/json; charset=UTF-8";
    Ok(answer::whole(StatusCode::OK, kind, info))
}

/// The function that a script shall call.
pub(super) fn callback(head: &Parts) -> Result<Box<str>, Refusal> {
    let query = head.uri.query().unwrap_or_default();
    let pairs = Pairs::read(query, Plus::Space).unwrap_or_default();
    let wanted = pairs.get("c").or_else(|| pairs.get("callback"));
    match wanted.filter(|name| is_callback(name)) {
        Some(name) => Ok(name.into()),
        None => Err(Refusal::bad(
            "Name a function: `c=` with letters, digits, `_`, `.` and `$`.",
        )),
    }
}

/// The messages of a request's body: JSON, or a form's field `d` that holds it.
pub(super) fn messages(action: Action, body: &[u8]) -> Result<Vec<String>, wire::NoMessages> {
    if action == Action::JsonpSend
        && let Ok(form) = std::str::from_utf8(body)
        && let Some(pairs) = Pairs::read(form, Plus::Space)
        && let Some(value) = pairs.get("d")
    {
        return wire::messages(value.as_bytes());
    }
    wire::messages(body)
}

/// Key and query in `{"path":"/app/KEY?protocol=7&…"}`.
pub(super) fn app_of(message: &str) -> Option<(String, String)> {
    #[derive(serde::Deserialize)]
    struct Introduction {
        path: String,
    }
    let Introduction { path } = serde_json::from_str(message).ok()?;
    let rest = path.strip_prefix("/app/")?;
    let (key, query) = rest.split_once('?').unwrap_or((rest, ""));
    (!key.is_empty()).then(|| (key.to_owned(), query.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockjs_clients_say_which_app_it_is() {
        assert_eq!(
            app_of(r#"{"path":"/app/k?protocol=5&client=js"}"#),
            Some(("k".to_owned(), "protocol=5&client=js".to_owned()))
        );
        assert_eq!(
            app_of(r#"{"path":"/app/k"}"#),
            Some(("k".to_owned(), String::new()))
        );
        for bad in [
            "",
            "{}",
            r#"{"path":"/app/"}"#,
            r#"{"path":"/x"}"#,
            r#"{"path":1}"#,
        ] {
            assert_eq!(app_of(bad), None, "{bad}");
        }
    }

    #[test]
    fn forms_are_read_as_browsers_write_them() {
        let body = b"x=1&d=%5B%22a+b%26%22%5D";
        assert_eq!(
            messages(Action::JsonpSend, body),
            Ok(vec!["a b&".to_owned()])
        );
        assert_eq!(
            messages(Action::JsonpSend, b"[\"a\"]"),
            Ok(vec!["a".to_owned()])
        );
        assert!(messages(Action::JsonpSend, b"d=%5").is_err());
        assert!(messages(Action::XhrSend, body).is_err());
    }
}
