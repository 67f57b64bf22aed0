"""What tests of the control plane share: a client of the edge, stubs with a key, refusals."""

import contextlib
import json
import os
import pathlib
import time
import tomllib
import unittest
import uuid

import grpc
import jwt
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from pogo.v1 import (
    channels_pb2_grpc,
    events_pb2_grpc,
    firewall_pb2_grpc,
    nodes_pb2_grpc,
    publisher_pb2,
    publisher_pb2_grpc,
    sessions_pb2_grpc,
)

SETTINGS = tomllib.loads(pathlib.Path(__file__).parents[1].joinpath("control.toml").read_text())
CONTROL = os.environ["POGO_CONTROL"]
URL = os.environ["POGO_URL"]
SECRET = os.environ.get("POGO_TOKEN_SECRET", SETTINGS["auth"]["secret"])
KEYS = {key["name"]: key["secret"] for key in SETTINGS["control"]["keys"]}
SECONDS = 10


def as_key(name):
    return [("authorization", f"Bearer {KEYS[name]}")]


class Stub:
    """A generated stub whose calls carry a key and a deadline."""

    def __init__(self, stub, key="admin"):
        self.stub, self.key = stub, as_key(key)

    def __getattr__(self, method):
        call = getattr(self.stub, method)
        return lambda request, **kw: call(
            request, **{"metadata": self.key, "timeout": SECONDS, **kw}
        )


def unique(prefix):
    return f"{prefix}{uuid.uuid4().hex[:12]}"


class Session:
    """A client of the edge, which ends with its test."""

    def __init__(self, test, subject, source="127.0.0.1", **claims):
        now = int(time.time())
        claims = {"sub": subject, "iat": now, "exp": now + 300, **claims}
        self.token = jwt.encode(claims, SECRET, "HS256")
        self.socket = test.enterContext(
            connect(
                URL,
                additional_headers={"Authorization": f"Bearer {self.token}"},
                subprotocols=["pogo.v1.json"],
                source_address=(source, 0),
                open_timeout=SECONDS,
            )
        )
        self.id = self.next()["data"]["session"]

    def next(self):
        return json.loads(self.socket.recv(SECONDS))

    def until(self, event):
        while (frame := self.next()).get("event") != event:
            pass
        return frame

    def subscribe(self, channel):
        self.socket.send(json.dumps({"id": 1, "event": "channel:subscribe", "channel": channel}))
        reply = self.next()
        assert reply["status"] == "ok", reply
        return reply["data"]

    def close_code(self):
        with contextlib.suppress(ConnectionClosed):
            while True:
                self.socket.recv(SECONDS)
        return self.socket.protocol.close_code


class ControlTest(unittest.TestCase):
    def setUp(self):
        self.channel = self.enterContext(grpc.insecure_channel(CONTROL))
        self.publisher = Stub(publisher_pb2_grpc.PublisherStub(self.channel))
        self.channels = Stub(channels_pb2_grpc.ChannelsStub(self.channel))
        self.sessions = Stub(sessions_pb2_grpc.SessionsStub(self.channel))
        self.firewall = Stub(firewall_pb2_grpc.FirewallStub(self.channel))
        self.events = Stub(events_pb2_grpc.EventsStub(self.channel))
        self.nodes = Stub(nodes_pb2_grpc.NodesStub(self.channel))

    def session(self, subject=None, **kw):
        return Session(self, subject or unique("user-"), **kw)

    def publish(self, *channels, event="said", data=b'{"n":1}', **fields):
        request = publisher_pb2.PublishRequest(channels=channels, event=event, data=data, **fields)
        return self.publisher.Publish(request).receipts

    def refused(self, code, call, *arguments, **kw):
        """The details of the refusal, by type."""
        with self.assertRaises(grpc.RpcError) as caught:
            answer = call(*arguments, **kw)
            if hasattr(answer, "__next__"):
                next(answer)
        self.assertEqual(caught.exception.code(), code, caught.exception.details())
        status = rpc_status.from_call(caught.exception)
        details = {}
        for kind in ("ErrorInfo", "BadRequest", "RetryInfo"):
            for packed in status.details if status else []:
                found = getattr(error_details_pb2, kind)()
                if packed.Unpack(found):
                    details[kind] = found
        if "ErrorInfo" in details:
            self.assertEqual(details["ErrorInfo"].domain, "pogo")
        return details
