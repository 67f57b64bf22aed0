"""A `pogo serve` process for tests: free ports, readiness awaited, a clean stop demanded."""

import os
import re
import signal
import socket
import subprocess
import threading
import time
import tomllib
import urllib.error
import urllib.request

READY_SECONDS = 20
STOP_SECONDS = 20
LOG_LINES = 400


def free_ports(count):
    """Ports nobody listens on just now; all are held until all are known, so none comes twice."""
    held = [socket.socket() for _ in range(count)]
    try:
        for one in held:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in held]
    finally:
        for one in held:
            one.close()


class Server:
    """Starts on entry, stops on exit. `log` holds the last lines of what it said."""

    def __init__(self, binary, config=None, dev=False, settings=()):
        self.edge, self.control_port, self.admin_port = free_ports(3)
        self.control = f"127.0.0.1:{self.control_port}"
        self.admin = f"http://127.0.0.1:{self.admin_port}"
        self.url = f"ws://127.0.0.1:{self.edge}"
        self.log = []
        self.config = config
        self.command = [str(binary), "serve"]
        self.command += ["--dev"] if dev else []
        self.command += ["--config", str(config)] if config else []
        listen = [
            f'edge.listen="127.0.0.1:{self.edge}"',
            f'control.listen="{self.control}"',
            f'admin.listen="127.0.0.1:{self.admin_port}"',
        ]
        for setting in [*listen, *settings]:
            self.command += ["--set", setting]

    def __enter__(self):
        # Its own environment: settings of the caller's shell must not leak in.
        clean = {k: v for k, v in os.environ.items() if not k.startswith("POGO")}
        self.process = subprocess.Popen(
            self.command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=clean,
        )
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()
        try:
            self._wait_ready()
        except BaseException:
            self._kill()
            raise
        return self

    def __exit__(self, kind, value, trace):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._kill()
            code = f"killed: still running {STOP_SECONDS} s after SIGTERM"
        self.reader.join(STOP_SECONDS)
        self.process.stdout.close()
        if kind is not None or code != 0:
            print("--- the server's log\n" + "".join(self.log) + "---", flush=True)
        if kind is None and code != 0:
            raise RuntimeError(f"the server ended with {code}")

    def _kill(self):
        self.process.kill()
        self.process.wait()

    def environment(self):
        """What a client script is told about this server."""
        told = {
            "POGO_URL": self.url,
            "POGO_CONTROL": self.control,
            "POGO_ADMIN": self.admin,
            "POGO_PID": str(self.process.pid),
        }
        if self.config:
            with open(self.config, "rb") as file:
                settings = tomllib.load(file)
            secret = settings.get("auth", {}).get("secret")
            keys = settings.get("control", {}).get("keys", [])
            if secret:
                told["POGO_TOKEN_SECRET"] = secret
            if keys:
                told["POGO_CONTROL_KEY"] = keys[0]["secret"]
        return told

    def said(self, pattern):
        """What the server says, once `pattern` is in it: it may be ready before all is read."""
        end = time.monotonic() + READY_SECONDS
        while not re.search(pattern, text := "".join(self.log)):
            if time.monotonic() > end:
                raise RuntimeError(f"the server never said {pattern}:\n{text}")
            time.sleep(0.01)
        return text

    def _read(self):
        for line in self.process.stdout:
            self.log.append(line)
            del self.log[:-LOG_LINES]

    def _wait_ready(self):
        end = time.monotonic() + READY_SECONDS
        while time.monotonic() < end:
            if self.process.poll() is not None:
                raise RuntimeError(f"the server did not start:\n{''.join(self.log)}")
            try:
                with urllib.request.urlopen(self.admin + "/readyz", timeout=1) as answer:
                    if answer.status == 200:
                        return
            except (urllib.error.URLError, OSError):
                pass
            time.sleep(0.05)
        raise RuntimeError(f"not ready after {READY_SECONDS} s:\n{''.join(self.log)}")
