"""pusher-js in a real browser, on a page of another origin: every transport, with its preflights.

Run by run.py, which says where the server is and, in NODE_PATH, where the npm packages are.
"""

import functools
import http.server
import json
import os
import pathlib
import sys
import threading
import time
import unittest

import jwt
import pusher

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from browser.chromium import Browser  # noqa: E402

PACKAGES = pathlib.Path(os.environ["NODE_PATH"])
KEY, SECRET, APP_ID = (os.environ[f"APP_{name}"] for name in ("KEY", "SECRET", "ID"))
PORT = int(os.environ["EDGE_PORT"])
AUTH = f"http://127.0.0.1:{PORT}/pusher/auth?app={KEY}"
CHANNEL = "private-items_1"


class Site(http.server.SimpleHTTPRequestHandler):
    """An empty page, and what the packages hold."""

    def do_GET(self):
        if self.path != "/":
            return super().do_GET()
        page = b"<!doctype html><title>t</title><link rel='icon' href='data:,'>"
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        self.wfile.write(page)

    def log_message(self, *_):
        pass


def token(**claims):
    now = int(time.time())
    claims = {"sub": "ann", "iat": now, "exp": now + 300, "caps": {"**": ["*"]}, **claims}
    return jwt.encode(claims, os.environ["POGO_TOKEN_SECRET"], "HS256")


def load(page, script):
    page.run(f"""new Promise((done, failed) => {{
        const script = document.createElement("script");
        Object.assign(script, {{ src: "{script}", onload: done, onerror: failed }});
        document.head.append(script);
    }}).then(() => true)""")


class Chromium(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.browser = cls.enterClassContext(Browser())
        handler = functools.partial(Site, directory=str(PACKAGES))
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        cls.enterClassContext(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        cls.addClassCleanup(server.shutdown)
        cls.site = f"http://127.0.0.1:{server.server_port}"
        cls.library = pusher.Pusher(APP_ID, KEY, SECRET, ssl=False, host="127.0.0.1", port=PORT)

    def open(self, package, transport, **options):
        """A page with that pusher-js on CHANNEL; what comes is in `found`."""
        self.browser.problems.clear()
        page = self.browser.page(self.site + "/")
        self.addCleanup(page.close)
        options = {
            "wsHost": "127.0.0.1",
            "wsPort": PORT,
            "httpHost": "127.0.0.1",
            "httpPort": PORT,
            "forceTLS": False,
            "disableStats": True,
            "cluster": "mt1",
            "enabledTransports": [transport],
            **options,
        }
        load(page, f"/{package}/dist/web/pusher.js")
        if transport == "sockjs":
            # It would come from Pusher's CDN.
            load(page, f"/{package}/dist/web/sockjs.js")
        page.run(f"""{{
            const options = {json.dumps(options)};
            window.client = new Pusher("{KEY}", options);
            window.channel = client.subscribe("{CHANNEL}");
            window.found = [];
            window.errors = [];
            client.connection.bind("error", (error) => errors.push(error));
            channel.bind("create", (data) => found.push(data));
            channel.bind("client-typing", (data) => found.push(data));
            true;
        }}""")
        page.wait("channel.subscribed || errors.length")
        self.assertEqual(page.run("JSON.stringify(errors)"), "[]")
        used = page.run("client.connection.connection.transport.name")
        self.assertEqual(used, transport)
        return page

    def live(self, package, transport, **options):
        """Two pages: what is published reaches both, a client event the other."""
        pages = [self.open(package, transport, **options) for _ in range(2)]
        # Longer than pusher-js lets one answer of XHR streaming become, all in all.
        items = [{"n": n, "name": "ü" + "x" * 6_000} for n in range(60)]
        for item in items:
            self.library.trigger(CHANNEL, "create", item)
        for page in pages:
            page.wait(f"found.length === {len(items)}")
            self.assertEqual(json.loads(page.run("JSON.stringify(found)")), items)
        self.assertTrue(pages[0].run("channel.trigger('client-typing', {who: 'ann'})"))
        pages[1].wait(f"found.length === {len(items) + 1}")
        self.assertEqual(pages[1].run("found.at(-1).who"), "ann")
        self.assertEqual(pages[0].run("found.length"), len(items))
        self.assertEqual([p for p in self.browser.problems if "iframe.html" not in p], [])

    def test_today(self):
        headers = {"Authorization": f"Bearer {token()}"}
        auth = {"channelAuthorization": {"endpoint": AUTH, "transport": "ajax", "headers": headers}}
        for transport in ("ws", "xhr_streaming", "xhr_polling"):
            with self.subTest(transport):
                self.live("pusher-js", transport, **auth)

    def test_3_by_jsonp(self):
        auth = {"authEndpoint": f"{AUTH}&token={token()}", "authTransport": "jsonp"}
        for transport in ("ws", "xhr_streaming", "xhr_polling"):
            with self.subTest(transport):
                self.live("pusher-js-3.2.4", transport, **auth)

    def test_sockjs(self):
        # What is left of SockJS in that age wants frames, which Pogo does not serve, or JSONP.
        auth = {"authEndpoint": f"{AUTH}&token={token()}", "authTransport": "jsonp"}
        self.live("pusher-js-3.2.4", "sockjs", **auth)


if __name__ == "__main__":
    unittest.main()
