"""examples/blog in a real browser: what one page writes, and what `curl` writes, is on the other.

Run by `./test browser`: POGO_BIN is the server.
"""

import json
import os
import pathlib
import subprocess
import tempfile
import unittest
import urllib.request

from browser.chromium import Browser
from support.server import Server, free_ports

EXAMPLE = pathlib.Path(__file__).resolve().parents[3] / "examples" / "blog"
TITLES = "[...document.querySelectorAll('#posts li input')].map(e => e.value).join()"


class Blog(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.browser = cls.enterClassContext(Browser())

    def setUp(self):
        self.browser.problems.clear()
        (port,) = free_ports(1)
        self.url = f"http://localhost:{port}"
        env = {**os.environ, "PORT": str(port)}
        command = ["node", str(EXAMPLE / "api.js")]
        self.api = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env)
        self.addCleanup(self.end)
        if self.url not in self.api.stdout.readline():
            raise RuntimeError("the API did not start")
        # Where the API happens to listen, which is the page's origin too.
        folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        config = folder / "pogo.toml"
        text = (EXAMPLE / "pogo.toml").read_text()
        config.write_text(text.replace(":3000", f":{port}"))
        self.pogo = self.enterContext(Server(os.environ["POGO_BIN"], config))

    def end(self):
        self.api.terminate()
        self.api.wait(10)
        self.api.stdout.close()

    def open(self):
        page = self.browser.page(f"{self.url}/?pogo=ws://127.0.0.1:{self.pogo.edge}/ws")
        self.addCleanup(page.close)
        page.wait("document.querySelector('#state').dataset.state === 'live'")
        return page

    def test_pages_stay_in_step(self):
        one, other = self.open(), self.open()
        one.wait(f"{TITLES} === 'Hello,Unfinished'")
        one.run("document.querySelector('#title').value = 'Third <b>'")
        one.run("document.querySelector('#create button').click()")
        for page in (one, other):
            page.wait(f"{TITLES} === 'Hello,Unfinished,Third <b>'")
        other.run("const t = document.querySelector('#posts li input'); t.value = 'Edited'; t.onchange()")
        for page in (one, other):
            page.wait(f"{TITLES} === 'Edited,Unfinished,Third <b>'")
        one.run("document.querySelectorAll('#posts li button')[1].click()")
        for page in (one, other):
            page.wait(f"{TITLES} === 'Edited,Third <b>'")
        self.assertEqual(self.browser.problems, [])

    def test_what_is_written_over_http_is_shown(self):
        page = self.open()
        body = json.dumps({"title": "From curl"}).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.pogo.edge}/posts/1",
            body,
            {"content-type": "application/json"},
            method="PATCH",
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            self.assertEqual(json.load(answer)["title"], "From curl")
        page.wait(f"{TITLES} === 'From curl,Unfinished'")

    def test_the_api_refuses_and_the_page_says_so(self):
        page = self.open()
        page.run("const t = document.querySelector('#posts li input'); t.value = ' '; t.onchange()")
        page.wait("document.querySelector('#problem').textContent.includes('is missing')")


if __name__ == "__main__":
    unittest.main(verbosity=2)
