//! The table: what it finds, what it refuses, and that a resource has one name only.

use http::Uri;
use proptest::prelude::*;

use super::super::endpoint::{AccessRule, Audience, Endpoint, FetchAs};
use super::super::uri::UriError;
use super::super::validate::EndpointError;
use super::super::{Verb, VersionAt};
use super::{Resource, ResourceKind, Routes};

fn endpoint(name: &str, item: &str, collection: &str) -> Endpoint {
    let some = |text: &'static str| (!text.is_empty()).then_some(text);
    let (item, collection) = (item.to_owned().leak(), collection.to_owned().leak());
    let base = Uri::from_static("http://blog:8080/v1");
    Endpoint::new(name, some(item), some(collection), vec![base])
}

fn blog() -> Routes {
    let mut posts = endpoint("posts", "/posts/{id}", "/posts");
    posts.query = vec!["page".into(), "q".into()];
    posts.affects = vec!["/users/{body:/author_id}/posts".into(), "/latest".into()];
    let comments = endpoint(
        "comments",
        "/posts/{post}/comments/{id}",
        "/posts/{post}/comments",
    );
    let latest = endpoint("latest", "/posts/latest", "");
    let drafts = endpoint("drafts", "/drafts/{year}/{id}", "/drafts");
    Routes::new(vec![posts, comments, latest, drafts]).unwrap()
}

fn found(routes: &Routes, uri: &str) -> Resource {
    routes
        .find(uri)
        .unwrap()
        .unwrap_or_else(|| panic!("{uri} is not covered"))
}

fn text(name: Option<crate::channel::ChannelName>) -> Option<String> {
    name.map(|name| name.to_string())
}

#[test]
fn uris_lead_to_their_endpoint() {
    let routes = blog();
    for (uri, name, kind) in [
        ("/posts", "posts", ResourceKind::Collection),
        ("/posts?page=2", "posts", ResourceKind::Collection),
        ("/posts/1", "posts", ResourceKind::Item),
        ("/p%6fsts/1", "posts", ResourceKind::Item),
        ("/posts/latest", "latest", ResourceKind::Item),
        ("/posts/%6catest", "latest", ResourceKind::Item),
        ("/posts/1/comments", "comments", ResourceKind::Collection),
        ("/posts/1/comments/2", "comments", ResourceKind::Item),
    ] {
        let resource = found(&routes, uri);
        assert_eq!(
            (&*resource.endpoint.name, resource.kind),
            (name, kind),
            "{uri}"
        );
    }
    for uri in [
        "/",
        "/users/1",
        "/post",
        "/posts/1/likes",
        "/posts/1/comments/2/3",
        "/%zz",
        "/日",
    ] {
        assert!(routes.find(uri).unwrap().is_none(), "{uri}");
    }
    assert_eq!(routes.find("posts/1").unwrap_err(), UriError::NotAbsolute);
}

#[test]
fn without_endpoints_every_path_is_an_ordinary_channel() {
    for uri in ["/posts", "//a", "/a/../b", "/a%2fb"] {
        assert!(Routes::default().find(uri).unwrap().is_none(), "{uri}");
    }
}

#[test]
fn traps_are_refused() {
    let routes = blog();
    let long = format!("/posts/{}", "x".repeat(1018));
    let grows = format!("/posts/{}", "é".repeat(200));
    for (uri, why) in [
        ("http://evil/posts/1", UriError::NotAbsolute),
        ("//evil/posts/1", UriError::NotAbsolute),
        ("/posts//1", UriError::EmptySegment),
        ("/posts/", UriError::EmptySegment),
        ("/posts/1/", UriError::EmptySegment),
        ("/posts/../users/1", UriError::DotSegment),
        ("/users/../posts/1", UriError::DotSegment),
        ("/%2e%2e/posts/1", UriError::DotSegment),
        ("/posts/%2e%2e%2fadmin", UriError::EncodedSlash),
        ("/posts%2f1", UriError::EncodedSlash),
        ("/posts/1%5c2", UriError::EncodedSlash),
        ("/posts/1\\2", UriError::Character),
        ("/x\\posts/1", UriError::Character),
        ("/posts/1 2", UriError::Character),
        ("/posts/*", UriError::Character),
        ("/posts/1%00", UriError::EncodedSlash),
        ("/posts/%", UriError::Escape),
        ("/posts/%ff", UriError::Utf8),
        ("/posts/1#top", UriError::Fragment),
        ("/posts#top", UriError::Fragment),
        ("/posts?sort=1", UriError::QueryKey("sort".into())),
        (&long, UriError::TooLong),
        (&grows, UriError::TooLong),
    ] {
        assert_eq!(routes.find(uri).unwrap_err(), why, "{uri}");
    }
}

