//! Who is there: a member is a subject, however many sessions it has.

use serde_json::value::RawValue;

use super::*;
use crate::broker::{BrokerError, Member};
use crate::session_id::SessionId;

fn session(number: u64) -> SessionId {
    format!("{number}.1").parse().unwrap()
}

fn member(subject: &str, number: u64) -> Member {
    let info = RawValue::from_string(format!("{{\"n\":{number}}}")).unwrap();
    Member {
        subject: subject.into(),
        session: session(number),
        info: Some(Arc::from(info)),
    }
}

impl Subject {
    async fn enter(&self, channel: &ChannelName, member: Member) -> bool {
        self.broker
            .enter(channel, member, usize::MAX, None)
            .await
            .unwrap()
    }

    async fn exit(&self, channel: &ChannelName, number: u64) -> Option<String> {
        let exit = self.broker.exit(channel, session(number), None).await;
        exit.unwrap().map(|member| member.subject.to_string())
    }
}

pub(in crate::broker) async fn members_join_and_leave_once(subject: Subject) {
    let channel = name("presence");
    subject.broker.subscribe(&channel).await.unwrap();
    assert!(subject.enter(&channel, member("ann", 1)).await);
    assert!(!subject.enter(&channel, member("ann", 2)).await);
    assert!(subject.enter(&channel, member("bob", 3)).await);
    let elsewhere = name("presence-2");
    assert!(subject.enter(&elsewhere, member("ann", 1)).await);
    let state = subject.broker.channel(&channel).await.unwrap().unwrap();
    assert_eq!(state.presence_count, 2);

    assert_eq!(subject.exit(&channel, 1).await, None);
    assert_eq!(subject.exit(&channel, 1).await, None, "is not there");
    assert_eq!(subject.exit(&channel, 2).await.as_deref(), Some("ann"));
    assert_eq!(subject.exit(&channel, 3).await.as_deref(), Some("bob"));
    let there = subject.broker.members(&channel, None, 10).await.unwrap();
    assert_eq!((there.rows.len(), there.total), (0, 0));
    let there = subject.broker.members(&elsewhere, None, 10).await.unwrap();
    assert_eq!((there.rows.len(), there.total), (1, 1));
}

pub(in crate::broker) async fn members_are_paged(subject: Subject) {
    let channel = name("presence");
    for number in 1..=9 {
        let who = if number < 5 { "ann" } else { "bob" };
        subject.enter(&channel, member(who, number)).await;
    }
    let (mut sessions, mut after) = (vec![], None);
    loop {
        let page = subject.broker.members(&channel, after, 4).await.unwrap();
        assert_eq!(page.total, 2);
        let Some(last) = page.rows.last() else { break };
        after = Some(last.session);
        sessions.extend(page.rows.iter().map(|row| row.session));
    }
    assert_eq!(sessions, (1..=9).map(session).collect::<Vec<_>>());
}

pub(in crate::broker) async fn an_entry_can_be_replaced(subject: Subject) {
    let channel = name("presence");
    assert!(subject.enter(&channel, member("ann", 1)).await);
    let mut renewed = member("ann", 1);
    renewed.info = None;
    assert!(!subject.enter(&channel, renewed).await);
    let there = subject.broker.members(&channel, None, 10).await.unwrap();
    assert_eq!((there.rows.len(), there.total), (1, 1));
    assert!(there.rows[0].info.is_none());
    assert_eq!(subject.exit(&channel, 1).await.as_deref(), Some("ann"));
}

pub(in crate::broker) async fn presence_is_told_in_order(subject: Subject) {
    let channel = name("presence");
    subject.broker.subscribe(&channel).await.unwrap();
    subject.enter(&channel, member("ann", 1)).await;
    subject.enter(&channel, member("ann", 2)).await;
    subject.publish(&channel, 5).await;
    subject.exit(&channel, 1).await;
    subject.exit(&channel, 2).await;
    let told: Vec<_> = subject
        .delivered
        .on(&channel)
        .into_iter()
        .map(|one| {
            let text = String::from_utf8(one.data.to_vec()).unwrap();
            (one.event.to_string(), text, one.sequence, one.exclude)
        })
        .collect();
    let push = |event: &str, number, exclude| {
        let data = format!(
            r#"{{"subject":"ann","session":"{}","info":{{"n":{number}}}}}"#,
            session(number)
        );
        (event.to_owned(), data, 0, exclude)
    };
    assert_eq!(told.len(), 3);
    assert_eq!(told[0], push("pogo:join", 1, Some(session(1))));
    assert_eq!(told[1].1, "5");
    assert_eq!(told[2], push("pogo:leave", 2, None));
}

pub(in crate::broker) async fn a_list_says_which_changes_it_holds(subject: Subject) {
    let channel = name("presence");
    subject.broker.subscribe(&channel).await.unwrap();
    let mut listed = vec![];
    subject.enter(&channel, member("ann", 1)).await;
    for number in 2..=4 {
        subject.enter(&channel, member("bob", number)).await;
        let members = subject.broker.members(&channel, None, 10).await.unwrap();
        listed.push(members.revision);
        subject.exit(&channel, number).await;
    }
    let told = subject.delivered.on(&channel);
    let told: Vec<_> = told.iter().map(|one| one.revision).collect();
    assert!(told.is_sorted_by(|a, b| a < b) && told[0] > 0, "{told:?}");
    // Each list holds what was told up to its last join, and not the leave that followed.
    assert_eq!(listed, [told[1], told[3], told[5]]);
    subject.exit(&channel, 1).await;
    subject.enter(&channel, member("ann", 1)).await;
    let again = subject.delivered.on(&channel).last().unwrap().revision;
    assert!(again > told[6], "it goes on where nobody was left");
}

pub(in crate::broker) async fn a_bound_keeps_further_members_out(subject: Subject) {
    let channel = name("presence");
    let enter = async |who, number| {
        let member = member(who, number);
        subject.broker.enter(&channel, member, 2, None).await
    };
    assert!(enter("ann", 1).await.unwrap() && enter("bob", 2).await.unwrap());
    let refused = enter("eve", 3).await.unwrap_err();
    assert!(matches!(refused, BrokerError::Full { limit: 2, .. }));
    assert!(
        !enter("ann", 4).await.unwrap(),
        "who is there may come again"
    );
    subject.exit(&channel, 2).await;
    assert!(enter("eve", 3).await.unwrap());
}
