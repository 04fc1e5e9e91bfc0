// Three gateways behind balancers without affinity: whichever gateway a request reaches, its session answers.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import test from 'node:test';
import { startBalancer } from '../lib/balancer.js';
import { startProxy } from '../lib/proxy.js';
import { createConversation } from '../lib/rest.js';
import { askOk, assertIds, assertInOrder, client, connected, recordEvents, say, waitForCount } from '../lib/sockets.js';
import { startStack } from '../lib/stack.js';
import { once, waitFor } from '../lib/wait.js';

const gateways = ['messaging/0', 'messaging/1', 'messaging/2'];
const stack = await startStack({ messaging: 3, notification: 0, set: { TERN_PING_INTERVAL_MS: '1000', TERN_PING_TIMEOUT_MS: '4000' } });
const urls = () => gateways.map((g) => stack.urlOf(g));
const polling = { transports: ['polling'] };

/** A metric's sum over the gateways that live. */
async function sum(name, labels) {
  let all = 0;
  for (const gateway of gateways) if (stack.isAlive(gateway)) all += (await stack.metrics(gateway))(name, labels);
  return all;
}

const settled = (name) => waitFor(`${name} is 0 again`, async () => (await sum(name)) === 0);

async function assertNoFaults() {
  for (const result of ['unreachable', 'silent', 'full', 'port']) assert.equal(await sum('tern_splices_total', { result }), 0, result);
  for (const result of ['malformed', 'key', 'stale', 'foreign', 'replayed', 'full']) assert.equal(await sum('tern_splice_lines_total', { result }), 0, result);
}

/** A talk of several clients by one address; everything arrives once and in order. */
async function talk(url, count, options) {
  const users = ['ada', 'bob', 'cy', 'dee'].slice(0, count);
  const id = await createConversation(stack, { owner: 'ada', members: users.slice(1) });
  const clients = [];
  for (const user of users) {
    const socket = await connected(stack, null, user, { url, ...options });
    clients.push({ socket, seen: recordEvents(socket) });
    await askOk(socket, 'join_conversation', id);
  }
  const sent = [];
  for (let n = 0; n < 10 * count; n++) sent.push(await say(clients[n % count].socket, id, `message ${n}`));
  for (const { seen } of clients) {
    await waitForCount(seen, sent.length);
    assertInOrder(seen);
    assertIds(seen, sent.map((m) => m.id));
  }
  return { id, clients, sent };
}

for (const [how, start] of [['each request', startProxy], ['each connection', startBalancer]]) {
  test(`the stock client with its default transports, ${how} to the next gateway`, async () => {
    const before = await sum('tern_splice_lines_total', { result: 'accepted' });
    const { url } = await start(urls());
    const { clients } = await talk(url, 4);
    for (const { socket } of clients) await waitFor('the upgrade', () => socket.io.engine.transport.name === 'websocket');
    assert.ok((await sum('tern_splice_lines_total', { result: 'accepted' })) > before, 'some were spliced');
    for (const { socket } of clients) socket.disconnect();
    await settled('tern_splices');
    await settled('tern_connections');
    await assertNoFaults();
  });

  test(`a client that only polls, ${how} to the next gateway`, async () => {
    const before = await sum('tern_splice_lines_total', { result: 'accepted' });
    const { url } = await start(urls());
    const { clients, sent } = await talk(url, 3, polling);
    assert.ok((await sum('tern_splice_lines_total', { result: 'accepted' })) >= before + sent.length, 'most requests were spliced');
    assert.ok(clients.every(({ socket }) => socket.io.engine.transport.name === 'polling' && socket.connected));
    for (const { socket } of clients) socket.disconnect();
    await settled('tern_splices');
    await settled('tern_connections');
    await assertNoFaults();
  });
}
