"""Every method of the control plane, called by a client that shares no code with the server.

Run by `./test clients` with control.toml. Against any server of that configuration:

    POGO_CONTROL=127.0.0.1:8081 POGO_URL=ws://127.0.0.1:8080 python control.py

The stubs of proto/ are on PYTHONPATH.
"""

import json
import threading
import time
import unittest

import grpc
from google.protobuf import descriptor_pool
from google.protobuf.duration_pb2 import Duration
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import proto_reflection_descriptor_database as reflection
from websockets.exceptions import InvalidStatus

from pogo.v1 import (
    channels_pb2,
    common_pb2,
    endpoints_pb2,
    endpoints_pb2_grpc,
    events_pb2,
    firewall_pb2,
    nodes_pb2,
    nodes_pb2_grpc,
    publisher_pb2,
    publisher_pb2_grpc,
    sessions_pb2,
)
from support.control import SECONDS, ControlTest, Stub, as_key, unique


class Publisher(ControlTest):
    def test_a_session_gets_what_is_published(self):
        room, session = unique("room-"), self.session()
        session.subscribe(room)
        other = unique("news-")
        first, second = self.publish(room, other)
        self.assertEqual((first.channel, first.receivers, first.deduplicated), (room, 1, False))
        self.assertTrue(first.position.epoch and first.position.offset == 1)
        self.assertEqual((second.channel, second.receivers), (other, 0))
        self.assertFalse(second.HasField("position"))
        push = session.until("said")
        self.assertEqual((push["channel"], push["data"]), (room, {"n": 1}))

    def test_excluded_and_expired(self):
        room, session = unique("room-"), self.session()
        session.subscribe(room)
        self.publish(room, event="not-you", exclude_session=session.id)
        self.publish(room, event="short", ttl=Duration(nanos=1))
        self.publish(room, event="unkept", skip_history=True)
        self.assertEqual(session.next()["event"], "unkept")
        history = self.channels.ReadHistory(channels_pb2.ReadHistoryRequest(channel=room))
        self.assertEqual([kept.event for kept in history.publications], ["not-you"])

    def test_an_idempotency_key_counts_once_even_in_a_race(self):
        room, key = unique("room-"), unique("key-")
        receipts, threads = [], []
        for _ in range(16):
            call = lambda: receipts.extend(self.publish(room, idempotency_key=key))
            threads.append(threading.Thread(target=call))
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(sorted(receipt.deduplicated for receipt in receipts), [False] + [True] * 15)
        self.assertEqual({receipt.position.offset for receipt in receipts}, {1})

    def test_everything_is_checked_first(self):
        room = unique("room-")
        refused = lambda **fields: self.refused(
            grpc.StatusCode.INVALID_ARGUMENT,
            self.publisher.Publish,
            publisher_pb2.PublishRequest(
                **{"channels": [room], "event": "e", "data": b"1", **fields}
            ),
        )
        for fields, wrong in [
            ({"channels": []}, "channels"),
            ({"channels": [room, "a b"]}, "channels[1]"),
            ({"event": "pogo:x"}, "event"),
            ({"data": b"{"}, "data"),
            ({"data": b'"' + b"x" * 65_536 + b'"'}, "data"),
            ({"ttl": Duration(seconds=-1)}, "ttl"),
            ({"exclude_session": "me"}, "exclude_session"),
            ({"idempotency_key": "k" * 129}, "idempotency_key"),
        ]:
            violations = refused(**fields)["BadRequest"].field_violations
            self.assertEqual([violation.field for violation in violations], [wrong])
        history = self.channels.ReadHistory(channels_pb2.ReadHistoryRequest(channel=room))
        self.assertEqual(len(history.publications), 0)

    def test_a_batch_has_a_result_for_each(self):
        room = unique("room-")
        good = publisher_pb2.PublishRequest(channels=[room], event="e", data=b"1")
        bad = publisher_pb2.PublishRequest(channels=[room], event="e", data=b"{")
        batch = publisher_pb2.PublishBatchRequest(requests=[good, bad, good])
        results = self.publisher.PublishBatch(batch).results
        kinds = [result.WhichOneof("result") for result in results]
        self.assertEqual(kinds, ["response", "status", "response"])
        self.assertEqual(results[1].status.code, grpc.StatusCode.INVALID_ARGUMENT.value[0])
        self.assertEqual(results[2].response.receipts[0].position.offset, 2)

    def test_a_stream_answers_every_request_in_order(self):
        room, count = unique("room-"), 2_000

        def requests():
            for i in range(count):
                data = b"{" if i == 7 else str(i).encode()
                publish = publisher_pb2.PublishRequest(channels=[room], event="e", data=data)
                yield publisher_pb2.PublishStreamRequest(sequence=i, publish=publish)

        answers = list(self.publisher.PublishStream(requests(), timeout=60))
        self.assertEqual([answer.sequence for answer in answers], list(range(count)))
        self.assertEqual(answers[7].WhichOneof("result"), "status")
        answers.pop(7)
        offsets = [answer.response.receipts[0].position.offset for answer in answers]
        self.assertEqual(offsets, list(range(1, count)))


