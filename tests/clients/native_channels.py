"""The native protocol's channels as a foreign client meets them: subscribing, publishing,
recovery, history, presence, and what services do to a session.

Runs against `pogo serve --config tests/clients/native.toml`.
"""

import asyncio

import grpc
from pogo.v1 import publisher_pb2, publisher_pb2_grpc, sessions_pb2, sessions_pb2_grpc
from support.native import case, main, same


def control(server):
    channel = grpc.aio.insecure_channel(server.control)
    key = {"metadata": [("authorization", f"Bearer {server.control_key}")], "timeout": 10}
    return channel, key


async def fill(client, channel, count):
    """Publishes 1 to `count` and returns the epoch."""
    for number in range(1, count + 1):
        data = await client.ask("count", channel=channel, data=number)
    return data["epoch"]


def offsets(publications):
    return [publication["offset"] for publication in publications]


@case
async def publishing(server):
    async with server.master("ann") as ann, server.master("bob") as bob:
        same(await ann.ask("channel:subscribe", channel="room"), {"channel": "room"})
        await bob.ask("channel:subscribe", channel="room")
        text = '{"b":1.50,"a":[12345678901234567890,"\\u00e9"]}'
        await ann.send('{"id":"p","event":"says","channel":"room","data":' + text + "}")
        same(await ann.receive(), {"id": "p", "status": "ok", "data": {}}, "the reply is first:")
        raw = await asyncio.wait_for(bob.socket.recv(), 10)
        assert text in raw, f"not the text that was sent: {raw}"
        push = await ann.push()
        same((push["event"], push["channel"]), ("says", "room"))
        await ann.ask("says", channel="room", data=2, options={"echo": False})
        same(await bob.push(), {"event": "says", "channel": "room", "data": 2})
        await ann.quiet()
        await ann.ask("says", channel="room")
        same((await bob.push())["data"], None, "absent data is null:")
        same((await ann.push())["data"], None)
        await bob.ask("channel:unsubscribe", channel="room")
        await ann.ask("says", channel="room")
        await bob.quiet()


@case
async def a_uri_is_a_channel(server):
    async with server.master() as client:
        await client.ask("bind", uri="/posts/1?x=2")
        await client.ask("says", channel="/posts/1?x=2", data=1)
        same(await client.push(), {"event": "says", "uri": "/posts/1?x=2", "data": 1})
        await client.ask("channel:subscribe", channel="/posts/1?x=2")
        await client.ask("says", uri="/posts/1?x=2", data=2)
        same(await client.push(), {"event": "says", "channel": "/posts/1?x=2", "data": 2})
        await client.quiet()
        await client.ask("unbind", uri="/posts/1?x=2")
        await client.refused("not_subscribed", "channel:unsubscribe", channel="/posts/1?x=2")


@case
async def lists(server):
    async with server.connect(server.token("ann")) as client:
        epoch = await fill(client, "log-list", 2)
        names = ["log-list", "private-1", "news", "a b", "log-list"]
        recover = {"log-list": {"epoch": epoch, "offset": 1}}
        data = await client.ask("channel:subscribe", channels=names, options={"recover": recover})
        results = data["results"]
        same([result["channel"] for result in results], names)
        same((results[0]["recovered"], offsets(results[0]["publications"])), (True, [2]))
        same([result.get("error", {}).get("code") for result in results[1:4]], ["forbidden", None, "bad_request"])
        data = await client.ask("channel:unsubscribe", channels=["news", "other", "log-list"])
        same([result.get("error", {}).get("code") for result in data["results"]], [None, "not_subscribed", None])
        same((await client.ask("channel:subscribe", channels=[]))["results"], [])


@case
async def too_many_channels(server):
    async with server.connect(server.token("ann")) as client:
        names = [f"many-{number}" for number in range(20)]
        data = await client.ask("channel:subscribe", channels=names)
        assert not any("error" in result for result in data["results"]), data
        await client.refused("limit_exceeded", "channel:subscribe", channel="many-20")
        await client.refused("limit_exceeded", "bind", uri="/many")
        await client.refused("limit_exceeded", "channel:subscribe", channels=[*names, "many-20"])
        await client.ask("channel:subscribe", channel="many-0")
        await client.ask("channel:unsubscribe", channel="many-0")
        await client.ask("channel:subscribe", channel="many-20")


