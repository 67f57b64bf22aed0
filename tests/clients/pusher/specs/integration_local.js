// The specs' helper `integration`, with the auth server where there was a free port.

const integration = require("node/integration");

module.exports = {
  ...integration,
  API_URL: `http://127.0.0.1:${process.env.AUTH_PORT}`,
  API_EU_URL: `http://127.0.0.1:${process.env.AUTH_EU_PORT}`,
};
