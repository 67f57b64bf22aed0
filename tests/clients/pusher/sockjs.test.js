// Old pusher-js in a page that has no WebSocket: SockJS, as their packages bring it.

const assert = require("node:assert/strict");
const { test } = require("node:test");
const kit = require("./kit");

const VERSIONS = { "3.0.0": "dist/pusher.js", "3.2.4": "dist/web/pusher.js" };

for (const [version, script] of Object.entries(VERSIONS)) {
  test(`pusher-js ${version} over SockJS`, async (t) => {
    // SockJS takes pages of the same origin for the easy case.
    const origin = `http://127.0.0.1:${kit.port}/`;
    const window = kit.page(t, origin, `pusher-js-${version}/${script}`);
    window.WebSocket = undefined;
    const pusher = new window.Pusher(kit.app.key, {
      ...kit.options(),
      enabledTransports: ["sockjs"],
    });
    t.after(() => pusher.disconnect());
    const name = kit.unique("items_");
    const channel = pusher.subscribe(name);
    const found = kit.recorded(channel, "create");
    await kit.bound(channel, "pusher:subscription_succeeded");
    await kit.library().trigger(name, "create", { name: "ü\u2028" });
    await kit.library().trigger(name, "create", { name: "two" });
    await kit.until(() => found.length === 2, "the events");
    assert.deepEqual(found.map(([, { name }]) => name), ["ü\u2028", "two"]);
  });
}
