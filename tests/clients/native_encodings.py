"""The four encodings: the vectors read by another library, and sessions that speak each of them.

Runs against `pogo serve --config tests/clients/native_encodings.toml`. What native_channels.py tries
in `pogo.v1.json` is tried here in the encoding that has nothing in common with it.
"""

import contextlib
import datetime
import json
import math
import pathlib

import msgpack
import native_channels
from support.encodings import ENCODINGS, KEYS, Codec
from support.native import CASES, case, main, same

VECTORS = pathlib.Path(__file__).parents[1] / "vectors"


def vectors(name):
    return json.loads((VECTORS / f"{name}.json").read_text())


def payload(vector, protocol):
    text = vector[protocol.removeprefix("pogo.v1.")]
    return bytes.fromhex(text) if "msgpack" in protocol else text


def in_cmsgpack(test):
    async def speaking(server):
        await test(server.speaking("pogo.v1.cmsgpack"))

    speaking.__name__ = test.__name__
    return speaking


# `publishing` looks at JSON text, which there is none of.
CASES[:] = [in_cmsgpack(test) for test in CASES if test is not native_channels.publishing]


@case
async def the_vectors_mean_the_same(server):
    for name in ["commands", "events"]:
        found = vectors(name)
        assert len(found) > 15
        for vector in found:
            meanings = [Codec(each).read(payload(vector, each)) for each in ENCODINGS]
            for protocol, meaning in zip(ENCODINGS, meanings, strict=True):
                same(meaning, meanings[0], f"{vector['name']}, {protocol}:")


@case
async def msgpack_is_no_longer_than_need_be(server):
    for vector in vectors("events"):
        for protocol in ENCODINGS[2:]:
            packed = payload(vector, protocol)
            again = msgpack.packb(msgpack.unpackb(packed), use_single_float=True)
            same(packed.hex(), again.hex(), f"{vector['name']}, {protocol}:")


@case
async def bad_messages_close(server):
    reasons = {1003: "wrong_frame_kind", 1007: "bad_payload", 4000: "bad_frame"}
    for vector in vectors("bad"):
        async with server.speaking(vector["protocol"]).master() as client:
            message = vector.get("text") or bytes.fromhex(vector.get("binary", ""))
            await client.socket.send(message)
            try:
                await client.closed(vector["close"], reasons[vector["close"]])
            except AssertionError as error:
                raise AssertionError(f"{vector['name']}: {error}") from error


async def everyone(stack, server):
    """A client of each encoding on one channel."""
    clients = []
    for protocol in ENCODINGS:
        client = await stack.enter_async_context(server.speaking(protocol).master())
        same((client.socket.subprotocol, client.welcome["protocol"]), (protocol, protocol))
        same((await client.ask("channel:subscribe", channel="log-mixed"))["channel"], "log-mixed")
        clients.append(client)
    return clients


VALUES = [
    None,
    True,
    0,
    -1,
    2**63,
    2**64 - 1,
    -(2**63),
    1.5,
    0.1,
    1e300,
    -0.0,
    "",
    'é😀\n\0"\\',
    [],
    {},
    {"a": [1, {"b": None}], "event": "u", "e": 1},
    list(range(1000)),
    {str(key): key for key in range(70)},
    "x" * 40_000,
]


@case
async def what_one_publishes_all_receive(server):
    async with contextlib.AsyncExitStack() as stack:
        clients = await everyone(stack, server)
        for publisher in clients:
            for number, value in enumerate(VALUES):
                event = ["say", "u", ":x", "pogo", "e"][number % 5]
                reply = await publisher.ask(event, channel="log-mixed", data=value)
                for client in clients:
                    push = await client.push()
                    same(set(push), {"event", "channel", "data", "offset"})
                    same((push["event"], push["offset"]), (event, reply["offset"]))
                    same(push["data"], value, client.socket.subprotocol)
                    same(type(push["data"]), type(value))
        history = [await client.ask("channel:history", channel="log-mixed") for client in clients]
        for client, found in zip(clients, history, strict=True):
            same(found, history[0], client.socket.subprotocol)


@case
async def only_msgpack_has_them(server):
    moment = datetime.datetime(2026, 1, 2, 3, 4, 5, 250_000, datetime.UTC)
    async with contextlib.AsyncExitStack() as stack:
        clients = await everyone(stack, server)
        for client in clients[2:]:
            data = client.codec.write({"id": 1, "event": "say", "channel": "log-mixed"})
            key = b"\xa1d" if client.codec.compact else b"\xa4data"
            value = [b"\0\xff\x10", moment, math.inf]
            packed = msgpack.packb(value, datetime=True)
            await client.socket.send(bytes([data[0] + 1]) + data[1:] + key + packed)
            for other in clients:
                while (push := await other.receive()).get("event") != "say":
                    same(push["status"], "ok")
                same(push["data"], ["AP8Q", "2026-01-02T03:04:05.25Z", None])


@case
async def ids_come_back_as_they_went(server):
    for protocol in ENCODINGS:
        async with server.speaking(protocol).master() as client:
            for id in [0, 1, -1, 2**63, 2**64 - 1, -(2**63), 1.5, 0.1, "", "é\n", "17"]:
                await client.ask("ping", id=id)
                await client.refused("bad_request", "bind", id=id)


@case
async def letters_are_the_contracts(server):
    same(len(set(KEYS.values())), len(KEYS))
    async with server.speaking("pogo.v1.cjson").master() as client:
        await client.socket.send('{"i":7,"e":"s","c":"open-letters"}')
        same(await client.socket.recv(), '{"i":7,"s":0,"d":{"channel":"open-letters"}}')
        await client.socket.send('{"i":8,"e":":say","c":"open-letters","d":{"e":1}}')
        same(await client.socket.recv(), '{"i":8,"s":0,"d":{}}')
        same(await client.socket.recv(), '{"e":":say","c":"open-letters","d":{"e":1}}')
        await client.socket.send('{"i":9,"e":"say","c":"open-letters"}')
        reply = json.loads(await client.socket.recv())
        same((reply["i"], reply["s"], reply["x"]["n"]), (9, 1, "bad_request"))


if __name__ == "__main__":
    main(__doc__)
