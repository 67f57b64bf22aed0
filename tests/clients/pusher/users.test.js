// What pusher-js's own specs leave out: signed-in users, cache channels, counts, limits.

const assert = require("node:assert/strict");
const { test } = require("node:test");
const Pusher = require("pusher-js");
const kit = require("./kit");

const user = (name) => ({ id: name, user_info: { name } });

/// A pusher-js whose app signs it in as `name`, watching `watchlist`.
function client(t, name, watchlist) {
  const pusher = new Pusher(
    kit.app.key,
    kit.options({
      userAuthentication: {
        customHandler: ({ socketId }, done) =>
          done(null, kit.library().authenticateUser(socketId, { ...user(name), watchlist })),
      },
      channelAuthorization: {
        // Nothing about the member: a signed-in user is one already.
        customHandler: ({ socketId, channelName }, done) =>
          done(null, kit.library().authorizeChannel(socketId, channelName)),
      },
    }),
  );
  t.after(() => pusher.disconnect());
  return pusher;
}

async function signedIn(t, name, watchlist) {
  const pusher = client(t, name, watchlist);
  pusher.signin();
  await kit.within(pusher.user.signinDonePromise, "sign-in");
  await kit.until(() => pusher.user.serverToUserChannel?.subscribed, "the user's own channel");
  return pusher;
}

test("a signed-in user is sent to, and terminated for good", async (t) => {
  const name = kit.unique("user-");
  const pushers = [await signedIn(t, name), await signedIn(t, name)];
  const found = pushers.map((pusher) => kit.recorded(pusher.user, "hello"));
  await kit.library().sendToUser(name, "hello", { n: 1 });
  await kit.until(() => found.every((one) => one.length === 1), "the event");
  assert.deepEqual(found[0], [["hello", { n: 1 }]]);
  await kit.library().terminateUserConnections(name);
  await kit.until(() => pushers.every((p) => p.connection.state === "disconnected"), "the end");
});

test("a watchlist tells who is online, once for each user", async (t) => {
  const [ann, bob, cy] = ["ann", "bob", "cy"].map(kit.unique);
  await signedIn(t, bob);
  const watching = client(t, ann, [bob, cy]);
  const found = kit.recorded(watching.user.watchlist, "online", "offline");
  watching.signin();
  await kit.until(() => found.length === 2, "who is there");
  assert.deepEqual(found.sort().map(([event, { user_ids }]) => [event, user_ids]), [
    ["offline", [cy]],
    ["online", [bob]],
  ]);
  found.length = 0;
  const theirs = [await signedIn(t, cy), await signedIn(t, cy)];
  await kit.until(() => found.length === 1, "coming");
  theirs[0].disconnect();
  theirs[1].disconnect();
  await kit.until(() => found.length === 2, "going");
  assert.deepEqual(found, [
    ["online", { name: "online", user_ids: [cy] }],
    ["offline", { name: "offline", user_ids: [cy] }],
  ]);
});

test("a signed-in user is a member without channel_data", async (t) => {
  const name = kit.unique("user-");
  const pusher = await signedIn(t, name);
  const channel = pusher.subscribe(kit.unique("presence-room_"));
  await kit.bound(channel, "pusher:subscription_succeeded");
  assert.deepEqual(channel.members.me, { id: name, info: { name } });
});

test("a cache channel gives the last event, or says that there is none", async (t) => {
  const name = kit.unique("cache-items_");
  const first = client(t, "ann").subscribe(name);
  await kit.bound(first, "pusher:cache_miss");
  await kit.library().trigger(name, "price", { n: 1 });
  await kit.library().trigger(name, "price", { n: 2 });
  const second = client(t, "bob").subscribe(name);
  const found = kit.recorded(second, "price", "pusher:cache_miss");
  await kit.until(() => found.length > 0, "the last event");
  assert.deepEqual(found, [["price", { n: 2 }]]);
});

test("subscribers are counted", async (t) => {
  const name = kit.unique("items_");
  const first = client(t, "ann").subscribe(name);
  await kit.until(() => first.subscriptionCount === 1, "one");
  const other = client(t, "bob");
  other.subscribe(name);
  await kit.until(() => first.subscriptionCount === 2, "two");
  other.unsubscribe(name);
  await kit.until(() => first.subscriptionCount === 1, "one again");
});

test("more than ten client events a second are refused, and the connection stays", async (t) => {
  const name = kit.unique("private-items_");
  const pusher = client(t, "ann");
  const channel = pusher.subscribe(name);
  await kit.bound(channel, "pusher:subscription_succeeded");
  const errors = kit.recorded(pusher.connection, "error");
  for (let n = 0; n < 12; n++) channel.trigger("client-typing", { n });
  await kit.until(() => errors.length === 2, "two errors");
  assert.deepEqual(errors.map(([, error]) => (error.error ?? error).data.code), [4301, 4301]);
  assert.equal(pusher.connection.state, "connected");
});

test("a key that no app has is told so once", async (t) => {
  const pusher = new Pusher("nobody", kit.options());
  t.after(() => pusher.disconnect());
  const error = await kit.bound(pusher.connection, "error");
  assert.equal(error.error.data.code, 4001);
  await kit.until(() => pusher.connection.state === "disconnected", "the end");
});
