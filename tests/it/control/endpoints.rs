//! `pogo.v1.Endpoints`.

use std::sync::{Arc, Mutex};

use pogo::channel::Pattern;
use pogo::control::proto::{
    DeleteEndpointRequest, Endpoint, EndpointAuth, EndpointCache, ListEndpointsRequest,
    PurgeCacheRequest, PutEndpointRequest, ReaccessRequest, Upstream, purge_cache_request::Target,
};
use pogo::gateway::cache::Purge;
use pogo::gateway::{Checked, Checking, Upkeep, Whose};
use prost_types::FieldMask;
use tonic::{Code, Status};

use super::rig::{Clients, READER, Rig, fields, refused};

fn endpoint(name: &str) -> Endpoint {
    Endpoint {
        name: name.into(),
        item: format!("/{name}/{{id}}"),
        collection: format!("/{name}"),
        upstream: Some(Upstream {
            bases: vec!["http://api:80/".into()],
            ..Upstream::default()
        }),
        ..Endpoint::default()
    }
}

async fn put(
    clients: &mut Clients,
    endpoint: Endpoint,
    mask: Option<&[&str]>,
) -> Result<Endpoint, Status> {
    let update_mask = mask.map(|paths| FieldMask {
        paths: paths.iter().map(|path| (*path).to_owned()).collect(),
    });
    let request = PutEndpointRequest {
        endpoint: Some(endpoint),
        update_mask,
    };
    let response = clients.endpoints.put_endpoint(request).await?;
    Ok(response.into_inner().endpoint.unwrap())
}

async fn delete(clients: &mut Clients, name: &str) -> Result<(), Status> {
    let request = DeleteEndpointRequest { name: name.into() };
    clients.endpoints.delete_endpoint(request).await.map(|_| ())
}

async fn list(clients: &mut Clients) -> Vec<(String, String)> {
    let mut request = ListEndpointsRequest {
        page_size: 2,
        ..ListEndpointsRequest::default()
    };
    let mut rows = vec![];
    loop {
        let page = clients.endpoints.list_endpoints(request.clone()).await;
        let page = page.unwrap().into_inner();
        assert!(page.endpoints.len() <= 2);
        let names = page.endpoints.into_iter().map(|one| (one.name, one.source));
        rows.extend(names);
        if page.next_page_token.is_empty() {
            return rows;
        }
        request.page_token = page.next_page_token;
    }
}

fn row(name: &str, source: &str) -> (String, String) {
    (name.into(), source.into())
}

#[tokio::test]
async fn endpoints_are_put_listed_and_deleted() {
    let rig = Rig::start().await;
    let mut clients = rig.clients().await;
    assert_eq!(list(&mut clients).await, [row("posts", "file")]);

    let users = put(&mut clients, endpoint("users"), None).await.unwrap();
    assert_eq!(users.methods.len(), 5);
    assert_eq!(
        (users.audience.as_str(), users.source.as_str()),
        ("user", "live")
    );
    assert_eq!(users.autobind, Some(true));
    let found = rig.table.get("users").unwrap();
    assert_eq!(found.upstream.timeout.as_secs(), 10);
    put(&mut clients, endpoint("albums"), None).await.unwrap();
    assert_eq!(
        list(&mut clients).await,
        [
            row("albums", "live"),
            row("posts", "file"),
            row("users", "live")
        ]
    );
    let full = put(&mut clients, endpoint("comments"), None).await;
    let details = refused(Code::ResourceExhausted, full);
    assert_eq!(details.error_info().unwrap().reason, "STORE_FULL");
    let stored = rig.node.broker().endpoints().await.unwrap();
    assert_eq!(stored.len(), 2);

    delete(&mut clients, "albums").await.unwrap();
    refused(Code::NotFound, delete(&mut clients, "albums").await);
    assert_eq!(rig.node.broker().endpoints().await.unwrap().len(), 1);
    assert!(rig.table.get("albums").is_none());
}

