"""Pusher's own clients and libraries, as npm and PyPI have them, against a server of its own each.

    ./test pusher                                  all of it, installed first
    POGO_BIN=target/debug/pogo python run.py PART… only these parts (with the stubs' PYTHONPATH)

A part says how it ended in its runner's own words, and how many tests that has to name: a runner
that found nothing to run has not passed.
"""

import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import tomllib
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from support.server import Server, free_ports  # noqa: E402

ROOT = HERE.parents[2]
BINARY = pathlib.Path(os.environ["POGO_BIN"])
CACHE = pathlib.Path(os.environ["POGO_CACHE"]) / "pusher"
CONFIG = HERE / "pusher.toml"
SETTINGS = tomllib.loads(CONFIG.read_text())
APP, EU_APP = SETTINGS["pusher"]["apps"]
PUSHER_JS, PUSHER_HTTP = "8.6.0", "5.3.4"
TRANSPORTS = ["ws", "xhr_streaming", "xhr_polling"]
INSTALL_SECONDS = 600
PART_SECONDS = 600
# What is needed to lint, to publish or for browsers that are not here, and what npm would fetch by git.
UNUSED = r"karma|prettier|eslint|@react-native|webpack-dev-server|fetch-mock"
COLOURS = re.compile(r"\x1b\[[0-9;]*m")


class Failed(Exception):
    """A part did not hold; the text says how."""


def say(text):
    print(text, flush=True)


# === what has to be there ===


def npm(folder, *words):
    command = ["npm", "--no-audit", "--no-fund", "--loglevel=error", *words]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=INSTALL_SECONDS)
    if done.returncode != 0:
        raise Failed(f"npm {' '.join(words)} in {folder}:\n{done.stdout}{done.stderr}")
    return done.stdout


def installed(name, wanted, install):
    """The folder `name`, made by `install` when it is not there or was made from something else."""
    folder, stamp = CACHE / name, CACHE / name / "installed-from"
    if not stamp.exists() or stamp.read_text() != wanted:
        say(f"installing {name}")
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        install(folder)
        stamp.write_text(wanted)
    return folder


def unpacked(folder, package):
    """A package with its tests and all, and what those need, in `folder`."""
    (archive,) = json.loads(npm(folder, "pack", "--json", package))
    shutil.unpack_archive(folder / archive["filename"], folder)
    inside = folder / "package"
    about = json.loads((inside / "package.json").read_text())
    # Its overrides keep old tools patched that are not installed here.
    about.pop("overrides", None)
    needed = about["devDependencies"]
    about["devDependencies"] = {k: v for k, v in needed.items() if not re.match(UNUSED, k)}
    about["devDependencies"] = {
        k: v for k, v in about["devDependencies"].items() if not v.startswith("git")
    }
    (inside / "package.json").write_text(json.dumps(about, indent=2))
    npm(inside, "install", "--ignore-scripts")
    return inside


def pusher_js():
    """pusher-js with its specs compiled, unmodified, against the aliases of specs/."""
    shim = sorted((HERE / "specs").iterdir())
    wanted = PUSHER_JS + "".join(path.read_text() for path in shim)

    def install(folder):
        inside = unpacked(folder, f"pusher-js@{PUSHER_JS}")
        shutil.copytree(HERE / "specs", inside / "pogo")
        npm(inside, "exec", "--", "webpack", "--config=pogo/webpack.local.js")
        npm(inside / "integration_tests_server", "install", "--ignore-scripts")

    return installed("pusher-js", wanted, install) / "package"


def pusher_http():
    install = lambda folder: unpacked(folder, f"pusher@{PUSHER_HTTP}")
    return installed("pusher-http", PUSHER_HTTP, install) / "package"


def clients():
    """The npm packages of package.json."""

    def install(folder):
        shutil.copy(HERE / "package.json", folder)
        npm(folder, "install", "--ignore-scripts")

    return installed("clients", (HERE / "package.json").read_text(), install) / "node_modules"


# === running ===


