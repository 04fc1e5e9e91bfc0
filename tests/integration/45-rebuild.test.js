// ternctl rebuild: the same rows before and after, proven by checksums, while two writers run and messages come.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import test from 'node:test';
import { ctl, ctlJson, ctlOk, startCtl } from '../lib/ctl.js';
import { sql } from '../lib/database.js';
import { cloudEvent, kafkajsProducer, kcatProduce, kcatRead } from '../lib/records.js';
import { createConversation, restOk } from '../lib/rest.js';
import { askOk, connected, say } from '../lib/sockets.js';
import { startStack } from '../lib/stack.js';
import { waitFor } from '../lib/wait.js';

const stack = await startStack({ writer: 2 });
const producer = await kafkajsProducer(stack, { idempotent: true });
const rooms = [];
for (let i = 0; i < 6; i++) rooms.push(await createConversation(stack, { owner: 'ada', members: ['bob', 'eve'] }));
const [ada, bob] = [await connected(stack, 'messaging/0', 'ada'), await connected(stack, 'messaging/0', 'bob')];
for (const room of rooms) for (const socket of [ada, bob]) await askOk(socket, 'join_conversation', room);

const tables = ['message', 'conversation', 'member', 'receipt', 'session', 'chat_event', 'event_id', 'notification', 'notification_event', 'broadcast', 'read_state'];
async function dump() {
  const all = {};
  for (const table of tables) all[table] = (await sql(stack, `SELECT t::text AS row FROM ${table} t ORDER BY 1`)).map((r) => r.row);
  return all;
}
const settled = () => waitFor('all is stored', async () => (await ctlJson(stack, ['lag'])).every((p) => p.lag === 0), 30000);

test('quiet: every table is the same, row by row, and nothing is sent a second time', async () => {
  for (const [i, room] of rooms.entries()) {
    let last;
    for (let k = 0; k < 20; k++) last = await say(k % 2 ? ada : bob, room, `word ${k}`, { clientId: randomUUID() });
    await askOk(bob, 'mark_read', { conversationId: room, seq: last.seq });
    if (i % 2) await restOk(200, 'DELETE', `${stack.urlOf('messaging/0')}/conversations/${room}/members/eve`, { token: stack.token('ada') }).catch(() => {});
  }
  const note = (n) => ({ key: 'bob', value: JSON.stringify({ userId: 'bob', type: 'n', title: `t${n}`, body: 'b' }) });
  await producer.send({ topic: 'notifications', messages: Array.from({ length: 10 }, (_, n) => note(n)) });
  await producer.send({ topic: 'broadcasts', messages: [{ key: 'all', value: JSON.stringify({ audience: 'all', type: 'n', title: 'to all', body: 'b' }) }] });
  await waitFor('notified', async () => (await sql(stack, 'SELECT id FROM notification')).length === 10);
  const [{ id }] = await sql(stack, 'SELECT id FROM notification ORDER BY seq LIMIT 1');
  await restOk(200, 'POST', `${stack.urlOf('notification/0')}/notifications/${encodeURIComponent(id)}/read`, { token: stack.token('bob') }).catch(() => {});
  // A stranger's partitioner, and a record that dies and is redriven.
  const stray = cloudEvent({ id: randomUUID(), type: 'tern.message.created', data: { conversationId: rooms[0], senderId: 'backend', content: 'astray' } });
  await kcatProduce(stack, 'chat.events', { key: rooms[0], ...stray, partition: 0 });
  await kcatProduce(stack, 'chat.events', { key: rooms[0], ...{ ...stray, headers: { ...stray.headers, ce_id: randomUUID() } }, partition: 1 });
  const dead = cloudEvent({ id: randomUUID(), type: 'tern.message.created', data: { conversationId: rooms[1], senderId: 'backend', content: 5 } });
  await producer.send({ topic: 'chat.events', messages: [{ key: rooms[1], ...dead }] });
  await waitFor('the dead letter', async () => (await ctlJson(stack, ['dlq', 'list'])).length === 1);
  await ctlOk(stack, ['dlq', 'redrive', '--all', '--jq', '.content |= tostring', '--yes']);
  await settled();
  const events = (await kcatRead(stack, 'chat.events')).length;
  const before = await dump();
  assert.ok(before.message.length > 120 && before.receipt.length === 6 && before.session.length >= 2);

  const proof = await ctlJson(stack, ['rebuild', '--yes']);
  assert.equal(proof.same, true);
  assert.deepEqual(proof.tables.map((t) => t.table).sort(), ['broadcast', 'chat_event', 'conversation', 'event_id', 'member', 'message', 'notification', 'notification_event', 'read_at', 'receipt', 'session', 'read_state'].filter((t) => proof.tables.some((p) => p.table === t)).sort());
  assert.equal(proof.tables.find((t) => t.table === 'message').rowsAfter, before.message.length);
  await settled();
  assert.deepEqual(await dump(), before);
  assert.equal((await kcatRead(stack, 'chat.events')).length, events, 'no copy was published again');
  assert.equal((await ctlJson(stack, ['dlq', 'list', '--all'])).length, 1, 'no dead letter was written again');
});

test('under load: proven all the same, nothing acked is missing, history answers', async () => {
  const acked = [];
  let on = true;
  const talk = async (socket, k) => {
    for (let i = 0; on; i++) acked.push((await say(socket, rooms[(i + k) % rooms.length], `load ${k} ${i}`)).id);
  };
  const talking = [talk(ada, 0), talk(bob, 3)];
  await waitFor('load', () => acked.length > 50);
  const run = startCtl(stack, ['rebuild', '--yes', '--json']);
  const pages = [];
  while (run.child.exitCode === null) pages.push(await askOk(ada, 'fetch_messages', { conversationId: rooms[0], limit: 5 }).catch((e) => String(e)));
  on = false;
  await Promise.all(talking);
  const { code, out, err } = await run.end;
  assert.equal(code, 0, `${err}${out}`);
  assert.equal(JSON.parse(out).same, true);
  await settled();
  const stored = new Set((await sql(stack, 'SELECT id FROM message')).map((r) => r.id));
  assert.deepEqual(acked.filter((id) => !stored.has(id)), []);
  for (const page of pages) assert.ok(page.messages?.length === 5 || /unavailable/.test(JSON.stringify(page)), JSON.stringify(page).slice(0, 200));
});

test('a row that the log does not have is found', async () => {
  await sql(stack, "UPDATE message SET content = 'tampered' WHERE id = (SELECT id FROM message ORDER BY seq LIMIT 1)");
  const found = await ctl(stack, ['rebuild', '--yes', '--json']);
  assert.equal(found.code, 1, found.err);
  assert.deepEqual(JSON.parse(found.out).tables.filter((t) => !t.same).map((t) => t.table), ['message']);
  assert.equal((await ctlJson(stack, ['rebuild', '--yes'])).same, true, 'and it was mended');
  assert.match((await ctlOk(stack, ['rebuild', '--dry-run'])).out, /chat.events +16 +\d+ offsets/);
});