class Channels(ControlTest):
    def test_pages_list_all_while_the_set_changes(self):
        prefix = unique("room-")
        names = [f"{prefix}-{i:02}" for i in range(25)]
        self.publish(*names)
        listed, token, pages = [], "", 0
        while token or not pages:
            request = channels_pb2.ListChannelsRequest(
                pattern=f"{prefix}-*", page_size=4, page_token=token
            )
            answer = self.channels.ListChannels(request)
            self.assertLessEqual(len(answer.channels), 4)
            listed += [channel.name for channel in answer.channels]
            self.publish(f"{prefix}-{pages:02}x")
            token, pages = answer.next_page_token, pages + 1
        self.assertEqual(sorted(set(listed)), listed)
        self.assertLessEqual(set(names), set(listed))
        garbage = channels_pb2.ListChannelsRequest(page_token="garbage")
        self.refused(grpc.StatusCode.INVALID_ARGUMENT, self.channels.ListChannels, garbage)

    def test_a_channel_its_members_and_its_history(self):
        room, ann = unique("room-"), unique("ann-")
        missing = channels_pb2.GetChannelRequest(name=room)
        self.refused(grpc.StatusCode.NOT_FOUND, self.channels.GetChannel, missing)
        sessions = [self.session(ann, info={"name": "Ann"}), self.session(ann), self.session()]
        for session in sessions:
            session.subscribe(room)
        for n in range(5):
            self.publish(room, data=str(n).encode())
        channel = self.channels.GetChannel(missing).channel
        counts = (channel.subscribers, channel.presence_count, channel.history_count)
        self.assertEqual((counts, channel.position.offset), ((3, 2, 5), 5))

        request = channels_pb2.ListMembersRequest(channel=room, page_size=2)
        first = self.channels.ListMembers(request)
        request.page_token = first.next_page_token
        members = [*first.members, *self.channels.ListMembers(request).members]
        self.assertEqual({member.session for member in members}, {s.id for s in sessions})
        self.assertEqual(first.total, 2)
        info = {member.session: member.info for member in members}
        self.assertEqual(json.loads(info[sessions[0].id]), {"name": "Ann"})

        read = lambda **fields: self.channels.ReadHistory(
            channels_pb2.ReadHistoryRequest(channel=room, **fields)
        )
        numbers = lambda answer: [int(kept.data) for kept in answer.publications]
        self.assertEqual(numbers(read(limit=2)), [0, 1])
        self.assertEqual(numbers(read(limit=2, reverse=True)), [4, 3])
        third = read(limit=3).publications[-1].position
        self.assertEqual(numbers(read(**{"from": third})), [3, 4])
        purge = channels_pb2.PurgeHistoryRequest(channel=room)
        self.assertEqual(self.channels.PurgeHistory(purge).removed, 5)
        self.assertEqual(numbers(read()), [])
        self.assertEqual(self.publish(room)[0].position.offset, 6)

    def test_a_subscription_recovers_and_goes_on(self):
        prefix = unique("room-")
        room = f"{prefix}-1"
        before = self.publish(room, data=b"0")[0].position
        self.publish(room, data=b"1")
        self.publish(room, data=b"2")
        request = channels_pb2.SubscribeRequest(channels=[f"{prefix}-*"])
        request.recover[room].CopyFrom(before)
        stream = self.channels.Subscribe(request)
        stream.initial_metadata()
        self.publish(room, data=b"3")
        self.publish(f"{prefix}-2", data=b"4")
        items = [next(stream) for _ in range(4)]
        self.assertEqual([int(item.publication.data) for item in items], [1, 2, 3, 4])
        self.assertEqual([item.channel for item in items], [room] * 3 + [f"{prefix}-2"])
        stream.cancel()

        lost = common_pb2.Position(epoch="another", offset=1)
        request.recover[room].CopyFrom(lost)
        item = next(self.channels.Subscribe(request))
        self.assertEqual((item.channel, item.WhichOneof("item")), (room, "gap"))
        self.assertEqual((item.gap.epoch, item.gap.offset), ("another", 1))


