"""The native protocol as a foreign client meets it: welcome, tokens, commands, errors, closes.

Runs against `pogo serve --config tests/clients/native.toml`.
"""

import asyncio
import contextlib
import itertools
import json
import socket
import time

import jwt
import websockets
from support.native import WAIT, Client, case, main, same
from websockets.client import ClientProtocol
from websockets.uri import parse_uri


async def status(server, **extra):
    """The HTTP status that refuses an upgrade."""
    try:
        async with websockets.connect(server.url + "/ws", compression=None, **extra):
            raise AssertionError(f"upgraded: {extra}")
    except websockets.InvalidStatus as refused:
        return refused.response.status_code


# === the start of a session ===


@case
async def welcome(server):
    async with server.connect() as client:
        same(client.socket.subprotocol, "pogo.v1.json")
        expected = {"session", "protocol", "ping_interval", "version", "channels"}
        same(set(client.welcome), expected, "without a token:")
        same((client.welcome["protocol"], client.welcome["ping_interval"]), ("pogo.v1.json", 1000))
        same(client.welcome["channels"], [])
    token = server.token("ann", channels=["private-ann", "/logs/ann", "shut-1"])
    async with server.connect(token) as client:
        same(client.socket.subprotocol, "pogo.v1.json", "the token is never echoed:")
        same(client.welcome["subject"], "ann")
        same(client.welcome["channels"], ["private-ann", "/logs/ann"], "nobody means nobody:")
        assert abs(client.welcome["expires"] - time.time() - 3600) < 5
    async with server.connect(path="/", protocols=()) as client:
        same((client.socket.subprotocol, client.welcome["protocol"]), (None, "pogo.v1.json"))


@case
async def tokens_in_the_handshake(server):
    bearer = {"Authorization": "Bearer " + server.token("ann")}
    async with server.connect(additional_headers=bearer) as client:
        same(client.welcome["subject"], "ann")
    bad = {"Authorization": "Bearer " + server.token("ann", secret="x" * 40)}
    same(await status(server, additional_headers=bad), 401)
    same(await status(server, subprotocols=["soap"]), 400)
    for token in ["nonsense", server.token("ann", secret="x" * 40), server.token("ann", -60)]:
        protocols = ["pogo.v1.json", f"pogo.bearer.{token}"]
        async with websockets.connect(
            server.url + "/ws", subprotocols=protocols, compression=None
        ) as raw:
            same(await Client(raw).closed(4001, "unauthenticated"), [], "no welcome:")


@case
async def a_token_is_due(server):
    async with server.connect() as client:
        for event, command in [
            ("channel:subscribe", {"channel": "open-1"}),
            ("channel:unsubscribe", {"channel": "open-1"}),
            ("channel:presence", {"channel": "open-1"}),
            ("channel:history", {"channel": "open-1"}),
            ("bind", {"uri": "/a"}),
            ("show", {"uri": "/a"}),
            ("shout", {"channel": "open-1", "data": 1}),
        ]:
            await client.refused("unauthenticated", event, **command)
        assert abs((await client.ask("ping"))["time"] / 1000 - time.time()) < 5
        begun = time.monotonic()
        await client.closed(4001, "unauthenticated")
        assert time.monotonic() - begun < 4


# === tokens on a live session ===


@case
async def auth(server):
    async with server.connect() as client:
        data = await client.ask("auth", data={"token": server.token("ann", channels=["a", "b"])})
        same(set(data), {"expires", "session", "subject", "channels"})
        same((data["session"], data["subject"]), (client.session, "ann"))
        same(data["channels"], ["a", "b"])
    async with server.connect() as client:
        data = await client.ask("auth", data={"token": server.token(None)})
        same(data["subject"], None)
        await client.ask("channel:subscribe", channel="news")


@case
async def bad_tokens(server):
    good = server.token("ann")
    head, body, signature = good.split(".")
    none = jwt.encode({"sub": "ann", "exp": int(time.time()) + 60}, None, algorithm="none")
    async with server.connect(good) as client:
        for code, token in [
            ("unauthenticated", "nonsense"),
            ("unauthenticated", f"{head}.{body}."),
            ("unauthenticated", f"{head}.{body}.{signature[:-4]}AAAA"),
            ("unauthenticated", none),
            ("unauthenticated", server.token("ann", secret="another secret that is long enough")),
            ("unauthenticated", server.token("ann", exp=None)),
            ("unauthenticated", server.token("ann", aud="someone else")),
            ("unauthenticated", server.token("ann", nbf=int(time.time()) + 60)),
            ("token_expired", server.token("ann", -60)),
            ("bad_request", 7),
            ("bad_request", None),
        ]:
            await client.refused(code, "auth", data={"token": token})
        await client.refused("bad_request", "auth")
        await client.refused("bad_request", "auth", channel="a", data={"token": good})
        # The session goes on as it was.
        await client.ask("channel:subscribe", channel="news")