#[test]
fn a_resource_knows_its_relatives() {
    let routes = blog();
    let comment = found(&routes, "/posts/a%20b/comments/%c3%a9");
    assert_eq!(comment.uri.as_str(), "/posts/a%20b/comments/%C3%A9");
    assert_eq!(
        (comment.param("post"), comment.param("id")),
        (Some("a b"), Some("é"))
    );
    assert_eq!(comment.param("page"), None);
    assert_eq!(
        text(comment.collection()).as_deref(),
        Some("/posts/a%20b/comments")
    );
    assert_eq!(comment.item("1"), None);

    let query = found(&routes, "/posts?q=x&page=2");
    assert!(query.has_query());
    assert_eq!(query.upstream_path(), "/posts?page=2&q=x");
    assert_eq!(query.stream().as_str(), "/posts");
    assert_eq!(query.collection(), None);
    assert_eq!(text(query.item("7/8")), None);
    assert_eq!(text(query.item("é")).as_deref(), Some("/posts/%C3%A9"));
    let body = serde_json::json!({"author_id": 3});
    let affected: Vec<String> = query
        .affected(Some(&body))
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(affected, ["/users/3/posts", "/latest"]);
    assert_eq!(query.affected(None).len(), 1);

    let drafts = found(&routes, "/drafts");
    assert_eq!(drafts.item("1"), None, "the year is missing");
    let latest = found(&routes, "/posts/latest");
    assert_eq!((latest.collection(), latest.has_query()), (None, false));
    assert_eq!(latest.stream(), latest.uri);
}

fn refused(endpoints: Vec<Endpoint>) -> Vec<String> {
    let errors = Routes::new(endpoints).unwrap_err();
    errors.iter().map(EndpointError::to_string).collect()
}

#[test]
fn endpoints_that_contradict_each_other_are_refused() {
    let errors = refused(vec![
        endpoint("a", "/posts/{id}", "/posts"),
        endpoint("a", "/posts/{slug}", ""),
        endpoint("b", "/x/{y}", "/x/{z}"),
        endpoint("c", "/x/{y}/1", ""),
    ]);
    assert_eq!(
        errors,
        [
            "endpoint `a`, `name`: another endpoint has this name",
            "endpoint `a`, `item`: a uri could be this one's and the item of `a`",
            "endpoint `b`, `collection`: a uri could be the item's and the collection's",
        ]
    );
}

#[test]
fn every_reason_is_told_at_once() {
    let mut bad = endpoint("b d", "/ws", "");
    bad.methods.push(Verb::Index);
    bad.upstream.bases = [
        "ftp://a",
        "http://u@h/",
        "/v1",
        "http://h/?a=1",
        "http://h/a/../b",
    ]
    .map(|text| text.parse().unwrap())
    .into();
    bad.upstream.concurrency = 0;
    bad.upstream.forward = vec![http::header::COOKIE];
    bad.upstream.breaker.ratio = 1.5;
    bad.audience = Audience::Claims(vec![]);
    bad.fetch_as = FetchAs::Service(None);
    bad.access = AccessRule::Claims("tenant={tenant}".into());
    bad.id = "id".into();
    bad.version = VersionAt::Header("X Version".into());
    bad.affects = vec!["/a/{id}".into(), "b".into()];
    let errors = refused(vec![bad]);
    for expected in [
        "`name`: 1 to 64 letters",
        "`item`: `/ws` would shadow Pogo's own paths",
        "`methods`: `index` needs `collection`",
        "`upstream.bases`: `ftp://a/`: its scheme is neither",
        "`upstream.bases`: a URL holds a user",
        "`upstream.bases`: `/v1`: no absolute URL",
        "`upstream.bases`: `http://h/?a=1`: it has a query",
        "`upstream.bases`: `http://h/a/../b`: its path",
        "`upstream.concurrency`: lies between",
        "`upstream.forward`: `cookie` is Pogo's to set",
        "`upstream.breaker.ratio`: over 0",
        "`audience`: names no claim",
        "`fetch_as`: `service` needs",
        "`access.rule`: not every template of the endpoint has `{tenant}`",
        "`id`: `id` is no JSON pointer",
        "`version`: `X Version` is no header's name",
        "`affects`: `/a/{id}`: no template of the endpoint has `{id}`",
        "`affects`: `b` is no template",
    ] {
        assert!(
            errors.iter().any(|error| error.contains(expected)),
            "{expected}: {errors:#?}"
        );
    }
    assert_eq!(errors.len(), 18, "{errors:#?}");
}

