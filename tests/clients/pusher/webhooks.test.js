// Pusher's own verifier against webhooks that Pogo sends.

const assert = require("node:assert/strict");
const { test } = require("node:test");
const http = require("node:http");
const Pusher = require("pusher-js");
const kit = require("./kit");

test("the npm library takes Pogo's webhooks for Pusher's", async (t) => {
  const [events, bad] = [[], []];
  const receiver = http.createServer(async (request, response) => {
    let body = "";
    for await (const part of request) body += part;
    const { headers } = request;
    const webhook = kit.library().webhook({ headers, rawBody: body });
    const age = Math.abs(webhook.getTime() - Date.now());
    if (webhook.isContentTypeValid() && webhook.isValid() && age < 60_000) {
      events.push(...webhook.getEvents());
    } else {
      bad.push({ headers, body });
    }
    response.end();
  });
  receiver.listen(Number(process.env.WEBHOOK_PORT), "127.0.0.1");
  t.after(() => {
    receiver.closeAllConnections();
    receiver.close();
  });

  const channelAuthorization = {
    customHandler: ({ channelName, socketId }, callback) => {
      const data = channelName.startsWith("presence-") ? { user_id: "7" } : undefined;
      callback(null, kit.library().authorizeChannel(socketId, channelName, data));
    },
  };
  const make = () => new Pusher(kit.app.key, kit.options({ channelAuthorization }));
  const [pusher, other] = [make(), make()];
  t.after(() => pusher.disconnect());
  t.after(() => other.disconnect());
  const name = kit.unique("presence-room_");
  const channel = pusher.subscribe(name);
  await kit.bound(channel, "pusher:subscription_succeeded");
  channel.trigger("client-typing", { who: "ann" });
  const empty = kit.unique("cache-empty_");
  other.subscribe(empty);
  await kit.until(() => pusher.connection.socket_id, "a socket");
  const { socket_id } = pusher.connection;
  const seen = (name, channel) => events.find((e) => e.name === name && e.channel === channel);
  await kit.until(
    () => bad.length || (seen("client_event", name) && seen("cache_miss", empty)),
    "webhooks",
  );
  assert.deepEqual(bad, []);
  assert.deepEqual(seen("channel_occupied", name), { name: "channel_occupied", channel: name });
  assert.deepEqual(seen("member_added", name), { name: "member_added", channel: name, user_id: "7" });
  assert.deepEqual(seen("client_event", name), {
    name: "client_event",
    channel: name,
    event: "client-typing",
    data: JSON.stringify({ who: "ann" }),
    socket_id,
    user_id: "7",
  });
  pusher.disconnect();
  await kit.until(() => seen("member_removed", name) && seen("channel_vacated", name), "the end");
  assert.deepEqual(bad, []);
});
