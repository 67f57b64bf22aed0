//! Lists whose calls are under way.

use std::collections::BTreeSet;

use super::*;

#[test]
fn a_list_holds_pushes_back_until_its_reply() {
    for slow in [false, true] {
        let mut rig = Rig::covered();
        let mut client = rig.join();
        rig.subscribe(&mut client, "news");
        client.send(&json!({"id": 1, "event": "channel:subscribe",
            "channels": ["/posts/1", "log-a", "/posts/2"]}));
        client.send(&json!({"id": 2, "event": "ping"}));
        rig.settle();
        let calls = std::mem::take(&mut *rig.gateway.calls.lock().unwrap());
        let [first, second] = &calls[..] else {
            panic!("{calls:?}");
        };
        rig.bind(first, 0);
        rig.deliver(push("/posts/1", 1, 1));
        rig.publish("news", &json!(2));
        rig.settle();
        rig.bind(second, 0);
        rig.broker.hold(slow, false);
        rig.deliver_to(push("/posts/2", 3, 1), &[second.1]);
        rig.settle();
        rig.broker.open();
        rig.settle();
        let told = rig.told(&mut client);
        assert_eq!(told[0], "r1", "{told:?}");
        let rest: BTreeSet<_> = told[1..].iter().map(String::as_str).collect();
        assert_eq!(rest, ["1", "3", "e", "r2"].into(), "{told:?}");
        drop(client);
        rig.assert_empty();
    }
}

#[test]
fn a_list_that_is_never_answered_keeps_nothing_of_who_has_gone() {
    let mut rig = Rig::covered();
    let (mut client, id) = rig.session(Credential::None);
    rig.text(&mut client);
    let list = json!({"id": 1, "event": "channel:subscribe", "channels": ["/posts/1", "/posts/2"]});
    client.send(&list);
    rig.settle();
    let calls = std::mem::take(&mut *rig.gateway.calls.lock().unwrap());
    rig.bind(&calls[0], 0);
    rig.deliver(push("/posts/1", 1, 1));
    let filter = SessionFilter {
        session: id,
        ..SessionFilter::default()
    };
    rig.act(filter, SessionAction::Close(CloseCode::Revoked));
    drop(client);
    rig.assert_empty();
    rig.bind(&calls[1], 0);
    rig.settle();
    rig.assert_empty();
    assert_eq!(rig.left().len(), 2);
}
