// What the specs take for `pusher_integration`: pusher-js itself, led to the server under test.
// The specs name Pusher's clusters; hosts and ports are all that is added.

const Pusher = require("core/pusher.js");

module.exports = class PusherLocal extends Pusher {
  constructor(key, options) {
    const port = Number(process.env.EDGE_PORT);
    super(key, {
      wsHost: "127.0.0.1",
      wsPort: port,
      wssPort: port,
      httpHost: "127.0.0.1",
      httpPort: port,
      httpsPort: port,
      ...options,
    });
  }
};