#[tokio::test]
async fn a_live_endpoint_stands_over_the_files_of_its_name() {
    let rig = Rig::start().await;
    let mut clients = rig.clients().await;
    refused(
        Code::FailedPrecondition,
        delete(&mut clients, "posts").await,
    );
    let mut posts = endpoint("posts");
    posts.item.clear();
    put(&mut clients, posts, None).await.unwrap();
    assert!(rig.table.get("posts").unwrap().item.is_none());
    assert_eq!(list(&mut clients).await, [row("posts", "live")]);
    delete(&mut clients, "posts").await.unwrap();
    assert!(rig.table.get("posts").unwrap().item.is_some());
    assert_eq!(list(&mut clients).await, [row("posts", "file")]);
}

#[tokio::test]
async fn every_field_that_is_wrong_is_named() {
    let rig = Rig::start().await;
    let mut clients = rig.clients().await;
    let mut bad = endpoint("users");
    bad.item = "/app/{id}".into();
    bad.methods = vec!["show".into(), "patch".into()];
    bad.upstream.as_mut().unwrap().bases = vec!["http://a b".into()];
    bad.auth = Some(EndpointAuth {
        mode: "basic".into(),
        token: "t".into(),
        ..EndpointAuth::default()
    });
    bad.audience = "all".into();
    bad.revalidate_every = Some(prost_types::Duration {
        seconds: -1,
        nanos: 0,
    });
    let named = fields(put(&mut clients, bad.clone(), None).await);
    assert_eq!(
        named,
        [
            "endpoint.methods[1]",
            "endpoint.upstream.bases[0]",
            "endpoint.auth.mode",
            "endpoint.auth.token",
            "endpoint.audience",
            "endpoint.revalidate_every",
        ]
    );

    // What is no endpoint although each field has a meaning.
    let mut bad = endpoint("users");
    bad.item = "/app/{id}".into();
    bad.fetch_as = "service".into();
    bad.auth = Some(EndpointAuth {
        mode: "mint".into(),
        ..EndpointAuth::default()
    });
    let named = fields(put(&mut clients, bad, None).await);
    assert_eq!(
        named,
        ["endpoint.auth.secret", "endpoint.fetch_as", "endpoint.item"]
    );

    // Ambiguous with the file's, wherever each stands.
    let mut bad = endpoint("aaa");
    bad.item = "/posts/{slug}".into();
    assert_eq!(
        fields(put(&mut clients, bad, None).await),
        ["endpoint.item"]
    );
    let nothing = clients
        .endpoints
        .put_endpoint(PutEndpointRequest::default())
        .await;
    assert_eq!(fields(nothing), ["endpoint"]);
    assert_eq!(
        fields(put(&mut clients, Endpoint::default(), None).await),
        ["endpoint.name"]
    );
    assert_eq!(list(&mut clients).await, [row("posts", "file")]);
}

#[tokio::test]
async fn a_mask_changes_only_what_it_names() {
    let rig = Rig::start().await;
    let mut clients = rig.clients().await;
    let mut users = endpoint("users");
    users.auth = Some(EndpointAuth {
        mode: "mint".into(),
        secret: "0123456789abcdef0123456789abcdef".into(),
        audience: "api".into(),
        ..EndpointAuth::default()
    });
    let shown = put(&mut clients, users, None).await.unwrap();
    let auth = shown.auth.unwrap();
    assert_eq!((auth.mode.as_str(), auth.secret.as_str()), ("mint", ""));
    assert_eq!(auth.ttl.unwrap().seconds, 60);

    let mut change = Endpoint {
        name: "users".into(),
        audience: "shared".into(),
        item: "/never/{id}".into(),
        cache: Some(EndpointCache {
            swr: Some(prost_types::Duration {
                seconds: 7,
                nanos: 0,
            }),
            ..EndpointCache::default()
        }),
        ..Endpoint::default()
    };
    let mask = ["audience", "cache.swr", "upstream.update"];
    let shown = put(&mut clients, change.clone(), Some(&mask))
        .await
        .unwrap();
    assert_eq!(shown.item, "/users/{id}");
    let there = rig.table.get("users").unwrap();
    assert_eq!(there.audience.to_string(), "shared");
    assert_eq!(there.cache.stale_while_revalidate.as_secs(), 7);
    assert_eq!(there.upstream.bases.len(), 1);
    let stored = &rig.node.broker().endpoints().await.unwrap()[0];
    assert_eq!(*stored, *there, "the secret is still there");

    let unknown = put(
        &mut clients,
        change.clone(),
        Some(&["name", "upstream.base"]),
    )
    .await;
    assert_eq!(
        fields(unknown),
        ["update_mask.paths[0]", "update_mask.paths[1]"]
    );
    change.name = "nobody".into();
    refused(Code::NotFound, put(&mut clients, change, Some(&mask)).await);
}

