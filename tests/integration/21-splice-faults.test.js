// What a splice does when its owner dies, when keys differ, at its bounds, and when somebody pretends to be a gateway.
import assert from 'node:assert/strict';
import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { createServer, connect } from 'node:net';
import { join } from 'node:path';
import test from 'node:test';
import { newSecret } from '../../scripts/lib/tokens.mjs';
import { peerLine, sayTo, sealSid } from '../lib/peers.js';
import { startProxy } from '../lib/proxy.js';
import { createConversation } from '../lib/rest.js';
import { askOk, assertIds, assertInOrder, connected, recordEvents, say } from '../lib/sockets.js';
import { atEnd, scratchDir, startStack } from '../lib/stack.js';
import { once, waitFor, within } from '../lib/wait.js';

const lineMs = 600;
const gateways = ['messaging/0', 'messaging/1', 'messaging/2'];
const stack = await startStack({
  messaging: 3,
  notification: 0,
  set: { TERN_PING_INTERVAL_MS: '1000', TERN_PING_TIMEOUT_MS: '4000', TERN_SPLICE_LINE_MS: String(lineMs), TERN_TAIL_FILL_MS: '20000', TERN_DEDUPE_WINDOW_MS: '20000' },
});
const envOf = (name) => stack.record(name).command.env;
const internalPort = (name) => Number(envOf(name).TERN_SPLICE_PORT);
const key = readFileSync(envOf('messaging/0').TERN_SPLICE_KEY_FILE, 'utf8').trim();
const unknown = '{"code":1,"message":"Session ID unknown"}';
const labels = { tern_splices_total: 'result', tern_splice_lines_total: 'result' };
const count = async (name, metric, result) => (await stack.metrics(name))(metric, { [labels[metric]]: result });

/** Starts a gateway again with other settings. */
async function restart(name, env) {
  await stack.kill(name);
  const record = stack.record(name);
  await stack.save(name, { ...record, command: { ...record.command, env: { ...record.command.env, ...env } } });
  await stack.start(name);
}

function keyFile(name, ...keys) {
  const path = join(scratchDir('keys'), name);
  writeFileSync(path, `${keys.join('\n')}\n`, { mode: 0o600 });
  return path;
}

const pathOf = (sid, transport = 'polling') => `/socket.io/?EIO=4&transport=${transport}${sid ? `&sid=${sid}` : ''}`;

/** A session of a gateway, by polling. */
async function openSession(name) {
  const answer = await fetch(`${stack.urlOf(name)}${pathOf()}`);
  return JSON.parse((await answer.text()).slice(1)).sid;
}

/** {status, headers, text, ms} of a poll, or of what options say. */
async function ask(name, sid, options = {}) {
  const from = performance.now();
  const answer = await fetch(`${stack.urlOf(name)}${pathOf(sid)}`, options);
  const text = await answer.text();
  return { status: answer.status, headers: answer.headers, text, ms: performance.now() - from };
}

const post = { method: 'POST', body: '3' };

test('the owner answers through another gateway, once for each connection, and in the same words', async () => {
  const sid = await openSession('messaging/0');
  const direct = await ask('messaging/0', sid, post), spliced = await ask('messaging/1', sid, post);
  assert.deepEqual([spliced.status, spliced.text], [direct.status, direct.text]);
  assert.equal(direct.headers.get('connection'), 'keep-alive');
  assert.equal(spliced.headers.get('connection'), 'close');
  const refused = await ask('messaging/1', sid, { method: 'PUT', body: '3' });
  assert.deepEqual([refused.status, refused.text], [400, '{"code":3,"message":"Bad request"}']);
  await waitFor('it is counted', async () => (await count('messaging/0', 'tern_splice_lines_total', 'accepted')) === 2);
});

test('a poll that its client gives up ends the session on the owner', async () => {
  const sid = await openSession('messaging/0');
  const { hostname, port } = new URL(stack.urlOf('messaging/1'));
  const socket = connect({ host: hostname, port: Number(port) });
  socket.write(`GET ${pathOf(sid)} HTTP/1.1\r\nHost: x\r\n\r\n`);
  await waitFor('the splice', async () => (await stack.metrics('messaging/1'))('tern_splices') === 1);
  await waitFor('the owner has it', async () => (await count('messaging/0', 'tern_splice_lines_total', 'accepted')) === 3);
  await waitFor('it is parked', async () => (await stack.metrics('messaging/0'))('tern_intake_waiting') <= 2);
  socket.destroy();
  await waitFor('the session is gone', async () => (await ask('messaging/0', sid, post)).text === unknown);
  assert.equal((await stack.metrics('messaging/1'))('tern_splices'), 0);
});

