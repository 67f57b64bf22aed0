// What the tests of this folder share: the app's server library, tokens, conditions to wait for,
// pages with a pusher-js of some age, a native client, the control plane, and servers of their own.

const { createHmac } = require("node:crypto");
const { once } = require("node:events");
const { spawn } = require("node:child_process");
const fs = require("node:fs");
const http = require("node:http");
const path = require("node:path");
const { JSDOM, ResourceLoader, VirtualConsole } = require("jsdom");
const WebSocket = require("ws");
const grpc = require("@grpc/grpc-js");
const protoLoader = require("@grpc/proto-loader");
const PusherHttp = require("pusher");

const SECONDS = 10;
const env = process.env;
const port = Number(env.EDGE_PORT);
const app = { appId: env.APP_ID, key: env.APP_KEY, secret: env.APP_SECRET };

const library = (more) =>
  new PusherHttp({ ...app, host: "127.0.0.1", port, useTLS: false, ...more });

let names = 0;
const unique = (prefix) => `${prefix}${process.pid}-${++names}`;

/// A Pogo token; a claim that is undefined is left out.
function token(claims = {}) {
  const now = Math.floor(Date.now() / 1000);
  const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const body = { sub: "ann", iat: now, exp: now + 300, ...claims };
  const signed = `${part({ alg: "HS256", typ: "JWT" })}.${part(body)}`;
  const signature = createHmac("sha256", env.POGO_TOKEN_SECRET).update(signed).digest("base64url");
  return `${signed}.${signature}`;
}

