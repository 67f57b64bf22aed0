// The app: its page, an account, and a list of items whose changes are published through Pogo.
//
//   GET  /              the page
//   GET  /account       with the `socket` block: where and how to listen; signs the visitor in by a
//                       cookie that Pogo reads
//   GET  /items         the list;  POST /items  creates one
//   GET, PUT, DELETE /items/{id}

const fs = require("node:fs");
const http = require("node:http");
const path = require("node:path");
const { Items } = require("./items");
const { token, trigger } = require("./pusher");

const PORT = Number(process.env.PORT ?? 3000);
const POGO = new URL(process.env.POGO ?? "http://127.0.0.1:8080");
// As in pogo.toml.
const APP = {
  url: POGO.origin,
  id: "4072",
  key: "36b8e92a50487f79cbb3",
  secret: "ef3f1e1e0f7b5bd01f1b",
};
const TOKEN_SECRET = "the example's secret for tokens, which is for this machine only";
const COOKIE = "cloudapp";
const HOUR = 3600;
const MAX_BODY = 64 * 1024;

// One account is enough to show it. An app with many has a channel for each of them.
const USER = "1";
const CHANNEL = `private-items_${USER}`;

const PAGE = fs.readFileSync(path.join(__dirname, "page.html"));
const PUSHER_JS = fs.readFileSync(require.resolve("pusher-js/dist/pusher.js"));

// Events go out one after another, so that they arrive in the order of the changes.
let published = Promise.resolve();

function changed(event, item) {
  published = published
    .then(() => trigger(APP, CHANNEL, event, item))
    .catch((error) => console.error(`${event} was not published: ${error.message}`));
}

let items;

function account(request) {
  // The page asks Pogo at the name by which it asked us, so that the cookie goes along.
  const { hostname } = new URL(`http://${request.headers.host}`);
  return {
    id: Number(USER),
    email: "arthur@dent.com",
    socket: {
      auth_url: `http://${hostname}:${POGO.port}/pusher/auth`,
      api_key: APP.key,
      app_id: APP.id,
      channels: { items: CHANNEL },
      host: hostname,
      port: Number(POGO.port),
    },
  };
}

function send(response, status, type, body, headers = {}) {
  response.writeHead(status, { "content-type": type, "cache-control": "no-store", ...headers });
  response.end(body);
}

function json(response, status, value, headers) {
  send(response, status, "application/json", JSON.stringify(value), headers);
}

/** The body as JSON. Other pages cannot send this type without being asked, so none can forge it. */
async function body(request) {
  if (!request.headers["content-type"]?.startsWith("application/json")) return undefined;
  let text = "";
  for await (const part of request) {
    text += part;
    if (text.length > MAX_BODY) return undefined;
  }
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

async function item(request, response, id) {
  if (!items.get(id)) return json(response, 404, { error: "there is no such item" });
  if (request.method === "GET") return json(response, 200, items.get(id));
  if (request.method === "DELETE") return json(response, 200, items.delete(id));
  if (request.method !== "PUT") return json(response, 405, { error: "GET, PUT or DELETE" });
  const done = items.update(id, (await body(request))?.item);
  return typeof done === "string" ? json(response, 422, { error: done }) : json(response, 200, done);
}

async function answer(request, response) {
  const { pathname } = new URL(request.url, "http://host");
  if (pathname === "/") return send(response, 200, "text/html; charset=utf-8", PAGE);
  if (pathname === "/pusher.js") return send(response, 200, "text/javascript", PUSHER_JS);
  if (pathname === "/account") {
    // An app with users asks here who they are first.
    const signed = token(TOKEN_SECRET, USER, [CHANNEL], HOUR);
    const cookie = `${COOKIE}=${signed}; Path=/; Max-Age=${HOUR}; HttpOnly; SameSite=Lax`;
    return json(response, 200, account(request), { "set-cookie": cookie });
  }
  if (pathname === "/items" && request.method === "GET") return json(response, 200, items.list());
  if (pathname === "/items" && request.method === "POST") {
    const done = items.create((await body(request))?.item);
    return typeof done === "string"
      ? json(response, 422, { error: done })
      : json(response, 201, done);
  }
  const found = /^\/items\/(\d+)$/.exec(pathname);
  if (found) return item(request, response, found[1]);
  return json(response, 404, { error: "nothing here" });
}

const server = http.createServer((request, response) => {
  answer(request, response).catch((error) => {
    console.error(error);
    if (!response.headersSent) json(response, 500, { error: "something went wrong" });
  });
});

server.listen(PORT, "127.0.0.1", () => {
  const base = `http://localhost:${server.address().port}`;
  items = new Items(base, changed);
  console.log(`the app is at ${base}, Pogo at ${POGO.origin}`);
});
