// History meets the live stream without a hole and without an overlap, whatever the writer is doing.
import assert from 'node:assert/strict';
import test from 'node:test';
import { waitStored } from '../lib/database.js';
import { createConversation, restOk } from '../lib/rest.js';
import { askOk, askRefused, assertIds, assertInOrder, connected, recordEvents, say, waitForCount } from '../lib/sockets.js';
import { startStack } from '../lib/stack.js';

const stack = await startStack({ messaging: 2, notification: 0 });

/** Everything up to `before`, oldest first, page by page. */
async function readBack(socket, conversationId, before, limit) {
  let all = [];
  for (let cursor = before; cursor !== null; ) {
    const page = await askOk(socket, 'fetch_messages', { conversationId, before: cursor, limit });
    assertInOrder(page.messages);
    assert.ok(page.messages.length <= limit);
    all = [...page.messages, ...all];
    cursor = page.messages.length === 0 ? null : page.cursor;
    if (page.messages.length > 0) assert.ok(page.messages.at(-1).seq < before);
  }
  return all;
}

/** Sends until stop() is called; stop() gives what was acked, by seq. */
function chatter(socket, conversationId, lanes = 4) {
  let going = true;
  const acked = [];
  const work = Array.from({ length: lanes }, async (_, lane) => {
    for (let n = 0; going; n++) acked.push(await say(socket, conversationId, `lane ${lane} message ${n}`));
  });
  return async () => {
    going = false;
    await Promise.all(work);
    return acked.sort((a, b) => a.seq - b.seq);
  };
}

async function joinInTheMiddle(id, gateway) {
  const reader = await connected(stack, gateway, 'bob');
  const live = recordEvents(reader);
  const { headSeq } = await askOk(reader, 'join_conversation', id);
  const old = await readBack(reader, id, headSeq + 1, 50);
  assert.ok(old.every((m) => m.seq <= headSeq));
  return { reader, live, old };
}

test('joining in the middle of the talk misses nothing and repeats nothing', async () => {
  const id = await createConversation(stack, { owner: 'ada', members: ['bob'] });
  const ada = await connected(stack, 'messaging/0', 'ada');
  const stop = chatter(ada, id);
  const joined = [];
  for (let i = 0; i < 6; i++) joined.push(await joinInTheMiddle(id, `messaging/${i % 2}`));
  const sent = await stop();
  const last = await say(ada, id, 'last');
  const ids = [...sent, last].map((m) => m.id);
  for (const { old, live, reader } of joined) {
    await waitForCount(live, ids.length - old.length);
    assertIds([...old, ...live], ids);
    reader.disconnect();
  }
});

test('the same with the writer dead, paused and just back', async () => {
  const id = await createConversation(stack, { owner: 'ada', members: ['bob'] });
  const ada = await connected(stack, 'messaging/0', 'ada');
  const stop = chatter(ada, id, 2);
  const joined = [await joinInTheMiddle(id, 'messaging/1')];
  await stack.kill('writer/0');
  joined.push(await joinInTheMiddle(id, 'messaging/0'), await joinInTheMiddle(id, 'messaging/1'));
  await stack.start('writer/0');
  joined.push(await joinInTheMiddle(id, 'messaging/1'));
  stack.pause('writer/0');
  joined.push(await joinInTheMiddle(id, 'messaging/0'));
  stack.cont('writer/0');
  const sent = await stop();
  const ids = sent.map((m) => m.id);
  for (const { old, live, reader } of joined) {
    await waitForCount(live, ids.length - old.length);
    assertIds([...old, ...live], ids);
    reader.disconnect();
  }
  assert.deepEqual(await waitStored(stack, id, ids.length, 40000), ids);
});

test('pages: ascending, the newest by default, up to 200, forward with after', async () => {
  const id = await createConversation(stack, { owner: 'ada' });
  const ada = await connected(stack, 'messaging/0', 'ada');
  const sent = (await Promise.all(Array.from({ length: 450 }, (_, n) => say(ada, id, `m${n}`)))).sort((a, b) => a.seq - b.seq);
  const ids = sent.map((m) => m.id);
  const newest = await askOk(ada, 'fetch_messages', { conversationId: id });
  assertIds(newest.messages, ids.slice(-newest.messages.length));
  assert.ok(newest.messages.length >= 20);
  const most = await askOk(ada, 'fetch_messages', { conversationId: id, limit: 200 });
  assertIds(most.messages, ids.slice(-200));
  await askRefused('invalid', ada, 'fetch_messages', { conversationId: id, limit: 201 });
  await askRefused('invalid', ada, 'fetch_messages', { conversationId: id, limit: 0 });
  await askRefused('invalid', ada, 'fetch_messages', { conversationId: id, before: 'x' });
  assertIds(await readBack(ada, id, sent.at(-1).seq + 1, 37), ids);
  const forward = await askOk(ada, 'fetch_messages', { conversationId: id, after: sent[99].seq, limit: 50 });
  assertIds(forward.messages, ids.slice(100, 150));
  const page = await restOk(200, 'GET', `${stack.urlOf('messaging/1')}/conversations/${id}/messages?before=${sent[100].seq}&limit=30`, { token: stack.token('ada') });
  assertIds(page.messages, ids.slice(70, 100));
});

test('a join with `after` hands over what was missed', async () => {
  const id = await createConversation(stack, { owner: 'ada', members: ['bob'] });
  const ada = await connected(stack, 'messaging/0', 'ada');
  const sent = [];
  for (let n = 0; n < 30; n++) sent.push(await say(ada, id, `m${n}`));
  const bob = await connected(stack, 'messaging/1', 'bob');
  const live = recordEvents(bob);
  const joined = await askOk(bob, 'join_conversation', { conversationId: id, after: sent[9].seq });
  assertIds(joined.missed, sent.slice(10).map((m) => m.id));
  assert.equal(joined.more, false);
  const next = await say(ada, id, 'next');
  await waitForCount(live, 1);
  assertIds(live, [next.id]);
});
