// Records of other backends: every way to write them, every client, and the wrong partitioner.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import zlib from 'node:zlib';
import test from 'node:test';
import { sql } from '../lib/database.js';
import { cloudEvent, javaPartition, kafkajsProducer, kcatProduce, kcatRead } from '../lib/records.js';
import { startStack } from '../lib/stack.js';
import { openStream } from '../lib/streams.js';
import { waitFor } from '../lib/wait.js';

const stack = await startStack({ messaging: 0 });
const producer = await kafkajsProducer(stack);
const partitions = 16;

const notification = (userId, title) => ({ userId, type: 'invoice.due', title, body: 'Soon', data: { amount: 12.5 } });

const formats = {
  'binary CloudEvents': (user, id) => ({ ...cloudEvent({ id, type: 'com.example.invoice.due', data: notification(user, id) }) }),
  'structured CloudEvents': (user, id) => ({
    headers: { 'content-type': 'application/cloudevents+json; charset=UTF-8' },
    value: JSON.stringify({ specversion: '1.0', id, type: 'com.example.invoice.due', source: '/billing', data: notification(user, id) }),
  }),
  'bare JSON with an id': (user, id) => ({ headers: {}, value: JSON.stringify({ ...notification(user, id), id }) }),
  'bare JSON without an id': (user, id) => ({ headers: {}, value: JSON.stringify(notification(user, id)) }),
};

const clients = {
  kcat: (record) => kcatProduce(stack, 'notifications', record),
  kafkajs: ({ key, value, headers }) => producer.send({ topic: 'notifications', messages: [{ key, value, headers }] }),
};

async function storedOf(user) {
  return sql(stack, 'SELECT id, type, title, body, data FROM notification WHERE user_id = $1 ORDER BY seq', [user]);
}

for (const [format, make] of Object.entries(formats)) {
  for (const [name, produce] of Object.entries(clients)) {
    test(`${format} from ${name} arrive like our own`, async () => {
      const user = `u-${randomUUID()}`;
      const id = randomUUID();
      const stream = await openStream(stack, 'notification/0', user);
      await produce({ key: user, ...make(user, id) });
      await waitFor('the notification', () => stream.messages.length === 1);
      const [m] = stream.messages;
      assert.deepEqual({ userId: m.userId, title: m.title, body: m.body, data: m.data }, { userId: user, title: id, body: 'Soon', data: { amount: 12.5 } });
      if (format.endsWith('without an id')) assert.equal(m.id, `notifications/${javaPartition(user, partitions)}/${m.seq % 2 ** 40}`);
      else assert.equal(m.id, id);
      await waitFor('it is stored', async () => (await storedOf(user)).length === 1);
      const [row] = await storedOf(user);
      assert.deepEqual({ id: row.id, title: row.title, body: row.body, data: row.data }, { id: m.id, title: id, body: 'Soon', data: { amount: 12.5 } });
    });
  }
}

// node 20 has no zlib.crc32: the table-free loop will do.
function crc(text) {
  if (zlib.crc32) return zlib.crc32(text);
  let c = 0xffffffff;
  for (const byte of Buffer.from(text)) {
    c ^= byte;
    for (let i = 0; i < 8; i++) c = c & 1 ? (c >>> 1) ^ 0xedb88320 : c >>> 1;
  }
  return (c ^ 0xffffffff) >>> 0;
}

function userOfWrongPartition() {
  for (;;) {
    const user = `u-${randomUUID()}`;
    if (crc(user) % partitions !== javaPartition(user, partitions)) return user;
  }
}

test('a record of librdkafka\'s own partitioner is shown once, after the writer has re-keyed it', async () => {
  const before = (await stack.metrics('writer/0'))('tern_rekeyed_total');
  for (const format of ['binary CloudEvents', 'bare JSON without an id']) {
    const user = userOfWrongPartition();
    const id = randomUUID();
    const stream = await openStream(stack, 'notification/0', user);
    await kcatProduce(stack, 'notifications', { key: user, ...formats[format](user, id), partitioner: 'consistent_random' });
    await kcatProduce(stack, 'notifications', { key: user, ...formats[format](user, 'second'), partitioner: 'murmur2_random' });
    await waitFor('both', () => stream.messages.length >= 2);
    assert.deepEqual(stream.messages.map((m) => m.title).sort(), [id, 'second'].sort());
    await waitFor('both are stored', async () => (await storedOf(user)).length === 2);
    const copies = (await kcatRead(stack, 'notifications')).filter((r) => r.key === user && r.value.includes(id));
    assert.equal(copies.length, 2);
    const copy = copies.find((r) => r.partition === javaPartition(user, partitions));
    assert.ok(copy?.headers['tern-rekeyed'], JSON.stringify(copies));
  }
  assert.equal((await stack.metrics('writer/0'))('tern_rekeyed_total') - before, 2);
});

test('a record without a key reaches the user whom its body names', async () => {
  const user = `u-${randomUUID()}`;
  const stream = await openStream(stack, 'notification/0', user);
  await kcatProduce(stack, 'notifications', { ...formats['bare JSON with an id'](user, 'no-key'), partition: (javaPartition(user, partitions) + 1) % partitions });
  await waitFor('it', () => stream.messages.length === 1);
  assert.equal(stream.messages[0].title, 'no-key');
  await waitFor('it is stored', async () => (await storedOf(user)).length === 1);
});

/** A user whose records belong into the partition of that key, or into another. */
function userBeside(key, same) {
  for (;;) {
    const user = `u-${randomUUID()}`;
    if ((javaPartition(user, partitions) === javaPartition(key, partitions)) === same) return user;
  }
}

// In the same partition the copy has the id of the record that it replaces.
for (const same of [true, false]) {
  test(`a record whose key names another user of ${same ? 'the same' : 'another'} partition is shown to its own once the writer has re-keyed it, and to nobody before`, async () => {
    const key = `u-${randomUUID()}`;
    const subject = userBeside(key, same);
    const wrong = await openStream(stack, 'notification/0', key);
    const right = await openStream(stack, 'notification/0', subject);
    const id = `x-${randomUUID()}`;
    await kcatProduce(stack, 'notifications', { key, ...formats['bare JSON with an id'](subject, id) });
    await kcatProduce(stack, 'notifications', { key, ...formats['bare JSON with an id'](key, `end-${id}`) });
    await waitFor('the end', () => wrong.messages.length >= 1);
    await waitFor('it is re-keyed', () => right.messages.length >= 1, 15000);
    assert.deepEqual(right.messages.map((m) => m.title), [id]);
    assert.deepEqual(wrong.messages.map((m) => m.title), [`end-${id}`]);
    await waitFor('it is stored once', async () => (await storedOf(subject)).length === 1);
  });
}

test('a broadcast from another backend reaches all', async () => {
  const streams = [await openStream(stack, 'notification/0', 'ada'), await openStream(stack, 'notification/0', 'bob')];
  await kcatProduce(stack, 'broadcasts', { key: 'all', ...cloudEvent({ id: randomUUID(), type: 'com.example.maintenance', data: { audience: 'all', type: 'maintenance', title: 'At noon', body: 'Ten minutes' } }) });
  for (const stream of streams) await waitFor('the broadcast', () => stream.messages.some((m) => m.title === 'At noon'));
});
