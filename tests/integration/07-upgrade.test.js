// From long-polling to WebSocket in the middle of the talk.
import assert from 'node:assert/strict';
import test from 'node:test';
import { createConversation } from '../lib/rest.js';
import { ask, askOk, assertIds, assertInOrder, client, connected, recordEvents, say } from '../lib/sockets.js';
import { startStack } from '../lib/stack.js';
import { once, waitFor } from '../lib/wait.js';

const stack = await startStack({ notification: 0 });

test('the stock client\'s upgrade loses nothing, repeats nothing and keeps the order', async () => {
  const id = await createConversation(stack, { owner: 'ada', members: ['bob'] });
  const ada = await connected(stack, 'messaging/0', 'ada', { transports: ['websocket'] });
  let going = true;
  const sent = [];
  const sender = (async () => {
    for (let n = 0; going; n++) sent.push(await say(ada, id, `message ${n}`));
  })();
  const watchers = [];
  for (let n = 0; n < 25; n++) {
    const bob = client(stack, 'messaging/0', 'bob');
    const upgraded = new Promise((done) => bob.io.on('open', () => bob.io.engine.once('upgrade', done)));
    const seen = recordEvents(bob);
    await once(bob, 'connect');
    const { headSeq } = await askOk(bob, 'join_conversation', id);
    // Its own events cross the upgrade as well.
    const marks = Promise.all(Array.from({ length: 20 }, () => ask(bob, 'mark_read', { conversationId: id, seq: headSeq })));
    await upgraded;
    assert.ok((await marks).every((a) => a.ok));
    assert.equal(bob.io.engine.transport.name, 'websocket');
    watchers.push({ bob, seen, headSeq });
  }
  going = false;
  await sender;
  const last = await say(ada, id, 'last');
  sent.push(last);
  for (const { bob, seen, headSeq } of watchers) {
    await waitFor('the last message', () => seen.at(-1)?.id === last.id);
    assertInOrder(seen);
    assertIds(seen, sent.filter((m) => m.seq > headSeq).map((m) => m.id));
    bob.disconnect();
  }
  const metrics = await stack.metrics('messaging/0');
  assert.ok(metrics('tern_connections_opened_total', { transport: 'websocket' }) >= 1);
});

test('an upgrade that cannot be leaves the client on polling', async () => {
  const id = await createConversation(stack, { owner: 'ada', members: ['bob'] });
  // A server that speaks no WebSocket looks like this to the client: the probe's answer never comes.
  const bob = client(stack, 'messaging/0', 'bob', { transports: ['polling'], upgrade: false });
  await once(bob, 'connect');
  const seen = recordEvents(bob);
  await askOk(bob, 'join_conversation', id);
  const { id: message } = await say(bob, id, 'on polling');
  await waitFor('it is back', () => seen.length === 1);
  assertIds(seen, [message]);
});
