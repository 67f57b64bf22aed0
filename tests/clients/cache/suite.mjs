// Runs http-cache-tests against a cache and prints, as JSON, what came of each test: ours, and
// what its bundled results say of others.
//
//     node suite.mjs <folder of http-cache-tests> <base url of the cache>

import fs from 'node:fs'
import path from 'node:path'
import { createRequire } from 'node:module'
import { pathToFileURL } from 'node:url'

const [folder, base] = process.argv.slice(2)
const load = name => import(pathToFileURL(path.join(folder, name)).href)
const fetch = createRequire(path.join(folder, 'package.json'))('node-fetch')

const { runTests, getResults } = await load('client/runner.mjs')
const suites = (await load('tests/index.mjs')).default
suites.push((await load('tests/surrogate-control.mjs')).default)

const peers = ['nginx', 'varnish', 'squid'].map(name => {
  const file = path.join(folder, 'results', `${name}.json`)
  return [name, JSON.parse(fs.readFileSync(file, 'utf8'))]
})

/** In one word: `setup` is a test that could not get as far as its question. */
function word (result) {
  if (result === undefined) return 'untested'
  if (result === true) return 'pass'
  return result[0] === 'Setup' ? 'setup' : 'fail'
}

// Who may read an answer depends on Origin (CORS), and Pogo says so in Vary, which the tests compare
// with what their server sent, letter by letter: that one name is taken off again.
async function fetched (url, init) {
  const response = await fetch(url, init)
  const names = (response.headers.get('vary') ?? '').split(/, */)
  if (names.pop() === 'Origin') {
    if (names.length > 0) response.headers.set('vary', names.join(', '))
    else response.headers.delete('vary')
  }
  return response
}

await runTests(suites, fetched, false, base)
const ours = getResults()
const rows = suites.flatMap(suite => suite.tests.filter(test => !test.browser_only).map(test => ({
  id: test.id,
  suite: suite.id,
  name: test.name,
  kind: test.kind ?? 'required',
  pogo: word(ours[test.id]),
  why: ours[test.id] === true ? '' : ours[test.id]?.[1] ?? '',
  ...Object.fromEntries(peers.map(([name, results]) => [name, word(results[test.id])]))
})))
console.log(JSON.stringify(rows))
