// docs/backends.md from top to bottom; and what each recipe of its section Emit sends, stock clients get as it says.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import test from 'node:test';
import { kafkaDir } from '../../scripts/lib/paths.mjs';
import { testPage } from '../lib/manual.js';
import { createConversation } from '../lib/rest.js';
import { askOk, connected } from '../lib/sockets.js';
import { startStack } from '../lib/stack.js';
import { waitFor } from '../lib/wait.js';

const stack = await startStack({ set: { TERN_CLIENT_EVENTS: 'order:*' } });
const room = await createConversation(stack, { id: 'team-7', owner: 'ada', members: ['bob'] });
const seen = [];
for (const user of ['ada', 'bob']) {
  const socket = await connected(stack, 'messaging/0', user);
  await askOk(socket, 'join_conversation', room);
  for (const event of ['order_shipped', 'picture', 'progress', 'not_for_ada']) socket.on(event, (arg) => seen.push(JSON.stringify([user, event, arg])));
}

const png = Buffer.from('89504e470d0a1a0a', 'hex');
const emitted = [['ada', 'order_shipped', { id: 7 }], ['ada', 'picture', { png }], ['ada', 'progress', 50], ['bob', 'order_shipped', { id: 7 }], ['bob', 'progress', 50]];
const expected = { emit: emitted, 'except-1': [['bob', 'not_for_ada', 'a surprise']], 'order-8-shipped': ['ada', 'bob'].map((user) => [user, 'order_shipped', { id: 8 }]) };
const counts = {};

testPage('docs/backends.md', {
  stack,
  timeoutMs: 120000,
  links: Object.fromEntries(['kafka-clients-4.1.0.jar', 'slf4j-api-1.7.36.jar'].map((jar) => [`libs/${jar}`, join(kafkaDir, 'libs', jar)])),
  async after({ code }) {
    const kind = /\b(emit)\.(sh|py|mjs|sql)|(Emit)\.java|(except-1)|(order-8-shipped)/.exec(code)?.filter((word, i) => word && i > 0 && i !== 2)[0].toLowerCase();
    if (!kind) return;
    const want = expected[kind].map((e) => JSON.stringify(e)).sort();
    await waitFor(() => `${want}, so far ${seen}`, () => seen.length >= want.length);
    assert.deepEqual(seen.splice(0).sort(), want);
    counts[kind] = (counts[kind] ?? 0) + 1;
  },
});

test('the five recipes were seen to work, and nothing else came', () => {
  assert.deepEqual(counts, { emit: 5, 'except-1': 1, 'order-8-shipped': 1 });
  assert.deepEqual(seen, []);
});
