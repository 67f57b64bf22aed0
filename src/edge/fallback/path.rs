//! The paths of the fallback transports.

use super::receiver::Family;

/// The longest part of a path that names a server or a session.
const MAX_PART: usize = 64;

/// A path under `/pusher/` that is a fallback transport's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Path<'a> {
    /// Of one session.
    Session(Route<'a>),
    /// `/pusher/info`: what SockJS asks first.
    Info,
    /// `/pusher` and `/pusher/`: that SockJS is here.
    Greeting,
    /// A WebSocket whose messages are SockJS frames.
    WebSocket,
}

/// A request to one session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Route<'a> {
    pub(super) family: Family,
    /// What names the session among all, the app's key included.
    pub(super) id: &'a str,
    /// The app's key, where the path says it.
    pub(super) key: Option<&'a str>,
    pub(super) action: Action,
}

/// What a request to a session is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    Xhr,
    XhrStreaming,
    XhrSend,
    Jsonp,
    JsonpSend,
    EventSource,
    HtmlFile,
}

impl<'a> Path<'a> {
    /// `None`: somebody else's.
    pub(super) fn parse(path: &'a str) -> Option<Self> {
        let rest = match path {
            "/pusher" | "/pusher/" => return Some(Self::Greeting),
            "/pusher/info" => return Some(Self::Info),
            path => path.strip_prefix("/pusher/")?,
        };
        let (id, action) = rest.rsplit_once('/')?;
        if !id.split('/').all(is_part) {
            return None;
        }
        let parts: Vec<_> = id.split('/').collect();
        let (family, key) = match parts[..] {
            ["app", key, _, _] => (Family::Pusher, Some(key)),
            [_, _] => (Family::SockJs, None),
            _ => return None,
        };
        let action = match (action, family) {
            ("xhr", _) => Action::Xhr,
            ("xhr_streaming", _) => Action::XhrStreaming,
            ("xhr_send", _) => Action::XhrSend,
            ("jsonp", Family::SockJs) => Action::Jsonp,
            ("jsonp_send", Family::SockJs) => Action::JsonpSend,
            ("eventsource", Family::SockJs) => Action::EventSource,
            ("htmlfile", Family::SockJs) => Action::HtmlFile,
            ("websocket", Family::SockJs) => return Some(Self::WebSocket),
            _ => return None,
        };
        Some(Self::Session(Route {
            family,
            id,
            key,
            action,
        }))
    }
}

/// SockJS allows no dots there; nothing else is needed either.
fn is_part(part: &str) -> bool {
    let letters = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    (1..=MAX_PART).contains(&part.len()) && part.bytes().all(letters)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_path_is_what_it_is() {
        let route = |path| match Path::parse(path) {
            Some(Path::Session(route)) => Some((route.family, route.id, route.key, route.action)),
            _ => None,
        };
        assert_eq!(
            route("/pusher/app/k-1/999/abcdefgh/xhr_streaming"),
            Some((
                Family::Pusher,
                "app/k-1/999/abcdefgh",
                Some("k-1"),
                Action::XhrStreaming
            ))
        );
        assert_eq!(
            route("/pusher/000/abc/jsonp_send"),
            Some((Family::SockJs, "000/abc", None, Action::JsonpSend))
        );
        assert_eq!(Path::parse("/pusher/0/a/websocket"), Some(Path::WebSocket));
        assert_eq!(Path::parse("/pusher/info"), Some(Path::Info));
        assert_eq!(Path::parse("/pusher"), Some(Path::Greeting));
        let long = format!("/pusher/0/{}/xhr", "a".repeat(65));
        for other in [
            "/pusher/auth",
            "/pusher/user-auth",
            "/pusher/app/k/1/abcdefgh/jsonp",
            "/pusher/app/k/1/xhr",
            "/pusher/0/a.b/xhr",
            "/pusher//a/xhr",
            "/pusher/0/a/xhr/",
            "/pusher/0/a/other",
            "/pusher/0/%61/xhr",
            "/app/k",
            &long,
        ] {
            assert_eq!(Path::parse(other), None, "{other}");
        }
    }
}
