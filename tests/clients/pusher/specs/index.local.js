// The specs' entry for Node: all of them, over the transports that the environment names.
// Its own list (index.node.js) has only WebSockets, and TLS.

const transports = process.env.EDGE_TRANSPORTS.split(",");
const specs = require.context("../spec/javascripts/integration/core", true, /_spec$/);
for (const key of specs.keys()) {
  specs(key)(transports.map((transport) => ({ transport, forceTLS: false })));
}
