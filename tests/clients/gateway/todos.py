"""A REST API as PostgREST serves a table with row-level security: who asks is read from the JWT,
everyone sees and changes their own rows only, writes answer without a body, and errors are
`{code, details, hint, message}`. It knows nothing of Pogo.

`requests` notes what came: (method, path, subject).
"""

import http.server
import json
import re
import threading
import urllib.parse

import jwt

ROW = re.compile(r"/todos/(\d+)")


class Todos:
    """The table and its server; ends with the `with` block."""

    def __init__(self, secret):
        self.secret = secret
        self.rows = {}
        self.last = 0
        self.requests = []
        self.lock = threading.Lock()
        # While it is not set, nobody is answered.
        self.gate = threading.Event()
        self.gate.set()

    def __enter__(self):
        handler = type("Bound", (Handler,), {"table": self})
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.base = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()

    def insert(self, owner, fields):
        with self.lock:
            self.last += 1
            row = {"id": self.last, "owner": owner, "task": "", "done": False, **fields}
            self.rows[self.last] = row
            return row

    def of(self, owner):
        with self.lock:
            return [dict(row) for row in self.rows.values() if row["owner"] == owner]

    def asked(self, method, path):
        """How often `path` was asked for by `method`, and by whom."""
        return [who for verb, where, who in self.requests if (verb, where) == (method, path)]


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    table = None

    def log_message(self, *_):
        pass

    def answer(self, status, body=None, **headers):
        data = b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if status != 204:
            self.send_header("content-type", "application/json; charset=utf-8")
            self.send_header("content-length", str(len(data)))
        self.end_headers()
        if status != 204:
            self.wfile.write(data)

    def refuse(self, status, code, message):
        self.answer(status, {"code": code, "details": None, "hint": None, "message": message})

    def subject(self):
        scheme, _, token = self.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            return None
        try:
            claims = jwt.decode(token, self.table.secret, ["HS256"], options={"verify_aud": False})
            return claims.get("sub")
        except jwt.InvalidTokenError:
            return None

    def fields(self):
        length = int(self.headers.get("content-length", 0))
        return json.loads(self.rfile.read(length) or b"{}")

    def handle_any(self):
        path, _, query = self.path.partition("?")
        fields = self.fields() if self.command in ("POST", "PATCH") else None
        subject = self.subject()
        self.table.requests.append((self.command, self.path, subject))
        self.table.gate.wait(10)
        if subject is None:
            return self.refuse(401, "PGRST301", "JWT invalid")
        if path == "/todos":
            return self.collection(subject, fields, dict(urllib.parse.parse_qsl(query)))
        match = ROW.fullmatch(path)
        row = self.table.rows.get(int(match[1])) if match else None
        if row is None or row["owner"] != subject:
            return self.refuse(404, "PGRST116", "The result contains 0 rows")
        return self.row(row, fields)

    do_GET = do_POST = do_PATCH = do_DELETE = handle_any

    def collection(self, subject, fields, query):
        if self.command == "GET":
            rows = self.table.of(subject)
            if "done" in query:
                rows = [row for row in rows if row["done"] == (query["done"] == "is.true")]
            return self.answer(200, rows, content_range=f"0-{len(rows) - 1}/*")
        if self.command != "POST":
            return self.refuse(405, "PGRST117", "Unsupported HTTP method")
        if not fields.get("task"):
            return self.refuse(400, "23502", "null value in column task")
        row = self.table.insert(subject, fields)
        return self.answer(201, location=f"/todos/{row['id']}", content_range="*/*")

    def row(self, row, fields):
        if self.command == "GET":
            return self.answer(200, row)
        with self.table.lock:
            if self.command == "PATCH":
                row.update(fields)
            elif self.command == "DELETE":
                self.table.rows.pop(row["id"], None)
        return self.answer(204)
