// ternctl replay to live clients and to Postgres.
import assert from 'node:assert/strict';
import test from 'node:test';
import { ctl, ctlJson, ctlOk } from '../lib/ctl.js';
import { sql, waitStored } from '../lib/database.js';
import { emitRecord, kafkajsProducer } from '../lib/records.js';
import { createConversation } from '../lib/rest.js';
import { askOk, connected, recordEvents, say } from '../lib/sockets.js';
import { startStack } from '../lib/stack.js';
import { openStream } from '../lib/streams.js';
import { once, waitFor } from '../lib/wait.js';

const stack = await startStack();
const producer = await kafkajsProducer(stack, { idempotent: true });
const kafkaOnly = { postgres: false };
const conversationId = await createConversation(stack, { owner: 'ada', members: ['bob'] });
const [ada, bob, eve] = await Promise.all(['ada', 'bob', 'eve'].map((user) => connected(stack, 'messaging/0', user)));
for (const socket of [ada, bob]) await askOk(socket, 'join_conversation', conversationId);

test('to a conversation: everybody in it sees it again, marked, and a resume does not', async () => {
  const seen = recordEvents(bob);
  const shut = recordEvents(eve);
  const said = [];
  for (let i = 0; i < 5; i++) said.push((await say(ada, conversationId, `word ${i}`)).id);
  const shippedLive = once(bob, 'order_shipped');
  const order = emitRecord({ event: 'order_shipped', args: [{ id: 7 }, 'by air'] });
  await producer.send({ topic: 'chat.events', messages: [{ key: conversationId, ...order }] });
  await shippedLive;
  await waitFor('live', () => seen.length >= 5);
  const live = new Map(seen.map((m) => [m.id, m]));
  const again = [];
  bob.on('new_message', (m, ...rest) => m.replayed && again.push([m, ...rest]));
  const shipped = once(bob, 'order_shipped');
  const done = await ctlJson(stack, ['replay', '--topic', 'chat.events', '--key', conversationId, '--to-clients', `conversation:${conversationId}`, '--yes'], kafkaOnly);
  assert.ok(done.copied >= 6, JSON.stringify(done));
  await waitFor('again', () => again.length >= 5);
  assert.deepEqual(again.map(([m]) => m.id), said);
  for (const [m, ...rest] of again) {
    assert.deepEqual(rest, [], 'no cursor goes with it');
    const { replayed, ...plain } = m;
    assert.deepEqual(plain, live.get(m.id));
  }
  assert.deepEqual(await shipped, [{ id: 7 }, 'by air', { replayed: true }]);

  const { id } = await say(ada, conversationId, 'while nobody looks').then(async (m) => m);
  await waitFor('it came', () => seen.some((m) => m.id === id));
  const before = again.length;
  bob.io.engine.close();
  await once(bob, 'connect');
  assert.equal(bob.recovered, true);
  const { id: last } = await say(ada, conversationId, 'after the resume');
  await waitFor('the last', () => seen.some((m) => m.id === last));
  assert.equal(again.length, before, 'a resume does not repeat it');
  assert.equal(seen.filter((m) => m.id === said[4] && !m.replayed).length, 1);
  assert.deepEqual(shut, []);
});

test('to a user: on the sockets that are in the room, and on the event stream without an id', async () => {
  const notified = { userId: 'bob', type: 'invoice', title: 'Invoice 7', body: 'is ready' };
  const stream = await openStream(stack, 'notification/0', 'bob');
  const messages = [];
  stream.source.addEventListener('message', (e) => messages.push({ id: e.lastEventId, data: JSON.parse(e.data) }));
  await producer.send({ topic: 'notifications', messages: [{ key: 'bob', value: JSON.stringify(notified) }, { key: 'ada', value: JSON.stringify({ ...notified, userId: 'ada' }) }] });
  await waitFor('live', () => messages.length === 1);
  const done = await ctlJson(stack, ['replay', '--topic', 'notifications', '--to-clients', 'user:bob', '--yes'], kafkaOnly);
  assert.deepEqual([done.copied, done.skipped], [1, 1]);
  await waitFor('again', () => messages.length === 2);
  assert.deepEqual(messages[1].data, { ...messages[0].data, replayed: true });
  // A browser repeats the last id, this client gives none; its place stays where it is in both.
  assert.ok(['', messages[0].id].includes(messages[1].id));

  const [forBob, forAda, forEve] = [recordEvents(bob), recordEvents(ada), recordEvents(eve)];
  await ctlOk(stack, ['replay', '--topic', 'chat.events', '--type', 'message.created', '--to-clients', 'user:bob', '--yes'], kafkaOnly);
  await ctlOk(stack, ['replay', '--topic', 'chat.events', '--type', 'message.created', '--to-clients', 'user:eve', '--yes'], kafkaOnly);
  const { id } = await say(ada, conversationId, 'a mark');
  await waitFor('the mark', () => forBob.some((m) => m.id === id) && forAda.some((m) => m.id === id));
  assert.ok(forBob.filter((m) => m.replayed).length >= 5);
  assert.equal(forAda.filter((m) => m.replayed).length, 0);
  assert.deepEqual(forEve, [], 'who is not in the room sees nothing');
});

test('to Postgres: what is missing comes back under its own seq, what is there stays', async () => {
  // All that was said above: the rows are compared before and after.
  const ids = await waitStored(stack, conversationId, 8);
  const rows = () => sql(stack, 'SELECT id, seq::text, created_at, content, sender_id FROM message ORDER BY id');
  const before = await rows();
  await sql(stack, 'DELETE FROM message WHERE id = ANY ($1)', [ids.slice(0, 3)]);
  await sql(stack, 'DELETE FROM chat_event WHERE id = ANY ($1)', [ids.slice(0, 3)]);
  const done = await ctlJson(stack, ['replay', '--topic', 'chat.events', '--to-store', '--yes']);
  assert.ok(done.copied >= before.length);
  assert.deepEqual(await rows(), before);
  assert.equal((await sql(stack, 'SELECT count(*)::int AS n FROM chat_event WHERE id = ANY ($1)', [ids.slice(0, 3)]))[0].n, 3);
  const refused = await ctl(stack, ['replay', '--topic', 'audit', '--to-store', '--yes']);
  assert.equal(refused.code, 2);
  assert.equal((await ctl(stack, ['replay', '--topic', 'notifications', '--to-clients', `conversation:${conversationId}`, '--yes'])).code, 2);
});

test('epoch tells the lives of the topics', async () => {
  const lives = await ctlJson(stack, ['epoch'], kafkaOnly);
  const events = lives.find((l) => l.topic === 'chat.events');
  assert.deepEqual([events.epoch, events.partitions, events.here], [1, 16, true]);
  assert.match((await ctlOk(stack, ['epoch'], kafkaOnly)).out, /chat\.events +1 +16/);
});
