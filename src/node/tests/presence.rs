//! Presence through the node: told to the others, once a member.

use serde_json::value::RawValue;

use super::*;

pub(super) fn member(subject: &str, session: u64) -> Member {
    let info = RawValue::from_string("[1]".to_owned()).unwrap();
    Member {
        subject: subject.into(),
        session: format!("{session}.1").parse().unwrap(),
        info: Some(Arc::from(info)),
    }
}

#[test]
fn members_come_and_go_once_and_the_others_are_told() {
    let (node, workers) = node(2);
    let enter = |subject, session, worker| {
        let mut join = join("room", worker);
        join.member = Some(member(subject, session));
        node.join(join).now_or_never().unwrap().unwrap();
    };
    let leave = |session: u64, worker| {
        let id = format!("{session}.1").parse().ok();
        node.leave(worker, name("room"), id).now_or_never().unwrap();
    };
    enter("ann", 1, 0);
    enter("bob", 2, 1);
    enter("bob", 3, 0);
    leave(2, 1);
    leave(3, 0);
    let told = |worker: &Recorder| -> Vec<_> {
        let told = worker.publications().into_iter();
        told.map(|one| {
            let member: serde_json::Value = serde_json::from_slice(&one.data).unwrap();
            assert_eq!((one.sequence, one.position()), (0, None));
            assert_eq!(member["info"], serde_json::json!([1]));
            (
                one.event.to_string(),
                member["session"].as_str().unwrap().to_owned(),
                one.exclude.map(|id| id.to_string()),
            )
        })
        .collect()
    };
    let push = |event: &str, session: &str, exclude: Option<&str>| {
        (
            event.to_owned(),
            session.to_owned(),
            exclude.map(str::to_owned),
        )
    };
    let ann = push("pogo:join", "1.1", Some("1.1"));
    let bob = push("pogo:join", "2.1", Some("2.1"));
    let gone = push("pogo:leave", "3.1", None);
    assert_eq!(told(&workers[0]), [ann, bob.clone(), gone]);
    assert_eq!(told(&workers[1]), [bob]);
    let there = node.members(&name("room"), None, 9).now_or_never();
    assert_eq!(there.unwrap().unwrap().total, 1);
}
