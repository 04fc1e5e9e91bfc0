// Postgres dies, stays away, comes back: the live stream does not notice, reads say so, the writer catches up.
import assert from 'node:assert/strict';
import test from 'node:test';
import { sql, storedIds, waitStored } from '../lib/database.js';
import { createConversation, rest } from '../lib/rest.js';
import { ask, askOk, assertIds, connected, recordEvents, say, waitForCount } from '../lib/sockets.js';
import { startStack } from '../lib/stack.js';
import { openStream } from '../lib/streams.js';
import { waitFor } from '../lib/wait.js';

const stack = await startStack({ messaging: 2 });
const readMs = 2500; // reads answer within 2 s, the rest is this machine's

async function talk(sockets, id, count) {
  const sent = [];
  for (let n = 0; n < count; n++) sent.push((await say(sockets[n % sockets.length], id, `message ${n}`)).id);
  return sent;
}

async function timed(promise) {
  const began = Date.now();
  const result = await promise;
  return { result, ms: Date.now() - began };
}

test('live goes on while Postgres is away, reads answer unavailable within 2 s, afterwards all is stored', async () => {
  const id = await createConversation(stack, { owner: 'ada', members: ['bob'] });
  const [ada, bob] = [await connected(stack, 'messaging/0', 'ada', { reconnection: false }), await connected(stack, 'messaging/1', 'bob', { reconnection: false })];
  const seen = recordEvents(bob);
  for (const s of [ada, bob]) await askOk(s, 'join_conversation', id);
  const stream = await openStream(stack, 'notification/0', 'bob');
  const sent = await talk([ada, bob], id, 20);
  await stack.kill('postgres');

  sent.push(...(await talk([ada, bob], id, 50)));
  const publisher = stack.token('backend', { scope: 'notifications:publish' });
  const published = await rest('POST', `${stack.urlOf('notification/0')}/notifications`, { token: publisher, body: { userId: 'bob', type: 't', title: 'live', body: 'b' } });
  assert.equal(published.status, 201);
  await waitForCount(seen, sent.length);
  assertIds(seen, sent);
  await waitFor('the notification', () => stream.messages.length === 1);

  const fetched = await timed(ask(ada, 'fetch_messages', { conversationId: id, before: 5 }));
  assert.equal(fetched.result.error?.code, 'unavailable', JSON.stringify(fetched.result));
  assert.ok(fetched.ms <= readMs, `fetch_messages took ${fetched.ms} ms`);
  const token = stack.token('ada');
  for (const url of [`${stack.urlOf('messaging/1')}/conversations`, `${stack.urlOf('notification/0')}/notifications/unread-count`]) {
    const { result, ms } = await timed(rest('GET', url, { token }));
    assert.equal(result.status, 503, url);
    assert.equal(result.body.error.code, 'unavailable');
    assert.ok(ms <= readMs, `${url} took ${ms} ms`);
  }
  const joined = await timed(ask(await connected(stack, 'messaging/1', 'ada'), 'join_conversation', `never-${id}`));
  assert.equal(joined.result.error?.code, 'unavailable', JSON.stringify(joined.result));

  await stack.start('postgres');
  sent.push(...(await talk([ada, bob], id, 10)));
  assert.deepEqual(await waitStored(stack, id, sent.length, 30000), sent);
  await waitFor('reads answer again', async () => (await ask(ada, 'fetch_messages', { conversationId: id, limit: 5 })).ok);
  assert.ok(ada.connected && bob.connected);
});

test('restarts in the middle of a stream of messages lose and repeat nothing', async () => {
  const id = await createConversation(stack, { owner: 'ada', members: ['bob'] });
  const ada = await connected(stack, 'messaging/0', 'ada', { reconnection: false });
  await askOk(ada, 'join_conversation', id);
  let going = true;
  const sent = [];
  const lanes = Array.from({ length: 10 }, async (_, lane) => {
    for (let n = 0; going; n++) sent.push(await say(ada, id, `${lane}/${n}`));
  });
  for (let round = 0; round < 4; round++) {
    const target = sent.length + 300;
    await waitFor('more messages', () => sent.length >= target, 20000);
    if (round % 2) {
      await stack.term('postgres');
    } else {
      await stack.kill('postgres');
    }
    await stack.start('postgres');
  }
  going = false;
  await Promise.all(lanes);
  const ids = sent.sort((a, b) => a.seq - b.seq).map((m) => m.id);
  assert.deepEqual(await waitStored(stack, id, ids.length, 40000), ids);
  const [{ n }] = await sql(stack, `SELECT count(*)::int AS n FROM chat_event WHERE conversation_id = $1 AND type = 'tern.message.created'`, [id]);
  assert.equal(n, ids.length);
});

test('backends that an operator terminates are made anew', async () => {
  // Postgres was restarted a moment ago: the gateway asks it again when it has a connection.
  const id = await waitFor('the gateway reads Postgres', () => createConversation(stack, { owner: 'ada' }).catch(() => null));
  const ada = await connected(stack, 'messaging/0', 'ada');
  await askOk(ada, 'join_conversation', id); // sends of a follower need no Postgres
  const sent = [];
  for (let round = 0; round < 5; round++) {
    sent.push(...(await talk([ada], id, 10)));
    await sql(stack, 'SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = current_database()');
  }
  assert.deepEqual(await waitStored(stack, id, sent.length), sent);
  await waitFor('history is read again', async () => (await ask(ada, 'fetch_messages', { conversationId: id })).ok);
  assert.deepEqual(await storedIds(stack, id), sent);
});
