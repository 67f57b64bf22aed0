//! Revocations and denials: recorded, in force, carried out.

use std::net::IpAddr;
use std::sync::Mutex;

use super::*;
use crate::auth::{Revocation, RevocationTarget};
use crate::broker::Denied;
use crate::code::CloseCode;
use crate::event_log::EventKind;
use crate::hub::{Worker, WorkerMessage};

/// A worker with sessions that answers at once.
#[derive(Default)]
struct Answering {
    sessions: Mutex<Vec<SessionInfo>>,
    closed: Mutex<Vec<(u64, CloseCode)>>,
}

fn session(number: u64, subject: &str, token: u8, address: &str) -> SessionInfo {
    SessionInfo {
        id: id(number),
        subject: Some(subject.into()),
        address: address.parse().unwrap(),
        protocol: "pogo.v1.json",
        channels: vec![],
        connected_at: Duration::ZERO,
        expires_at: None,
        token_id: Some(format!("t{token}").into()),
        tokens: (token > 0).then_some([token; 16]).into_iter().collect(),
        mailbox_bytes: 0,
    }
}

fn id(number: u64) -> SessionId {
    format!("{number}.0").parse().unwrap()
}

fn matches(session: &SessionInfo, filter: &SessionFilter) -> bool {
    let at = |address: IpAddr| {
        filter
            .addresses
            .iter()
            .any(|range| range.contains(&address))
    };
    filter.session.is_none_or(|id| id == session.id)
        && (filter.subject.is_none() || filter.subject.as_deref() == session.subject.as_deref())
        && (filter.token_id.is_none() || filter.token_id.as_deref() == session.token_id.as_deref())
        && (filter.tokens.is_empty()
            || filter
                .tokens
                .iter()
                .any(|token| session.tokens.contains(token)))
        && (filter.addresses.is_empty() || at(session.address))
}

impl Worker for Answering {
    fn post(&self, message: WorkerMessage) {
        let mut sessions = self.sessions.lock().unwrap();
        match message {
            WorkerMessage::List {
                filter,
                after,
                limit,
                reply,
            } => {
                let found = sessions
                    .iter()
                    .filter(|one| matches(one, &filter) && after.is_none_or(|after| one.id > after))
                    .take(limit);
                reply.send(found.cloned().collect()).unwrap();
            }
            WorkerMessage::Act {
                filter,
                action,
                reply,
            } => {
                let count = sessions.iter().filter(|one| matches(one, &filter)).count();
                if let SessionAction::Close(code) = action {
                    let mut closed = self.closed.lock().unwrap();
                    sessions.retain(|one| {
                        let hit = matches(one, &filter);
                        if hit {
                            let number = one.id.to_string();
                            closed.push((number.replace(".0", "").parse().unwrap(), code));
                        }
                        !hit
                    });
                }
                reply.send(count).unwrap();
            }
            WorkerMessage::Deliver(_)
            | WorkerMessage::DeliverTo { .. }
            | WorkerMessage::Answer { .. }
            | WorkerMessage::Rerouted
            | WorkerMessage::Drain { .. } => {}
        }
    }
}

struct World {
    node: Arc<Node>,
    workers: [Arc<Answering>; 2],
    state: tempfile::TempDir,
}

fn broker(hub: &Arc<Hub>, state: &tempfile::TempDir) -> Arc<MemoryBroker> {
    let config = MemoryConfig {
        state: Some(state.path().into()),
        max_revocations: 2,
        ..MemoryConfig::default()
    };
    let broker = MemoryBroker::open(config, Arc::new(rule), hub.clone(), hub.metrics());
    Arc::new(broker.unwrap())
}

/// Ann has two sessions on one token and one on another; Bob has one, and one has no token.
fn world() -> World {
    let workers: [Arc<Answering>; 2] = Default::default();
    let hub = a_hub();
    for (number, subject, token, address) in [
        (1, "ann", 1, "10.0.0.1"),
        (2, "ann", 1, "10.0.0.2"),
        (3, "ann", 2, "192.0.2.1"),
        (4, "bob", 3, "10.0.0.9"),
        (5, "", 0, "::1"),
    ] {
        let worker = &workers[number as usize % 2];
        let session = session(number, subject, token, address);
        worker.sessions.lock().unwrap().push(session);
    }
    for worker in &workers {
        hub.attach(worker.clone()).unwrap();
    }
    let state = tempfile::tempdir().unwrap();
    let broker = broker(&hub, &state);
    World {
        node: start(hub, broker),
        workers,
        state,
    }
}

impl World {
    fn closed(&self) -> Vec<u64> {
        let closed = self.workers.iter().flat_map(|worker| {
            let closed = worker.closed.lock().unwrap();
            closed.iter().map(|(number, _)| *number).collect::<Vec<_>>()
        });
        let mut closed: Vec<_> = closed.collect();
        closed.sort_unstable();
        closed
    }

    async fn revoke(&self, target: RevocationTarget, dry: bool) -> Result<usize, NodeError> {
        let report = self.node.revoke(target, "why", dry).await?;
        assert_eq!((report.nodes_confirmed, report.nodes_total), (1, 1));
        Ok(report.sessions)
    }