@case
async def history(server):
    async with server.connect(server.token("ann")) as client:
        epoch = await fill(client, "log-history", 7)

        async def read(**options):
            data = await client.ask("channel:history", channel="log-history", options=options)
            same((data["epoch"], data["offset"]), (epoch, 7))
            return data["publications"]

        whole = await read()
        same(offsets(whole), [3, 4, 5, 6, 7], "the rule keeps five:")
        same(set(whole[0]), {"event", "data", "offset", "time"})
        same((whole[0]["event"], whole[0]["data"]), ("count", 3))
        same(offsets(await read(limit=2)), [3, 4])
        same(offsets(await read(limit=2, reverse=True)), [7, 6])
        same(offsets(await read(**{"from": {"epoch": epoch, "offset": 5}})), [6, 7])
        same(offsets(await read(**{"from": {"epoch": epoch, "offset": 5}}, reverse=True)), [4, 3])
        same(offsets(await read(limit=0)), [])
        same(offsets(await read(limit=5000)), [3, 4, 5, 6, 7])


@case
async def recovery(server):
    async with server.connect(server.token("ann")) as client:
        epoch = await fill(client, "log-recover", 7)

        async def subscribe(channel="log-recover", **options):
            return await client.ask("channel:subscribe", channel=channel, options=options)

        def since(offset, epoch=epoch, **more):
            return {"epoch": epoch, "offset": offset, **more}

        data = await subscribe()
        same(data, {"channel": "log-recover", "epoch": epoch, "offset": 7})
        data = await subscribe(recover=since(4))
        same((data["recovered"], offsets(data["publications"]), data["offset"]), (True, [5, 6, 7], 7))
        data = await subscribe(recover=since(7))
        same((data["recovered"], data["publications"]), (True, []))
        for lost in [since(1), since(99), since(7, epoch="another")]:
            data = await subscribe(recover=lost)
            same((data["recovered"], data["epoch"], data["offset"]), (False, epoch, 7))
            assert "publications" not in data, data
        same(offsets((await subscribe(rewind=2))["publications"]), [6, 7])
        same(offsets((await subscribe(rewind=50))["publications"]), [3, 4, 5, 6, 7])
        same(await subscribe("news", recover=since(1)), {"channel": "news", "recovered": False})


@case
async def the_excluded_stay_excluded(server):
    async with server.connect(server.token("ann")) as old:
        epoch = (await old.ask("says", channel="log-echo", data=1))["epoch"]
        await old.ask("says", channel="log-echo", data=2, options={"echo": False})
        gone = old.session
    async with server.connect(server.token("ann")) as client:
        recover = {"epoch": epoch, "offset": 0}
        for session, expected in [(None, [1, 2]), (gone, [1])]:
            options = {"recover": {**recover, "session": session}}
            data = await client.ask("channel:subscribe", channel="log-echo", options=options)
            same((data["recovered"], offsets(data["publications"])), (True, expected))


@case
async def too_much_to_recover(server):
    async with server.connect(server.token("ann")) as client:
        epoch = await fill(client, "long-1", 1)
        large = "x" * 60_000
        for _ in range(12):
            await client.ask("large", channel="long-1", data=large)
        options = {"recover": {"epoch": epoch, "offset": 1}}
        data = await client.ask("channel:subscribe", channel="long-1", options=options)
        same((data["recovered"], data["offset"]), (False, 13), "over half a mailbox:")
        page = await client.ask("channel:history", channel="long-1")
        assert 0 < len(page["publications"]) < 13, "a page stays within half a mailbox"


