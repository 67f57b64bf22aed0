// pusher-js of four ages in a page, with a Pogo token for a password: `private-items_1` opened
// through Pogo's own /pusher/auth by JSONP, then create, update and delete.

const assert = require("node:assert/strict");
const { test } = require("node:test");
const kit = require("./kit");

const VERSIONS = {
  "3.0.0": "dist/pusher.js",
  "3.2.4": "dist/web/pusher.js",
  "5.0.0": "dist/web/pusher.js",
  "7.6.0": "dist/web/pusher.js",
};
const CHANNEL = "private-items_1";
const EVENTS = ["create", "update", "delete"];

function client(t, version, endpoint, more) {
  const window = kit.page(t, "http://cloud.example/", `pusher-js-${version}/${VERSIONS[version]}`);
  const { Pusher } = window;
  // The seed's way; later versions take the option.
  Pusher.channel_auth_transport = "jsonp";
  Pusher.channel_auth_endpoint = endpoint;
  const options = { authEndpoint: endpoint, authTransport: "jsonp", ...more };
  const pusher = new Pusher(kit.app.key, kit.options(version === "3.0.0" ? more : options));
  t.after(() => pusher.disconnect());
  return pusher;
}

/// With a query of its own, to which pusher-js 3.0.0 appends `?callback=…` all the same.
const endpoint = (token) =>
  `http://127.0.0.1:${kit.port}/pusher/auth?app=${kit.app.key}&token=${token}`;
const allowed = { caps: { "private-items_*": ["subscribe"] } };

for (const version of Object.keys(VERSIONS)) {
  test(`pusher-js ${version}: items come live, by JSONP`, async (t) => {
    const pusher = client(t, version, endpoint(kit.token(allowed)));
    const channel = pusher.subscribe(CHANNEL);
    const found = kit.recorded(channel, ...EVENTS);
    await kit.bound(channel, "pusher:subscription_succeeded");
    const item = { href: "http://my.cl.ly/items/4257111", name: "CloudApp – ü", view_counter: 0 };
    for (const event of EVENTS) await kit.library().trigger(CHANNEL, event, item);
    await kit.until(() => found.length === 3, "the events");
    assert.deepEqual(
      JSON.parse(JSON.stringify(found)),
      EVENTS.map((event) => [event, item]),
    );
  });

  test(`pusher-js ${version}: a token without the capability opens nothing`, async (t) => {
    const pusher = client(t, version, endpoint(kit.token({ caps: { other: ["*"] } })));
    const found = kit.recorded(pusher.subscribe(CHANNEL), "pusher:subscription_succeeded");
    // Refused JSONP says nothing; a public channel that is asked for later is open before long.
    const open = pusher.subscribe(kit.unique("open-"));
    await kit.bound(open, "pusher:subscription_succeeded");
    await new Promise((resolve) => setTimeout(resolve, 300));
    assert.deepEqual(found, []);
  });
}