@case
async def refresh(server):
    caps = {"private-*": ["subscribe"]}
    async with server.connect(server.token("ann", caps=caps, channels=["presence-1"])) as client:
        await client.ask("channel:subscribe", channels=["private-1", "private-2", "news"])
        await client.refused("forbidden", "auth", data={"token": server.token("bob")})
        await client.ask("channel:subscribe", channel="private-1")
        fresh = server.token("ann", 7200, caps={"private-2": ["subscribe"]}, channels=["private-9"])
        data = await client.ask("auth", data={"token": fresh})
        same(data["channels"], ["private-9"])
        assert data["expires"] > client.welcome["expires"]
        dropped = [await client.push(), await client.push()]
        same({push["event"] for push in dropped}, {"pogo:unsubscribed"})
        same({push["channel"] for push in dropped}, {"private-1", "presence-1"})
        assert all(isinstance(push["data"]["reason"], str) for push in dropped)
        for channel in ["private-2", "news", "private-9"]:
            await client.ask("channel:unsubscribe", channel=channel)
        await client.refused("not_subscribed", "channel:unsubscribe", channel="private-1")


@case
async def expiry(server):
    # exp in 3 s, announced 2 s before, closed 1 s (the leeway) after it, within a second.
    token = server.token("ann", 3)
    async with server.connect(token) as client, server.connect(token) as refreshed:
        expires = client.welcome["expires"]
        same(await client.event("pogo:expiring"), {"expires": expires})
        assert expires - 2.5 < time.time() < expires - 1
        same(await refreshed.event("pogo:expiring"), {"expires": expires})
        await refreshed.ask("auth", data={"token": server.token("ann", 60)})
        same(await client.closed(4201, "token_expired"), [])
        assert expires + 0.5 < time.time() < expires + 2.2, time.time() - expires
        await refreshed.ask("ping")


# === commands ===


@case
async def ids_and_keys(server):
    async with server.master() as client:
        for id in [0, 7, 1.5, -3, 2**53, "x", "", 'a"b\\', "日本"]:
            await client.ask("ping", id=id, unknown=[1], options=None)
        # Without an id there is no reply, errors included.
        await client.send({"event": "ping"})
        await client.send({"event": "bind"})
        await client.send({"event": "channel:subscribe", "channel": "a b"})
        await client.quiet()
        await client.send('{"id":1,"id":2,"event":"nonsense","event":"ping"}')
        same((await client.receive())["id"], 2, "of duplicate keys the last counts:")


@case
async def wrong_commands(server):
    long = "x" * 201
    async with server.master() as client:
        for code, event, command in [
            ("bad_request", "create", {"channel": "a", "data": 1}),
            ("bad_request", "show", {"channel": "a"}),
            ("bad_request", "bind", {"channel": "a"}),
            ("bad_request", "unbind", {"channel": "a"}),
            ("bad_request", "ping", {"channel": "a"}),
            ("bad_request", "channel:subscribe", {"uri": "/a"}),
            ("bad_request", "channel:history", {"uri": "/a"}),
            ("bad_request", "channel:presence", {"channels": ["a"]}),
            ("bad_request", "channel:subscribe", {}),
            ("bad_request", "bind", {}),
            ("bad_request", "shout", {}),
            ("bad_request", "bind", {"uri": "no-slash"}),
            ("bad_request", "channel:subscribe", {"channel": 7}),
            ("bad_request", "channel:subscribe", {"channels": "a"}),
            ("bad_request", "channel:subscribe", {"channels": ["a", 1]}),
            ("bad_request", "channel:subscribe", {"channel": "a", "options": 7}),
            ("bad_request", "channel:subscribe", {"channel": "a", "options": {"rewind": "1"}}),
            ("bad_request", "channel:subscribe", {"channel": "a", "options": {"recover": {}}}),
            ("bad_request", "channel:history", {"channel": "log-1", "options": {"limit": -1}}),
            ("bad_request", "channel:history", {"channel": "news"}),
            ("bad_request", "channel:presence", {"channel": "news"}),
            ("bad_request", "pogo:x", {"channel": "a"}),
            ("bad_request", "channel:x", {"channel": "a"}),
            ("bad_request", "pusher:x", {"channel": "a"}),
            ("bad_request", "pusher_internal:x", {"channel": "a"}),
            ("bad_request", "", {"channel": "a"}),
            ("bad_request", long, {"channel": "a"}),
            ("not_subscribed", "channel:unsubscribe", {"channel": "a"}),
            ("not_subscribed", "unbind", {"uri": "/a"}),
            *(("no_route", verb, {"uri": "/posts/1"}) for verb in VERBS),
            *(("bad_request", "channel:subscribe", {"channel": name}) for name in BAD_NAMES),
            ("too_large", "shout", {"channel": "a", "data": "x" * 70_000}),
        ]:
            await client.refused(code, event, **command)


