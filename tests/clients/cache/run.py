"""http-cache-tests (https://cache-tests.fyi) against Pogo as a shared cache.

    ./test cache                                     installs it first
    POGO_BIN=… POGO_CACHE=… python run.py [--table]  --table: the table of docs/gateway.md

Fails when Pogo does not pass a required test that nginx, Varnish or Squid pass in the results that
come with the tests, but for those of EXCUSED.
"""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from support.server import Server, free_ports  # noqa: E402

BINARY = pathlib.Path(os.environ["POGO_BIN"])
CACHE = pathlib.Path(os.environ["POGO_CACHE"]) / "cache-tests"
INSTALL_SECONDS = 600
SUITE_SECONDS = 300
PEERS = ["nginx", "varnish", "squid"]
# A uri is an item's or a collection's; what is POSTed goes to collections.
ITEMS = ("item", '"show", "update", "delete"')
COLLECTIONS = ("collection", '"index", "create"')
POSTED = {"invalidate-POST", "invalidate-POST-failed", "invalidate-POST-cl", "method-POST"}
POSTED |= {f"invalidate-{method}-location" for method in ("POST", "PUT", "DELETE", "M-SEARCH")}
# Required tests that Pogo does not pass on purpose, and why.
EXCUSED = {
    "headers-store-Transfer-Encoding": "an answer in a transfer coding that nobody knows is refused",
    "invalidate-M-SEARCH": "the gateway takes the methods of REST",
    "invalidate-M-SEARCH-cl": "the gateway takes the methods of REST",
}


class Failed(Exception):
    """It did not hold; the text says how."""


def say(text):
    print(text, flush=True)


def installed():
    """The folder of http-cache-tests."""
    wanted = (HERE / "package.json").read_text()
    stamp = CACHE / "installed-from"
    if not stamp.exists() or stamp.read_text() != wanted:
        say("installing http-cache-tests")
        shutil.rmtree(CACHE, ignore_errors=True)
        CACHE.mkdir(parents=True)
        shutil.copy(HERE / "package.json", CACHE)
        command = ["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund"]
        command.append("--loglevel=error")
        done = subprocess.run(
            command, cwd=CACHE, capture_output=True, text=True, timeout=INSTALL_SECONDS
        )
        if done.returncode != 0:
            raise Failed(f"npm install:\n{done.stdout}{done.stderr}")
        stamp.write_text(wanted)
    return CACHE / "node_modules" / "http-cache-tests"


class Origin:
    """The tests' own server, whose answers each test orders."""

    def __init__(self, package, folder):
        self.package = package
        (self.port,) = free_ports(1)
        self.env = {
            **os.environ,
            "npm_config_protocol": "http",
            "npm_config_port": str(self.port),
            "npm_config_pidfile": str(pathlib.Path(folder) / "origin.pid"),
        }

    def __enter__(self):
        self.process = subprocess.Popen(
            ["node", "--no-warnings", "server/server.mjs"],
            cwd=self.package,
            env=self.env,
            stdout=subprocess.DEVNULL,
        )
        for _ in range(100):
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/state/x", timeout=5):
                    return self
            except urllib.error.HTTPError:
                return self
            except OSError:
                if self.process.poll() is not None:
                    break
                time.sleep(0.1)
        self.__exit__()
        raise Failed("the tests' server did not start")

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()


def suite(package, kind):
    """All tests, over uris of this kind."""
    template, methods = kind
    with tempfile.TemporaryDirectory() as folder, Origin(package, folder) as origin:
        text = (HERE / "cache.toml").read_text()
        for word, value in [("TEMPLATE =", f"{template} ="), ("METHODS", methods)]:
            text = text.replace(word, value)
        config = pathlib.Path(folder) / "cache.toml"
        config.write_text(text.replace("PORT", str(origin.port)))
        with Server(BINARY, config) as server:
            url = f"http://127.0.0.1:{server.edge}"
            command = ["node", "--no-warnings", HERE / "suite.mjs", package, url]
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=SUITE_SECONDS
            )
    if done.returncode != 0:
        raise Failed(f"the suite ended with {done.returncode}:\n{done.stderr}")
    return json.loads(done.stdout)


def results(package):
    posted = {row["id"]: row for row in suite(package, COLLECTIONS) if row["id"] in POSTED}
    missing = POSTED - posted.keys()
    if missing:
        raise Failed(f"no such tests any more: {', '.join(sorted(missing))}")
    return [posted.get(row["id"], row) for row in suite(package, ITEMS)]


def table(rows):
    """How many of each kind pass, beside the others."""
    names = ["pogo", *PEERS]
    lines = ["| | " + " | ".join(names) + " |", "|---|" + "---|" * len(names)]
    for kind in ("required", "optimal", "check"):
        own = [row for row in rows if row["kind"] == kind]
        passed = [sum(row[name] == "pass" for row in own) for name in names]
        lines.append(f"| {kind} ({len(own)}) | " + " | ".join(map(str, passed)) + " |")
    return "\n".join(lines)


def verdict(rows):
    """What fails that must not, and what is excused for nothing."""
    required = {row["id"]: row for row in rows if row["kind"] == "required"}
    well = {name for name, row in required.items() if row["pogo"] == "pass"}
    found = []
    for name, row in required.items():
        better = [peer for peer in PEERS if row[peer] == "pass"]
        if name not in well and better and name not in EXCUSED:
            found.append(f"{name} ({row['pogo']}): {row['why']}; {', '.join(better)} pass")
    found += [f"{name} is excused and passes" for name in EXCUSED if name in well]
    found += [f"{name} is excused and unknown" for name in EXCUSED if name not in required]
    return found


def main(words):
    try:
        rows = results(installed())
    except (Failed, RuntimeError, OSError, subprocess.TimeoutExpired) as error:
        say(f"FAILED: {error}")
        return 1
    say(table(rows))
    if "--table" in words:
        for row in rows:
            if row["pogo"] not in ("pass", "untested"):
                others = ", ".join(peer for peer in PEERS if row[peer] == "pass")
                say(f"{row['kind']} {row['id']}: {row['pogo']}: {row['why']} [{others}]")
    found = verdict(rows)
    for line in found:
        say(f"FAILED {line}")
    for name, why in EXCUSED.items():
        say(f"excused: {name}: {why}")
    say("http-cache-tests FAILED" if found else "http-cache-tests: all well")
    return 1 if found else 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.exit(main(sys.argv[1:]))