def run(command, closing, cwd=ROOT, **env):
    """Runs a client to its end; its closing line must match `closing`. All of what it says is
    shown when it did not hold, else that line."""
    words = [str(word) for word in command]
    process = subprocess.Popen(
        words,
        cwd=cwd,
        env={**os.environ, **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    timer = threading.Timer(PART_SECONDS, os.killpg, (process.pid, signal.SIGKILL))
    timer.start()
    try:
        said = COLOURS.sub("", process.stdout.read())
        code = process.wait()
    finally:
        timer.cancel()
        end(process)
    found = re.search(closing, said, re.MULTILINE)
    if code != 0 or not found:
        say(said)
        raise Failed(f"exit code {code}, {'' if found else 'not '}found: {closing}")
    return found.group(0).strip()


def end(process):
    """Ends a process and its children, whether or not it is still there."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()


def environment(server, **more):
    """What the clients are told."""
    return {
        "EDGE_PORT": str(server.edge),
        "APP_ID": APP["id"],
        "APP_KEY": APP["key"],
        "APP_SECRET": APP["secret"],
        "POGO_CONFIG": str(server.config),
        **server.environment(),
        **more,
    }


class AuthServer:
    """pusher-js's own auth server for its specs."""

    def __init__(self, package, server):
        self.package = package
        self.ports = [str(port) for port in free_ports(2)]
        self.env = environment(server, AUTH_PORT=self.ports[0], AUTH_EU_PORT=self.ports[1])
        for cluster, app in (("MT1", APP), ("EU", EU_APP)):
            for field in ("id", "key", "secret"):
                name = f"INTEGRATION_TESTS_APP_{cluster}_{'APP_ID' if field == 'id' else field.upper()}"
                self.env[name] = app[field]

    def __enter__(self):
        script = self.package / "pogo" / "auth_server.js"
        theirs = self.package / "integration_tests_server" / "index.js"
        self.process = subprocess.Popen(
            ["node", script, theirs],
            env={**os.environ, **self.env},
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )
        for port in self.ports:
            self._wait(port)
        return self

    def _wait(self, port):
        url = f"http://127.0.0.1:{port}/auth?callback=x&socket_id=1.1&channel_name=private-x"
        for _ in range(100):
            try:
                with urllib.request.urlopen(url, timeout=5):
                    return
            except OSError:
                if self.process.poll() is not None:
                    break
                time.sleep(0.1)
        self.__exit__()
        raise Failed("the auth server of pusher-js's specs did not start")

    def __exit__(self, *_):
        end(self.process)


# === the parts ===


def specs_over(package, transport, env, results):
    jasmine = ["node_modules/.bin/jasmine", "--config=spec/config/jasmine/integration.json"]
    # Fifty for each transport: 33 that connect, 17 that pretend to.
    closing = r"^Executed 50 of 50 specs SUCCESS\.?$"
    try:
        results[transport] = run(jasmine, closing, cwd=package, EDGE_TRANSPORTS=transport, **env)
    except Failed as error:
        results[transport] = error


def specs(transports=TRANSPORTS):
    """pusher-js's own specs, over all transports at once: they spend their time waiting."""
    package, results = pusher_js(), {}
    with Server(BINARY, CONFIG) as server, AuthServer(package, server) as auth:
        threads = [
            threading.Thread(target=specs_over, args=(package, transport, auth.env, results))
            for transport in transports
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    failed = [name for name, result in results.items() if isinstance(result, Failed)]
    for transport in transports:
        say(f"pusher-js {PUSHER_JS} specs, {transport}: {results[transport]}")
    if failed:
        raise Failed(f"specs over {', '.join(failed)}")


def http():
    """The tests that the npm library `pusher` has for Pusher's own HTTP API."""
    package = pusher_http()
    with Server(BINARY, CONFIG) as server:
        url = f"http://{APP['key']}:{APP['secret']}@127.0.0.1:{server.edge}"
        mocha = ["node_modules/.bin/mocha", "tests/remote/**/*.js"]
        closing = r"^ *7 passing.*$"
        line = run(mocha, closing, cwd=package, PUSHER_URL=f"{url}/apps/{APP['id']}")
    say(f"npm pusher {PUSHER_HTTP} remote tests: {line}")


def node(name, tests, config=CONFIG, **more):
    """A file of ours for Node's own runner, with that many tests."""
    packages = clients()
    with Server(BINARY, config) as server:
        env = environment(server, NODE_PATH=str(packages), GOOGLE_PROTOS=google_protos(), **more)
        command = ["node", "--test", "--test-reporter=spec", HERE / f"{name}.test.js"]
        line = run(command, rf"^ℹ pass {tests}$", **env, POGO_BIN=str(BINARY))
    say(f"{name}: {line}")


def webhooks():
    """Webhooks to the test's own receiver, whose port has to be known to the server first."""
    (port,) = free_ports(1)
    hooks = f'webhooks = [{{ url = "http://127.0.0.1:{port}/" }}]'
    first, second = f'secret = "{APP["secret"]}"', "[[pusher.apps]]"
    text = CONFIG.read_text().replace(first, f"{first}\n{hooks}")
    text = text.replace(second, f'[pusher]\nwebhook_allow = ["127.0.0.1/32"]\n\n{second}', 1)
    with tempfile.TemporaryDirectory() as folder:
        config = pathlib.Path(folder) / "webhooks.toml"
        config.write_text(text)
        node("webhooks", 1, config, WEBHOOK_PORT=str(port))


def google_protos():
    """The folder with google/rpc/status.proto."""
    import google.rpc.status_pb2 as status

    return str(pathlib.Path(status.__file__).parents[2])


def python():
    """The PyPI libraries."""
    with Server(BINARY, CONFIG) as server:
        line = run([sys.executable, HERE / "pypi.py"], r"^Ran 12 tests.*$", **environment(server))
    say(f"PyPI pusher and pysher: {line}")


def chromium():
    """The same in a real browser."""
    packages = clients()
    with Server(BINARY, CONFIG) as server:
        env = environment(server, NODE_PATH=str(packages))
        line = run([sys.executable, HERE / "in_chromium.py"], r"^Ran 3 tests.*$", **env)
    say(f"pusher-js in Chromium: {line}")


PARTS = {
    "specs": specs,
    "http": http,
    "python": python,
    "echo": lambda: node("echo", 5),
    "old": lambda: node("old", 8),
    "users": lambda: node("users", 7),
    "mixed": lambda: node("mixed", 8),
    "chromium": chromium,
    "webhooks": webhooks,
}


def main(names):
    unknown = [name for name in names if name not in PARTS]
    if unknown:
        say(f"no such part: {', '.join(unknown)}; there are {', '.join(PARTS)}")
        return 2
    CACHE.mkdir(parents=True, exist_ok=True)
    failed = []
    for name in names or PARTS:
        try:
            PARTS[name]()
        except (Failed, RuntimeError, OSError, subprocess.TimeoutExpired) as error:
            say(f"FAILED {name}: {error}")
            failed.append(name)
    say(f"Pusher's clients FAILED: {', '.join(failed)}" if failed else "Pusher's clients: all well")
    return 1 if failed else 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.exit(main(sys.argv[1:]))
