// ternctl dlq: why a record died, mending it, storing it under the place that it had, dropping it.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import test from 'node:test';
import { ctl, ctlJson, ctlOk } from '../lib/ctl.js';
import { sql, waitStored } from '../lib/database.js';
import { cloudEvent, javaPartition, kafkajsProducer, kcatRead } from '../lib/records.js';
import { createConversation } from '../lib/rest.js';
import { askOk, connected, recordEvents, say } from '../lib/sockets.js';
import { startStack } from '../lib/stack.js';
import { waitFor } from '../lib/wait.js';

const stack = await startStack({ notification: 0 });
const producer = await kafkajsProducer(stack, { idempotent: true });
const conversationId = await createConversation(stack, { owner: 'ada', members: ['bob'] });
const [ada, bob] = [await connected(stack, 'messaging/0', 'ada'), await connected(stack, 'messaging/0', 'bob')];
const live = recordEvents(bob);
await askOk(bob, 'join_conversation', conversationId);

const data = { conversationId, senderId: 'backend', content: 'fine' };
const message = (value, more = {}) => ({ ...cloudEvent({ id: randomUUID(), type: 'tern.message.created', data: value }), ...more });
const idOf = (record) => record.headers.ce_id;

/** Writes a record that dies between two that live, and returns its letter as dlq list shows it. */
async function die(record) {
  await say(ada, conversationId, 'before');
  await producer.send({ topic: 'chat.events', messages: [{ key: conversationId, ...record }] });
  await say(ada, conversationId, 'after');
  return waitFor(`the letter of ${idOf(record)}`, async () => (await ctlJson(stack, ['dlq', 'list'])).find((l) => l.id === idOf(record)));
}

const stored = (id) => sql(stack, 'SELECT m.seq::text, m.content, e.partition, e.epoch FROM message m JOIN chat_event e ON e.conversation_id = m.conversation_id AND e.seq = m.seq WHERE m.id = $1', [id]);

test('why it died, where it stood and its first bytes are shown; unmended it is refused', async () => {
  const record = message({ ...data, content: 7 });
  const letter = await die(record);
  assert.equal(letter.reason, 'invalid');
  assert.equal(letter.field, 'content');
  assert.equal(letter.key, conversationId);
  assert.equal(letter.partition, javaPartition(conversationId, 16));
  assert.equal(letter.place, `chat.events/${letter.partition}/${letter.offset}/${letter.epoch}`);
  assert.ok(letter.first.startsWith('{"conversationId"'));
  const shown = (await ctlOk(stack, ['dlq', 'show', letter.place])).out;
  for (const part of [/reason +invalid/, /field +content/, new RegExp(`offset ${letter.offset}`), /"content":7/, /ce_type = tern.message.created/]) assert.match(shown, part);
  assert.match((await ctlOk(stack, ['dlq', 'list'])).out, new RegExp(`${letter.place} +invalid +content`));
  const refused = await ctl(stack, ['dlq', 'redrive', letter.place, '--yes']);
  assert.equal(refused.code, 1, refused.err);
  assert.match(refused.err, /die again.*content/);
  assert.equal((await ctl(stack, ['dlq', 'redrive', letter.place])).code, 2, 'it asks');
  assert.equal((await ctl(stack, ['dlq', 'show', 'chat.events/0/99/1'])).code, 1);
  assert.equal((await ctlJson(stack, ['dlq', 'list'])).find((l) => l.place === letter.place).state, 'open');
});

test('mended by jq it is stored under its old partition and seq, in order, and shown to nobody live', async () => {
  const record = message({ ...data, content: 8 });
  const letter = await die(record);
  const done = await ctlJson(stack, ['dlq', 'redrive', letter.place, '--jq', '.content |= "number \\(.)"', '--yes']);
  assert.deepEqual([done.redriven, done.refused, done.places], [1, 0, [letter.place]]);
  const [row] = await stored(idOf(record));
  assert.deepEqual(row, { seq: String(BigInt(letter.epoch) * (1n << 40n) + BigInt(letter.offset)), content: 'number 8', partition: letter.partition, epoch: letter.epoch });
  const { messages } = await askOk(bob, 'fetch_messages', { conversationId, limit: 100 });
  const at = messages.findIndex((m) => m.id === idOf(record));
  assert.deepEqual([messages[at - 1].content, messages[at].content, messages[at + 1].content], ['before', 'number 8', 'after']);
  // Again: nothing changes. Then a fresh message comes live, and the redriven one has not.
  await ctlOk(stack, ['dlq', 'redrive', letter.place, '--jq', '.content |= "number \\(.)"', '--yes']);
  assert.equal((await stored(idOf(record))).length, 1);
  const { id } = await say(ada, conversationId, 'live');
  await waitFor('the live one', () => live.some((m) => m.id === id));
  assert.ok(!live.some((m) => m.id === idOf(record)));
  assert.ok(!(await ctlJson(stack, ['dlq', 'list'])).some((l) => l.place === letter.place));
  assert.equal((await ctlJson(stack, ['dlq', 'list', '--all'])).find((l) => l.place === letter.place).state, 'redriven');
});

