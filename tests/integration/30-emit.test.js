// tern.emit: a record of any backend reaches every socket of its room, on every gateway, binary arguments included; the
// durable ones are resumed, and what no client could take is dead-lettered and shown to nobody.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import test from 'node:test';
import { startBalancer } from '../lib/balancer.js';
import { sql } from '../lib/database.js';
import { emitRecord, kafkajsProducer, kcatRead } from '../lib/records.js';
import { createConversation } from '../lib/rest.js';
import { askOk, connected } from '../lib/sockets.js';
import { startStack } from '../lib/stack.js';
import { once, sleep, waitFor } from '../lib/wait.js';

// A gateway that starts again holds only the last two seconds: so a resume has to go to Postgres.
const tailMs = 1000;
const stack = await startStack({ messaging: 2, notification: 0, set: { TERN_TAIL_FILL_MS: String(tailMs), TERN_DEDUPE_WINDOW_MS: String(tailMs) } });
const producer = await kafkajsProducer(stack);
const websocket = { transports: ['websocket'] };
const polling = { transports: ['polling'] };

const emit = (topic, key, data, id) => producer.send({ topic, messages: [{ key, ...emitRecord(data, id) }] });

/** Records all arguments of an event, but the cursor. */
function recordArgs(socket, event) {
  const seen = [];
  socket.on(event, (...args) => {
    const cursor = args.pop();
    assert.match(cursor, /^[A-Za-z0-9_-]{8,}$/, `${event} ends in a cursor`);
    seen.push(args);
  });
  return seen;
}

/** The same conversation on both gateways and both transports; ada twice, and bob. */
async function crowd(url) {
  const id = await createConversation(stack, { owner: 'ada', members: ['bob'] });
  const sockets = [
    await connected(stack, 'messaging/0', 'ada', { ...websocket, url }),
    await connected(stack, 'messaging/1', 'ada', polling),
    await connected(stack, 'messaging/1', 'bob', websocket),
  ];
  for (const socket of sockets) await askOk(socket, 'join_conversation', id);
  const stranger = await connected(stack, 'messaging/0', 'eve', websocket);
  return { id, sockets, stranger };
}

const picture = Buffer.from([0, 1, 2, 255, 30, 0]);
const drawing = {
  event: 'drawing',
  args: ['a', { parts: [{ _placeholder: true, num: 1 }, { deep: { _placeholder: true, num: 0 } }], big: 7 }, null, { _placeholder: true, num: 1 }],
  attachments: [picture.toString('base64'), ''],
};
const drawn = ['a', { parts: [Buffer.alloc(0), { deep: picture }], big: 7 }, null, Buffer.alloc(0)];

for (const topic of ['chat.events', 'chat.signals']) {
  test(`${topic}: every socket of the room gets it, binary and nested, and nobody else`, async () => {
    const { id, sockets, stranger } = await crowd();
    const plain = sockets.map((s) => recordArgs(s, 'plain'));
    const binary = sockets.map((s) => recordArgs(s, 'drawing'));
    const strangers = [recordArgs(stranger, 'plain'), recordArgs(stranger, 'drawing')];
    await emit(topic, id, { event: 'plain', args: [{ n: 1 }, 'two', 3, [4], null, true, 9007199254740991] });
    await emit(topic, id, drawing);
    await emit(topic, 'user:eve', { event: 'plain', args: ['last'] });
    for (const seen of [...plain, ...binary]) await waitFor('it', () => seen.length === 1);
    for (const [args] of plain) assert.deepEqual(args, [{ n: 1 }, 'two', 3, [4], null, true, 9007199254740991]);
    for (const [args] of binary) assert.deepEqual(args, drawn);
    await waitFor('her own', () => strangers[0].length === 1);
    assert.deepEqual(strangers, [[['last']], []]);
  });

  test(`${topic}: user:<id> reaches all devices of the user`, async () => {
    const { sockets, stranger } = await crowd();
    const seen = [...sockets, stranger].map((s) => recordArgs(s, 'hello'));
    await emit(topic, 'user:ada', { event: 'hello', args: [1] });
    for (const user of ['bob', 'eve']) await emit(topic, `user:${user}`, { event: 'hello', args: [user] });
    await waitFor('all', () => seen.every((s) => s.length >= 1));
    assert.deepEqual(seen, [[[1]], [[1]], [['bob']], [['eve']]]);
  });

  test(`${topic}: except leaves out users, sockets and who follows another room`, async () => {
    const { id, sockets } = await crowd();
    const other = await createConversation(stack, { owner: 'bob' });
    await askOk(sockets[2], 'join_conversation', other);
    const seen = sockets.map((s) => recordArgs(s, 'told'));
    const tell = (n, except) => emit(topic, id, { event: 'told', args: [n], except });
    await tell(1, ['ada']);
    await tell(2, ['user:bob', 'nobody', 7]);
    await tell(3, [sockets[0].id]);
    await tell(4, [`conversation:${other}`]);
    await tell(5, []);
    await waitFor('all', () => seen.every((s) => s.some(([n]) => n === 5)));
    assert.deepEqual(seen.map((s) => s.map(([n]) => n).sort()), [[2, 4, 5], [2, 3, 4, 5], [1, 3, 5]]);
  });
}