class Sessions(ControlTest):
    def test_list_and_get(self):
        subject, room = unique("user-"), unique("room-")
        sessions = [self.session(subject, jti=f"{subject}-{i}") for i in range(5)]
        sessions[0].subscribe(room)
        listed, request = [], sessions_pb2.ListSessionsRequest(subject=subject, page_size=2)
        while not listed or request.page_token:
            answer = self.sessions.ListSessions(request)
            listed += answer.sessions
            request.page_token = answer.next_page_token
        self.assertEqual({row.id for row in listed}, {session.id for session in sessions})
        self.assertEqual(len(listed), 5)
        row = self.sessions.GetSession(sessions_pb2.GetSessionRequest(id=sessions[0].id)).session
        self.assertEqual((row.subject, row.address), (subject, "127.0.0.1"))
        self.assertEqual((row.protocol, list(row.channels)), ("pogo.v1.json", [room]))
        self.assertEqual((row.token_id, row.node != ""), (f"{subject}-0", True))
        self.assertLess(row.connected_at.ToSeconds(), row.expires_at.ToSeconds())
        by_channel = sessions_pb2.ListSessionsRequest(channel=room, address="127.0.0.0/8")
        self.assertEqual([row.id for row in self.sessions.ListSessions(by_channel).sessions], [row.id])
        nobody = sessions_pb2.GetSessionRequest(id="nobody")
        self.refused(grpc.StatusCode.NOT_FOUND, self.sessions.GetSession, nobody)

    def test_the_server_subscribes_unsubscribes_and_sends(self):
        session, subject, room = self.session(), unique("user-"), unique("room-")
        request = sessions_pb2.SubscribeSessionRequest(session=session.id, channel=room)
        self.assertEqual(self.sessions.SubscribeSession(request).sessions, 1)
        self.assertEqual(session.until("pogo:subscribed")["channel"], room)
        send = sessions_pb2.SendToSessionRequest(session=session.id, event="hi", data=b"[1]")
        self.assertEqual(self.sessions.SendToSession(send).sessions, 1)
        self.assertEqual(session.until("hi")["data"], [1])
        leave = sessions_pb2.UnsubscribeSessionRequest(session=session.id, channel=room)
        self.assertEqual(self.sessions.UnsubscribeSession(leave).sessions, 1)
        self.assertEqual(session.until("pogo:unsubscribed")["channel"], room)
        nobody = sessions_pb2.SubscribeSessionRequest(subject=subject, channel=room)
        self.assertEqual(self.sessions.SubscribeSession(nobody).sessions, 0)

    def test_revoked_sessions_are_closed_and_their_tokens_refused(self):
        subject = unique("user-")
        sessions = [self.session(subject), self.session(subject)]
        request = sessions_pb2.RevokeSessionsRequest(subject=subject, reason="test", dry_run=True)
        self.assertEqual(self.sessions.RevokeSessions(request).sessions_closed, 2)
        request.dry_run = False
        answer = self.sessions.RevokeSessions(request)
        self.assertEqual((answer.sessions_closed, answer.nodes_confirmed, answer.nodes_total), (2, 1, 1))
        self.assertEqual([session.close_code() for session in sessions], [4002, 4002])
        with self.assertRaises(InvalidStatus):
            self.session(subject)
        listed = self.sessions.ListRevocations(sessions_pb2.ListRevocationsRequest(page_size=1_000))
        mine = [row for row in listed.revocations if row.subject == subject]
        self.assertEqual([row.reason for row in mine], ["test"])
        delete = sessions_pb2.DeleteRevocationRequest(id=mine[0].id)
        self.sessions.DeleteRevocation(delete)
        self.session(subject)
        self.refused(grpc.StatusCode.NOT_FOUND, self.sessions.DeleteRevocation, delete)


