// What the app knows of Pusher: publishing an event by the HTTP API, and letting a user onto
// channels. Any of the pusher-http libraries does the first; this is what they do.

const crypto = require("node:crypto");

/** Publishes `data` as `event` on `channel` of the app `{ url, id, key, secret }`. */
exports.trigger = async function trigger(app, channel, event, data) {
  const body = JSON.stringify({ name: event, channels: [channel], data: JSON.stringify(data) });
  const path = `/apps/${app.id}/events`;
  const query = [
    `auth_key=${app.key}`,
    `auth_timestamp=${Math.floor(Date.now() / 1000)}`,
    "auth_version=1.0",
    `body_md5=${crypto.createHash("md5").update(body).digest("hex")}`,
  ].join("&");
  const signature = crypto
    .createHmac("sha256", app.secret)
    .update(`POST\n${path}\n${query}`)
    .digest("hex");
  const answer = await fetch(`${app.url}${path}?${query}&auth_signature=${signature}`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body,
  });
  if (!answer.ok) throw new Error(`${answer.status}: ${await answer.text()}`);
};

/** A Pogo token (a JWT) for `user`, who may subscribe to `channels` for the next `seconds`. */
exports.token = function token(secret, user, channels, seconds) {
  const now = Math.floor(Date.now() / 1000);
  const caps = Object.fromEntries(channels.map((name) => [name, ["subscribe"]]));
  const parts = [
    { alg: "HS256", typ: "JWT" },
    { sub: user, iat: now, exp: now + seconds, caps },
  ];
  const text = parts.map((part) => Buffer.from(JSON.stringify(part)).toString("base64url"));
  const signed = text.join(".");
  const signature = crypto.createHmac("sha256", secret).update(signed).digest("base64url");
  return `${signed}.${signature}`;
};
