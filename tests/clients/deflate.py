"""permessage-deflate as a foreign client speaks it: Python's `websockets`, by zlib.

Runs against `pogo serve --config tests/clients/deflate.toml`.
"""

import contextlib
import json
import os
import random
import urllib.request

import websockets
from support.native import WAIT, Client, case, main, same
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory as Offer

OFFERS = {
    # What `compression="deflate"` offers, which is the default: a window of 12 bits on both sides.
    "the default": None,
    "nothing asked": [Offer()],
    "client_max_window_bits": [Offer(client_max_window_bits=True)],
    "all": [Offer(True, True, 15, 9)],
    "a window that is too small, then one that is not": [
        Offer(server_max_window_bits=9),
        Offer(server_max_window_bits=13),
    ],
}


def connect(server, token, extensions=None, **extra):
    protocols = ["pogo.v1.json", "pogo.bearer." + token]
    return websockets.connect(
        server.url + "/ws", subprotocols=protocols, extensions=extensions, **extra
    )


def extension(socket):
    """The negotiated extension, or None."""
    found = socket.protocol.extensions
    assert len(found) <= 1, found
    return found[0] if found else None


def rows(count, seed=7):
    dice = random.Random(seed)
    return [
        {"id": dice.randrange(10**8), "symbol": dice.choice("ABC"), "name": "größer\U0001f642"}
        for _ in range(count)
    ]


def compression():
    """The server's own count: bytes by what they were."""
    with urllib.request.urlopen(os.environ["POGO_ADMIN"] + "/metrics", timeout=WAIT) as answer:
        lines = answer.read().decode().splitlines()
    prefix = 'pogo_compression_bytes_total{what="'
    found = [line.removeprefix(prefix).split('"} ') for line in lines if line.startswith(prefix)]
    return {what: int(float(value)) for what, value in found}


@case
async def every_offer_works(server):
    for about, offer in OFFERS.items():
        token = server.all_powerful()
        async with connect(server, token, offer) as socket:
            assert "PerMessageDeflate" in repr(extension(socket)), about
            assert extension(socket).remote_no_context_takeover, about
            assert extension(socket).local_no_context_takeover, about
            client = Client(socket)
            await client.event("pogo:welcome")
            await client.ask("channel:subscribe", channel="open-1")
            for count in [0, 1, 3, 30, 300, 600, 3, 300]:
                data = rows(count)
                await client.ask("rows", channel="open-1", data=data)
                same(await client.event("rows"), data, about)


@case
async def a_publication_is_compressed_once_for_all(server):
    async with contextlib.AsyncExitStack() as stack:
        plain = await stack.enter_async_context(server.master())
        clients = []
        for _ in range(5):
            opening = connect(server, server.all_powerful())
            clients.append(Client(await stack.enter_async_context(opening)))
            await clients[-1].event("pogo:welcome")
            await clients[-1].ask("channel:subscribe", channel="open-2")
        await plain.ask("channel:subscribe", channel="open-2")
        before = compression()
        for count in [3, 30, 300]:
            data = rows(count)
            await plain.ask("rows", channel="open-2", data=data)
            for client in [plain, *clients]:
                same(await client.event("rows"), data)
        after = compression()
        grown = {what: after[what] - before.get(what, 0) for what in after}
        texts = [json.dumps(rows(count)) for count in [3, 30, 300]]
        # Not five times as much.
        assert grown["publications_before"] < 1.5 * sum(map(len, texts)), grown
        assert grown["publications_after"] < grown["publications_before"] / 2, grown


@case
async def fragments_and_sizes(server):
    async with connect(server, server.all_powerful(), max_size=None) as socket:
        client = Client(socket)
        await client.event("pogo:welcome")
        before = compression()
        for size in [0, 1, 100, 10_000, 120_000]:
            command = json.dumps({"id": size, "event": "ping", "data": None, "x": "y" * size})
            pieces = [command[at : at + 997] for at in range(0, min(len(command), 9_970), 997)]
            rest = command[9_970:]
            await socket.send([*pieces, rest] if rest else pieces)
            reply = await client.receive()
            same(reply["id"], size)
        after = compression()
        sent = after["commands_before"] - before["commands_before"]
        read = after["commands_after"] - before["commands_after"]
        assert read > 120_000 > 20 * sent, f"{sent} bytes inflated to {read}"
        await socket.send(json.dumps({"id": 1, "event": "ping", "x": "y" * 131_072}))
        await client.closed(1009, "too_big")


@case
async def without_an_offer_nothing_changes(server):
    async with server.master() as client:
        same(extension(client.socket), None)
        await client.ask("channel:subscribe", channel="open-3")
        await client.ask("ping")


if __name__ == "__main__":
    main(__doc__)
