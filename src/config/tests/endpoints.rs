//! `[[endpoint]]`: what a whole one says, its defaults, and what is said of bad ones.

use super::*;
use crate::resource::{
    AccessRule, Audience, CacheSettings, Credentials, Endpoint, FetchAs, Publisher, Realtime,
    UpdateMethod, Verb, VersionAt, WriteReturns,
};

/// Every key that has a meaning together with the others.
pub(super) const WHOLE: &str = "
[[endpoint]]
name = 'posts'
item = '/posts/{id}'
collection = '/posts'
methods = ['index', 'show', 'update']
auth = {mode = 'mint', secret = '0123456789abcdef0123456789abcdef', audience = 'blog', ttl = '5s', token = 't0k3n'}
access = {rule = 'claims:tenant={id}', ttl = '5s'}
audience = 'shared'
fetch_as = 'service'
id = '/post/id'
version = 'body:/version'
ordered = true
write_returns = 'representation'
query = {allow = ['status', 'page'], realtime = 'none'}
affects = ['/users/{body:/author_id}/posts']
publish = 'both'
autobind = false
cache = {max_ttl = '60s', swr = '10s', sie = '30s'}
revalidate_every = '1m'
[endpoint.upstream]
bases = ['http://blog:8080/v1', 'https://blog.example']
update = 'PUT'
connect_timeout = '2s'
timeout = '20s'
retries = 2
breaker = {requests = 5, window = '1s', ratio = 0.25, open = '2s'}
concurrency = 7
forward = ['X-Tenant']
";

fn one(file: &str) -> Endpoint {
    let mut endpoints = given(&with_key(file)).load().endpoints;
    assert_eq!(endpoints.len(), 1);
    endpoints.remove(0)
}

fn least(rest: &str) -> String {
    format!(
        "[[endpoint]]\nname = 'posts'\nitem = '/posts/{{id}}'\ncollection = '/posts'\nupstream.bases = 'http://blog'\n{rest}"
    )
}

#[test]
fn the_least_endpoint_has_the_defaults() {
    let expected = |collection| {
        let bases = vec!["http://blog".parse().unwrap()];
        let mut endpoint = Endpoint::new("posts", Some("/posts/{id}"), collection, bases);
        // Addresses that stand in the settings file are meant.
        endpoint.upstream.literal = true;
        endpoint
    };
    assert_eq!(one(&least("")), expected(Some("/posts")));
    let alone = least("").replace("collection = '/posts'", "");
    assert_eq!(one(&alone), expected(None));
}

#[test]
fn a_whole_endpoint_is_read() {
    let endpoint = one(&WHOLE.replace("claims:tenant={id}", "claims:tenant=acme"));
    assert_eq!(endpoint.methods, [Verb::Index, Verb::Show, Verb::Update]);
    let Credentials::Mint {
        secret,
        audience,
        ttl,
    } = &endpoint.auth
    else {
        panic!("{:?}", endpoint.auth);
    };
    assert_eq!(
        (secret.len(), audience.as_deref(), ttl.as_secs()),
        (32, Some("blog"), 5)
    );
    assert_eq!(endpoint.access, AccessRule::Claims("tenant=acme".into()));
    assert_eq!(endpoint.access_ttl, Duration::from_secs(5));
    assert_eq!(endpoint.audience, Audience::Shared);
    assert!(endpoint.fetch_as == FetchAs::Service(Some("t0k3n".into())));
    assert_eq!(&*endpoint.id, "/post/id");
    assert_eq!(endpoint.version, VersionAt::Body("/version".into()));
    assert!(endpoint.ordered && !endpoint.autobind);
    assert_eq!(endpoint.write_returns, WriteReturns::Representation);
    assert_eq!(endpoint.query, ["page", "status"].map(Box::from));
    assert_eq!(endpoint.realtime, Realtime::None);
    assert_eq!(endpoint.affects.len(), 1);
    assert_eq!(endpoint.publish, Publisher::Both);
    let seconds = Duration::from_secs;
    assert_eq!(
        endpoint.cache,
        CacheSettings {
            max_ttl: Some(seconds(60)),
            stale_while_revalidate: seconds(10),
            stale_if_error: seconds(30),
        }
    );
    assert_eq!(endpoint.revalidate_every, Some(seconds(60)));
    let upstream = &endpoint.upstream;
    assert_eq!(
        (upstream.bases.len(), upstream.update),
        (2, UpdateMethod::Put)
    );
    assert_eq!(
        (upstream.connect_timeout, upstream.timeout),
        (seconds(2), seconds(20))
    );
    assert_eq!((upstream.retries, upstream.concurrency), (2, 7));
    assert_eq!(upstream.forward, ["x-tenant"]);
    assert_eq!(
        (upstream.breaker.requests, upstream.breaker.window),
        (5, seconds(1))
    );
    assert_eq!(
        (upstream.breaker.ratio, upstream.breaker.open),
        (0.25, seconds(2))
    );
}