test('a large body and a large answer pass whole', async () => {
  const { url } = await startProxy([stack.urlOf('messaging/1'), stack.urlOf('messaging/2')]);
  const id = await createConversation(stack, { owner: 'ada', members: ['bob'] });
  const bob = await connected(stack, 'messaging/0', 'bob', { transports: ['websocket'] });
  const seen = recordEvents(bob);
  await askOk(bob, 'join_conversation', id);
  const ada = await connected(stack, null, 'ada', { url, transports: ['polling'] });
  const back = recordEvents(ada);
  await askOk(ada, 'join_conversation', id);
  const contents = Array.from({ length: 20 }, (_, n) => `${n} ${'é\u{1F426}'.repeat(9000)}`);
  const acks = await Promise.all(contents.map((content) => say(ada, id, content)));
  for (const list of [seen, back]) {
    await waitFor(() => `${contents.length} messages, there are ${list.length}`, () => list.length >= contents.length, 20000);
    assertInOrder(list);
    assertIds(list, acks.sort((a, b) => a.seq - b.seq).map((m) => m.id));
  }
  assert.deepEqual(new Set(seen.map((m) => m.content)), new Set(contents));
  for (const s of [ada, bob]) s.disconnect();
});

test('a lost owner: every client is back with its session on another gateway and misses nothing', async () => {
  const { url } = await startProxy(gateways.map((g) => stack.urlOf(g)));
  const id = await createConversation(stack, { owner: 'ada', members: ['bob', 'cy'] });
  const ada = await connected(stack, 'messaging/0', 'ada', { transports: ['websocket'] });
  await askOk(ada, 'join_conversation', id);
  const clients = [];
  for (let n = 0; n < 12; n++) {
    const socket = await connected(stack, null, n % 2 ? 'bob' : 'cy', { url, ...(n % 2 && { transports: ['polling'] }) });
    clients.push({ socket, seen: recordEvents(socket), sid: socket.id });
    await askOk(socket, 'join_conversation', id);
  }
  const ids = [];
  let going = true;
  const talking = (async () => {
    while (going) ids.push((await say(ada, id, 'meanwhile')).id);
  })();
  for (const { seen } of clients) await waitFor('the talk', () => seen.length > 5);
  await stack.kill('messaging/2');
  for (const { socket } of clients) socket.on('disconnect', () => (socket.wasLost = true));
  await waitFor(() => `some lost their session and came back: ${clients.filter((c) => c.socket.wasLost).length}`, () => clients.some(({ socket }) => socket.wasLost && socket.connected), 20000);
  await waitFor('all are connected', () => clients.every(({ socket }) => socket.connected), 20000);
  going = false;
  await talking;
  for (const { socket, seen, sid } of clients) {
    await waitFor(() => `${ids.length} messages, there are ${seen.length}`, () => seen.length >= ids.length, 20000);
    assertInOrder(seen);
    assertIds(seen, ids.slice(ids.indexOf(seen[0].id)));
    assert.equal(socket.id, sid, 'with the same id');
    if (socket.wasLost) assert.equal(socket.recovered, true);
  }
  for (const { socket } of clients) socket.disconnect();
  ada.disconnect();
  await stack.start('messaging/2');
});

test('a dead owner is answered for at once, in the words that make a client start anew', async () => {
  const sid = await openSession('messaging/2');
  assert.equal((await ask('messaging/0', sid, post)).status, 200);
  await stack.kill('messaging/2');
  const before = await count('messaging/0', 'tern_splices_total', 'unreachable');
  for (const options of [{}, post, { ...post, body: `4${'x'.repeat(300000)}` }, { headers: { Origin: 'https://a.example' } }]) {
    const answer = await ask('messaging/0', sid, options);
    assert.deepEqual([answer.status, answer.text], [400, unknown]);
    assert.ok(answer.ms < 400, `after ${answer.ms} ms`);
    assert.match(answer.headers.get('content-type'), /^application\/json/);
    if (options.headers) assert.ok(answer.headers.get('access-control-allow-origin'), 'CORS as on any answer');
  }
  const { port } = new URL(stack.urlOf('messaging/0'));
  const upgrade = await sayTo(Number(port), `GET ${pathOf(sid, 'websocket')} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n`);
  assert.match(upgrade, /^HTTP\/1\.1 400 /);
  assert.match(upgrade, /Session ID unknown/);
  await waitFor('the five are counted', async () => (await count('messaging/0', 'tern_splices_total', 'unreachable')) === before + 5);
  await stack.start('messaging/2');
  // The next life of the gateway listens at the same place and is somebody else.
  const answer = await ask('messaging/0', sid);
  assert.deepEqual([answer.status, answer.text], [400, unknown]);
  await waitFor('it is counted', async () => (await count('messaging/2', 'tern_splice_lines_total', 'foreign')) === 1);
});

