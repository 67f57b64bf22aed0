// Starts pusher-js's own auth server for its specs, unmodified, given as the first argument. It
// listens on 3000 and 3001 and talks to Pusher's clusters: here on free ports, to our server.

const { createRequire } = require("node:module");
const http = require("node:http");

const theirs = createRequire(process.argv[2]);
const path = theirs.resolve("pusher");
const Pusher = theirs(path);
theirs.cache[path].exports = class extends Pusher {
  constructor({ cluster, ...options }) {
    super({ ...options, host: "127.0.0.1", port: process.env.EDGE_PORT, useTLS: false });
  }
};

const ports = { 3000: process.env.AUTH_PORT, 3001: process.env.AUTH_EU_PORT };
const listen = http.Server.prototype.listen;
http.Server.prototype.listen = function (port, ...rest) {
  return listen.call(this, ports[port] ?? port, "127.0.0.1", ...rest);
};

theirs(process.argv[2]);
