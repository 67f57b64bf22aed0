// One hub: gRPC, native sessions and Pusher's clients and API on the same channels, each in its
// own form; what ends a session ends pusher-js too, and it does the right thing then.

const assert = require("node:assert/strict");
const { test } = require("node:test");
const Pusher = require("pusher-js");
const kit = require("./kit");

const AUTH = `http://127.0.0.1:${kit.port}/pusher/auth?app=${kit.app.key}`;
const { publisher, sessions } = kit.control();

/// A pusher-js of today, with a token for Pogo's own /pusher/auth.
function client(t, claims, more) {
  const token = kit.token({ caps: { "**": ["*"] }, ...claims });
  const headers = { Authorization: `Bearer ${token}` };
  const channelAuthorization = { endpoint: AUTH, transport: "ajax", headers };
  const pusher = new Pusher(kit.app.key, kit.options({ channelAuthorization, ...more }));
  t.after(() => pusher.disconnect());
  return pusher;
}

async function subscribed(pusher, name) {
  const channel = pusher.subscribe(name);
  await kit.bound(channel, "pusher:subscription_succeeded");
  return channel;
}

/// The codes of a connection's recorded errors.
const codes = (errors) => errors.map(([, { error }]) => error?.data?.code);

const publish = (name, event, data, more) =>
  publisher.Publish({ channels: [name], event, data: Buffer.from(data), ...more });

test("a publication by gRPC reaches both kinds of client in their forms", async (t) => {
  const name = kit.unique("private-items_");
  const channel = await subscribed(client(t), name);
  const found = kit.recorded(channel, "create");
  const native = await kit.Native.connect(t);
  await native.command("channel:subscribe", { channel: name });
  const { receipts } = await publish(name, "create", '{"id":1,"name":"ü"}');
  assert.equal(receipts[0].receivers, 2);
  await kit.until(() => found.length === 1, "the event in pusher-js");
  assert.deepEqual(found[0][1], { id: 1, name: "ü" });
  assert.deepEqual((await native.event("create")).data, { id: 1, name: "ü" });
});

test("a native client's publication and the API's reach both too", async (t) => {
  const name = kit.unique("private-items_");
  const found = kit.recorded(await subscribed(client(t), name), "said");
  const native = await kit.Native.connect(t);
  await native.command("channel:subscribe", { channel: name });
  await native.command("said", { channel: name, data: [1, "two"] });
  await kit.library().trigger(name, "said", { three: 3 });
  await kit.library().trigger(name, "said", "no JSON");
  await kit.until(() => found.length === 3, "the events in pusher-js");
  assert.deepEqual(found.map(([, data]) => data), [[1, "two"], { three: 3 }, "no JSON"]);
  const pushes = [];
  while (pushes.length < 3) pushes.push((await native.event("said")).data);
  assert.deepEqual(pushes, [[1, "two"], { three: 3 }, "no JSON"]);
});

test("a client event of pusher-js reaches native clients", async (t) => {
  const name = kit.unique("private-items_");
  const channel = await subscribed(client(t), name);
  const native = await kit.Native.connect(t);
  await native.command("channel:subscribe", { channel: name });
  assert.equal(channel.trigger("client-typing", { who: "ann" }), true);
  assert.deepEqual((await native.event("client-typing")).data, { who: "ann" });
});

test("presence is one: members by subject and by user_id", async (t) => {
  const name = kit.unique("presence-room_");
  const native = await kit.Native.connect(t, { sub: "nat", info: { name: "Nat" } });
  await native.command("channel:subscribe", { channel: name });
  const channel = await subscribed(client(t, { sub: "pia", info: { name: "Pia" } }), name);
  assert.deepEqual(Object.keys(channel.members.members).sort(), ["nat", "pia"]);
  assert.deepEqual(channel.members.get("nat").info, { name: "Nat" });
  assert.equal(channel.members.me.id, "pia");
  assert.equal((await native.event("pogo:join")).data.subject, "pia");
  native.socket.close();
  const gone = await kit.bound(channel, "pusher:member_removed");
  assert.equal(gone.id, "nat");
});

test("a ttl that has passed reaches nobody", async (t) => {
  const name = kit.unique("private-items_");
  const found = kit.recorded(await subscribed(client(t), name), "late", "in-time");
  await publish(name, "late", "1", { ttl: { seconds: 0, nanos: 1 } });
  await publish(name, "in-time", "2", { ttl: { seconds: 30, nanos: 0 } });
  await kit.until(() => found.length > 0, "the event");
  assert.deepEqual(found, [["in-time", 2]]);
});

test("revocation of the token closes pusher-js for good, with 4009", async (t) => {
  const id = kit.unique("token-");
  const pusher = client(t, { sub: "eve", jti: id });
  await subscribed(pusher, kit.unique("private-items_"));
  const states = kit.recorded(pusher.connection, "state_change");
  const errors = kit.recorded(pusher.connection, "error");
  const answer = await sessions.RevokeSessions({ token_id: id, reason: "test" });
  assert.equal(answer.sessions_closed, 1);
  await kit.until(() => pusher.connection.state === "disconnected", "the end");
  assert.ok(codes(errors).includes(4009), JSON.stringify(errors));
  await new Promise((resolve) => setTimeout(resolve, 1_500));
  assert.equal(states.some(([, { current }]) => current === "connecting"), false);
});

test("a session ends with its token, and pusher-js comes back at once", async (t) => {
  const now = Math.floor(Date.now() / 1000);
  const pusher = client(t, { exp: now + 2 });
  await subscribed(pusher, kit.unique("private-items_"));
  const first = pusher.connection.socket_id;
  await kit.bound(pusher.connection, "connected");
  assert.notEqual(pusher.connection.socket_id, first);
});

test("a drain sends pusher-js on to whoever listens next", async (t) => {
  const edge = await kit.freePort();
  const old = await kit.pogo(t, edge);
  const pusher = client(t, {}, { wsPort: edge });
  const name = kit.unique("news-");
  const channel = await subscribed(pusher, name);
  const errors = kit.recorded(pusher.connection, "error");
  const found = kit.recorded(channel, "said");
  old.child.kill("SIGTERM");
  await kit.until(() => pusher.connection.state !== "connected", "the close");
  assert.equal((await old.exited)[0], 0);
  await kit.pogo(t, edge);
  await kit.until(() => pusher.connection.state === "connected" && channel.subscribed, "its return", 30);
  await kit.library({ port: edge }).trigger(name, "said", { back: true });
  await kit.until(() => found.length === 1, "an event");
  assert.ok(codes(errors).includes(4200), JSON.stringify(errors));
});