    async fn recorded(&self) -> Vec<Revocation> {
        self.node.revocations("", 9).await.unwrap()
    }
}

fn of_session(number: u64) -> RevocationTarget {
    RevocationTarget::Session {
        session: id(number),
        tokens: [].into(),
    }
}

fn of_subject(subject: &str) -> RevocationTarget {
    RevocationTarget::Subject {
        subject: subject.into(),
        issued_until: 9,
    }
}

#[tokio::test]
async fn a_session_goes_with_every_other_on_its_token() {
    let world = world();
    assert_eq!(world.revoke(of_session(1), true).await.unwrap(), 2);
    assert!(world.closed().is_empty() && world.recorded().await.is_empty());
    let mut events = world.node.hub().events().watch(None).unwrap();
    assert_eq!(world.revoke(of_session(1), false).await.unwrap(), 2);
    assert_eq!(world.closed(), [1, 2]);
    let code = world.workers[0].closed.lock().unwrap()[0].1;
    assert_eq!(code, CloseCode::Revoked);
    let recorded = world.recorded().await.remove(0);
    let lifetime = recorded.expires_at - recorded.created_at;
    assert_eq!(lifetime, Config::default().revocation_lifetime);
    let target = RevocationTarget::Session {
        session: id(1),
        tokens: [[1; 16]].into(),
    };
    assert_eq!((&*recorded.reason, recorded.target), ("why", target));
    assert_eq!(world.node.revocations.len(), 1);
    let event = events.next().await.unwrap();
    assert_eq!(
        (event.kind, event.session),
        (EventKind::Revoked, Some(id(1)))
    );

    assert!(world.node.unrevoke(&recorded.id).await.unwrap());
    assert!(!world.node.unrevoke(&recorded.id).await.unwrap());
    assert!(world.node.revocations.is_empty());
}

#[tokio::test]
async fn each_kind_of_target_finds_its_sessions() {
    let world = world();
    assert_eq!(world.revoke(of_session(5), false).await.unwrap(), 1);
    let token = RevocationTarget::TokenId("t3".into());
    assert_eq!(world.revoke(token, true).await.unwrap(), 1);
    assert_eq!(world.revoke(of_subject("ann"), false).await.unwrap(), 3);
    assert_eq!(world.closed(), [1, 2, 3, 5]);
    let missing = world.revoke(of_session(77), false).await;
    assert!(matches!(missing, Err(NodeError::NoSuchSession)));
}

#[tokio::test]
async fn what_cannot_be_recorded_closes_nobody() {
    let world = world();
    for subject in ["x", "y"] {
        world.revoke(of_subject(subject), false).await.unwrap();
    }
    let full = world.revoke(of_subject("ann"), false).await;
    let Err(NodeError::Broker(BrokerError::Full { .. })) = full else {
        panic!("{full:?}")
    };
    assert!(world.closed().is_empty());
    assert_eq!(world.node.revocations.len(), 2);
}

#[tokio::test]
async fn a_silent_worker_leaves_the_node_unconfirmed() {
    let world = world();
    world.node.hub().attach(Recorder::new()).unwrap();
    let report = world.node.revoke(of_subject("ann"), "", false).await;
    let report = report.unwrap();
    assert_eq!((report.sessions, report.nodes_confirmed), (3, 0));
    let unknown = world.node.revoke(of_session(77), "", false).await;
    assert!(matches!(unknown, Err(NodeError::Unanswered { workers: 1 })));
}

#[tokio::test]
async fn what_was_recorded_is_in_force_after_a_restart() {
    let world = world();
    world.revoke(of_subject("ann"), false).await.unwrap();
    let denied = Denied {
        range: "10.0.0.0/24".parse().unwrap(),
        reason: "why".into(),
        expires_at: None,
    };
    assert_eq!(world.node.deny(vec![denied.clone()]).await.unwrap(), 1);
    let hub = a_hub();
    let node = start(hub.clone(), broker(&hub, &world.state));
    assert_eq!(node.revocations.len(), 1);
    let address = "10.0.0.77".parse().unwrap();
    assert!(node.denied.is_denied(address, Now::read()));
    assert_eq!(node.denied().await.unwrap(), std::slice::from_ref(&denied));
    assert_eq!(
        node.allow(vec![denied.range]).await.unwrap(),
        [denied.range]
    );
    assert!(!node.denied.is_denied(address, Now::read()));
}

#[tokio::test]
async fn denying_closes_all_from_there_but_the_exempt() {
    let world = world();
    let row = |range: &str| Denied {
        range: range.parse().unwrap(),
        reason: "scraper".into(),
        expires_at: None,
    };
    let exempt = "10.0.0.2/32".parse().unwrap();
    world.node.denied.configure(&[], &[exempt]);
    let rows = vec![row("10.0.0.0/29"), row("192.0.2.0/24")];
    assert_eq!(world.node.deny(rows).await.unwrap(), 2);
    assert_eq!(world.closed(), [1, 3]);
    let code = world.workers[1].closed.lock().unwrap()[0].1;
    assert_eq!(code, CloseCode::Forbidden);
    assert_eq!(world.node.deny(vec![row("10.0.0.8/29")]).await.unwrap(), 1);
    assert_eq!(world.closed(), [1, 3, 4]);
}
