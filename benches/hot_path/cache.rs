//! What the gateway's cache costs where everything is there already.

use std::hint::black_box;
use std::sync::Arc;

use bytes::Bytes;
use criterion::Criterion;
use futures_util::FutureExt;
use http::header::{ACCEPT, VARY};
use http::{HeaderMap, HeaderValue, Response};
use pogo::channel::ChannelName;
use pogo::clock::Now;
use pogo::gateway::cache::{Ask, Cache, Config, Fetched, Found, How, Lookup, Rules};
use pogo::resource::Endpoint;

fn question(endpoint: &Endpoint, uri: &ChannelName) -> Lookup {
    let mut headers = HeaderMap::new();
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    let rules = Arc::new(Rules::of(endpoint));
    Lookup::new(rules, uri.clone(), "user-1234".into(), headers)
}

async fn answer(_: Ask) -> Result<Fetched, pogo::resource::Failure> {
    let mut response = Response::new(Bytes::from(vec![b'1'; 4096]));
    let headers = response.headers_mut();
    headers.insert("cache-control", HeaderValue::from_static("max-age=86400"));
    headers.insert("etag", HeaderValue::from_static("\"1\""));
    headers.insert(VARY, HeaderValue::from_static("accept-language"));
    Ok(response.into())
}

/// A hit as a `show` over the socket has it: the question is made anew each time.
pub(super) fn cache(c: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let cache = Cache::new(Config {
        bytes: 64 << 20,
        entry_bytes: 1 << 20,
        max_waiting: 1_000,
    });
    let bases = vec!["http://blog:8080/v1".parse().unwrap()];
    let endpoint = Endpoint::new("posts", Some("/posts/{id}"), None, bases);
    let uris: Vec<_> = (0..1_000)
        .map(|id| ChannelName::parse(&format!("/posts/{id}")).unwrap())
        .collect();
    for uri in &uris {
        let got = runtime.block_on(cache.get(question(&endpoint, uri), answer));
        assert_eq!(got.unwrap().how, How::Miss);
    }
    let mut group = c.benchmark_group("cached answers");
    let mut next = uris.iter().cycle();
    group.bench_function("look one up", |b| {
        b.iter(|| {
            let lookup = question(&endpoint, next.next().unwrap());
            let found = cache.lookup(black_box(&lookup), Now::read());
            assert!(matches!(found, Found::Fresh(_)));
            found
        });
    });
    group.bench_function("get one at the first poll", |b| {
        b.iter(|| {
            let lookup = question(&endpoint, next.next().unwrap());
            let got = cache.get(black_box(lookup), answer).now_or_never();
            got.unwrap().unwrap()
        });
    });
    group.bench_function("invalidate one", |b| {
        b.iter(|| cache.bump(black_box("/nothing/1")));
    });
    group.finish();
}
