"""PyPI's `pusher` (every call of it) and `pysher` (a WebSocket client that speaks protocol 6).

Run by run.py, which says where the server is.
"""

import hashlib
import hmac
import json
import os
import queue
import time
import unittest
import uuid

import pusher
import pysher
from pusher.errors import PusherBadAuth, PusherBadRequest, PusherBadStatus

KEY, SECRET, APP_ID = (os.environ[f"APP_{name}"] for name in ("KEY", "SECRET", "ID"))
PORT = int(os.environ["EDGE_PORT"])
MASTER_KEY = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="
SECONDS = 10
REMOVED = "pusher_internal:member_removed"


def library(secret=SECRET, app_id=APP_ID):
    return pusher.Pusher(
        app_id=app_id,
        key=KEY,
        secret=secret,
        host="127.0.0.1",
        port=PORT,
        ssl=False,
        encryption_master_key_base64=MASTER_KEY,
    )


def unique(prefix):
    return f"{prefix}{uuid.uuid4().hex[:12]}"


class Client:
    """A pysher client; what comes on a channel is kept in order."""

    def __init__(self, test, **user_data):
        self.arrived = queue.Queue()
        connected = queue.Queue()
        self.pusher = pysher.Pusher(
            KEY,
            secure=False,
            custom_host="127.0.0.1",
            port=PORT,
            secret=SECRET,
            user_data=user_data,
            daemon=True,
        )
        # pysher subscribes before there is a channel to bind to: an answer may come in between.
        handler = self.pusher.connection.event_handler

        def heard(event, data, channel):
            self.arrived.put((event, data))
            handler(event, data, channel)

        self.pusher.connection.event_handler = heard
        bind = self.pusher.connection.bind
        bind("pusher:connection_established", connected.put)
        bind("pusher:signin_success", lambda data: self.arrived.put(("signed in", data)))
        bind("pusher:error", lambda data: self.arrived.put(("error", data)))
        self.pusher.connect()
        # Its thread may look up from its socket only after ten seconds.
        test.addCleanup(self.pusher.disconnect, 0)
        connected.get(timeout=SECONDS)
        self.socket_id = self.pusher.connection.socket_id

    def subscribe(self, name, auth=None):
        channel = self.pusher.subscribe(name, auth)
        assert self.next()[0] == "pusher_internal:subscription_succeeded"
        return channel

    def next(self):
        """The next event but for counts, which come when they like."""
        while True:
            event, data = self.arrived.get(timeout=SECONDS)
            if event != "pusher_internal:subscription_count":
                return event, data


