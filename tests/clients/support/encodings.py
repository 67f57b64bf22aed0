"""The native protocol's four encodings as a client writes and reads them, with PyPI's `msgpack`."""

import json

import msgpack

ENCODINGS = ["pogo.v1.json", "pogo.v1.cjson", "pogo.v1.msgpack", "pogo.v1.cmsgpack"]
KEYS = {
    "id": "i",
    "event": "e",
    "channel": "c",
    "uri": "u",
    "data": "d",
    "options": "o",
    "status": "s",
    "error": "x",
    "code": "n",
    "message": "m",
    "offset": "f",
    "epoch": "p",
}
EVENTS = {
    "auth": "a",
    "bind": "b",
    "unbind": "n",
    "channel:subscribe": "s",
    "channel:unsubscribe": "t",
    "index": "l",
    "show": "g",
    "create": "c",
    "update": "u",
    "delete": "d",
    "channel:presence": "y",
    "channel:history": "h",
    "ping": "i",
}
WORDS = {letter: word for word, letter in KEYS.items()}
NAMES = {letter: event for event, letter in EVENTS.items()}


def shorten(message):
    """A command with letters for words."""
    short = {KEYS.get(key, key): value for key, value in message.items()}
    if "e" in short:
        short["e"] = EVENTS.get(short["e"], ":" + short["e"])
    return short


def in_full(message):
    """What the server said in letters, in words; only the envelope has any."""
    full = {WORDS.get(key, key): value for key, value in message.items()}
    if "event" in full:
        event = full["event"]
        assert event in NAMES or event.startswith(":"), f"neither a letter nor marked: {event}"
        full["event"] = NAMES.get(event) or event[1:]
    if "status" in full:
        full["status"] = ["ok", "error"][full["status"]]
    if "error" in full:
        full["error"] = {WORDS.get(key, key): value for key, value in full["error"].items()}
    return full


class Codec:
    """How the sessions of one subprotocol write and read."""

    def __init__(self, protocol):
        name = (protocol or ENCODINGS[0]).removeprefix("pogo.v1.")
        self.compact = name.startswith("c")
        self.binary = name.endswith("msgpack")

    def write(self, message):
        message = shorten(message) if self.compact else message
        return msgpack.packb(message) if self.binary else json.dumps(message)

    def read(self, payload):
        kind = bytes if self.binary else str
        assert isinstance(payload, kind), f"the wrong kind of message: {payload!r}"
        message = msgpack.unpackb(payload) if self.binary else json.loads(payload)
        return in_full(message) if self.compact else message
