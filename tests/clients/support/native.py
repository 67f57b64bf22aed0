"""A client of the native protocol for tests, and what runs them: Python's `websockets` and PyJWT."""

import argparse
import asyncio
import contextlib
import copy
import itertools
import os
import sys
import time
import traceback

import jwt
import websockets
from support.encodings import ENCODINGS, Codec

WAIT = 10
QUIET = 0.3
CASES = []


def case(test):
    """Marks an async function as a test; it is given the `Server`."""
    CASES.append(test)
    return test


def same(found, expected, about=""):
    assert found == expected, f"{about} found {found!r}, expected {expected!r}"


class Refused(Exception):
    """An error reply."""

    def __init__(self, error):
        super().__init__(error["code"] + ": " + error["message"])
        self.code = error["code"]
        self.error = error


class Server:
    """Where the server is, and what signs its tokens."""

    def __init__(self, options):
        self.url = options.url
        self.secret = options.secret
        self.control = options.control
        self.control_key = options.control_key
        self.protocol = ENCODINGS[0]

    def speaking(self, protocol):
        """The same server for clients of another encoding."""
        other = copy.copy(self)
        other.protocol = protocol
        return other

    def token(self, subject="ann", seconds=3600, algorithm="HS256", secret=None, **claims):
        """A token; a claim of None is left out."""
        now = int(time.time())
        claims = {"sub": subject, "iat": now, "exp": now + seconds, **claims}
        claims = {name: value for name, value in claims.items() if value is not None}
        return jwt.encode(claims, secret or self.secret, algorithm)

    def all_powerful(self, subject="ann", **claims):
        return self.token(subject, caps={"**": ["*"]}, **claims)

    @contextlib.asynccontextmanager
    async def connect(self, token=None, path="/ws", protocols=None, **extra):
        """A client beyond its welcome."""
        protocols = [self.protocol] if protocols is None else protocols
        protocols = [*protocols, *([f"pogo.bearer.{token}"] if token else [])]
        url = self.url + path
        async with websockets.connect(
            url, subprotocols=protocols or None, compression=None, max_size=None, **extra
        ) as socket:
            client = Client(socket)
            client.welcome = await client.event("pogo:welcome")
            yield client

    def master(self, subject="ann", **claims):
        return self.connect(self.all_powerful(subject, **claims))


class Client:
    """One connection. Pushes that come before a reply are kept in order."""

    def __init__(self, socket):
        self.socket = socket
        self.codec = Codec(socket.subprotocol)
        self.ids = itertools.count(1)
        self.kept = []
        self.welcome = None

    @property
    def session(self):
        return self.welcome["session"]

    async def send(self, command):
        raw = isinstance(command, (str, bytes))
        await self.socket.send(command if raw else self.codec.write(command))

    async def receive(self, seconds=WAIT):
        return self.codec.read(await asyncio.wait_for(self.socket.recv(), seconds))

    async def ask(self, event, id=None, **command):
        """Sends a command and returns the reply's data; an error reply is raised."""
        id = next(self.ids) if id is None else id
        await self.send({"id": id, "event": event, **command})
        while True:
            message = await self.receive()
            if "status" not in message:
                self.kept.append(message)
                continue
            same(message["id"], id)
            if message["status"] == "ok":
                same(set(message) - {"data"}, {"id", "status"})
                return message.get("data")
            same((message["status"], set(message)), ("error", {"id", "status", "error"}))
            raise Refused(message["error"])

    async def refused(self, code, event, **command):
        """Sends a command that must be refused with `code`."""
        try:
            data = await self.ask(event, **command)
        except Refused as refused:
            same(refused.code, code, f"{event} {command}: {refused}:")
            assert refused.error["message"].endswith("."), refused
            return refused.error
        raise AssertionError(f"{event} {command} was not refused, but answered {data}")

    async def push(self, seconds=WAIT):
        """The next push."""
        if self.kept:
            return self.kept.pop(0)
        message = await self.receive(seconds)
        assert "status" not in message, f"a reply nobody waits for: {message}"
        return message

    async def event(self, name, seconds=WAIT):
        """The data of the next push, which must be `name`."""
        message = await self.push(seconds)
        same(message["event"], name, f"{message}:")
        return message["data"]

    async def quiet(self):
        """Nothing comes."""
        assert not self.kept, f"unexpected: {self.kept}"
        try:
            message = await self.receive(QUIET)
        except TimeoutError:
            return
        raise AssertionError(f"unexpected: {message}")

    async def closed(self, code, reason, seconds=WAIT):
        """The server closes; what comes before that is returned."""
        before = self.kept
        try:
            while True:
                before.append(await self.receive(seconds))
        except websockets.ConnectionClosed as closed:
            assert closed.rcvd is not None, f"cut without a close frame, expected {code}"
            same((closed.rcvd.code, closed.rcvd.reason), (code, reason))
            return before


async def run_all(server, names):
    failed = []
    for test in CASES:
        name = test.__name__
        if names and name not in names:
            continue
        begun = time.monotonic()
        try:
            await asyncio.wait_for(test(server), 60)
            word = "ok"
        except Exception:
            traceback.print_exc()
            failed.append(name)
            word = "FAILED"
        print(f"{word:6} {time.monotonic() - begun:5.1f} s  {name}", flush=True)
    return failed


def main(text):
    """Runs the cases; the exit code says whether all held."""
    parser = argparse.ArgumentParser(description=text)
    parser.add_argument("--url", default=os.environ.get("POGO_URL", "ws://127.0.0.1:8080"))
    parser.add_argument("--secret", default=os.environ.get("POGO_TOKEN_SECRET"))
    parser.add_argument("--control", default=os.environ.get("POGO_CONTROL", "127.0.0.1:8081"))
    parser.add_argument("--control-key", default=os.environ.get("POGO_CONTROL_KEY"))
    parser.add_argument("names", nargs="*", help="only these cases")
    options = parser.parse_args()
    if not options.secret:
        parser.error("--secret or POGO_TOKEN_SECRET is needed: what signs the server's tokens")
    failed = asyncio.run(run_all(Server(options), options.names))
    if failed:
        sys.exit(f"{len(failed)} failed: {', '.join(failed)}")