test('mended by hand, by a header, or left as it is once the fault was elsewhere', async () => {
  const [broken, untyped] = [message({}, { value: `{"conversationId":"${conversationId}","senderId":"backend","content":"half` }), message({ ...data, content: 'typed' })];
  untyped.headers = { ...untyped.headers, ce_type: 'tern.message.made' };
  const [byHand, byHeader] = [await die(broken), await die(untyped)];
  assert.deepEqual([byHand.reason, byHeader.reason], ['bad_json', 'unknown_type']);
  const failing = await ctl(stack, ['dlq', 'redrive', byHand.place, '--edit', '--yes'], { env: { EDITOR: 'false' } });
  assert.equal(failing.code, 1);
  assert.match(failing.err, /editor/);
  await ctlOk(stack, ['dlq', 'redrive', byHand.place, '--edit', '--yes'], { env: { EDITOR: `sed -i s/half$/whole"}/` } });
  assert.equal((await stored(idOf(broken)))[0].content, 'whole');
  await ctlOk(stack, ['dlq', 'redrive', byHeader.place, '--set-header', 'ce_type=tern.message.created', '--yes']);
  assert.equal((await stored(idOf(untyped)))[0].content, 'typed');
});

test('some of many: what cannot be mended stays, exit code 3; the rest is dropped', async () => {
  for (const content of [1, 2, null]) await die(message({ ...data, content }));
  const open = (await ctlJson(stack, ['dlq', 'list', 'chat.events', '--reason', 'invalid'])).length;
  const partly = await ctl(stack, ['dlq', 'redrive', '--all', '--reason', 'invalid', '--topic', 'chat.events', '--jq', 'if .content == null then . else .content |= tostring end', '--yes', '--json']);
  assert.equal(partly.code, 3, partly.err);
  assert.deepEqual([JSON.parse(partly.out).redriven, JSON.parse(partly.out).refused], [open - 1, 1]);
  const [left] = await ctlJson(stack, ['dlq', 'list']);
  const dropped = await ctlJson(stack, ['dlq', 'drop', left.place, '--yes']);
  assert.equal(dropped.dropped, 1);
  assert.deepEqual(await ctlJson(stack, ['dlq', 'list']), []);
  assert.equal((await ctlJson(stack, ['dlq', 'list', '--all'])).find((l) => l.place === left.place).state, 'dropped');
  assert.equal((await ctl(stack, ['dlq', 'redrive', left.place, '--yes'])).code, 1, 'what was dropped is not redriven');
  const audits = (await kcatRead(stack, 'audit')).map((r) => JSON.parse(r.value)).filter((a) => a.command === 'dlq drop');
  assert.deepEqual(audits.map((a) => a.state), ['begun', 'done']);
  assert.deepEqual(audits[1].places, [left.place]);
});

test('the writer stores a redriven record once over its own death, and nothing else of the topic redrive', async () => {
  const record = message({ ...data, content: 9 });
  const letter = await die(record);
  await stack.kill('writer/0');
  const args = ['dlq', 'redrive', letter.place, '--jq', '.content |= tostring', '--yes'];
  const late = await ctl(stack, [...args, '--wait', '1']);
  assert.equal(late.code, 3, 'handed over, not stored yet');
  assert.match(late.err, /no writer/);
  await producer.send({ topic: 'redrive', messages: [{ value: 'of no place', headers: { 'tern-topic': 'chat.events' } }] });
  await stack.start('writer/0');
  await ctlOk(stack, args);
  assert.deepEqual((await stored(idOf(record))).map((r) => r.content), ['9']);
  const { id } = await say(ada, conversationId, 'and on it goes');
  await waitFor('stored', async () => (await stored(id)).length === 1);
  assert.ok((await waitStored(stack, conversationId, 1)).includes(idOf(record)));
});
