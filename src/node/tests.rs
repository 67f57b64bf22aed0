//! Publishing, joining, leaving, refusing.

use super::*;
use crate::broker::{MemoryBroker, MemoryConfig};
use crate::channel::HistoryRule;
use crate::hub;
use crate::metrics::Metrics;

fn sendable<T: Send + 'static>(future: T) -> T {
    future
}

#[tokio::test]
async fn futures_are_static() {
    let hub = Arc::new(Hub::new(hub::Config::default(), Metrics::new()));
    let broker = MemoryBroker::open(
        MemoryConfig::default(),
        Arc::new(|_| {
            Some(HistoryRule {
                size: 10,
                ttl: Duration::from_secs(60),
            })
        }),
        hub.clone(),
        hub.metrics(),
    );
    let node = Node::start(
        hub,
        Arc::new(broker.unwrap()),
        Arc::default(),
        Arc::default(),
        Config::default(),
    )
    .await
    .unwrap();
    let join = Join {
        channel: ChannelName::parse("a").unwrap(),
        worker: 0,
        fresh: true,
        member: None,
        query: HistoryQuery::default(),
    };
    let page = sendable({
        let node = node.clone();
        async move { node.join(join).await }
    })
    .await
    .unwrap();
    assert_eq!(page.sequence, 0);
    sendable({
        let node = node.clone();
        async move {
            node.leave(0, ChannelName::parse("a").unwrap(), None).await;
            let _ = node
                .revoke(
                    crate::auth::RevocationTarget::TokenId("x".into()),
                    "",
                    false,
                )
                .await;
            let _ = node.deny(vec![]).await;
            node.sweep(Now::read()).await;
        }
    })
    .await;
}
