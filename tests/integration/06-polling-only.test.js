// Clients that only poll get all that the others get.
import assert from 'node:assert/strict';
import test from 'node:test';
import { createConversation } from '../lib/rest.js';
import { askOk, assertIds, connected, recordEvents, say, waitForCount } from '../lib/sockets.js';
import { startStack } from '../lib/stack.js';
import { once, waitFor } from '../lib/wait.js';

const stack = await startStack({ messaging: 2, notification: 0, set: { TERN_PING_INTERVAL_MS: '500', TERN_PING_TIMEOUT_MS: '2000' } });
const polling = { transports: ['polling'] };

test('two pollers on two gateways talk to a WebSocket client', async () => {
  const id = await createConversation(stack, { owner: 'ada', members: ['bob', 'cy'] });
  const ada = await connected(stack, 'messaging/0', 'ada', polling);
  const bob = await connected(stack, 'messaging/1', 'bob', polling);
  const cy = await connected(stack, 'messaging/1', 'cy', { transports: ['websocket'] });
  const all = [ada, bob, cy];
  const seen = all.map((s) => recordEvents(s));
  for (const s of all) await askOk(s, 'join_conversation', id);
  const sent = [];
  for (let n = 0; n < 30; n++) sent.push(await say(all[n % 3], id, `message ${n}`));
  for (const list of seen) {
    await waitForCount(list, sent.length);
    assertIds(list, sent.map((m) => m.id));
  }
  assert.equal(ada.io.engine.transport.name, 'polling');
  assert.equal((await stack.metrics('messaging/0'))('tern_connections', { transport: 'polling' }), 1);
});

test('many at once and large ones arrive whole and in order', async () => {
  const id = await createConversation(stack, { owner: 'ada', members: ['bob'] });
  const ada = await connected(stack, 'messaging/0', 'ada', polling);
  const bob = await connected(stack, 'messaging/1', 'bob', polling);
  const seen = recordEvents(bob);
  await askOk(bob, 'join_conversation', id);
  const contents = Array.from({ length: 200 }, (_, n) => (n % 40 === 0 ? `${n} ${'é'.repeat(30000)}` : `${n} short \u{1F426}`));
  const acks = await Promise.all(contents.map((content) => say(ada, id, content)));
  await waitForCount(seen, contents.length);
  assertIds(seen, acks.map((m) => m.id));
  assert.deepEqual(seen.map((m) => m.content), contents);
});

test('a poller outlives its heartbeats and is gone when it says goodbye', async () => {
  const before = (await stack.metrics('messaging/0'))('tern_connections', { transport: 'polling' });
  const dee = await connected(stack, 'messaging/0', 'dee', polling);
  let pings = 0;
  dee.io.on('ping', () => pings++);
  await waitFor('five heartbeats', () => pings >= 5, 10000);
  assert.ok(dee.connected);
  const gone = once(dee, 'disconnect');
  dee.disconnect();
  await gone;
  await waitFor('the gateway has let go', async () => (await stack.metrics('messaging/0'))('tern_connections', { transport: 'polling' }) === before);
});
