//! How a request that receives gets its frames: what goes before the first, what around each, and
//! when the response has to end. No I/O.

use bytes::Bytes;

use super::wire;
use crate::protocol::frame::{self, Opcode};

/// Whose rules a session follows where SockJS and Pusher's own transports differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    /// `/pusher/app/{key}/…`: pusher-js's xhr transports.
    Pusher,
    /// `/pusher/{server}/{session}/…`: SockJS 0.3.
    SockJs,
}

/// The ways of receiving.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Receiver {
    /// One frame a response.
    Polling,
    /// Lines as they come.
    Streaming,
    /// One frame a response, as a call of this function.
    Jsonp(Box<str>),
    /// Events of an `EventSource`.
    EventSource,
    /// Scripts in a page that calls this function of its parent.
    HtmlFile(Box<str>),
    /// Text messages of a WebSocket.
    WebSocket,
}

/// What happens to a response that has become long: the client would keep all of it in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cap {
    /// It ends, and the client asks again.
    End(usize),
    /// It gets nothing more: pusher-js drops it once it has read this much, and asks again. An
    /// end that comes from here would be a lost connection to it.
    Pause(usize),
}

/// `MAX_BUFFER_LENGTH` of pusher-js, in the units that its strings are counted in.
const PUSHER_CAP: usize = 256 * 1024;
/// What SockJS's servers agree on.
const SOCKJS_CAP: usize = 128 * 1024;
/// Old browsers show nothing of a response before it has some 2 KiB.
const PRELUDE: usize = 2048;

impl Receiver {
    /// Whether a response ends with its first frame.
    pub(super) const fn is_one_shot(&self) -> bool {
        matches!(self, Self::Polling | Self::Jsonp(_))
    }

    /// How long a response may become.
    pub(super) const fn cap(&self, family: Family) -> Option<Cap> {
        match (self, family) {
            (Self::Polling | Self::Jsonp(_) | Self::WebSocket, _) => None,
            (Self::Streaming, Family::Pusher) => Some(Cap::Pause(PUSHER_CAP)),
            _ => Some(Cap::End(SOCKJS_CAP)),
        }
    }

    /// What comes before the first frame.
    pub(super) fn prelude(&self, family: Family) -> Bytes {
        match (self, family) {
            (Self::Streaming, Family::SockJs) => {
                let mut bytes = vec![b'h'; PRELUDE];
                bytes.push(b'\n');
                bytes.into()
            }
            (Self::EventSource, _) => Bytes::from_static(b"\r\n"),
            (Self::HtmlFile(callback), _) => {
                let mut page = format!(
                    "<!doctype html>\n<html><head><meta charset=\"utf-8\"></head><body>\
                     <h2>Nothing to see here.</h2>\n<script>\n\
                     document.domain = document.domain;\nvar c = parent.{callback};\nc.start();\n\
                     function p(d) {{c.message(d);}};\nwindow.onload = c.stop;\n</script>\n"
                );
                page.extend(std::iter::repeat_n(' ', PRELUDE));
                page.push('\n');
                page.into()
            }
            _ => Bytes::new(),
        }
    }

    /// A frame as the response has it.
    pub(super) fn wrap(&self, frame: &str) -> Bytes {
        match self {
            Self::Polling | Self::Streaming => [frame, "\n"].concat().into(),
            Self::Jsonp(callback) => {
                // The comment keeps the response from being taken for anything but a script.
                let mut out = format!("/**/{callback}(");
                wire::put_text(&mut out, frame);
                out.push_str(");\r\n");
                out.into()
            }
            Self::EventSource => ["data: ", frame, "\r\n\r\n"].concat().into(),
            Self::HtmlFile(_) => {
                let mut text = String::new();
                wire::put_text(&mut text, frame);
                // No message may end the script, nor make the parser look for another end.
                let text = text.replace('/', "\\/").replace('<', "\\u003c");
                ["<script>\np(", &text, ");\n</script>\r\n"].concat().into()
            }
            Self::WebSocket => {
                let head = frame::header(Opcode::Text, frame.len());
                [&head[..], frame.as_bytes()].concat().into()
            }
        }
    }

    /// `Content-Type` of the response.
    pub(super) const fn content_type(&self) -> &'static str {
        match self {
            Self::Jsonp(_) => "application/javascript; charset=UTF-8",
            Self::EventSource => "text/event-stream; charset=UTF-8",
            Self::HtmlFile(_) => "text/html; charset=UTF-8",
            Self::Polling | Self::Streaming | Self::WebSocket => {
                "application/javascript; charset=UTF-8"
            }
        }
    }
}

/// Whether a script of ours may call `name`: dots and brackets as SockJS clients make them,
/// nothing that could be more than a name.
pub(super) fn is_callback(name: &str) -> bool {
    let letters = |byte: u8| byte.is_ascii_alphanumeric() || b"_.$".contains(&byte);
    (1..=128).contains(&name.len()) && name.bytes().all(letters)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_way_has_its_wrapping() {
        let wrapped = |receiver: Receiver| {
            String::from_utf8(receiver.wrap(r#"a["</script>"]"#).to_vec()).unwrap()
        };
        assert_eq!(wrapped(Receiver::Polling), "a[\"</script>\"]\n");
        assert_eq!(
            wrapped(Receiver::Jsonp("cb.x".into())),
            "/**/cb.x(\"a[\\\"</script>\\\"]\");\r\n"
        );
        assert_eq!(
            wrapped(Receiver::EventSource),
            "data: a[\"</script>\"]\r\n\r\n"
        );
        assert_eq!(
            wrapped(Receiver::HtmlFile("c".into())),
            "<script>\np(\"a[\\\"\\u003c\\/script>\\\"]\");\n</script>\r\n"
        );
    }

    #[test]
    fn a_callback_is_a_name() {
        for good in ["a", "_jp.a1b2", "window.$x_.y"] {
            assert!(is_callback(good), "{good}");
        }
        let long = "a".repeat(129);
        for bad in ["", "a(", "a b", "a;b", "a[0]", "<x", "a\n", "é", &long] {
            assert!(!is_callback(bad), "{bad}");
        }
    }
}