class Firewall(ControlTest):
    def test_denied_addresses_are_closed_and_kept_out(self):
        address = "127.0.0.77"
        session = self.session(source=address)
        deny = firewall_pb2.DenyRequest(
            addresses=[address], ttl=Duration(seconds=60), reason="noise"
        )
        self.assertEqual(self.firewall.Deny(deny).sessions_closed, 1)
        self.assertEqual(session.close_code(), 4003)
        with self.assertRaises(InvalidStatus) as caught:
            self.session(source=address)
        self.assertEqual(caught.exception.response.status_code, 403)
        listed = self.firewall.ListDenied(firewall_pb2.ListDeniedRequest()).denied
        row = {row.address: row for row in listed}[f"{address}/32"]
        self.assertEqual(row.reason, "noise")
        self.assertGreater(row.expires_at.ToSeconds(), time.time())
        allow = firewall_pb2.AllowRequest(addresses=[address, "192.0.2.0/24"])
        self.assertEqual(list(self.firewall.Allow(allow).addresses), [f"{address}/32"])
        self.session(source=address)
        bad = firewall_pb2.DenyRequest(addresses=["localhost"])
        self.refused(grpc.StatusCode.INVALID_ARGUMENT, self.firewall.Deny, bad)


class Events(ControlTest):
    def test_events_are_told_and_taken_up_again(self):
        watch = self.events.Watch(events_pb2.WatchRequest())
        watch.initial_metadata()
        room, session = unique("room-"), self.session()
        session.subscribe(room)
        session.socket.close()
        seen = []
        while ("disconnected", session.id) not in [(e.kind, e.session) for e in seen]:
            seen.append(next(watch))
        watch.cancel()
        mine = [event for event in seen if session.id == event.session or room == event.channel]
        kinds = [event.kind for event in mine]
        self.assertEqual(kinds[0], "connected")
        self.assertLessEqual({"subscribed", "occupied", "disconnected"}, set(kinds))
        again = events_pb2.WatchRequest(
            kinds=["disconnected"], resume_token=mine[0].resume_token
        )
        event = next(self.events.Watch(again))
        self.assertEqual((event.kind, event.code), ("disconnected", mine[-1].code))
        self.assertEqual(event.node, mine[0].node)

    def test_a_token_that_leads_nowhere_is_refused(self):
        refused = lambda code, **fields: self.refused(
            code, self.events.Watch, events_pb2.WatchRequest(**fields)
        )
        details = refused(grpc.StatusCode.OUT_OF_RANGE, resume_token="another-1")
        self.assertEqual(details["ErrorInfo"].reason, "RESUME_TOKEN_OF_ANOTHER_RUN")
        refused(grpc.StatusCode.INVALID_ARGUMENT, resume_token="garbage")
        refused(grpc.StatusCode.INVALID_ARGUMENT, kinds=["nothing"])