async function within(promise, what, seconds = SECONDS) {
  let timer;
  const late = new Promise((_, refuse) => {
    timer = setTimeout(() => refuse(new Error(`waited ${seconds} s for ${what}`)), seconds * 1000);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/// The value of `check` once it is true.
async function until(check, what, seconds = SECONDS) {
  const end = Date.now() + seconds * 1000;
  for (;;) {
    const value = check();
    if (value) return value;
    if (Date.now() > end) throw new Error(`waited ${seconds} s for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/// The data of `emitter`'s next `event`: of a pusher-js channel, or of its connection.
const bound = (emitter, event) =>
  within(new Promise((resolve) => emitter.bind(event, resolve)), event);

/// Keeps what comes of `events`, in order, as [event, data].
function recorded(emitter, ...events) {
  const found = [];
  for (const event of events) emitter.bind(event, (data) => found.push([event, data]));
  return found;
}

const options = (more) => ({
  wsHost: "127.0.0.1",
  wsPort: port,
  httpHost: "127.0.0.1",
  httpPort: port,
  forceTLS: false,
  encrypted: false,
  disableStats: true,
  cluster: "mt1",
  enabledTransports: ["ws"],
  ...more,
});

/// Lets pages reach this machine only.
class Here extends ResourceLoader {
  fetch(url, options) {
    const here = new URL(url).hostname === "127.0.0.1";
    return here ? super.fetch(url, options) : Promise.reject(new Error(`not here: ${url}`));
  }
}

/// A browser's page at `url`; `scripts` are files of packages. Scripts it adds are loaded and run.
function page(test, url, ...scripts) {
  const virtualConsole = new VirtualConsole();
  virtualConsole.on("jsdomError", (error) => {
    if (!/Not implemented/.test(error.message)) console.error(error.message);
  });
  const dom = new JSDOM("<!doctype html><head></head><body></body>", {
    url,
    runScripts: "dangerously",
    resources: new Here(),
    pretendToBeVisual: true,
    virtualConsole,
  });
  test.after(() => dom.window.close());
  for (const script of scripts) {
    dom.window.eval(fs.readFileSync(path.join(env.NODE_PATH, script), "utf8"));
  }
  return dom.window;
}

/// A session of the native protocol.
class Native {
  static async connect(test, claims) {
    const native = new Native();
    const protocols = ["pogo.v1.json", `pogo.bearer.${token({ caps: { "**": ["*"] }, ...claims })}`];
    native.socket = new WebSocket(`ws://127.0.0.1:${port}/ws`, protocols);
    native.frames = [];
    native.socket.on("message", (text) => native.frames.push(JSON.parse(text)));
    native.closed = once(native.socket, "close").then(([code]) => code);
    test.after(() => native.socket.terminate());
    native.id = (await native.event("pogo:welcome")).data.session;
    return native;
  }

  /// The next frame with that event; those before it are gone.
  async event(name) {
    const at = await until(
      () => this.frames.findIndex((frame) => frame.event === name) + 1,
      `${name} on a native session`,
    );
    return this.frames.splice(0, at).at(-1);
  }

  async command(event, fields = {}) {
    const id = unique("c");
    this.socket.send(JSON.stringify({ id, event, ...fields }));
    const found = await until(() => this.frames.find((frame) => frame.id === id), event);
    this.frames = this.frames.filter((frame) => frame !== found);
    if (found.status !== "ok") throw new Error(JSON.stringify(found));
    return found.data;
  }
}

/// The control plane's services, whose methods return promises.
function control() {
  const definition = protoLoader.loadSync(
    ["publisher", "sessions", "channels"].map((name) => `pogo/v1/${name}.proto`),
    {
      keepCase: true,
      longs: Number,
      defaults: true,
      includeDirs: [path.join(__dirname, "../../../proto"), env.GOOGLE_PROTOS],
    },
  );
  const { pogo } = grpc.loadPackageDefinition(definition);
  const metadata = new grpc.Metadata();
  metadata.set("authorization", `Bearer ${env.POGO_CONTROL_KEY}`);
  const service = (Client) => {
    const client = new Client(env.POGO_CONTROL, grpc.credentials.createInsecure());
    const call = (method) => (request) =>
      new Promise((resolve, refuse) => {
        const deadline = new Date(Date.now() + SECONDS * 1000);
        client[method](request, metadata, { deadline }, (error, answer) =>
          error ? refuse(error) : resolve(answer),
        );
      });
    return new Proxy(client, { get: (_, method) => call(method) });
  };
  const { Publisher, Sessions, Channels } = pogo.v1;
  return {
    publisher: service(Publisher),
    sessions: service(Sessions),
    channels: service(Channels),
  };
}

/// A plain HTTP server on a free port, which ends with the test: `answer(request, body, response)`.
async function serve(test, answer) {
  const server = http.createServer(async (request, response) => {
    let body = "";
    for await (const part of request) body += part;
    answer(request, body, response);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  test.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${server.address().port}`;
}

async function freePort() {
  const server = http.createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  await once(server, "close");
  return port;
}

/// A Pogo of the test's own, at `edge`, ready.
async function pogo(test, edge) {
  const [controlPort, admin] = [await freePort(), await freePort()];
  const listen = { edge, control: controlPort, admin };
  const set = Object.entries(listen).flatMap(([name, port]) => [
    "--set",
    `${name}.listen="127.0.0.1:${port}"`,
  ]);
  const clean = Object.fromEntries(Object.entries(env).filter(([name]) => !name.startsWith("POGO")));
  const child = spawn(env.POGO_BIN, ["serve", "--config", env.POGO_CONFIG, ...set], {
    env: clean,
    stdio: "ignore",
  });
  const exited = once(child, "exit");
  test.after(() => child.kill("SIGKILL"));
  const ready = () =>
    fetch(`http://127.0.0.1:${admin}/readyz`).then((answer) => answer.ok, () => false);
  const end = Date.now() + SECONDS * 1000;
  while (!(await ready())) {
    if (Date.now() > end) throw new Error("the server is not ready");
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return { child, exited };
}

module.exports = {
  Native, app, bound, control, freePort, library, options, page, pogo, port, recorded, serve, token,
  unique, until, within,
};
