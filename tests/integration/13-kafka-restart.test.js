// Kafka dies, stays away, comes back: senders are told the truth, sockets stay, nothing acked is lost.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import test from 'node:test';
import { storedIds, waitStored } from '../lib/database.js';
import { createConversation } from '../lib/rest.js';
import { ask, askOk, assertInOrder, connected, recordEvents } from '../lib/sockets.js';
import { startStack } from '../lib/stack.js';
import { waitFor } from '../lib/wait.js';

const stack = await startStack({ messaging: 2, notification: 0 });

/** Sends one after the other until stop(): {acked: ids, answers: {code: count}, slowest ms}. */
function sender(socket, conversationId) {
  const state = { going: true, acked: [], unsure: [], codes: new Map(), slowest: 0 };
  const work = (async () => {
    while (state.going) {
      const began = Date.now();
      const clientId = randomUUID();
      const answer = await ask(socket, 'send_message', { conversationId, content: clientId, clientId });
      state.slowest = Math.max(state.slowest, Date.now() - began);
      if (answer.ok) state.acked.push(answer.message.id);
      else {
        state.codes.set(answer.error.code, (state.codes.get(answer.error.code) ?? 0) + 1);
        if (answer.error.code === 'unknown') state.unsure.push(clientId);
      }
    }
  })();
  return {
    state,
    async stop() {
      state.going = false;
      await work;
      return state;
    },
  };
}

async function outage(how) {
  const id = await createConversation(stack, { owner: 'ada', members: ['bob'] });
  const ada = await connected(stack, 'messaging/0', 'ada', { reconnection: false });
  const bob = await connected(stack, 'messaging/1', 'bob', { reconnection: false });
  const seen = recordEvents(bob);
  await askOk(ada, 'join_conversation', id);
  await askOk(bob, 'join_conversation', id);
  const sending = Array.from({ length: 5 }, () => sender(ada, id));
  await waitFor('messages flow', () => seen.length > 50);
  await how();
  const back = seen.length;
  await waitFor('messages flow again', () => seen.length > back + 50, 30000);
  const results = await Promise.all(sending.map((s) => s.stop()));
  assert.ok(ada.connected && bob.connected, 'the sockets stayed');
  const acked = results.flatMap((r) => r.acked);
  for (const r of results) assert.ok(r.slowest <= 10500, `a send was answered after ${r.slowest} ms`);
  // Each acked message was seen and stored once; besides them only what was answered `unknown` may be there.
  await waitFor(() => `all that was acked is seen: ${seen.length} of ${acked.length}`, () => {
    const ids = new Set(seen.map((m) => m.id));
    return acked.every((x) => ids.has(x));
  });
  assertInOrder(seen);
  assert.equal(new Set(seen.map((m) => m.id)).size, seen.length);
  const unsure = new Set(results.flatMap((r) => r.unsure));
  for (const m of seen) assert.ok(acked.includes(m.id) || unsure.has(m.content), 'a message that was neither acked nor unknown');
  await waitStored(stack, id, seen.length, 30000);
  assert.deepEqual(await storedIds(stack, id), seen.map((m) => m.id));
  return results;
}

test('a broker that is killed and started again', async () => {
  await outage(async () => {
    await stack.kill('kafka');
    await stack.start('kafka');
  });
});

test('a broker that is shut down in order and started again', async () => {
  await outage(async () => {
    await stack.term('kafka');
    await stack.start('kafka');
  });
});

test('a broker that is away for longer than a send may take: busy or unknown within ten seconds', async () => {
  const id = await createConversation(stack, { owner: 'ada', members: ['bob'] });
  const ada = await connected(stack, 'messaging/0', 'ada', { reconnection: false });
  const seen = recordEvents(ada);
  await askOk(ada, 'join_conversation', id);
  await stack.kill('kafka');
  const began = Date.now();
  const answers = await Promise.all(Array.from({ length: 20 }, (_, n) => ask(ada, 'send_message', { conversationId: id, content: `while away ${n}` })));
  assert.ok(Date.now() - began <= 10500, `answered after ${Date.now() - began} ms`);
  for (const a of answers) assert.ok(['busy', 'unknown', 'failed'].includes(a.error?.code), JSON.stringify(a));
  // A known member may join while Kafka is away; the session cannot be recorded, the room is live.
  const late = await connected(stack, 'messaging/0', 'ada', { reconnection: false });
  const lateSeen = recordEvents(late);
  await askOk(late, 'join_conversation', id);
  assert.ok(ada.connected);
  await stack.start('kafka');
  const answer = await waitFor('a send is acked again', async () => {
    const a = await ask(ada, 'send_message', { conversationId: id, content: 'back' });
    return a.ok ? a : null;
  }, 30000);
  for (const list of [seen, lateSeen]) await waitFor('it is seen', () => list.some((m) => m.id === answer.message.id));
  assertInOrder(seen);
});
