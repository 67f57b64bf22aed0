"""The demo page in a real browser, and a service in Python that publishes to it over gRPC.

Run by `./test browser`: POGO_BIN is the server, the stubs of proto/ are on PYTHONPATH, pictures go
to POGO_TARGET/screenshots.
"""

import json
import os
import pathlib
import re
import time
import unittest
import urllib.request

import grpc

from browser.chromium import Browser
from pogo.v1 import publisher_pb2, publisher_pb2_grpc, sessions_pb2, sessions_pb2_grpc
from support.server import Server

# Of what it prints for development.
LAST_LINE = r"POGO_KEY=\S+ .* publish .*\n"
SHOTS = pathlib.Path(os.environ["POGO_TARGET"]) / "screenshots"


class DemoPage(unittest.TestCase):
    """A server of its own and a new page for each test; one browser for all."""

    @classmethod
    def setUpClass(cls):
        cls.browser = cls.enterClassContext(Browser())

    def setUp(self):
        self.browser.problems.clear()
        self.start()

    def start(self, *settings):
        """A server with these settings; it takes the place of the one before."""
        server = Server(os.environ["POGO_BIN"], dev=True, settings=settings)
        self.server = self.enterContext(server)
        said = self.server.said(LAST_LINE)
        self.token = re.search(r"eyJ[\w-]+\.[\w-]+\.[\w-]+", said).group()
        self.key = [("authorization", "Bearer " + control_key(said))]
        self.channel = self.enterContext(grpc.insecure_channel(self.server.control))
        self.publisher = publisher_pb2_grpc.PublisherStub(self.channel)

    def open(self, fragment=""):
        url = f"http://127.0.0.1:{self.server.edge}/{fragment}"
        page = self.browser.page(url)
        self.addCleanup(page.close)
        page.wait("document.querySelector('#state').dataset.state === 'open'")
        return page

    def publish(self, channel, event, data):
        request = publisher_pb2.PublishRequest(
            channels=[channel], event=event, data=json.dumps(data).encode()
        )
        return self.publisher.Publish(request, metadata=self.key, timeout=10).receipts[0]

    def subscribe(self, page, channel):
        page.fill("channel", channel)
        page.click("subscribe")
        page.wait(f"{page.find('sub-note')}.textContent.includes('Subscribed to {channel}')")

    def messages(self, page):
        script = (
            "[...document.querySelectorAll('[data-testid=message]')].map(m =>"
            " [m.dataset.channel, m.dataset.event, m.querySelector('pre').textContent])"
        )
        return [(c, e, json.loads(d)) for c, e, d in page.run(script)]

    def test_a_services_publication_is_on_the_page(self):
        page = self.open()
        self.assertRegex(page.text("session"), r"^\d+\.\d+$")
        self.subscribe(page, "news")
        receipt = self.publish("news", "release", {"version": "1.0", "notes": ["fast", "small"]})
        self.assertEqual(receipt.receivers, 1)
        page.wait("document.querySelector('[data-testid=message]')")
        expected = ("news", "release", {"version": "1.0", "notes": ["fast", "small"]})
        self.assertEqual(self.messages(page), [expected])
        self.publish("elsewhere", "release", 1)
        self.publish("news", "second", "<b>not markup</b>")
        page.wait("document.querySelectorAll('[data-testid=message]').length === 2")
        self.assertEqual(self.messages(page)[0], ("news", "second", "<b>not markup</b>"))
        self.assertEqual(page.run("document.querySelectorAll('.log b').length"), 0)
        self.assertEqual(self.browser.problems, [])

    def test_the_page_publishes_and_says_what_is_wrong(self):
        page, other = self.open(), self.open("#channels=news")
        page.fill("pub-channel", "news")
        page.fill("pub-event", "hello")
        page.fill("pub-data", '{"from": "the page"}')
        page.click("publish")
        page.wait(f"{page.find('pub-note')}.textContent.startsWith('Published')")
        other.wait("document.querySelector('[data-testid=message]')")
        self.assertEqual(self.messages(other), [("news", "hello", {"from": "the page"})])
        page.fill("pub-data", "{nonsense")
        page.click("publish")
        page.wait(f"{page.find('pub-note')}.textContent.startsWith('Not JSON')")
        page.fill("pub-data", "1")
        page.fill("pub-channel", "private-room")
        page.click("publish")
        page.wait(f"{page.find('pub-note')}.textContent.startsWith('unauthenticated')")

    def test_a_token_counts_down_and_a_revoked_one_stays_away(self):
        page = self.open(f"#token={self.token}")
        self.assertRegex(page.text("expires"), "Token expires in")
        subject = page.text("subject")
        self.assertNotEqual(subject, "anonymous")
        self.subscribe(page, "private-room")
        page.click("send-token")
        page.wait(f"{page.find('messages')}.textContent.includes('token taken')")
        sessions = sessions_pb2_grpc.SessionsStub(self.channel)
        request = sessions_pb2.RevokeSessionsRequest(session=page.text("session"), reason="test")
        answer = sessions.RevokeSessions(request, metadata=self.key, timeout=10)
        self.assertEqual(answer.sessions_closed, 1)
        page.wait("document.querySelector('#state').dataset.state === 'closed'")
        self.assertEqual(page.text("state"), "revoked")
        time.sleep(1)  # What must not happen has time to happen.
        self.assertEqual(page.text("state"), "revoked", "4002 says: do not come back unchanged")

    def test_a_burst_is_shown_without_falling_behind(self):
        page = self.open("#channels=burst")
        page.wait("document.querySelector('[data-testid=chip][data-on=true]')")
        for n in range(500):
            self.publish("burst", "n", n)
        page.wait(f"{page.find('count')}.textContent === '500'")
        newest = self.messages(page)
        self.assertEqual([data for _, _, data in newest], list(range(499, 299, -1)))

    def test_publications_come_compressed_where_that_is_on(self):
        self.start("edge.compression=true")
        page = self.open("#channels=news")
        page.wait("document.querySelector('[data-testid=chip][data-on=true]')")
        rows = [{"id": n, "name": "größer 🙂"} for n in range(100)]
        self.publish("news", "rows", rows)
        self.publish("news", "short", 1)
        page.wait("document.querySelectorAll('[data-testid=message]').length === 2")
        expected = [("news", "short", 1), ("news", "rows", rows)]
        self.assertEqual(self.messages(page), expected)
        with urllib.request.urlopen(self.server.admin + "/metrics", timeout=10) as answer:
            metrics = answer.read().decode()
        self.assertIn("\npogo_compressed_sessions 1\n", metrics)
        self.assertRegex(metrics, r'bytes_total{what="publications_after"} [1-9]')
        self.assertRegex(metrics, r'bytes_total{what="commands_after"} [1-9]')
        self.assertEqual(self.browser.problems, [])

    def test_it_looks_as_it_should(self):
        page = self.open(f"#token={self.token}")
        for channel in ("news", "orders", "/posts/81"):
            self.subscribe(page, channel)
        self.publish("news", "release", {"version": "1.0", "notes": ["fast", "small"]})
        self.publish("orders", "paid", {"order": 81, "total": "12.50", "express": True})
        self.publish("/posts/81", "update", {"title": "What a day", "likes": 12, "draft": None})
        page.wait("document.querySelectorAll('[data-testid=message]').length === 3")
        page.run("window.scrollTo(0, 0)")
        for name, width, height, dark in [
            ("light", 1200, 1000, False),
            ("dark", 1200, 1000, True),
            ("phone", 390, 1400, False),
        ]:
            page.screenshot(SHOTS / f"{name}.png", width, height, dark)
            wide = page.run("document.documentElement.scrollWidth - window.innerWidth")
            self.assertLessEqual(wide, 0, f"{name}: no sideways scrolling")
        unlabelled = page.run(
            "[...document.querySelectorAll('input, textarea, button')]"
            ".filter(e => !e.labels?.length && !e.textContent.trim() && !e.ariaLabel).length"
        )
        self.assertEqual(unlabelled, 0)


