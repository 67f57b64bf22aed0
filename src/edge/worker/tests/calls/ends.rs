//! The server takes a session off while the session waits for something.

use super::*;

fn end(rig: &mut Rig, id: Option<SessionId>, uri: &str) -> usize {
    let filter = SessionFilter {
        session: id,
        ..SessionFilter::default()
    };
    rig.act(
        filter,
        SessionAction::Unsubscribe(name(uri), "forbidden".into()),
    )
}

/// Begins a list of one uri, of which the gateway is asked, and does not answer it.
fn begin_list(rig: &mut Rig, client: &mut Client, uri: &str, other: &str) -> (Call, Origin) {
    client.send(&json!({"id": "list", "event": "channel:subscribe", "channels": [uri, other]}));
    // The kernel may hold it back until what was sent before is acknowledged.
    rig.until("the call", |rig| {
        !rig.gateway.calls.lock().unwrap().is_empty()
    });
    rig.asked()
}

fn refuse(rig: &Rig, (call, origin): &(Call, Origin)) {
    let failure = Failure {
        code: ErrorCode::NotFound,
        message: "Not there.".into(),
        retry_after: None,
        http: Some(404),
        details: None,
        outcome_unknown: false,
    };
    rig.answer((call, *origin), Err(failure), None);
}

#[test]
fn an_end_takes_effect_at_once_however_many_there_are() {
    const COUNT: u64 = 100;
    let mut rig = Rig::covered();
    let (mut client, id) = rig.session(Credential::None);
    rig.text(&mut client);
    let uri = |n: u64| format!("/posts/{n}");
    for n in 0..COUNT {
        let asked = rig.call(&mut client, &show(n, &uri(n)));
        rig.bind(&asked, 0);
        rig.text(&mut client);
    }
    let list = begin_list(&mut rig, &mut client, "/posts/list", "news");
    for n in 0..COUNT {
        rig.deliver(push(&uri(n), n, 1));
        assert_eq!(end(&mut rig, id, &uri(n)), 1, "{n}");
        rig.deliver(push(&uri(n), 1_000, 2));
    }
    rig.settle();
    assert_eq!(rig.left().len(), 100, "the gateway knows at once");
    assert_eq!(rig.node.hub().len(), 0, "the node too");
    refuse(&rig, &list);
    let told = rig.told(&mut client);
    assert_eq!(told[0], "r\"list\"", "the reply comes first");
    let expected = (0..COUNT).flat_map(|n| [n.to_string(), "pogo:unsubscribed".to_owned()]);
    assert_eq!(told[1..], expected.collect::<Vec<_>>());
    drop(client);
    rig.assert_empty();
}

#[test]
fn who_is_bound_again_hears_of_the_end_before() {
    let mut rig = Rig::covered();
    let (mut client, id) = rig.session(Credential::None);
    rig.text(&mut client);
    let asked = rig.call(&mut client, &show(1, "/posts/1"));
    rig.bind(&asked, 0);
    rig.text(&mut client);
    let again = rig.call(&mut client, &show(2, "/posts/1"));
    let list = begin_list(&mut rig, &mut client, "/posts/2", "news");
    rig.deliver(push("/posts/1", 1, 1));
    end(&mut rig, id, "/posts/1");
    rig.bind(&again, 7);
    rig.deliver(push("/posts/1", 8, 8));
    refuse(&rig, &list);
    let expected = ["1", "pogo:unsubscribed", "r2", "r\"list\"", "8"];
    assert_eq!(rig.told(&mut client), expected);
    drop(client);
    rig.assert_empty();
}

