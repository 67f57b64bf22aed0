// pusher-js's own configuration for its specs in Node, with our entry and aliases. This folder
// stands as `pogo/` in that of the package.

const path = require("node:path");
const base = require("../spec/config/jasmine/webpack.integration.js");

module.exports = {
  ...base,
  entry: { pusher: path.join(__dirname, "index.local.js") },
  resolve: {
    ...base.resolve,
    alias: {
      ...base.resolve.alias,
      pusher_integration: path.join(__dirname, "pusher_local.js"),
      integration: path.join(__dirname, "integration_local.js"),
    },
  },
  module: {
    rules: base.module.rules.map((rule) =>
      // Types are not checked: those of React Native, which it never runs, are 200 MB.
      rule.loader === "ts-loader" ? { ...rule, options: { transpileOnly: true } } : rule,
    ),
  },
};