test('a sid leads nowhere that a gateway has not sealed, and to no port outside the range', async () => {
  let visits = 0;
  const trap = createServer((socket) => {
    visits++;
    socket.destroy();
  });
  await new Promise((done) => trap.listen(0, '127.0.0.1', done));
  atEnd(() => trap.close());
  const { port } = trap.address();
  const sid = await openSession('messaging/1');
  const bytes = Buffer.from(sid, 'base64url');
  const tampered = [0, 1, 5, 15, 16, 20, 21, 22, 32].map((at) => {
    const other = Buffer.from(bytes);
    other[at] ^= 0x40;
    return other.toString('base64url');
  });
  for (const bad of [...tampered, sealSid(newSecret(), '127.0.0.1', port), sid.slice(0, 20), `${sid}AAAA`, sid.slice(0, 20) + sealSid(key, '127.0.0.1', port).slice(20)]) {
    const answer = await ask('messaging/0', bad);
    assert.deepEqual([answer.status, answer.text], [400, unknown], bad);
  }
  assert.equal(await count('messaging/0', 'tern_splices_total', 'port'), 0);
  assert.equal((await ask('messaging/0', sealSid(key, '127.0.0.1', port))).text, unknown);
  await waitFor('it is counted', async () => (await count('messaging/0', 'tern_splices_total', 'port')) === 1);
  // Our own helper does seal as the gateways do: a place of their own is gone to.
  const before = await count('messaging/1', 'tern_splice_lines_total', 'foreign');
  assert.equal((await ask('messaging/0', sealSid(key, '127.0.0.1', internalPort('messaging/1')))).text, unknown);
  await waitFor('it is counted', async () => (await count('messaging/1', 'tern_splice_lines_total', 'foreign')) === before + 1);
  assert.equal(visits, 0);
});

test('the internal port takes a good line once, and nothing else', async () => {
  const port = internalPort('messaging/1');
  const sid = await openSession('messaging/1');
  const request = (of) => `POST ${pathOf(of)} HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n3`;
  const good = peerLine(key, { sid });
  const refused = async (result, line) => {
    const before = await count('messaging/1', 'tern_splice_lines_total', result);
    assert.equal(await sayTo(port, line + request(sid)), '', result);
    await waitFor('it is counted', async () => (await count('messaging/1', 'tern_splice_lines_total', result)) === before + 1);
  };
  assert.match(await sayTo(port, good + request(sid)), /^HTTP\/1\.1 200 .*Connection: close.*ok$/s);
  await refused('replayed', good);
  await refused('key', peerLine(newSecret(), { sid }));
  await refused('stale', peerLine(key, { sid, time: Date.now() - 3600000 }));
  await refused('stale', peerLine(key, { sid, time: Date.now() + 3600000 }));
  await refused('foreign', peerLine(key, { sid: await openSession('messaging/0') }));
  await refused('malformed', '');
  await refused('malformed', `TERN1 ${'x'.repeat(400)}`);
  await refused('malformed', good.replace(' 192.0.2.1 ', ' localhost '));
  await refused('key', good.replace(' 192.0.2.1 ', ' 192.0.2.2 '));
  // A request that is not its owner's goes no further.
  const other = await openSession('messaging/0');
  const before = await count('messaging/1', 'tern_splices_total', 'done');
  assert.match(await sayTo(port, peerLine(key, { sid }) + request(other)), /^HTTP\/1\.1 400 .*Session ID unknown/s);
  assert.equal(await count('messaging/1', 'tern_splices_total', 'done'), before);
});

test('who says nothing on the internal port, or half of it, is gone at the deadline and in nobody\'s way', async () => {
  const port = internalPort('messaging/1');
  const sid = await openSession('messaging/1');
  const half = peerLine(key, { sid }).slice(0, 60);
  const idlers = [];
  for (let n = 0; n < 300; n++) {
    const socket = connect({ host: '127.0.0.1', port }).resume();
    socket.on('error', () => {});
    if (n % 3) socket.write(n % 3 === 1 ? half : `${peerLine(key, { sid })}GET / HT`);
    idlers.push({ socket, gone: new Promise((done) => socket.on('close', done)) });
  }
  const from = performance.now();
  const slowest = [];
  for (let n = 0; n < 20; n++) slowest.push((await ask('messaging/0', sid, post)).ms);
  assert.ok(Math.max(...slowest) < 300, `the slowest took ${Math.max(...slowest)} ms`);
  await within(lineMs + 5000, 'all are gone', Promise.all(idlers.map(({ gone }) => gone)));
  assert.ok(performance.now() - from < lineMs + 3000);
});