#[test]
fn short_forms_and_secrets_in_files_are_read() {
    let given = given(&with_key(""));
    let secret = given.directory.path().join("secret");
    std::fs::write(&secret, format!("{SECRET}\n")).unwrap();
    let rest = format!(
        "access = 'public'\ncache = false\nauth = {{mode = 'mint', secret_file = '{}'}}\n",
        secret.display()
    );
    let endpoint = one(&least(&rest));
    assert_eq!(endpoint.access, AccessRule::Public);
    assert_eq!(endpoint.cache.max_ttl, Some(Duration::ZERO));
    assert!(matches!(endpoint.auth, Credentials::Mint { ref secret, .. } if **secret == *SECRET));
    assert!(!format!("{endpoint:?}").contains(SECRET));
}

#[test]
fn flags_reach_into_endpoints() {
    let given = given(&with_key(&least(""))).set(&[
        "endpoint.0.access=public",
        "endpoint.0.upstream.timeout=3s",
        "endpoint.0.upstream.breaker.ratio=1",
    ]);
    let endpoint = given.load().endpoints.remove(0);
    assert_eq!(endpoint.access, AccessRule::Public);
    assert_eq!(endpoint.upstream.timeout, Duration::from_secs(3));
    assert_eq!(endpoint.upstream.breaker.ratio, 1.0);
}

#[test]
fn every_mistake_is_told_with_its_line() {
    let file = "[[endpoint]]
name = 'a'
item = '/app/{id}'
upstream = {bases = ['ftp://x', 'http://h/?q'], update = 'POST', retrys = 1}
audience = 'everyone'
[[endpoint]]
name = 'b'
item = '/b/{id}'
fetch_as = 'service'
id = 'id'
auth = {mode = 'mint'}
upstream = {bases = ['http://u@h'], breaker = {ratio = 1.5}}
[[endpoint]]
name = 'c'
item = '/c/{id}'
fetch_as = 'service'
id = 'id'
access = {rule = 'claims:a={x}'}
auth = {token = 't', ttl = '1s'}
upstream = {bases = ['http://h/?q']}
affects = ['/d/{x}']
[[endpoint]]
collection = '/d/'
[[endpoint]]
name = 'e'
collection = '/c/{y}'
access = 'private'
upstream.bases = ['http://h']
[[endpoint]]
name = 'c'
collection = '/c/{z}'
upstream.bases = ['http://h']
";
    let refused = given(&with_key(file)).refused();
    for line in [
        "pogo.toml:5:22: endpoint.0.upstream.bases.0: the text is not an http or https URL",
        "pogo.toml:5:49: endpoint.0.upstream.update: `POST` is not one of \"PATCH\", \"PUT\"",
        "endpoint.0.upstream.retrys: unknown setting: did you mean `retries`?",
        "pogo.toml:6:1: endpoint.0.audience: `everyone` is none of user, shared",
        "pogo.toml:4:1: endpoint.0.item: `/app/{id}` would shadow Pogo's own paths",
        "pogo.toml:12:9: endpoint.1.auth.mode: `mint` needs a secret (or secret_file)",
        "pogo.toml:10:1: endpoint.1.fetch_as: `service` needs",
        "endpoint.1.upstream.bases: a URL holds a user",
        "endpoint.1.upstream.breaker.ratio: expected a number over 0, at most 1, found a number",
        "pogo.toml:17:1: endpoint.2.fetch_as: `service` needs `audience = \"shared\"`",
        "pogo.toml:18:1: endpoint.2.id: `id` is no JSON pointer",
        "pogo.toml:19:11: endpoint.2.access.rule: not every template of the endpoint has `{x}`",
        "endpoint.2.auth.ttl: only `mode = \"mint\"` takes it",
        "pogo.toml:21:13: endpoint.2.upstream.bases: `http://h/?q`: it has a query",
        "pogo.toml:22:1: endpoint.2.affects: `/d/{x}`: no template of the endpoint has `{x}`",
        "pogo.toml:23:1: endpoint.3.name: is missing",
        "pogo.toml:23:1: endpoint.3.upstream: is missing",
        "pogo.toml:28:1: endpoint.4.access: `private` is none of public, upstream and claims:…",
        "pogo.toml:31:1: endpoint.5.name: another endpoint has this name",
        "pogo.toml:32:1: endpoint.5.collection: a uri could be this one's and the item of `c`",
    ] {
        assert!(refused.contains(line), "{line} is missing in\n{refused}");
    }
}

#[test]
fn there_are_at_most_so_many() {
    let file = format!(
        "gateway.max_endpoints = 1\n{}{}",
        least(""),
        least("").replace("posts", "users")
    );
    let refused = given(&with_key(&file)).refused();
    assert!(
        refused.contains("endpoint: 2 are too many: gateway.max_endpoints is 1"),
        "{refused}"
    );
}
