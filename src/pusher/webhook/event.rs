//! A notice as a webhook spells it.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::notice::{News, Notice, NoticeKind};

#[derive(Serialize)]
struct Event<'a> {
    name: &'static str,
    channel: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    socket_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subscription_count: Option<usize>,
}

/// The event's JSON, in bytes of its own: what waits keeps no larger buffer alive.
pub(super) fn render(notice: &Notice, member: Option<&str>) -> Bytes {
    let mut event = Event {
        name: notice.news.kind().name(),
        channel: notice.channel.as_str(),
        event: None,
        data: None,
        socket_id: None,
        user_id: member,
        subscription_count: None,
    };
    let text;
    match &notice.news {
        News::ClientEvent {
            event: name,
            data,
            session,
            user,
        } => {
            text = text_of(data);
            event.event = Some(name);
            event.data = Some(&text);
            event.socket_id = Some(session.to_string());
            event.user_id = user.as_deref();
        }
        News::SubscriptionCount(count) => event.subscription_count = Some(*count),
        _ => {}
    }
    // Strings and numbers: nothing here can fail to be written.
    serde_json::to_vec(&event).unwrap_or_default().into()
}

/// The member that a push about presence is about; `None`: of another kind, or no such push.
pub(super) fn member_of(news: &News) -> Option<Arc<str>> {
    #[derive(Deserialize)]
    struct Push {
        subject: Arc<str>,
    }
    let (News::Added(push) | News::Removed(push)) = news else {
        return None;
    };
    let push: Push = serde_json::from_slice(push).ok()?;
    Some(push.subject)
}

/// Data is a string in a webhook, as in the types of Pusher's libraries: a string as it is, and of
/// anything else its text.
fn text_of(data: &Bytes) -> String {
    let string = serde_json::from_slice::<String>(data);
    string.unwrap_or_else(|_| String::from_utf8_lossy(data).into_owned())
}

/// A request's body.
pub(super) fn body<'a>(time_ms: u64, events: impl Iterator<Item = &'a Bytes>) -> Bytes {
    let mut body = format!(r#"{{"time_ms":{time_ms},"events":["#).into_bytes();
    for (index, event) in events.enumerate() {
        if index > 0 {
            body.push(b',');
        }
        body.extend_from_slice(event);
    }
    body.extend_from_slice(b"]}");
    body.into()
}

/// Whether events of this kind are held back, as who left may be back at once.
pub(super) fn is_departure(kind: NoticeKind) -> bool {
    matches!(kind, NoticeKind::ChannelVacated | NoticeKind::MemberRemoved)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel::ChannelName;
    use serde_json::{Value, json};

    fn rendered(news: News) -> Value {
        let member = member_of(&news);
        let channel = ChannelName::parse("presence-a").unwrap();
        let text = render(&Notice { channel, news }, member.as_deref());
        serde_json::from_slice(&text).unwrap()
    }

    #[test]
    fn each_kind_has_its_fields_and_no_others() {
        let push = || Bytes::from(r#"{"subject":"ann","session":"1.2","info":{"a":1}}"#);
        let client = |user: Option<&str>, data: &'static str| News::ClientEvent {
            event: "client-x".into(),
            data: data.into(),
            session: "1.2".parse().unwrap(),
            user: user.map(Into::into),
        };
        let told = |name: &str, rest: Value| {
            let mut event = json!({"name": name, "channel": "presence-a"});
            for (key, value) in rest.as_object().unwrap() {
                event[key] = value.clone();
            }
            event
        };
        let from = json!({"event": "client-x", "data": "{\"a\": 1}", "socket_id": "1.2"});
        let with = json!({"event": "client-x", "data": "b\"", "socket_id": "1.2", "user_id": "u"});
        for (news, expected) in [
            (News::Occupied, told("channel_occupied", json!({}))),
            (News::Vacated, told("channel_vacated", json!({}))),
            (
                News::Added(push()),
                told("member_added", json!({"user_id": "ann"})),
            ),
            (
                News::Removed(push()),
                told("member_removed", json!({"user_id": "ann"})),
            ),
            (client(None, r#"{"a": 1}"#), told("client_event", from)),
            (client(Some("u"), r#""b\"""#), told("client_event", with)),
            (News::CacheMiss, told("cache_miss", json!({}))),
            (
                News::SubscriptionCount(7),
                told("subscription_count", json!({"subscription_count": 7})),
            ),
        ] {
            assert_eq!(rendered(news), expected);
        }
    }

    #[test]
    fn a_body_holds_its_events() {
        let events = [Bytes::from("{\"a\":1}"), Bytes::from("{}")];
        assert_eq!(
            body(5, events.iter()),
            r#"{"time_ms":5,"events":[{"a":1},{}]}"#
        );
        assert_eq!(body(5, [].iter()), r#"{"time_ms":5,"events":[]}"#);
    }
}
