//! Covered uris: what is published on them, and the streams of their queries.

use super::scripted::{Scripted, Step};
use super::*;

/// `/posts…` is covered; it takes the query `page` alone.
struct Posts;

impl PublicationHook for Posts {
    fn canonical(&self, uri: &ChannelName) -> Result<Option<ChannelName>, BadUri> {
        let text = uri.as_str();
        if !text.starts_with("/posts") {
            return Ok(None);
        }
        match text.split_once('?') {
            Some((_, query)) if !query.starts_with("page=") => Err(BadUri("no such key".into())),
            _ => Ok(Some(name(&text.to_lowercase()))),
        }
    }

    fn prepare(&self, publication: NewPublication) -> Result<Prepared, BadUri> {
        let Some(channel) = self.canonical(&publication.channel)? else {
            return Ok(publication.into());
        };
        let change = Some(Arc::new(Change::default()));
        let own = NewPublication {
            channel,
            data: "null".into(),
            change,
            ..publication
        };
        let also = vec![NewPublication {
            channel: name("/posts"),
            ..own.clone()
        }];
        let publication = own;
        Ok(Prepared { publication, also })
    }
}

fn covered() -> (Arc<Node>, Arc<Scripted>, Arc<Recorder>) {
    let hub = a_hub();
    let recorder = Recorder::new();
    hub.attach(recorder.clone()).unwrap();
    let broker = Scripted::new(memory(&hub));
    let node = start(hub, broker.clone());
    node.set_hook(Arc::new(Posts));
    (node, broker, recorder)
}

#[tokio::test]
async fn what_is_published_on_a_covered_uri_is_the_hooks_to_say() {
    let (node, _, recorder) = covered();
    for uri in ["/posts/a", "/posts", "/other"] {
        node.join(join(uri, 0)).await.unwrap();
    }
    node.publish(publication("/posts/A", "{}")).await.unwrap();
    node.publish(publication("/other", "{}")).await.unwrap();
    let got = recorder.publications();
    let got: Vec<_> = got
        .iter()
        .map(|publication| {
            let data = String::from_utf8_lossy(&publication.data).into_owned();
            (
                publication.channel.to_string(),
                data,
                publication.change.is_some(),
            )
        })
        .collect();
    let of = |channel: &str| (channel.to_owned(), "null".to_owned(), true);
    let other = ("/other".to_owned(), "{}".to_owned(), false);
    assert_eq!(got, [of("/posts/a"), of("/posts"), other]);
}

#[tokio::test]
async fn a_uri_that_the_endpoint_does_not_take_is_refused() {
    let (node, broker, _) = covered();
    let refused = node.publish(publication("/posts?x=1", "{}")).await;
    assert!(matches!(refused, Err(PublishError::Uri(_))));
    assert!(node.canonical(name("/posts?x=1")).is_err());
    assert_eq!(node.canonical(name("news?x=1")).unwrap(), name("news?x=1"));
    assert!(broker.take_steps().is_empty());
}

#[tokio::test]
async fn the_node_is_subscribed_to_a_stream_while_any_of_its_queries_is_bound() {
    let (node, broker, _) = covered();
    let interests = &node.own.interests;
    let (stream, delay) = (name("/posts"), Config::default().leave_delay);
    let sweep = async |by: u32| {
        let mut now = Now::read();
        now.instant += delay * by;
        node.sweep(now).await;
    };
    for uri in ["/posts?page=1", "/posts?page=1", "/posts?page=2"] {
        node.join(join(uri, 0)).await.unwrap();
    }
    let subscribed = broker.take_steps();
    let times = subscribed.iter().filter(|step| **step == Step::Subscribe);
    assert_eq!(times.count(), 1);
    assert!(interests.is_live(&stream));
    assert!(!interests.is_live(&name("/posts?page=1")));
    assert_eq!(node.hub().subscribers("/posts?page=1"), 2);
    assert_eq!(node.hub().subscribers("/posts"), 0);

    // Who is on the stream itself comes and goes.
    node.join(join("/posts", 0)).await.unwrap();
    node.leave(0, stream.clone(), None).await;
    node.leave(0, name("/posts?page=1"), None).await;
    node.leave(0, name("/posts?page=2"), None).await;
    sweep(2).await;
    assert!(interests.is_live(&stream), "one is left");
    node.leave(0, name("/posts?page=1"), None).await;
    sweep(2).await;
    assert_eq!(interests.len(), 0);
    assert!(node.hub().is_empty());
}

#[tokio::test]
async fn a_query_stands_where_its_stream_stands() {
    let (node, ..) = covered();
    for _ in 0..2 {
        node.broker()
            .publish(Draft {
                channel: name("/posts"),
                event: "update".into(),
                data: "null".into(),
                ttl: None,
                accepted: Instant::now(),
                exclude: None,
                form: Form::Json,
                user: None,
                skip_history: false,
                idempotency: None,
                change: None,
                admission: None,
            })
            .await
            .unwrap();
    }
    let page = node.join(join("/posts?page=1", 0)).await.unwrap();
    assert_eq!(page.sequence, 2);
    let query = name("/posts?page=1");
    let read = node.history(&query, HistoryQuery::default());
    assert_eq!(read.await.unwrap().sequence, 2);
}