test('a socket without recovery gets the arguments alone', async () => {
  const socket = await connected(stack, 'messaging/0', 'pat', { ...websocket, auth: { token: stack.token('pat'), recovery: false } });
  const seen = [];
  socket.on('plain', (...args) => seen.push(args));
  await emit('chat.events', 'user:pat', { event: 'plain', args: ['a'] });
  await waitFor('it', () => seen.length === 1);
  assert.deepEqual(seen, [['a']]);
});

const bad = {
  'a reserved name': { event: 'disconnect', args: [] },
  'no name': { args: [1] },
  'what is not base64': { event: 'bad', args: [{ _placeholder: true, num: 0 }], attachments: ['?'] },
  'a placeholder of nothing': { event: 'bad', args: [{ _placeholder: true, num: 2 }], attachments: ['AA=='] },
  'eleven attachments': { event: 'bad', args: [], attachments: Array(11).fill('') },
  'no namespace': { event: 'bad', args: [], nsp: 'admin' },
};

test('what no client can take is shown to nobody, counted, and dead-lettered once', async () => {
  const { id, sockets } = await crowd();
  const any = sockets.map((s) => {
    const seen = [];
    s.onAny((event) => event !== 'cursor' && seen.push(event));
    return seen;
  });
  const skipped = async () => (await stack.metrics('messaging/0'))('tern_records_skipped_total', { reason: 'invalid' });
  const before = await skipped();
  const ids = [];
  for (const [what, data] of Object.entries(bad)) {
    ids.push(`${what} ${randomUUID()}`);
    await emit('chat.events', id, data, ids.at(-1));
    await emit('chat.signals', id, data);
  }
  // A room that no subscription can have, and a namespace that is not served.
  await emit('chat.events', 'no such room!', { event: 'bad', args: [] }, ids.at(-1) + ' key');
  ids.push(ids.at(-1) + ' key');
  await emit('chat.events', id, { event: 'elsewhere', args: [], nsp: '/elsewhere' });
  await emit('chat.events', id, { event: 'end', args: [] });
  await emit('chat.signals', id, { event: 'end', args: [] });
  for (const seen of any) await waitFor('both ends', () => seen.length >= 2);
  for (const seen of any) assert.deepEqual(seen, ['end', 'end']);
  assert.equal(sockets.every((s) => s.connected), true);
  assert.ok((await skipped()) - before >= 2 * Object.keys(bad).length);
  const dead = async () => (await kcatRead(stack, 'chat.events.dlq')).filter((r) => ids.includes(r.headers.ce_id)).map((r) => r.headers.ce_id);
  await waitFor('the dead letters', async () => (await dead()).length >= ids.length);
  assert.deepEqual((await dead()).sort(), ids.sort());
});

test('the same ce_id is shown once', async () => {
  const socket = await connected(stack, 'messaging/0', 'una', websocket);
  const seen = recordArgs(socket, 'once');
  const id = randomUUID();
  for (let n = 0; n < 3; n++) await emit('chat.events', 'user:una', { event: 'once', args: [n] }, id);
  await emit('chat.events', 'user:una', { event: 'once', args: ['end'] });
  await waitFor('the end', () => seen.some(([n]) => n === 'end'));
  assert.deepEqual(seen, [[0], ['end']]);
});

/** The client is cut off; `meanwhile` happens; it comes back to `target`. */
async function away(balancer, socket, target, meanwhile) {
  const lost = once(socket, 'disconnect');
  balancer.servers = [];
  balancer.cut();
  await lost;
  await meanwhile();
  const back = once(socket, 'connect', 20000);
  balancer.servers = [stack.urlOf(target)];
  await back;
  assert.equal(socket.recovered, true);
}

test('durable emits are resumed with their bytes, from the tail and from Postgres; volatile ones are not', async () => {
  const balancer = await startBalancer([stack.urlOf('messaging/0')]);
  const { id, sockets } = await crowd(balancer.url);
  const seen = recordArgs(sockets[0], 'drawing');
  const volatiles = recordArgs(sockets[0], 'volatile');
  const fromPostgres = async () => (await stack.metrics('messaging/0'))('tern_catchups_total', { tier: 'postgres' });
  await emit('chat.events', id, drawing);
  await waitFor('the first', () => seen.length === 1);
  await away(balancer, sockets[0], 'messaging/1', async () => {
    await emit('chat.signals', id, { event: 'volatile', args: [] });
    await emit('chat.events', id, drawing);
  });
  await waitFor('the second', () => seen.length === 2);
  await away(balancer, sockets[0], 'messaging/0', async () => {
    await emit('chat.events', id, drawing);
    await waitFor('it is stored', async () => (await sql(stack, "SELECT id FROM chat_event WHERE conversation_id = $1 AND type = 'tern.emit'", [id])).length === 3);
    await stack.kill('messaging/0');
    await sleep(3 * tailMs); // this is the point: the gateway's new tail begins after it
    await stack.start('messaging/0');
  });
  await waitFor('the third', () => seen.length === 3);
  await emit('chat.events', id, { event: 'drawing', args: ['end'] });
  await waitFor('the end', () => seen.length === 4);
  for (const args of seen.slice(0, 3)) assert.deepEqual(args, drawn);
  assert.deepEqual(seen[3], ['end']);
  assert.equal(volatiles.length, 0);
  assert.ok((await fromPostgres()) >= 1);
});