test('at the cap a request is answered as one whose session is unknown, and below it again spliced', async () => {
  await restart('messaging/0', { TERN_SPLICES_MAX: '2' });
  const parked = [];
  for (let n = 0; n < 2; n++) {
    const sid = await openSession('messaging/1');
    await ask('messaging/1', sid); // the handshake's poll has been answered; the next one waits
    parked.push({ sid, abort: new AbortController() });
  }
  const waiting = parked.map(({ sid, abort }) => ask('messaging/0', sid, { signal: abort.signal }).catch(() => null));
  await waitFor('both are spliced', async () => (await stack.metrics('messaging/0'))('tern_splices') === 2);
  await waitFor('and counted against their bound', async () => (await stack.metrics('messaging/0'))('tern_entries_used', { bound: 'splices' }) === 2);
  const sid = await openSession('messaging/1');
  assert.deepEqual([(await ask('messaging/0', sid, post)).text], [unknown]);
  await waitFor('it is counted', async () => (await count('messaging/0', 'tern_splices_total', 'full')) === 1);
  for (const { abort } of parked) abort.abort();
  await Promise.all(waiting);
  await waitFor('room', async () => (await stack.metrics('messaging/0'))('tern_splices') === 0);
  assert.equal((await ask('messaging/0', sid, post)).status, 200);
});

test('two keys are good while one replaces the other, and another key leads nowhere', async () => {
  const next = newSecret();
  const meet = async (from, to) => (await ask(from, await openSession(to), post)).status;
  const all = async (expected) => {
    for (const [from, to] of [['messaging/0', 'messaging/1'], ['messaging/1', 'messaging/0']]) assert.equal(await meet(from, to), expected, `${from} to ${to}`);
  };
  await restart('messaging/0', { TERN_SPLICES_MAX: '100', TERN_SPLICE_KEY_FILE: keyFile('step-1', key, next) });
  await all(200);
  await restart('messaging/1', { TERN_SPLICE_KEY_FILE: keyFile('step-2', next, key) });
  await all(200);
  await restart('messaging/0', { TERN_SPLICE_KEY_FILE: keyFile('step-3', next) });
  await all(200);
  // messaging/2 still has the old one alone: nobody's sid can be read by the other.
  assert.equal(await meet('messaging/0', 'messaging/2'), 400);
  assert.equal(await meet('messaging/2', 'messaging/0'), 400);
  // messaging/1 reads the old one's sids, but signs with a key that the owner does not know.
  assert.equal(await meet('messaging/1', 'messaging/2'), 400);
  assert.equal(await count('messaging/2', 'tern_splice_lines_total', 'key'), 1);
  assert.equal(await count('messaging/1', 'tern_splices_total', 'silent'), 1);
});

test('a gateway that drains sends its spliced WebSockets elsewhere, and they miss nothing', async () => {
  await restart('messaging/1', { TERN_DRAIN_MS: '1500' });
  const id = await createConversation(stack, { owner: 'ada', members: [] });
  const proxy = await startProxy([stack.urlOf('messaging/0')]);
  proxy.upgrades = [stack.urlOf('messaging/1')];
  const ada = await connected(stack, null, 'ada', { url: proxy.url });
  await waitFor('the upgrade', () => ada.io.engine.transport.name === 'websocket');
  assert.equal((await stack.metrics('messaging/1'))('tern_splices'), 1);
  const seen = recordEvents(ada);
  await askOk(ada, 'join_conversation', id);
  const lost = once(ada, 'disconnect', 10000);
  await stack.term('messaging/1');
  await lost;
  if (!ada.connected) await once(ada, 'connect', 15000);
  assert.equal(ada.recovered, true);
  const { id: message } = await say(ada, id, 'after');
  await waitFor('it is back', () => seen.length === 1);
  assertIds(seen, [message]);
  ada.disconnect();
  await stack.start('messaging/1');
});

test('when all is over no descriptor is left behind', async () => {
  const open = (name) => readdirSync(`/proc/${stack.record(name).pid}/fd`).length;
  const base = Object.fromEntries(gateways.map((g) => [g, open(g)]));
  const sid = await openSession('messaging/0');
  for (let n = 0; n < 100; n++) await ask('messaging/1', n % 2 ? sid : `${sid.slice(0, 43)}A`, post);
  const waiting = new AbortController();
  const parked = ask('messaging/1', await openSession('messaging/0'), { signal: waiting.signal }).catch(() => null);
  waiting.abort();
  await parked;
  for (const g of gateways) await waitFor(() => `${g} has ${open(g)} descriptors, it had ${base[g]}`, () => open(g) <= base[g] + 2, 10000);
});
