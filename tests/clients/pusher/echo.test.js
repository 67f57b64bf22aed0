// Laravel Echo over pusher-js in a page, as a Laravel app has it: an endpoint that signs by the
// server library, events published through the HTTP API.

const assert = require("node:assert/strict");
const { test } = require("node:test");
const kit = require("./kit");

const EVENT = "App\\Events\\ItemShipped";

/// What Laravel's /broadcasting/auth does: who asks is in a header here, in a session there.
function broadcastingAuth(request, body, response) {
  if (request.method !== "POST") return response.end();
  const form = new URLSearchParams(body);
  const [socket, channel] = [form.get("socket_id"), form.get("channel_name")];
  const user = request.headers["x-user"];
  if (channel.includes("forbidden")) {
    response.statusCode = 403;
    return response.end();
  }
  const member = { user_id: Number(user), user_info: { id: Number(user), name: `user ${user}` } };
  const data = channel.startsWith("presence-") ? member : undefined;
  response.setHeader("content-type", "application/json");
  response.end(JSON.stringify(kit.library().authorizeChannel(socket, channel, data)));
}

async function echo(t, user) {
  const site = await kit.serve(t, broadcastingAuth);
  const window = kit.page(t, `${site}/`, "pusher-js/dist/web/pusher.js", "laravel-echo/dist/echo.iife.js");
  const made = new window.Echo.default({
    broadcaster: "pusher",
    key: kit.app.key,
    ...kit.options(),
    authEndpoint: "/broadcasting/auth",
    auth: { headers: { "X-User": String(user) } },
  });
  t.after(() => made.disconnect());
  return made;
}

const subscribed = (channel) => kit.within(new Promise((done) => channel.subscribed(done)), "subscribed");

test("a public channel", async (t) => {
  const [client, name] = [await echo(t, 1), kit.unique("items-")];
  const channel = client.channel(name);
  await subscribed(channel);
  const got = new Promise((done) => channel.listen("ItemShipped", done));
  await kit.library().trigger(name, EVENT, { id: 7, name: "ü" });
  assert.deepEqual({ ...(await kit.within(got, "the event")) }, { id: 7, name: "ü" });
});

test("a private channel, whispers and toOthers", async (t) => {
  const [ann, bob, name] = [await echo(t, 1), await echo(t, 2), kit.unique("items.")];
  const channels = [ann.private(name), bob.private(name)];
  await Promise.all(channels.map(subscribed));
  const found = [[], []];
  channels.forEach((channel, i) => {
    channel.listen("ItemShipped", (data) => found[i].push(data.id));
    channel.listenForWhisper("typing", (data) => found[i].push(data.name));
  });
  channels[0].whisper("typing", { name: "Ann" });
  await kit.until(() => found[1].length === 1, "the whisper");
  await kit.library().trigger(`private-${name}`, EVENT, { id: 1 }, { socket_id: ann.socketId() });
  await kit.library().trigger(`private-${name}`, EVENT, { id: 2 });
  await kit.until(() => found[0].length === 1 && found[1].length === 3, "the events");
  assert.deepEqual(found, [[2], ["Ann", 1, 2]]);
});

test("a private channel that is refused", async (t) => {
  const channel = (await echo(t, 1)).private(kit.unique("forbidden."));
  const error = await kit.within(new Promise((told) => channel.error(told)), "the error");
  assert.equal(error.status, 403);
});

test("presence: here, joining, leaving, whisper", async (t) => {
  const [ann, bob, name] = [await echo(t, 1), await echo(t, 2), kit.unique("room.")];
  const found = [];
  const room = ann.join(name);
  room
    .here((users) => found.push(["here", users.map((user) => user.name)]))
    .joining((user) => found.push(["joining", user.name]))
    .leaving((user) => found.push(["leaving", user.name]))
    .listenForWhisper("typing", (data) => found.push(["typing", data.n]))
    .listen("ItemShipped", (data) => found.push(["shipped", data.id]));
  await kit.until(() => found.length === 1, "here");
  const theirs = bob.join(name);
  const here = await kit.within(new Promise((done) => theirs.here(done)), "the other's here");
  assert.deepEqual([...here].map((user) => user.id).sort(), [1, 2]);
  theirs.whisper("typing", { n: 1 });
  await kit.until(() => found.length === 3, "joining and the whisper");
  await kit.library().trigger(`presence-${name}`, EVENT, { id: 9 });
  await kit.until(() => found.length === 4, "the event");
  bob.leave(name);
  await kit.until(() => found.length === 5, "leaving");
  assert.deepEqual(JSON.parse(JSON.stringify(found)), [
    ["here", ["user 1"]],
    ["joining", "user 2"],
    ["typing", 1],
    ["shipped", 9],
    ["leaving", "user 2"],
  ]);
});

test("an encrypted channel", async (t) => {
  const key = Buffer.alloc(32, 7).toString("base64");
  const library = kit.library({ encryptionMasterKeyBase64: key });
  const site = await kit.serve(t, (request, body, response) => {
    const form = new URLSearchParams(body);
    const signed = library.authorizeChannel(form.get("socket_id"), form.get("channel_name"));
    response.end(JSON.stringify(signed));
  });
  const scripts = ["pusher-js/dist/web/pusher-with-encryption.js", "laravel-echo/dist/echo.iife.js"];
  const window = kit.page(t, `${site}/`, ...scripts);
  // jsdom has neither; every browser has both.
  Object.assign(window, { TextEncoder, TextDecoder });
  const client = new window.Echo.default({
    broadcaster: "pusher",
    key: kit.app.key,
    ...kit.options(),
    authEndpoint: "/auth",
  });
  t.after(() => client.disconnect());
  const name = kit.unique("items.");
  const channel = client.encryptedPrivate(name);
  await subscribed(channel);
  const got = new Promise((done) => channel.listen("ItemShipped", done));
  await library.trigger(`private-encrypted-${name}`, EVENT, { secret: 42 });
  assert.equal((await kit.within(got, "the event")).secret, 42);
});