@case
async def joins_leave_no_gap(server):
    """Subscribers come while a publisher is at it: reply and pushes join without a hole."""
    async with server.master("publisher") as publisher:
        epoch = await fill(publisher, "long-2", 1)
        stop = asyncio.Event()

        async def publish():
            while not stop.is_set():
                await publisher.ask("count", channel="long-2", data=0)
                # 1,000 would be too many to recover.
                await asyncio.sleep(0.005)

        async def join():
            async with server.connect(server.token("ann")) as client:
                options = {"recover": {"epoch": epoch, "offset": 0}}
                data = await client.ask("channel:subscribe", channel="long-2", options=options)
                same(data["recovered"], True)
                same(offsets(data["publications"]), list(range(1, data["offset"] + 1)))
                same(client.kept, [], "no push before the reply:")
                pushes = [await client.push() for _ in range(20)]
                same(offsets(pushes), list(range(data["offset"] + 1, data["offset"] + 21)))

        publishing = asyncio.create_task(publish())
        for _ in range(3):
            await asyncio.gather(*(join() for _ in range(5)))
        stop.set()
        await publishing


@case
async def presence(server):
    watcher = server.token("watcher", caps={"members-*": ["presence"]})
    async with server.connect(watcher) as client:
        same(await client.ask("channel:presence", channel="members-1"), {"members": [], "total": 0})
    info = {"name": "Ann"}
    async with server.connect(server.token("bob")) as bob:
        await bob.ask("channel:subscribe", channel="members-1")
        async with server.connect(server.token("ann", info=info)) as one:
            await one.ask("channel:subscribe", channel="members-1")
            joined = await bob.event("pogo:join")
            same(joined, {"subject": "ann", "session": one.session, "info": info})
            async with server.connect(server.token("ann")) as two:
                await two.ask("channel:subscribe", channel="members-1")
                data = await bob.ask("channel:presence", channel="members-1")
                same((len(data["members"]), data["total"]), (3, 2))
                rows = {row["session"]: (row["subject"], row["info"]) for row in data["members"]}
                same(rows[one.session], ("ann", info))
                same(rows[two.session], ("ann", None))
            await bob.quiet()
        same((await bob.event("pogo:leave"))["subject"], "ann", "with the last session:")


@case
async def what_services_do(server):
    channel, key = control(server)
    async with channel, server.connect(server.token("ann", jti="t-services")) as client:
        sessions = sessions_pb2_grpc.SessionsStub(channel)
        target = {"session": client.session, "channel": "shut-log"}
        done = await sessions.SubscribeSession(sessions_pb2.SubscribeSessionRequest(**target), **key)
        same(done.sessions, 1)
        same(await client.push(), {"event": "pogo:subscribed", "channel": "shut-log", "data": {}})
        publish = publisher_pb2.PublishRequest(channels=["shut-log"], event="e", data=b'{"n":1}')
        await publisher_pb2_grpc.PublisherStub(channel).Publish(publish, **key)
        same(await client.push(), {"event": "e", "channel": "shut-log", "data": {"n": 1}})
        await sessions.UnsubscribeSession(sessions_pb2.UnsubscribeSessionRequest(**target, reason="moved"), **key)
        push = await client.push()
        same((push["event"], push["channel"]), ("pogo:unsubscribed", "shut-log"))
        same(push["data"], {"reason": "moved"})
        hello = sessions_pb2.SendToSessionRequest(session=client.session, event="hello", data=b"[1]")
        await sessions.SendToSession(hello, **key)
        same(await client.push(), {"event": "hello", "data": [1]})


@case
async def revocation(server):
    channel, key = control(server)
    token = server.token("eve", jti="t-eve")
    async with channel, server.connect(token) as client, server.connect(server.token("ann")) as ann:
        sessions = sessions_pb2_grpc.SessionsStub(channel)
        revoke = sessions_pb2.RevokeSessionsRequest(token_id="t-eve", reason="test")
        done = await sessions.RevokeSessions(revoke, **key)
        same(done.sessions_closed, 1)
        await client.closed(4002, "revoked")
        fresh = server.token("ann", jti="t-eve")
        await ann.refused("token_revoked", "auth", data={"token": fresh})
        await ann.ask("ping")


if __name__ == "__main__":
    main(__doc__)
