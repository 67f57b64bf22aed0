"""The REST verbs over the socket in front of real APIs: json-server (npm), and a table with
row-level security in the manner of PostgREST.

Run by `./test gateway`: POGO_BIN is the server, JSON_SERVER the installed program.
"""

import asyncio
import contextlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

import argparse  # noqa: E402

from gateway.todos import Todos  # noqa: E402
from support.native import WAIT, Refused, Server as Client, case, run_all, same  # noqa: E402
from support.server import Server, free_ports  # noqa: E402

CONFIG = HERE / "gateway.toml"
SECRET = "gateway-tests-secret-of-32-bytes-and-more"
CONTROL_KEY = "gateway-control-key-of-32-bytes!"
SHARED = 'access = "public", audience = "shared", auth = { mode = "none" }'


@contextlib.contextmanager
def pogo(*endpoints):
    """A server with these endpoints, and what connects to it."""
    settings = [f"endpoint=[{', '.join('{ ' + one + ' }' for one in endpoints)}]"]
    with Server(os.environ["POGO_BIN"], CONFIG, settings=settings) as server:
        options = argparse.Namespace(
            url=server.url, secret=SECRET, control=server.control, control_key=CONTROL_KEY
        )
        yield Client(options)


@contextlib.contextmanager
def json_server(table):
    """npm's json-server over `table`: its base."""
    (port,) = free_ports(1)
    with tempfile.TemporaryDirectory() as folder:
        database = pathlib.Path(folder) / "db.json"
        database.write_text(json.dumps(table))
        command = ["node", os.environ["JSON_SERVER"], "--port", str(port), "--host", "127.0.0.1"]
        command += ["--quiet", str(database)]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, cwd=folder)
        base = f"http://127.0.0.1:{port}"
        try:
            end = time.monotonic() + 20
            while True:
                try:
                    urllib.request.urlopen(base + "/posts", timeout=1).close()
                    break
                except OSError:
                    if time.monotonic() > end or process.poll() is not None:
                        raise
                    time.sleep(0.05)
            yield base
        finally:
            process.terminate()
            process.wait(10)


async def reply(client, event, id=None, **command):
    """The whole reply to a command; an error is raised."""
    id = next(client.ids) if id is None else id
    await client.send({"id": id, "event": event, **command})
    while True:
        message = await client.receive()
        if message.get("id") != id:
            client.kept.append(message)
        elif message["status"] == "ok":
            return message
        else:
            raise Refused(message["error"])


async def refused(client, event, **command):
    try:
        message = await reply(client, event, **command)
    except Refused as error:
        return error.error
    raise AssertionError(f"{event} {command} was not refused: {message}")


def posts(base, more=""):
    return (
        'name = "posts", item = "/posts/{id}", collection = "/posts", '
        f'upstream = {{ bases = ["{base}"], update = "PATCH" }}, query = {{ allow = ["author"] }}, '
        f"{SHARED}{more}"
    )


# === json-server ===


@case
async def every_verb_in_front_of_json_server(_):
    with json_server({"posts": [{"id": 1, "title": "a", "author": "x"}]}) as base:
        with pogo(posts(base)) as server:
            async with server.connect() as ann, server.connect() as bob:
                listed = await reply(ann, "index", uri="/posts")
                same((listed["code"], listed["bound"]), (200, "/posts"))
                same(listed["data"], [{"id": 1, "title": "a", "author": "x"}])
                shown = await reply(bob, "show", uri="/posts/1")
                same((shown["code"], shown["data"]["title"]), (200, "a"))

                made = await reply(bob, "create", uri="/posts", data={"title": "b", "author": "y"})
                same((made["code"], made["bound"], made["data"]["id"]), (201, "/posts/2", 2))
                push = await ann.push()
                same((push["event"], push["uri"], push["item"]), ("create", "/posts", "/posts/2"))
                same(push["data"], {"id": 2, "title": "b", "author": "y"})

                changed = await reply(ann, "update", uri="/posts/1", data={"title": "A"})
                same((changed["code"], changed["data"]["title"]), (200, "A"))
                push = await bob.push()
                same((push["event"], push["uri"], push["data"]["title"]), ("update", "/posts/1", "A"))
                own = {one["uri"]: one for one in [await ann.push(), await ann.push()]}
                same(set(own), {"/posts", "/posts/1"}, "the list, and the item that update bound:")
                same((own["/posts"]["item"], own["/posts"]["data"]["title"]), ("/posts/1", "A"))
                same(own["/posts/1"]["re"], changed["id"], "the writer's own copy:")

                gone = await reply(ann, "delete", uri="/posts/1")
                same((gone["code"] in (200, 204), gone.get("data")), (True, None))
                same([(await bob.push())["event"] for _ in range(2)], ["delete", "pogo:unsubscribed"])
                with urllib.request.urlopen(base + "/posts", timeout=WAIT) as answer:
                    same([post["id"] for post in json.load(answer)], [2])