#[tokio::test]
async fn the_scope_is_needed() {
    let rig = Rig::start().await;
    let mut clients = rig.clients_of(Some(READER)).await;
    let answer = put(&mut clients, endpoint("users"), None).await;
    assert_eq!(answer.unwrap_err().code(), Code::PermissionDenied);
}

/// A gateway that notes what it is asked.
#[derive(Default)]
struct Noting(Mutex<Vec<String>>);

impl Noting {
    fn note(&self, text: String) {
        self.0.lock().unwrap().push(text);
    }
}

impl Upkeep for Noting {
    fn purge(&self, what: Purge<'_>) -> usize {
        let matches = |pattern: &Pattern| pattern.matches("/posts/1");
        self.note(match what {
            Purge::Uris(pattern) => format!("purge uris {}", matches(pattern)),
            Purge::Key(key) => format!("purge key {key}"),
            Purge::Endpoint(name) => format!("purge endpoint {name}"),
        });
        5
    }

    fn reaccess(&self, whose: Whose) -> Checking<'_> {
        let pattern = whose
            .uris
            .is_some_and(|pattern| pattern.matches("/posts/1"));
        let (subject, token) = (whose.subject, whose.token_id);
        self.note(format!("reaccess {pattern} {subject:?} {token:?}"));
        Box::pin(async {
            Checked {
                rechecked: 3,
                removed: 1,
            }
        })
    }

    fn renewed(&self) -> Checking<'_> {
        self.note("renewed".into());
        Box::pin(async { Checked::default() })
    }
}

#[tokio::test]
async fn the_gateway_is_told() {
    let rig = Rig::start().await;
    let noting = Arc::new(Noting::default());
    rig.table.attach(noting.clone());
    let mut clients = rig.clients().await;
    put(&mut clients, endpoint("users"), None).await.unwrap();
    delete(&mut clients, "users").await.unwrap();
    for target in [
        Target::UriPattern("/posts/*".into()),
        Target::UriPattern(String::new()),
        Target::SurrogateKey("k".into()),
    ] {
        let request = PurgeCacheRequest {
            target: Some(target),
        };
        let answer = clients.endpoints.purge_cache(request).await.unwrap();
        assert_eq!(answer.into_inner().purged, 5);
    }
    let request = ReaccessRequest {
        uri_pattern: Some("/posts/**".into()),
        subject: Some("ann".into()),
        token_id: None,
    };
    let answer = clients
        .endpoints
        .reaccess(request)
        .await
        .unwrap()
        .into_inner();
    assert_eq!((answer.rechecked, answer.removed), (3, 1));
    assert_eq!(
        *noting.0.lock().unwrap(),
        [
            "renewed",
            "purge endpoint users",
            "renewed",
            "purge uris true",
            "purge uris true",
            "purge key k",
            "reaccess true Some(\"ann\") None",
        ]
    );
    let nothing = PurgeCacheRequest::default();
    assert_eq!(
        fields(clients.endpoints.purge_cache(nothing).await),
        ["uri_pattern"]
    );
    let bad = PurgeCacheRequest {
        target: Some(Target::SurrogateKey("a b".into())),
    };
    assert_eq!(
        fields(clients.endpoints.purge_cache(bad).await),
        ["surrogate_key"]
    );
}
