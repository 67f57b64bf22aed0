// A blog's REST API over a table in memory, as small as they come. `node api.js`, nothing to install.
'use strict';

const fs = require('node:fs');
const http = require('node:http');
const path = require('node:path');

const PORT = Number(process.env.PORT ?? 3000);
const MAX_BODY = 64 * 1024;
const FIELDS = ['title', 'text', 'status'];

const posts = new Map();
let lastId = 0;

function save(post, fields) {
  for (const name of FIELDS) {
    if (name in fields) post[name] = String(fields[name]);
  }
  post.version += 1;
  posts.set(post.id, post);
  return post;
}

function create(fields) {
  lastId += 1;
  return save({ id: lastId, title: '', text: '', status: 'draft', version: 0 }, fields);
}

create({ title: 'Hello', text: 'The first post.', status: 'published' });
create({ title: 'Unfinished', text: 'There is more to come.' });

function list(query) {
  const status = query.get('status');
  return [...posts.values()].filter((post) => !status || post.status === status);
}

async function json(request) {
  const chunks = [];
  let size = 0;
  for await (const chunk of request) {
    size += chunk.length;
    if (size > MAX_BODY) throw Object.assign(new Error('The body is too long.'), { status: 413 });
    chunks.push(chunk);
  }
  try {
    const value = JSON.parse(Buffer.concat(chunks).toString() || '{}');
    if (value && typeof value === 'object' && !Array.isArray(value)) return value;
  } catch { /* said below */ }
  throw Object.assign(new Error('The body is not a JSON object.'), { status: 400 });
}

function invalid(fields) {
  return 'title' in fields && !String(fields.title).trim();
}

async function answer(request, url) {
  const one = /^\/posts\/(\d+)$/.exec(url.pathname);
  const post = one && posts.get(Number(one[1]));
  if (url.pathname === '/posts') {
    if (request.method === 'GET') return [200, list(url.searchParams)];
    if (request.method !== 'POST') return [405, { error: 'GET or POST' }];
    const fields = await json(request);
    if (!('title' in fields) || invalid(fields)) return [422, { title: ['is missing'] }];
    const made = create(fields);
    return [201, made, { location: `/posts/${made.id}` }];
  }
  if (!post) return [404, { error: 'not found' }];
  if (request.method === 'GET') return [200, post];
  if (request.method === 'DELETE') {
    posts.delete(post.id);
    return [204];
  }
  if (request.method !== 'PATCH') return [405, { error: 'GET, PATCH or DELETE' }];
  const fields = await json(request);
  if (invalid(fields)) return [422, { title: ['is missing'] }];
  return posts.has(post.id) ? [200, save(post, fields)] : [404, { error: 'not found' }];
}

async function respond(request, response) {
  const url = new URL(request.url, 'http://localhost');
  if (url.pathname === '/' && request.method === 'GET') {
    response.writeHead(200, { 'content-type': 'text/html; charset=utf-8' });
    fs.createReadStream(path.join(__dirname, 'page.html')).pipe(response);
    return;
  }
  let result;
  try {
    result = await answer(request, url);
  } catch (error) {
    if (!error.status) throw error;
    result = [error.status, { error: error.message }];
  }
  const [status, body, headers] = result;
  console.log(`${request.method} ${request.url} ${status}`);
  response.writeHead(status, body ? { 'content-type': 'application/json', ...headers } : headers);
  response.end(body && JSON.stringify(body));
}

http.createServer((request, response) => {
  respond(request, response).catch((error) => {
    console.error(error);
    if (!response.headersSent) response.writeHead(500);
    response.end();
  });
}).listen(PORT, '127.0.0.1', () => console.log(`The blog is at http://localhost:${PORT}`));
