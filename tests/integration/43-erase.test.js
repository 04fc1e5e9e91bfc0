// ternctl erase: rows and catch-up are blanked, whatever comes again is, replay and redrive refuse.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import test from 'node:test';
import { ctl, ctlJson, ctlOk } from '../lib/ctl.js';
import { sql, waitStored } from '../lib/database.js';
import { cloudEvent, emitRecord, kafkajsProducer } from '../lib/records.js';
import { createConversation, restOk } from '../lib/rest.js';
import { askOk, connected, say } from '../lib/sockets.js';
import { startStack } from '../lib/stack.js';
import { waitFor } from '../lib/wait.js';

const stack = await startStack();
const producer = await kafkajsProducer(stack, { idempotent: true });
const secret = `secret-${randomUUID()}`;
const conversationId = await createConversation(stack, { owner: 'mallory', members: ['bob'] });
const [mallory, bob] = [await connected(stack, 'messaging/0', 'mallory'), await connected(stack, 'messaging/0', 'bob')];
for (const socket of [mallory, bob]) await askOk(socket, 'join_conversation', conversationId);

/** Tables in which the secret still stands. */
async function leaks() {
  const found = [];
  for (const table of ['message', 'chat_event', 'notification', 'notification_event', 'session', 'receipt', 'conversation', 'member']) {
    const [{ n }] = await sql(stack, `SELECT count(*)::int AS n FROM ${table} t WHERE t::text LIKE '%' || $1 || '%'`, [secret]);
    if (n) found.push(table);
  }
  return found;
}

const poison = { ...cloudEvent({ id: randomUUID(), type: 'tern.message.created', data: { conversationId, senderId: 'mallory', content: '', metadata: { secret } } }) };

test('what the user wrote and was told is blanked, what others wrote stays', async () => {
  const own = [];
  for (let i = 0; i < 3; i++) own.push((await say(mallory, conversationId, `${secret} ${i}`, { metadata: { secret }, clientId: `${secret}-${i}` })).id);
  const { id: others } = await say(bob, conversationId, 'I am still here');
  await askOk(mallory, 'mark_read', { conversationId, seq: (await askOk(bob, 'fetch_messages', { conversationId })).messages.at(-1).seq });
  await producer.send({ topic: 'notifications', messages: ['mallory', 'bob'].map((userId) => ({ key: userId, value: JSON.stringify({ userId, type: 'note', title: userId === 'bob' ? 'kept' : secret, body: 'b', data: {} }) })) });
  await producer.send({ topic: 'chat.events', messages: [{ key: 'user:mallory', ...emitRecord({ event: 'order', args: [secret] }) }, { key: conversationId, ...poison }] });
  await waitStored(stack, conversationId, 4);
  await waitFor('all is stored', async () => (await ctlJson(stack, ['lag'])).every((p) => p.lag === 0));
  assert.ok((await leaks()).length >= 4, String(await leaks()));

  const done = await ctlJson(stack, ['erase', '--user', 'mallory', '--yes']);
  assert.deepEqual([done.messages, done.chatEvents, done.notifications, done.notificationEvents, done.emits, done.receipts], [3, 3, 1, 1, 1, 1]);
  assert.equal(done.remains.memberships, 1);
  assert.ok(Date.parse(done.remains['chat.events']) > Date.now() + 6 * 86400000);
  assert.deepEqual(await leaks(), []);
  const rows = await sql(stack, 'SELECT id, content, sender_id FROM message WHERE conversation_id = $1 ORDER BY seq', [conversationId]);
  assert.deepEqual(rows, [...own.map((id) => ({ id, content: '[erased]', sender_id: 'mallory' })), { id: others, content: 'I am still here', sender_id: 'bob' }]);
  assert.match((await ctlOk(stack, ['erase', '--user', 'mallory', '--yes'])).out, /What remains:\n.*Kafka, chat.events +until 20/s);
});

test('history and catch-up of a fresh gateway show nothing of it', async () => {
  await stack.kill('messaging/0');
  await stack.start('messaging/0');
  const again = await connected(stack, 'messaging/0', 'bob');
  await askOk(again, 'join_conversation', conversationId);
  const { messages } = await askOk(again, 'fetch_messages', { conversationId });
  assert.deepEqual(messages.filter((m) => m.senderId === 'mallory').map((m) => m.content), ['[erased]', '[erased]', '[erased]']);
  const list = await restOk(200, 'GET', `${stack.urlOf('notification/0')}/notifications`, { token: stack.token('mallory') });
  assert.ok(!JSON.stringify(list).includes(secret));
});

test('replay and redrive refuse it, and a writer that reads the log again blanks it', async () => {
  const toTopic = await ctlJson(stack, ['replay', '--topic', 'chat.events', '--to-topic', 'events.copy', '--yes'], { postgres: false });
  assert.ok(toTopic.refused >= 4, JSON.stringify(toTopic));
  const tail = (await ctlOk(stack, ['tail', 'events.copy'])).out;
  assert.ok(!tail.includes(`${secret} 0`) && tail.includes('I am still here'));
  const toClients = await ctlJson(stack, ['replay', '--topic', 'chat.events', '--type', 'message.created', '--to-clients', `conversation:${conversationId}`, '--yes']);
  assert.deepEqual([toClients.copied, toClients.refused], [1, 4], 'the one that is not valid, too');
  const letter = (await ctlJson(stack, ['dlq', 'list'])).find((l) => l.id === poison.headers.ce_id);
  const redrive = await ctl(stack, ['dlq', 'redrive', letter.place, '--jq', '.content |= "x"', '--yes']);
  assert.equal(redrive.code, 1);
  assert.match(redrive.err, /erased/);

  const before = await sql(stack, 'SELECT m::text FROM message m ORDER BY id');
  const catchUp = await sql(stack, 'SELECT c::text FROM chat_event c ORDER BY seq, partition');
  // The writer begins anew, from the log: what it makes of these records is what the erasure left.
  await stack.kill('writer/0');
  await sql(stack, 'TRUNCATE message, chat_event, event_id, notification, notification_event, member, receipt, conversation');
  await sql(stack, 'UPDATE ingest_offset SET next_offset = 0, sent_before = next_offset');
  await stack.start('writer/0');
  await waitFor('all is stored', async () => (await ctlJson(stack, ['lag'])).every((p) => p.lag === 0));
  assert.deepEqual(await sql(stack, 'SELECT m::text FROM message m ORDER BY id'), before);
  assert.deepEqual(await sql(stack, 'SELECT c::text FROM chat_event c ORDER BY seq, partition'), catchUp);
  assert.deepEqual(await leaks(), []);
  assert.equal((await ctlJson(stack, ['dlq', 'list', '--all'])).length, 1, 'no dead letter was written twice');
  const { id } = await (async () => { const m = await connected(stack, 'messaging/0', 'mallory'); return say(m, conversationId, 'a new beginning'); })();
  await waitFor('what comes later is stored as it is', async () => (await sql(stack, 'SELECT content FROM message WHERE id = $1', [id]))[0]?.content === 'a new beginning');
});