class Library(unittest.TestCase):
    def setUp(self):
        self.library = library()

    def test_trigger_reaches_all_of_its_channels(self):
        client, names = Client(self), [unique("news-"), unique("private-"), unique("other-")]
        for name in names[:2]:
            client.subscribe(name)
        self.assertEqual(self.library.trigger(names, "said", {"n": [1, "ü"]}), {})
        found = [client.next(), client.next()]
        self.assertEqual([(e, json.loads(d)) for e, d in found], [("said", {"n": [1, "ü"]})] * 2)
        self.assertEqual(self.library.trigger(names[0], "said", "no JSON"), {})
        self.assertEqual(client.next(), ("said", "no JSON"))

    def test_trigger_leaves_out_a_socket(self):
        first, second, name = Client(self), Client(self), unique("news-")
        for client in (first, second):
            client.subscribe(name)
        self.library.trigger(name, "said", "1", socket_id=first.socket_id)
        self.library.trigger(name, "said", "2")
        self.assertEqual([second.next()[1], second.next()[1]], ["1", "2"])
        self.assertEqual(first.next()[1], "2")

    def test_trigger_batch(self):
        client, name = Client(self), unique("news-")
        client.subscribe(name)
        batch = [{"channel": name, "name": event, "data": {"e": event}} for event in "ab"]
        self.assertEqual(self.library.trigger_batch(batch), {})
        self.assertEqual([client.next()[0], client.next()[0]], ["a", "b"])
        with self.assertRaises(PusherBadRequest):
            self.library.trigger_batch([dict(channel=name, name="c", data="1") for _ in range(11)])

    def test_channels_info(self):
        prefix = unique("presence-")
        Client(self, user_id="1").subscribe(f"{prefix}-a")
        Client(self, user_id="2").subscribe(f"{prefix}-a")
        found = self.library.channels_info(f"{prefix}-", ["user_count"])
        self.assertEqual(found, {"channels": {f"{prefix}-a": {"user_count": 2}}})
        self.assertIn(f"{prefix}-a", self.library.channels_info()["channels"])
        with self.assertRaises(PusherBadRequest):
            self.library.channels_info("news-", ["user_count"])

    def test_channel_info(self):
        name, empty = unique("presence-"), unique("news-")
        Client(self, user_id="1").subscribe(name)
        Client(self, user_id="1").subscribe(name)
        found = self.library.channel_info(name, ["user_count", "subscription_count"])
        self.assertEqual((found["occupied"], found["user_count"]), (True, 1))
        self.assertEqual(self.library.channel_info(empty), {"occupied": False})
        with self.assertRaises(PusherBadRequest):
            self.library.channel_info(empty, ["user_count"])

    def test_users_info(self):
        name = unique("presence-")
        for user in ("1", "2", "2"):
            Client(self, user_id=user, user_info={"name": user}).subscribe(name)
        users = self.library.users_info(name)["users"]
        self.assertEqual(sorted(user["id"] for user in users), ["1", "2"])
        with self.assertRaises(PusherBadRequest):
            self.library.users_info(unique("news-"))

    def test_a_user_signs_in_is_sent_to_and_ends(self):
        client, user = Client(self), unique("user-")
        data = self.library.authenticate_user(client.socket_id, {"id": user})
        client.pusher.connection.send_event("pusher:signin", data)
        told, answer = client.next()
        self.assertEqual((told, json.loads(answer["user_data"])["id"]), ("signed in", user))
        client.subscribe(f"#server-to-user-{user}", auth="")
        self.assertEqual(self.library.send_to_user(user, "hello", {"a": 1}), {})
        self.assertEqual(client.next(), ("hello", '{"a": 1}'))
        self.assertEqual(self.library.terminate_user_connections(user), {})
        end = time.monotonic() + SECONDS
        while client.pusher.connection.state == "connected" and time.monotonic() < end:
            time.sleep(0.05)
        self.assertNotEqual(client.pusher.connection.state, "connected")

    def test_authenticate_opens_private_presence_and_encrypted_channels(self):
        client = Client(self)
        for name, data in (
            (unique("private-"), None),
            (unique("private-"), {"user_id": "7"}),
            (unique("presence-"), {"user_id": 7, "user_info": {"name": "Ann"}}),
            (unique("private-encrypted-"), None),
        ):
            signed = self.library.authenticate(name, client.socket_id, data)
            body = {"channel": name, **signed}
            body.pop("shared_secret", None)
            client.pusher.connection.send_event("pusher:subscribe", body)
            self.assertEqual(client.next()[0], "pusher_internal:subscription_succeeded", name)
            self.library.trigger(name, "said", "secret")
            said = client.next()[1]
            if "encrypted" in name:
                self.assertEqual(set(json.loads(said)), {"nonce", "ciphertext"})
            else:
                self.assertEqual(said, "secret")

    def test_validate_webhook(self):
        body = json.dumps({"time_ms": int(time.time() * 1000), "events": []})
        signature = hmac.new(SECRET.encode(), body.encode(), hashlib.sha256).hexdigest()
        found = self.library.validate_webhook(KEY, signature, body)
        self.assertEqual(found, json.loads(body))
        self.assertIsNone(self.library.validate_webhook(KEY, signature, body + " "))

    def test_what_is_wrong_is_refused(self):
        with self.assertRaises(PusherBadAuth):
            library(secret="wrong").trigger("news", "said", "1")
        with self.assertRaisesRegex(PusherBadStatus, "404"):
            library(app_id="999").channels_info()


class SecondClient(unittest.TestCase):
    def test_client_events_go_to_the_others(self):
        first, second, name = Client(self), Client(self), unique("private-")
        channel = first.subscribe(name)
        second.subscribe(name)
        channel.trigger("client-typing", {"who": "ann"})
        library().trigger(name, "said", "after it")
        found, data = second.next()
        data = json.loads(data) if isinstance(data, str) else data
        self.assertEqual((found, data), ("client-typing", {"who": "ann"}))
        self.assertEqual(first.next()[0], "said")

    def test_presence(self):
        name = unique("presence-")
        first = Client(self, user_id="1", user_info={"name": "Ann"})
        first.subscribe(name)
        second = Client(self, user_id="2", user_info={"name": "Bob"})
        second.subscribe(name)
        told, member = first.next()
        self.assertEqual(told, "pusher_internal:member_added")
        self.assertEqual(json.loads(member), {"user_id": "2", "user_info": {"name": "Bob"}})
        second.pusher.disconnect(0)
        told, member = first.next()
        self.assertEqual((told, json.loads(member)), (REMOVED, {"user_id": "2"}))


if __name__ == "__main__":
    unittest.main()
