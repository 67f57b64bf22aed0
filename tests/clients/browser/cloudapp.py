"""examples/cloudapp in a real browser: an old pusher-js, JSONP, and what one page does in another.

Run by `./test browser`: POGO_BIN is the server; npm fetches pusher-js into a copy of the example.
"""

import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest
import urllib.error
import urllib.request

from browser.chromium import Browser
from support.server import Server, free_ports

EXAMPLE = pathlib.Path(__file__).resolve().parents[3] / "examples" / "cloudapp"
SECONDS = 120
NAMES = "[...document.querySelectorAll('#items li span')].map(e => e.textContent).join()"


class App:
    """The example's own server beside a Pogo; ends with the `with` block."""

    def __init__(self, folder, pogo):
        self.command = ["node", str(folder / "server.js")]
        (self.port,) = free_ports(1)
        self.url = f"http://localhost:{self.port}"
        self.env = {"PORT": str(self.port), "POGO": f"http://127.0.0.1:{pogo}"}

    def __enter__(self):
        env = {**os.environ, **self.env}
        self.process = subprocess.Popen(self.command, stdout=subprocess.PIPE, text=True, env=env)
        said = self.process.stdout.readline()
        if self.url not in said:
            raise RuntimeError(f"the app did not start: {said}")
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(10)
        self.process.stdout.close()

    def call(self, method, path, item=None):
        body = json.dumps({"item": item}).encode() if item else None
        headers = {"content-type": "application/json"}
        request = urllib.request.Request(self.url + path, body, headers, method=method)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)


class CloudApp(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.browser = cls.enterClassContext(Browser())
        cls.folder = pathlib.Path(cls.enterClassContext(tempfile.TemporaryDirectory())) / "app"
        shutil.copytree(EXAMPLE, cls.folder, ignore=shutil.ignore_patterns("node_modules"))
        install = ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts"]
        subprocess.run(install, cwd=cls.folder, check=True, timeout=SECONDS)

    def setUp(self):
        self.browser.problems.clear()
        pogo = Server(os.environ["POGO_BIN"], EXAMPLE / "pogo.toml")
        self.app = App(self.folder, pogo.edge)
        # The page's origin is where the app happens to listen.
        pogo.command += ["--set", f'edge.allowed_origins=["{self.app.url}"]']
        self.pogo = self.enterContext(pogo)
        self.enterContext(self.app)

    def open(self):
        page = self.browser.page(self.app.url + "/")
        self.addCleanup(page.close)
        page.wait("document.querySelector('#state').dataset.state === 'live'")
        return page

    def add(self, page, name):
        page.run(f"document.querySelector('#name').value = {json.dumps(name)}")
        page.run("document.querySelector('#create button').click()")

    def test_what_one_page_does_the_other_shows(self):
        one, other = self.open(), self.open()
        self.add(one, "CloudApp")
        for page in (one, other):
            page.wait(f"{NAMES} === 'CloudApp'")
        other.run("window.prompt = () => 'Renamed <b>'")
        other.run("document.querySelector('#items li button').click()")
        for page in (one, other):
            page.wait(f"{NAMES} === 'Renamed <b>'")
        one.run("document.querySelectorAll('#items li button')[1].click()")
        for page in (one, other):
            page.wait(f"{NAMES} === ''")
        self.assertEqual(self.browser.problems, [])

    def test_events_carry_what_the_list_has(self):
        page = self.open()
        self.assertEqual(page.run("Pusher.VERSION"), "3.0.0")
        page.run("window.seen = []; Pusher.instances[0].channel('private-items_1')"
                 ".bind_all((event, data) => seen.push([event, data])); 1")
        item = self.app.call("POST", "/items", {"name": "Bücher – 100 % \u2028"})
        (listed,) = self.app.call("GET", "/items")
        self.assertEqual(item, listed)
        page.wait("seen.length === 1")
        self.assertEqual(page.run("seen"), [["create", listed]])
        path = item["href"].removeprefix(self.app.url)
        deleted = self.app.call("DELETE", path)
        self.assertTrue(deleted["deleted_at"])
        page.wait("seen.length === 2")
        self.assertEqual(page.run("seen[1]"), ["delete", deleted])

    def test_the_list_is_whole_after_an_outage(self):
        page = self.open()
        self.app.call("POST", "/items", {"name": "before"})
        page.wait(f"{NAMES} === 'before'")
        page.run("Pusher.instances[0].disconnect(); 1")
        self.app.call("POST", "/items", {"name": "meanwhile"})
        page.run("Pusher.instances[0].connect(); 1")
        page.wait(f"{NAMES} === 'meanwhile,before'")

    def test_the_cookie_is_for_pages_of_the_app(self):
        page = self.open()
        socket = self.app.call("GET", "/account")["socket"]
        self.assertEqual(socket["channels"], {"items": "private-items_1"})
        query = "?callback=Pusher.auth_callbacks['1']&socket_id=1.2&channel_name=private-items_1"
        load = (
            "new Promise(done => { const s = document.createElement('script');"
            " s.src = %s; s.onload = () => done('loaded'); s.onerror = () => done('refused');"
            " Pusher.auth_callbacks = {1: data => { window.got = data.auth }};"
            " document.body.append(s) })"
        )
        self.assertEqual(page.run(load % json.dumps(socket["auth_url"] + query)), "loaded")
        self.assertTrue(page.run("got").startswith(socket["api_key"] + ":"))
        # Another app on this machine has another origin, and the browser sends the cookie all the
        # same.
        with App(self.folder, self.pogo.edge) as foreign:
            stranger = self.browser.page(foreign.url + "/")
            self.addCleanup(stranger.close)
            said = stranger.run(load % json.dumps(socket["auth_url"] + query))
            self.assertEqual(said, "refused")


if __name__ == "__main__":
    unittest.main(verbosity=2)