/// Texts that come near the rules' edges.
fn raw_uri() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("/"),
        Just("posts"),
        Just("comments"),
        Just("p%6Fsts"),
        Just("%2e"),
        Just("."),
        Just("%2F"),
        Just("%25"),
        Just("25"),
        Just("2f"),
        Just("%c3%a9"),
        Just("é"),
        Just("?"),
        Just("page="),
        Just("q="),
        Just("&"),
        Just("+"),
        Just(";"),
        Just("%3b"),
        Just(":"),
        Just("%3A"),
        Just("1"),
        Just("%00"),
    ];
    let tail = prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat());
    prop_oneof![
        tail.clone().prop_map(|tail| format!("/posts/{tail}")),
        tail.clone()
            .prop_map(|tail| format!("/posts/1/comments/{tail}")),
        tail.clone().prop_map(|tail| format!("/posts?{tail}")),
        tail,
    ]
}

/// `text` with some octets percent-encoded, by the bits of `mask`.
fn respelt(text: &str, mask: u64, upper: bool) -> String {
    let mut out = String::new();
    for (index, &byte) in text.as_bytes().iter().enumerate() {
        let must = !(byte.is_ascii_alphanumeric() || b"-._~!$&'()+,:=@".contains(&byte));
        if must || mask >> (index % 64) & 1 == 1 {
            let escape = if upper {
                format!("%{byte:02X}")
            } else {
                format!("%{byte:02x}")
            };
            out.push_str(&escape);
        } else {
            out.push(char::from(byte));
        }
    }
    out
}

proptest! {
    #[test]
    fn canonical_stays_canonical(uri in raw_uri()) {
        let routes = blog();
        if let Ok(Some(resource)) = routes.find(&uri) {
            let again = found(&routes, resource.uri.as_str());
            prop_assert_eq!(&again.uri, &resource.uri);
            prop_assert_eq!(again.kind, resource.kind);
            prop_assert_eq!(&again.endpoint.name, &resource.endpoint.name);
        }
    }

    #[test]
    fn two_spellings_of_one_resource_have_one_name(
        id in "[^/\\\\\\p{Cc}%]{1,12}", one in any::<u64>(), other in any::<u64>(),
    ) {
        prop_assume!(!matches!(id.split(';').next(), Some("." | "..")));
        // Else the collection's template is the more literal.
        prop_assume!(id != "latest");
        let routes = blog();
        let spelt = |mask, upper| found(&routes, &format!("/posts/{}", respelt(&id, mask, upper)));
        let (one, other) = (spelt(one, true), spelt(other, false));
        prop_assert_eq!(one.param("id"), Some(&*id));
        prop_assert_eq!(&one.uri, &other.uri);
    }

    #[test]
    fn no_uri_leaves_its_template(uri in raw_uri()) {
        let routes = blog();
        if let Ok(Some(resource)) = routes.find(&uri) {
            let path = resource.upstream_path().split('?').next().unwrap();
            let segments: Vec<&str> = path[1..].split('/').collect();
            let template = match resource.kind {
                ResourceKind::Item => resource.endpoint.item.as_deref().unwrap(),
                ResourceKind::Collection => resource.endpoint.collection.as_deref().unwrap(),
            };
            let expected: Vec<&str> = template[1..].split('/').collect();
            prop_assert_eq!(segments.len(), expected.len());
            for (segment, expected) in segments.iter().zip(&expected) {
                prop_assert!(!segment.is_empty() && *segment != "." && *segment != "..");
                let fits = expected.starts_with('{') || segment == expected;
                prop_assert!(fits);
                let lower = segment.to_lowercase();
                for trap in ["%2f", "%5c", "%00", "%2e", "%252", ";", "\\"] {
                    prop_assert!(!lower.contains(trap), "{} in {}", trap, segment);
                }
            }
            prop_assert!(resource.upstream_path().bytes().all(|byte| byte.is_ascii_graphic()));
            prop_assert!(resource.stream().as_str() == path);
        }
    }

    #[test]
    fn an_item_leads_to_its_collection_and_back(
        post in "[a-zé ]{1,8}", id in "[a-z0-9 ü]{1,8}",
    ) {
        let routes = blog();
        let uri = format!("/posts/{}/comments/{}", respelt(&post, 0, true), respelt(&id, 0, true));
        let item = found(&routes, &uri);
        let collection = found(&routes, item.collection().unwrap().as_str());
        prop_assert_eq!(collection.item(&id), Some(item.uri));
    }
}