#[test]
fn a_channel_that_is_being_joined_is_joined_no_more() {
    for listed in [false, true] {
        let mut rig = Rig::covered();
        let (mut client, id) = rig.session(Credential::None);
        rig.text(&mut client);
        let list = listed.then(|| begin_list(&mut rig, &mut client, "/posts/1", "members-a"));
        rig.broker.hold(true, false);
        if !listed {
            client.send(&json!({"id": "list", "event": "channel:subscribe",
                "channels": ["members-a"]}));
            rig.settle();
        }
        assert_eq!(end(&mut rig, id, "members-a"), 1);
        if let Some(list) = &list {
            refuse(&rig, list);
            rig.settle();
        }
        rig.broker.open();
        let reply = rig.text(&mut client);
        let results = reply["data"]["results"].as_array().unwrap();
        let error = &results.last().unwrap()["error"];
        assert_eq!(error["code"], "not_subscribed", "{reply}");
        rig.until("the undoing", |rig| rig.node.hub().is_empty());
        rig.publish("members-a", &json!(1));
        assert!(rig.told(&mut client).is_empty());
        let (node, channel) = (rig.node.clone(), name("members-a"));
        let members = node.members(&channel, None, 10);
        assert_eq!(rig.runtime.block_on(members).unwrap().total, 0);
        drop(client);
        rig.assert_empty();
    }
}

#[test]
fn a_renewal_under_way_leaves_alone_who_has_the_place_now() {
    let mut rig = Rig::covered();
    let (mut client, id) = rig.session(Credential::None);
    rig.text(&mut client);
    rig.subscribe(&mut client, "log-members-a");
    rig.publish("log-members-a", &json!(1));
    rig.told(&mut client);
    rig.broker.hold(false, true);
    client.send(
        &json!({"id": 1, "event": "channel:subscribe", "channel": "log-members-a",
        "options": {"rewind": 5}}),
    );
    rig.settle();
    let held = rig.broker.hold_off();
    assert_eq!(end(&mut rig, id, "log-members-a"), 1);
    assert_eq!(rig.node.hub().len(), 0, "it is off at once");
    // Comes to the place in the table that is free now.
    let mut other = rig.join();
    rig.subscribe(&mut other, "log-members-a");
    rig.broker.hold(held.0, held.1);
    rig.broker.open();
    let reply = rig.text(&mut client);
    assert_eq!(reply["error"]["code"], "not_subscribed", "{reply}");
    assert_eq!(rig.told(&mut client), ["pogo:unsubscribed"]);
    rig.publish("log-members-a", &json!(2));
    assert_eq!(rig.told(&mut other), ["e"]);
    assert!(rig.told(&mut client).is_empty());
    drop((client, other));
    rig.assert_empty();
}

#[test]
fn who_is_on_what_becomes_covered_leaves_it() {
    let mut rig = Rig::new();
    let mut client = rig.join();
    for channel in ["/posts/1", "/%70osts/2", "/pages/1"] {
        rig.subscribe(&mut client, channel);
    }
    rig.broker.hold(true, false);
    let list =
        json!({"id": "list", "event": "channel:subscribe", "channels": ["/posts/3", "news"]});
    client.send(&list);
    rig.settle();
    rig.shared.routes.store(Arc::new(posts()));
    rig.node.hub().rerouted();
    for uri in ["/posts/1", "/posts/2", "/posts/3"] {
        rig.deliver(push(uri, 1, 1));
    }
    rig.settle();
    rig.broker.open();
    let reply = rig.text(&mut client);
    let results = &reply["data"]["results"];
    assert_eq!(results[0]["error"]["code"], "not_subscribed", "{reply}");
    assert_eq!(results[1]["channel"], "news", "{reply}");
    for uri in ["/%70osts/2", "/posts/1"] {
        let ended = rig.text(&mut client);
        assert_eq!(ended["event"], "pogo:unsubscribed", "{ended}");
        let told = (&ended["uri"], &ended["channel"]);
        assert!(told.0 == uri || told.1 == uri, "{ended}");
        assert_eq!(ended["data"]["reason"], "covered");
    }
    assert!(rig.told(&mut client).is_empty());
    rig.until("the leaving", |rig| rig.node.hub().len() == 2);
    // Now it is the gateway's.
    let asked = rig.call(&mut client, &show(1, "/posts/1"));
    rig.bind(&asked, 1);
    assert_eq!(rig.text(&mut client)["bound"], "/posts/1");
    rig.node.hub().rerouted();
    assert!(rig.told(&mut client).is_empty(), "what is bound stays");
    drop(client);
    rig.assert_empty();
}
