//! An upstream that answers when the test says so, and a clock that the test sets.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, ACCEPT_LANGUAGE};
use http::{HeaderMap, HeaderName, StatusCode};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::channel::ChannelName;
use crate::clock::Now;
use crate::code::ErrorCode;
use crate::gateway::cache::{
    Ask, Body, Cache, Config, Content, Fetched, Found, Got, How, Lookup, Rules,
};
use crate::gateway::failure;
use crate::resource::{CacheSettings, Failure};

pub(super) type Answered = Result<Got, Failure>;

/// A fetch that waits for its answer.
pub(super) struct Asked {
    pub(super) ask: Ask,
    pub(super) uri: ChannelName,
    pub(super) who: String,
    answer: oneshot::Sender<Result<Fetched, Failure>>,
}

impl Asked {
    pub(super) fn answer(self, status: u16, headers: &[(&str, &str)], body: &str) {
        let answer = fetched(status, headers, body);
        // Whoever asked may be gone.
        let _ = self.answer.send(Ok(answer));
    }

    pub(super) fn give(self, answer: Fetched) {
        let _ = self.answer.send(Ok(answer));
    }

    pub(super) fn fail(self) {
        let _ = self.answer.send(Err(failure::timeout(false)));
    }

    pub(super) fn conditions(&self) -> Vec<(String, String)> {
        let Ask::Validate(headers) = &self.ask else {
            return vec![];
        };
        let text = |value: &http::HeaderValue| value.to_str().unwrap().to_owned();
        let all = headers.iter();
        all.map(|(name, value)| (name.to_string(), text(value)))
            .collect()
    }
}

pub(super) fn fetched(status: u16, headers: &[(&str, &str)], body: &str) -> Fetched {
    Fetched {
        status: StatusCode::from_u16(status).unwrap(),
        headers: header_map(headers),
        body: Body::Whole(Bytes::copy_from_slice(body.as_bytes())),
    }
}

pub(super) fn header_map(headers: &[(&str, &str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
    }
    map
}

pub(super) struct Stage {
    pub(super) cache: Cache,
    pub(super) shared: bool,
    pub(super) settings: CacheSettings,
    clock: Arc<Mutex<Now>>,
    asks: mpsc::Sender<Asked>,
    asked: mpsc::Receiver<Asked>,
}

pub(super) const FRESH: &[(&str, &str)] = &[("cache-control", "max-age=60")];

impl Stage {
    pub(super) fn new() -> Self {
        Self::with(Config {
            bytes: 1 << 20,
            entry_bytes: 1 << 10,
            max_waiting: 100,
        })
    }

    pub(super) fn with(config: Config) -> Self {
        let clock = Arc::new(Mutex::new(Now::read()));
        let read = clock.clone();
        let (asks, asked) = mpsc::channel(1_000);
        Self {
            cache: Cache::with_clock(config, move || *read.lock().unwrap()),
            shared: true,
            settings: CacheSettings::default(),
            clock,
            asks,
            asked,
        }
    }

    pub(super) fn now(&self) -> Now {
        *self.clock.lock().unwrap()
    }

    pub(super) fn pass_time(&self, span: Duration) {
        let mut now = self.clock.lock().unwrap();
        now.instant += span;
        now.unix += span;
    }

    pub(super) fn lookup(&self, uri: &str) -> Lookup {
        self.lookup_as(uri, "", &[])
    }

    pub(super) fn lookup_as(&self, uri: &str, variant: &str, headers: &[(&str, &str)]) -> Lookup {
        let rules = Rules {
            endpoint: "posts".into(),
            origin: "blog:80".into(),
            shared: self.shared,
            selecting: vec![ACCEPT, ACCEPT_LANGUAGE],
            settings: self.settings,
        };
        let uri = ChannelName::parse(uri).unwrap();
        Lookup::new(rules.into(), uri, variant.into(), header_map(headers))
    }

    /// Begins to get; `who` is shown to the upstream.
    pub(super) fn begin_as(&self, lookup: Lookup, who: &str) -> JoinHandle<Answered> {
        let (cache, asks) = (self.cache.clone(), self.asks.clone());
        let (uri, who) = (lookup.uri().clone(), who.to_owned());
        tokio::spawn(async move {
            let fetch = move |ask| {
                let (answer, answered) = oneshot::channel();
                let (uri, who) = (uri.clone(), who.clone());
                let asked = Asked {
                    ask,
                    uri,
                    who,
                    answer,
                };
                asks.try_send(asked).ok().unwrap();
                async move {
                    let lost = failure::plain(ErrorCode::Internal, "the test forgot to answer");
                    answered.await.unwrap_or(Err(lost))
                }
            };
            cache.get(lookup, fetch).await
        })
    }

    pub(super) fn begin(&self, uri: &str) -> JoinHandle<Answered> {
        self.begin_as(self.lookup(uri), "")
    }

    /// The next request at the upstream.
    pub(super) async fn next(&mut self) -> Asked {
        self.asked.recv().await.unwrap()
    }

    /// The next request, if there is one once everything has come to rest.
    pub(super) async fn next_if_any(&mut self) -> Option<Asked> {
        settle().await;
        self.asked.try_recv().ok()
    }

    /// Gets `uri`, the upstream answering at once.
    pub(super) async fn fill(&mut self, uri: &str, headers: &[(&str, &str)], body: &str) -> How {
        let getting = self.begin(uri);
        self.next().await.answer(200, headers, body);
        getting.await.unwrap().unwrap().how
    }

    /// Gets `uri` with nothing asked.
    pub(super) async fn held(&mut self, uri: &str) -> (String, How) {
        let got = self.begin(uri).await.unwrap();
        assert!(self.next_if_any().await.is_none(), "the upstream was asked");
        shown(&got)
    }

    pub(super) fn is_fresh(&self, uri: &str) -> bool {
        let found = self.cache.lookup(&self.lookup(uri), self.now());
        matches!(found, Found::Fresh(_))
    }
}

/// Lets every task go as far as it can.
pub(super) async fn settle() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}

pub(super) fn body(got: &Got) -> String {
    let bytes = match &got.content {
        Content::Kept(entry) => &entry.body,
        Content::Passed(Fetched {
            body: Body::Whole(bytes),
            ..
        }) => bytes,
        Content::Passed(_) => panic!("the body still comes"),
    };
    String::from_utf8(bytes.to_vec()).unwrap()
}

pub(super) fn shown(got: &Answered) -> (String, How) {
    let got = got.as_ref().unwrap();
    (body(got), got.how)
}