class Server(ControlTest):
    def test_nodes(self):
        session = self.session()
        (node,) = self.nodes.ListNodes(nodes_pb2.ListNodesRequest()).nodes
        self.assertGreaterEqual(node.sessions, 1)
        self.assertTrue(node.id and node.version and not node.draining)
        self.assertLess(node.started_at.ToSeconds(), time.time())
        row = self.sessions.GetSession(sessions_pb2.GetSessionRequest(id=session.id)).session
        self.assertEqual(row.node, node.id)

    def test_endpoints_are_put_changed_and_deleted(self):
        stub = Stub(endpoints_pb2_grpc.EndpointsStub(self.channel))
        endpoint = endpoints_pb2.Endpoint(name="py-posts", item="/py-posts/{id}")
        endpoint.upstream.bases.append("http://blog:8080/v1")
        put = lambda **fields: stub.PutEndpoint(endpoints_pb2.PutEndpointRequest(**fields)).endpoint
        shown = put(endpoint=endpoint)
        self.assertEqual(list(shown.methods), ["show", "update", "delete"])
        self.assertEqual((shown.audience, shown.autobind, shown.source), ("user", True, "live"))
        change = endpoints_pb2.Endpoint(name="py-posts", audience="shared")
        shown = put(endpoint=change, update_mask={"paths": ["audience"]})
        self.assertEqual((shown.audience, shown.item), ("shared", "/py-posts/{id}"))
        stub.ListEndpoints(endpoints_pb2.ListEndpointsRequest())
        endpoint.item = "/app/{id}"
        endpoint.upstream.bases[:] = ["ftp://blog"]
        request = endpoints_pb2.PutEndpointRequest(endpoint=endpoint)
        invalid = grpc.StatusCode.INVALID_ARGUMENT
        details = self.refused(invalid, stub.PutEndpoint, request)
        named = {row.field for row in details["BadRequest"].field_violations}
        self.assertEqual(named, {"endpoint.upstream.bases", "endpoint.item"})
        stub.PurgeCache(endpoints_pb2.PurgeCacheRequest(uri_pattern="/py-posts/*"))
        stub.Reaccess(endpoints_pb2.ReaccessRequest(uri_pattern="/py-posts/*"))
        stub.DeleteEndpoint(endpoints_pb2.DeleteEndpointRequest(name="py-posts"))

    def test_keys_and_scopes(self):
        nodes = nodes_pb2_grpc.NodesStub(self.channel).ListNodes
        request = nodes_pb2.ListNodesRequest()
        unauthenticated = grpc.StatusCode.UNAUTHENTICATED
        for metadata in (None, [("authorization", "Bearer wrong")], [("authorization", "x")]):
            self.refused(unauthenticated, nodes, request, metadata=metadata)
        denied = grpc.StatusCode.PERMISSION_DENIED
        details = self.refused(denied, nodes, request, metadata=as_key("reader"))
        self.assertEqual(details["ErrorInfo"].metadata["scope"], "admin")

        publish = Stub(publisher_pb2_grpc.PublisherStub(self.channel), "news").Publish
        fields = {"event": "e", "data": b"1"}
        publish(publisher_pb2.PublishRequest(channels=["news-1"], **fields))
        both = publisher_pb2.PublishRequest(channels=["news-1", "sport"], **fields)
        self.refused(denied, publish, both)

    def test_deadlines_and_sizes(self):
        stream = self.events.Watch(events_pb2.WatchRequest(kinds=["denied"]), timeout=0.3)
        # Client and server may both end it, so there is no one to ask for details.
        with self.assertRaises(grpc.RpcError) as caught:
            next(stream)
        self.assertEqual(caught.exception.code(), grpc.StatusCode.DEADLINE_EXCEEDED)
        huge = publisher_pb2.PublishRequest(data=b"x" * (5 << 20))
        self.refused(grpc.StatusCode.RESOURCE_EXHAUSTED, self.publisher.Publish, huge)

    def test_health_needs_no_key_and_reflection_does(self):
        check = health_pb2_grpc.HealthStub(self.channel).Check
        for service in ("", "pogo.v1.Publisher"):
            answer = check(health_pb2.HealthCheckRequest(service=service), timeout=SECONDS)
            self.assertEqual(answer.status, health_pb2.HealthCheckResponse.SERVING)
        names = lambda channel: reflection.ProtoReflectionDescriptorDatabase(channel).get_services()
        self.refused(grpc.StatusCode.UNAUTHENTICATED, lambda: list(names(self.channel)))
        keyed = grpc.intercept_channel(self.channel, WithKey())
        found = names(keyed)
        for service in ("Publisher", "Channels", "Sessions", "Firewall", "Endpoints", "Events", "Nodes"):
            self.assertIn(f"pogo.v1.{service}", found)
        pool = descriptor_pool.DescriptorPool(
            reflection.ProtoReflectionDescriptorDatabase(keyed)
        )
        methods = pool.FindServiceByName("pogo.v1.Channels").methods_by_name
        self.assertIn("Subscribe", methods)


class WithKey(grpc.StreamStreamClientInterceptor):
    """Adds the key to the reflection client's calls, which take no metadata."""

    def intercept_stream_stream(self, continuation, details, requests):
        return continuation(details._replace(metadata=as_key("admin")), requests)


if __name__ == "__main__":
    unittest.main()
