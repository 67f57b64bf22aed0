#!/usr/bin/env python3
"""Pogo beside another server: the same work, in turns, in one run, one table.

Starts a Pogo and a sockudo (a Pusher server, `cargo install sockudo`) on free ports of the
loopback, without limits in the way, and lets `pogo bench` drive both. Run by hand on a quiet
machine:

    cargo build --release
    benches/beside.py --sockudo PATH [--runs 3] [--json FILE]

CPU time is of the server's process, publishing included: Pogo is published to by gRPC, sockudo by
Pusher's HTTP API. The bare limit is measured beside each with that server's own frames.
"""

import argparse
import contextlib
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time

# Subscribers, publications at once (batch_events takes 10 at most), rounds.
WORK = [(1000, 1, 100), (10000, 1, 20), (1000, 10, 50), (10000, 10, 10)]
APP = ("beside", "beside-key", "beside-secret")
SECRET = "a secret that signs the tokens of this run and of no other"
MANY = 1_000_000_000


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(port, process):
    end = time.monotonic() + 30
    while time.monotonic() < end:
        if process.poll() is not None:
            sys.exit(f"a server ended with {process.returncode}")
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        time.sleep(0.05)
    sys.exit("a server does not listen")


@contextlib.contextmanager
def running(command, environment, folder):
    """A server's process; gone afterwards, its output kept in `folder` meanwhile."""
    log = os.path.join(folder, os.path.basename(command[0]) + ".log")
    with open(log, "wb") as output:
        process = subprocess.Popen(
            command,
            env=environment,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
        try:
            yield process
        finally:
            process.kill()
            process.wait()


@contextlib.contextmanager
def pogo(binary, folder):
    edge, control = free_port(), free_port()
    settings = [
        f"edge.listen=127.0.0.1:{edge}",
        f"control.listen=127.0.0.1:{control}",
        "admin.listen=127.0.0.1:0",
        "limits.allow=127.0.0.0/8",
        "log.level=warn",
    ]
    command = [binary, "serve"] + [part for one in settings for part in ("--set", one)]
    environment = {**os.environ, "POGO__AUTH__SECRET": SECRET}
    with running(command, environment, folder) as process:
        wait_for(edge, process)
        wait_for(control, process)
        yield [
            *("--url", f"ws://127.0.0.1:{edge}", "--control", f"http://127.0.0.1:{control}"),
            *("--token-secret", SECRET, "--pid", str(process.pid)),
        ]


@contextlib.contextmanager
def sockudo(binary, folder):
    """Everything in memory, nothing limited, nothing logged, nothing else listening."""
    port = free_port()
    app, key, secret = APP
    environment = {
        **os.environ,
        "HOST": "127.0.0.1",
        "PORT": str(port),
        "ENVIRONMENT": "production",
        "DEBUG_MODE": "false",
        "RUST_LOG": "error",
        "ADAPTER_DRIVER": "local",
        "APP_MANAGER_DRIVER": "memory",
        "CACHE_DRIVER": "memory",
        "QUEUE_DRIVER": "memory",
        "RATE_LIMITER_DRIVER": "memory",
        "RATE_LIMITER_ENABLED": "false",
        "METRICS_ENABLED": "false",
        "SOCKUDO_DEFAULT_APP_ID": app,
        "SOCKUDO_DEFAULT_APP_KEY": key,
        "SOCKUDO_DEFAULT_APP_SECRET": secret,
        "SOCKUDO_DEFAULT_APP_ENABLED": "true",
        "SOCKUDO_DEFAULT_APP_MAX_CONNECTIONS": str(MANY),
        "SOCKUDO_DEFAULT_APP_MAX_BACKEND_EVENTS_PER_SECOND": str(MANY),
        "SOCKUDO_DEFAULT_APP_MAX_CLIENT_EVENTS_PER_SECOND": str(MANY),
        "SOCKUDO_DEFAULT_APP_MAX_READ_REQUESTS_PER_SECOND": str(MANY),
    }
    with running([binary], environment, folder) as process:
        wait_for(port, process)
        yield [
            *("--protocol", "pusher", "--app", ":".join(APP), "--pid", str(process.pid)),
            *("--url", f"ws://127.0.0.1:{port}", "--control", f"http://127.0.0.1:{port}"),
        ]


def bench(binary, arguments):
    done = subprocess.run([binary, "--json", "bench", *arguments], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(arguments)}\n{done.stdout}{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def fanout(options, servers, keep):
    """In turns, each turn with its own limit beside it."""
    for subscribers, burst, rounds in WORK:
        taken = {name: [] for name in servers}
        for _ in range(options.runs):
            for name, reach in servers.items():
                work = ["-n", str(subscribers), "--burst", str(burst), "--rounds", str(rounds)]
                one = bench(options.pogo, ["fanout", "--raw", *work, *reach])
                if one["lost"] or one["reordered"] or one["ended"]:
                    print(f"{name}: {one}", file=sys.stderr)
                taken[name].append(one)
                keep({"server": name, **one})
        row = [f"{subscribers:,}", str(burst)]
        for of in taken.values():
            cost = statistics.median(one["cpu_us_per_delivery"]["median"] for one in of)
            ratio = statistics.median(one["ratio"] for one in of)
            row += [f"{cost:.2f}", f"{ratio:.2f}", str(of[0]["frame_bytes"])]
        yield row


def memory(options, binaries, keep):
    """Fresh servers: what one has held before is its own affair."""
    taken = {name: [] for name in binaries}
    for _ in range(options.runs):
        for name, (start, binary) in binaries.items():
            with tempfile.TemporaryDirectory() as folder, start(binary, folder) as reach:
                one = bench(options.pogo, ["connections", "-n", str(options.sessions), *reach])
                taken[name].append(one)
                keep({"server": name, **one})
    return taken


def table(heads, rows):
    print("| " + " | ".join(heads) + " |")
    print("|" + "---|" * len(heads))
    for row in rows:
        print("| " + " | ".join(row) + " |", flush=True)
    print()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    release = os.path.join(root, "target", "release", "pogo")
    parser.add_argument("--pogo", default=release, help="its binary; drives both")
    parser.add_argument("--sockudo", required=True, help="its binary")
    parser.add_argument("--runs", type=int, default=3, help="medians of so many")
    parser.add_argument("--sessions", type=int, default=5000, help="for the memory of one; 0: not")
    parser.add_argument("--json", help="a file for every single figure")
    options = parser.parse_args()
    binaries = {"Pogo": (pogo, options.pogo), "sockudo": (sockudo, options.sockudo)}
    with contextlib.ExitStack() as stack:
        file = stack.enter_context(open(options.json, "w")) if options.json else None

        def keep(record):
            if file:
                print(json.dumps(record), file=file, flush=True)

        heads = ["subscribers", "at once"]
        for name in binaries:
            heads += [f"{name}, µs a delivery", "× the limit", "frame, B"]
        with contextlib.ExitStack() as both:
            servers = {}
            for name, (start, binary) in binaries.items():
                folder = both.enter_context(tempfile.TemporaryDirectory())
                servers[name] = both.enter_context(start(binary, folder))
            table(heads, fanout(options, servers, keep))
        if options.sessions:
            rows = []
            for name, of in memory(options, binaries, keep).items():
                each = statistics.median(one["resident_bytes_per_session"] for one in of)
                rows.append([name, f"{options.sessions:,}", f"{each / 1024:.1f}"])
            table(["server", "sessions", "KiB a session"], rows)


if __name__ == "__main__":
    main()