@case
async def a_bound_query_holds_what_its_get_would(_):
    table = [{"id": n, "title": str(n), "author": "xy"[n % 2]} for n in range(1, 7)]
    with json_server({"posts": table}) as base, pogo(posts(base)) as server:
        async with server.connect() as ann, server.connect() as bob:
            mine = await reply(ann, "index", uri="/posts?author=x")
            held = {post["id"]: post for post in mine["data"]}
            same(sorted(held), [2, 4, 6])
            await reply(bob, "update", uri="/posts/4", data={"author": "y"}, options={"bind": False})
            await reply(bob, "update", uri="/posts/1", data={"author": "x"}, options={"bind": False})
            await reply(bob, "create", uri="/posts", data={"author": "y"}, options={"bind": False})
            await reply(bob, "delete", uri="/posts/6", options={"bind": False})
            while sorted(held) != [1, 2]:
                push = await ann.push()
                same(push["uri"], "/posts?author=x")
                id = int(push["item"].rsplit("/", 1)[1])
                if push["event"] == "delete":
                    held.pop(id)
                else:
                    held[id] = push["data"]
            with urllib.request.urlopen(base + "/posts?author=x", timeout=WAIT) as answer:
                same(sorted(held.values(), key=lambda post: post["id"]), json.load(answer))
            await ann.quiet()


@case
async def errors_are_the_apis(_):
    with json_server({"posts": [{"id": 1}]}) as base, pogo(posts(base)) as server:
        async with server.connect() as ann:
            missing = await refused(ann, "show", uri="/posts/77")
            same((missing["code"], missing["http"]), ("not_found", 404))
            same((await refused(ann, "show", uri="/comments/1"))["code"], "no_route")
            same((await refused(ann, "show", uri="/posts/..%2f1"))["code"], "bad_request")
            same((await refused(ann, "index", uri="/posts?evil=1"))["code"], "bad_request")
    (port,) = free_ports(1)
    with pogo(posts(f"http://127.0.0.1:{port}")) as server:
        async with server.connect() as ann:
            same((await refused(ann, "show", uri="/posts/1"))["code"], "unavailable")


# === a table with row-level security ===


def todos(base):
    return (
        'name = "todos", item = "/todos/{id}", collection = "/todos", query = { allow = ["done"] }, '
        f'upstream = {{ bases = ["{base}"] }}'
    )


@case
async def everyone_sees_their_own_rows_and_no_others(_):
    with Todos(SECRET) as table, pogo(todos(table.base)) as server:
        table.insert("ann", {"task": "secret of ann"})
        table.insert("bob", {"task": "secret of bob"})
        async with server.connect(server.token("ann")) as ann, server.connect(
            server.token("bob")
        ) as bob:
            for client, name in ((ann, "ann"), (bob, "bob")):
                listed = await reply(client, "index", uri="/todos")
                same([row["owner"] for row in listed["data"]], [name])
            missing = await refused(bob, "show", uri="/todos/1")
            same((missing["code"], missing["details"]["code"]), ("not_found", "PGRST116"))

            made = await reply(ann, "create", uri="/todos", data={"task": "canary"})
            same((made["code"], made["bound"]), (201, "/todos/3"))
            push = await ann.push()
            same((push["event"], push["uri"], push["item"]), ("create", "/todos", "/todos/3"))
            same(push["data"]["task"], "canary")
            changed = await reply(ann, "update", uri="/todos/3", data={"done": True})
            same((changed["code"], changed.get("data")), (204, None))
            seen = [await ann.push(), await ann.push()]
            same({push["uri"]: push["data"]["done"] for push in seen}, {"/todos": True, "/todos/3": True})
            same((await refused(ann, "create", uri="/todos", data={}))["code"], "bad_request")
            await bob.quiet()
        async with server.connect() as nobody:
            same((await refused(nobody, "index", uri="/todos"))["code"], "unauthenticated")


@case
async def a_hundred_cold_shows_are_one_request(_):
    with Todos(SECRET) as table, pogo(todos(table.base)) as server:
        table.insert("ann", {"task": "popular"})
        async with contextlib.AsyncExitStack() as stack:
            token = server.token("ann")
            clients = [await stack.enter_async_context(server.connect(token)) for _ in range(100)]
            table.gate.clear()
            for one in clients:
                await one.send({"id": "shown", "event": "show", "uri": "/todos/1"})
                # Its call is on its way when this is answered.
                await one.ask("ping")
            table.gate.set()
            shown = [await one.receive() for one in clients]
            same({one["data"]["task"] for one in shown}, {"popular"})
            same(len(table.asked("GET", "/todos/1")), 1)


@case
async def a_filter_follows_the_rows(_):
    with Todos(SECRET) as table, pogo(todos(table.base)) as server:
        for task in "abc":
            table.insert("ann", {"task": task})
        async with server.connect(server.token("ann")) as ann:
            listed = await reply(ann, "index", uri="/todos", data={"done": "is.true"})
            same((listed["data"], listed["bound"]), ([], "/todos?done=is.true"))
            await reply(ann, "update", uri="/todos/2", data={"done": True}, options={"bind": False})
            push = await ann.push()
            same((push["event"], push["uri"], push["item"]), ("create", "/todos?done=is.true", "/todos/2"))


if __name__ == "__main__":
    failed = asyncio.run(run_all(None, sys.argv[1:]))
    if failed:
        sys.exit(f"{len(failed)} failed: {', '.join(failed)}")
    print("every case held")
