//! What follows from what, and whose data is left out.

use http::Uri;

use super::*;
use crate::publication::Writer;
use crate::resource::VersionAt;
use crate::session_id::SessionId;

fn endpoint(name: &str, item: &'static str, collection: Option<&'static str>) -> Endpoint {
    let base = Uri::from_static("http://blog:8080/v1");
    let mut endpoint = Endpoint::new(name, Some(item), collection, vec![base]);
    endpoint.audience = Audience::Shared;
    endpoint.version = VersionAt::Body("/version".into());
    endpoint
}

fn blog(audience: Audience) -> Routes {
    let mut posts = endpoint("posts", "/posts/{id}", Some("/posts"));
    posts.audience = audience;
    posts.query = vec!["page".into()];
    posts.affects = vec!["/users/{body:/author}/posts".into(), "/feed".into()];
    let users = endpoint(
        "users",
        "/users/{user}/posts/{id}",
        Some("/users/{user}/posts"),
    );
    let latest = endpoint("latest", "/posts/latest", None);
    Routes::new(vec![posts, users, latest]).unwrap()
}

fn published(uri: &str, event: &str, data: &str) -> NewPublication {
    NewPublication {
        channel: ChannelName::parse(uri).unwrap(),
        event: event.into(),
        data: data.to_owned().into(),
        ttl: None,
        exclude: None,
        form: Form::Json,
        user: None,
        skip_history: false,
        idempotency: None,
        change: None,
    }
}

/// Channel, event, item, version and data of all that is published.
fn told(routes: &Routes, uri: &str, event: &str, data: &str) -> Vec<String> {
    let all = of_publisher(routes, &published(uri, event, data));
    let all = all.unwrap().unwrap();
    let line = |one: &NewPublication| {
        let change = one.change.as_deref().unwrap();
        let item = change.item.as_ref().map_or("-", ChannelName::as_str);
        let version = change.version.map_or("-".to_owned(), |v| v.to_string());
        let data = std::str::from_utf8(&one.data).unwrap();
        format!("{} {} {item} {version} {data}", one.channel, one.event)
    };
    all.iter().map(line).collect()
}

const POST: &str = r#"{"id":1,"version":7,"author":"ada"}"#;

#[test]
fn an_item_brings_its_collection_and_what_it_affects() {
    let routes = blog(Audience::Shared);
    assert_eq!(
        told(&routes, "/posts/%31", "update", POST),
        [
            format!("/posts/1 update - 7 {POST}"),
            format!("/posts update /posts/1 7 {POST}"),
            "/users/ada/posts update - - null".into(),
        ]
    );
    assert_eq!(
        told(&routes, "/posts/1", "delete", POST),
        [
            "/posts/1 delete - - null",
            "/posts delete /posts/1 - null",
            "/users/ada/posts update - - null",
        ]
    );
}

#[test]
fn a_collections_event_finds_its_item() {
    let routes = blog(Audience::Shared);
    assert_eq!(
        told(&routes, "/posts?page=2", "update", POST),
        [
            format!("/posts update /posts/1 7 {POST}"),
            format!("/posts/1 update - 7 {POST}"),
            "/users/ada/posts update - - null".into(),
        ]
    );
    assert_eq!(
        told(&routes, "/posts", "create", POST),
        [
            format!("/posts create /posts/1 7 {POST}"),
            "/users/ada/posts update - - null".into(),
        ]
    );
    assert_eq!(
        told(&routes, "/posts", "update", "null"),
        ["/posts update - - null"]
    );
    let odd = r#"{"id":"latest"}"#;
    assert_eq!(
        told(&routes, "/posts", "update", odd),
        [format!("/posts update - - {odd}")],
        "another endpoint's"
    );
}

#[test]
fn other_names_stay_where_they_are() {
    let routes = blog(Audience::Shared);
    assert_eq!(
        told(&routes, "/posts/1", "typing", POST),
        [format!("/posts/1 typing - - {POST}")]
    );
}

#[test]
fn data_goes_nowhere_unless_it_is_everybodys() {
    for audience in [Audience::User, Audience::Claims(vec!["tenant".into()])] {
        let routes = blog(audience);
        for (uri, event) in [
            ("/posts/1", "update"),
            ("/posts", "create"),
            ("/posts", "update"),
            ("/posts/1", "typing"),
        ] {
            for line in told(&routes, uri, event, POST) {
                assert!(line.ends_with(" null"), "{line}");
            }
        }
    }
}

#[test]
fn what_is_not_covered_is_left_alone_and_what_is_wrong_refused() {
    let routes = blog(Audience::Shared);
    for uri in ["/other", "room.1"] {
        assert!(
            of_publisher(&routes, &published(uri, "update", POST))
                .unwrap()
                .is_none()
        );
    }
    for uri in ["/posts?color=red", "/posts/..", "/posts/a%2fb"] {
        assert!(
            of_publisher(&routes, &published(uri, "update", POST)).is_err(),
            "{uri}"
        );
    }
}

#[test]
fn the_writer_and_the_terms_go_along() {
    let routes = blog(Audience::Shared);
    let resource = routes.find("/posts/1").unwrap().unwrap();
    let session = SessionId::random().unwrap();
    let writer = Writer {
        session,
        call: 3,
        re: Some(Bytes::from_static(b"17")),
        echo: true,
    };
    let change = Change {
        writer: Some(writer.clone()),
        ..Change::default()
    };
    let publication = NewPublication {
        exclude: Some(session),
        idempotency: Some("svc key".into()),
        change: Some(Arc::new(change)),
        ..published("/posts/1", "update", "null")
    };
    let happened = Happened {
        resource: &resource,
        item: None,
        publication,
        body: Some(&serde_json::json!({"author": "ada"})),
        version: Some(9),
    };
    let all = publications(&routes, happened);
    assert_eq!(all.len(), 3);
    for one in &all {
        let change = one.change.as_deref().unwrap();
        assert_eq!(one.exclude, Some(session));
        assert_eq!(one.idempotency.as_deref(), Some("svc key"));
        let own = !one.channel.as_str().starts_with("/users");
        assert_eq!(change.version, own.then_some(9));
        assert_eq!(change.writer, own.then(|| writer.clone()));
    }
}