class Restart(unittest.TestCase):
    def test_the_page_comes_back_by_itself_and_misses_nothing(self):
        rule = '[[channel]]\npattern = "kept-*"\nsubscribe = "anyone"\nhistory = { size = 100, ttl = "5m" }\n'
        config = SHOTS.parent / "restart.toml"
        config.write_text(rule)
        with Browser() as browser, Server(os.environ["POGO_BIN"], config, dev=True) as server:
            page = browser.page(f"http://127.0.0.1:{server.edge}/#channels=kept-1")
            page.wait("document.querySelector('[data-testid=chip][data-on=true]')")
            key = [("authorization", "Bearer " + control_key(server.said(LAST_LINE)))]
            with grpc.insecure_channel(server.control) as channel:
                publisher = publisher_pb2_grpc.PublisherStub(channel)

                def publish(n):
                    request = publisher_pb2.PublishRequest(
                        channels=["kept-1"], event="n", data=str(n).encode()
                    )
                    publisher.Publish(request, metadata=key, timeout=10)

                publish(1)
                page.wait("document.querySelectorAll('[data-testid=message]').length === 1")
                # The page loses its connection and does not know; meanwhile life goes on.
                page.run("socket.onclose = null, socket.close(), closed(1006)")
                for n in (2, 3, 4):
                    publish(n)
                page.wait("document.querySelector('#state').dataset.state === 'open'")
                publish(5)
                page.wait("document.querySelectorAll('[data-testid=message]').length === 5")
                seen = page.run(
                    "[...document.querySelectorAll('[data-testid=message] pre')].map(p => +p.textContent)"
                )
                self.assertEqual(seen, [5, 4, 3, 2, 1])


def control_key(said):
    """The control plane's key as `pogo serve --dev` prints it."""
    return re.search(r"(?:Bearer |--key[ =]|POGO_KEY=|control key:? +)([\w-]{16,})", said).group(1)


if __name__ == "__main__":
    unittest.main(verbosity=2)