VERBS = ["index", "show", "create", "update", "delete"]
BAD_NAMES = ["", "a b", "a*", "a\n", "a\0", "pogo:a", "#a", "x" * 201, "/" + "x" * 1024]


@case
async def rights(server):
    caps = {"private-*": ["subscribe"], "/posts/*": ["publish"], "log-9": ["publish"]}
    async with server.connect(server.token("ann", caps=caps)) as client:
        for channel in ["open-1", "news", "private-1", "log-1"]:
            await client.ask("channel:subscribe", channel=channel)
        for event, channel in [
            ("channel:subscribe", "private-a/b"),
            ("channel:subscribe", "presence-1"),
            ("channel:subscribe", "shut-1"),
            ("channel:history", "private-a/b"),
            ("channel:presence", "presence-1"),
            ("shout", "news"),
            ("shout", "private-1"),
            ("shout", "shut-1"),
            ("shout", "/posts/1/comments"),
        ]:
            await client.refused("forbidden", event, channel=channel)
        for channel in ["open-1", "log-1", "/posts/1"]:
            await client.ask("shout", channel=channel, data=1)


# === the ends of a session ===


@case
async def what_is_no_command(server):
    for text in ["", "nonsense", "[]", "1", "null", "{}", '{"id":1}', '{"event":1}', '{"event":']:
        async with server.connect() as client:
            await client.send(text)
            await client.closed(4000, "bad_frame")
    async with server.connect() as client:
        await client.send(b"{}")
        await client.closed(1003, "wrong_frame_kind")
    async with server.connect() as client:
        await client.send({"event": "ping", "data": "x" * 140_000})
        await client.closed(1009, "too_big")


@case
async def silence(server):
    """A client that never answers a ping, nor says anything, is closed with 4202."""
    uri = parse_uri(server.url + "/ws")
    protocol = ClientProtocol(uri, subprotocols=["pogo.v1.json"])
    with socket.create_connection((uri.host, uri.port), timeout=WAIT) as raw:
        protocol.send_request(protocol.connect())
        raw.sendall(b"".join(protocol.data_to_send()))
        token = {"id": 1, "event": "auth", "data": {"token": server.token("ann")}}
        authenticated = False
        while protocol.close_rcvd is None:
            protocol.receive_data(await asyncio.to_thread(raw.recv, 65536))
            protocol.data_to_send()  # the pongs, which are never sent
            if not authenticated and protocol.events_received():
                protocol.send_text(json.dumps(token).encode())
                raw.sendall(b"".join(protocol.data_to_send()))
                authenticated = True
        same((protocol.close_rcvd.code, protocol.close_rcvd.reason), (4202, "idle"))


@case
async def too_many_commands(server):
    """From an address of its own, so that the other cases keep their allowance."""
    token = server.all_powerful()
    async with server.connect(token, local_addr=("127.0.0.2", 0)) as client:

        async def flood():
            with contextlib.suppress(websockets.ConnectionClosed):
                for id in itertools.count():
                    await client.send({"id": id, "event": "ping"})
                    # A send alone need not let the reader run.
                    await asyncio.sleep(0)

        _, replies = await asyncio.gather(flood(), client.closed(4102, "rate_limited"))
    refused = [reply["error"] for reply in replies if reply["status"] == "error"]
    same({error["code"] for error in refused}, {"rate_limited"})
    for error in refused:
        assert 0 < error["retry_after_ms"] <= 1000, error
    same(len(refused), 50, "`max_refusals` are answered, then the session ends:")


if __name__ == "__main__":
    main(__doc__)
