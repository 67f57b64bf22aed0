//! Revocations, denied ranges and endpoints.

use super::*;
use crate::auth::{Revocation, RevocationTarget};
use crate::broker::Denied;
use crate::clock::Now;
use crate::resource::Endpoint;

fn revocation(id: &str, lifetime: Duration) -> Revocation {
    let now = Now::read().unix;
    Revocation {
        id: id.into(),
        target: RevocationTarget::Subject {
            subject: "ann".into(),
            issued_until: 1_000,
        },
        reason: "lost laptop".into(),
        created_at: Duration::from_secs(now.as_secs()),
        expires_at: Duration::from_secs(now.as_secs()) + lifetime,
    }
}

pub(in crate::broker) async fn revocations_are_recorded(subject: Subject) {
    let broker = &subject.broker;
    let day = Duration::from_secs(86_400);
    for id in ["c", "a", "b"] {
        broker.revoke(revocation(id, day)).await.unwrap();
    }
    let mut renewed = revocation("b", day);
    renewed.target = RevocationTarget::TokenId("t1".into());
    broker.revoke(renewed.clone()).await.unwrap();
    let first = broker.revocations("", 2).await.unwrap();
    assert_eq!(first, [revocation_like(&first[0], "a"), renewed]);
    let rest = broker.revocations("b", 2).await.unwrap();
    assert_eq!(&*rest[0].id, "c");
    assert_eq!(rest.len(), 1);

    assert!(broker.unrevoke("a").await.unwrap());
    assert!(!broker.unrevoke("a").await.unwrap());
    broker
        .revoke(revocation("d", Duration::from_secs(2)))
        .await
        .unwrap();
    assert_eq!(broker.revocations("c", 9).await.unwrap().len(), 1);
    (subject.pass)(Duration::from_millis(2_100)).await;
    assert_eq!(broker.revocations("c", 9).await.unwrap().len(), 0);
    assert_eq!(broker.revocations("", 9).await.unwrap().len(), 2);
}

fn revocation_like(like: &Revocation, id: &str) -> Revocation {
    Revocation {
        created_at: like.created_at,
        expires_at: like.expires_at,
        ..revocation(id, Duration::ZERO)
    }
}

pub(in crate::broker) async fn denied_ranges_are_recorded(subject: Subject) {
    let broker = &subject.broker;
    let denied = |range: &str, ttl: Option<u64>| Denied {
        range: range.parse().unwrap(),
        reason: "scraper".into(),
        expires_at: ttl.map(|ttl| Now::read().unix + Duration::from_millis(ttl)),
    };
    let lasting = denied("10.0.0.0/8", None);
    let rows = vec![denied("2001:db8::/64", Some(300)), lasting.clone()];
    broker.deny(rows.clone()).await.unwrap();
    broker.deny(vec![denied("10.0.0.0/8", None)]).await.unwrap();
    let listed = broker.denied().await.unwrap();
    assert_eq!(listed.len(), 2);
    assert!(listed.is_sorted_by_key(|row| row.range));
    let two = vec![rows[1].range, "192.0.2.0/24".parse().unwrap()];
    assert_eq!(broker.allow(two.clone()).await.unwrap(), [two[0]]);
    assert!(broker.allow(two).await.unwrap().is_empty());
    (subject.pass)(Duration::from_millis(350)).await;
    assert!(broker.denied().await.unwrap().is_empty());
    assert!(broker.allow(vec![rows[0].range]).await.unwrap().is_empty());
}

pub(in crate::broker) async fn endpoints_are_recorded(subject: Subject) {
    let broker = &subject.broker;
    let endpoint = |name: &str, path: &str| {
        let base = "http://blog:8080/v1".parse().unwrap();
        Endpoint::new(name, None, Some(path), vec![base])
    };
    for name in ["c", "a", "b"] {
        broker.put_endpoint(endpoint(name, "/x")).await.unwrap();
    }
    broker.put_endpoint(endpoint("b", "/y")).await.unwrap();
    assert!(broker.delete_endpoint("c").await.unwrap());
    assert!(!broker.delete_endpoint("c").await.unwrap());
    let expected = [endpoint("a", "/x"), endpoint("b", "/y")];
    assert_eq!(broker.endpoints().await.unwrap(), expected);
}
