// The log loses its past, is made anew, or grows: what clients then get is whole, or a gap that says so.
import assert from 'node:assert/strict';
import test from 'node:test';
import { Kafka, logLevel } from 'kafkajs';
import { ctlJson, ctlOk } from '../lib/ctl.js';
import { sql, storedIds, waitStored } from '../lib/database.js';
import { javaPartition, kcatRead } from '../lib/records.js';
import { createConversation } from '../lib/rest.js';
import { askOk, assertIds, assertInOrder, connected, recordEvents, say, waitForCount } from '../lib/sockets.js';
import { atEnd, startStack } from '../lib/stack.js';
import { once, sleep, waitFor } from '../lib/wait.js';

const tailMs = 1000;
const stack = await startStack({ messaging: 2, notification: 0, set: { TERN_TAIL_FILL_MS: String(tailMs), TERN_DEDUPE_WINDOW_MS: String(tailMs) } });
const [one, two] = ['messaging/0', 'messaging/1'];
const websocket = { transports: ['websocket'] };
const admin = new Kafka({ clientId: 'operator', brokers: stack.bootstrap.split(','), logLevel: logLevel.NOTHING }).admin();
await admin.connect();
atEnd(() => admin.disconnect());

const seqEpoch = (seq) => Math.floor(seq / 2 ** 40);

/** ada talks on the second gateway, bob listens on the first, and may be sent to another. */
async function pair() {
  const id = await createConversation(stack, { owner: 'ada', members: ['bob'], gateway: two });
  const [ada, bob] = [await connected(stack, two, 'ada', websocket), await connected(stack, one, 'bob', websocket)];
  for (const socket of [ada, bob]) await askOk(socket, 'join_conversation', id);
  return { id, ada, bob, seen: recordEvents(bob), gaps: recordEvents(bob, 'gap') };
}

/** bob is away while `work` runs, and comes back to a gateway that knows nothing but the last two seconds. */
async function away(bob, work) {
  bob.io.reconnection(false);
  bob.io.engine.close();
  await waitFor('bob is away', () => !bob.connected);
  const result = await work();
  await sleep(2 * tailMs + 500); // the fill is a time before now: only time passes it
  await stack.kill(one);
  await stack.start(one);
  bob.io.reconnection(true);
  const back = once(bob, 'connect', 20000);
  bob.connect();
  await back;
  return result;
}

/** Every partition of the topic loses all that it has. */
async function passRetention(topic) {
  const ends = await admin.fetchTopicOffsets(topic);
  await admin.deleteTopicRecords({ topic, partitions: ends.map(({ partition, high }) => ({ partition, offset: high })) });
  return ends;
}

async function sayMany(ada, id, count) {
  const all = [];
  for (let n = 0; n < count; n++) all.push((await say(ada, id, `message ${n}`)).id);
  return all;
}

test('retention has passed what was missed, but Postgres has it: nothing is missing', async () => {
  const { id, ada, bob, seen, gaps } = await pair();
  const ids = await sayMany(ada, id, 3);
  await waitForCount(seen, ids.length);
  await away(bob, async () => {
    ids.push(...(await sayMany(ada, id, 10)));
    await waitStored(stack, id, ids.length);
    await passRetention('chat.events');
  });
  ids.push(...(await sayMany(ada, id, 1)));
  await waitForCount(seen, ids.length);
  assertIds(seen, ids);
  assert.deepEqual([bob.recovered, gaps], [true, []]);
  assert.deepEqual(await waitStored(stack, id, ids.length), ids);
  for (const socket of [ada, bob]) socket.disconnect();
});

test('retention has passed what nobody has stored: the gap is announced, and all later comes', async () => {
  const { id, ada, bob, seen, gaps } = await pair();
  const ids = await sayMany(ada, id, 3);
  await waitForCount(seen, ids.length);
  await waitStored(stack, id, ids.length);
  stack.pause('writer/0');
  let lost;
  try {
    lost = await away(bob, async () => {
      const missed = await sayMany(ada, id, 10);
      await passRetention('chat.events');
      return missed;
    });
    await waitFor('the gap is told', () => gaps.length > 0, 20000);
    assert.equal(bob.recovered, true);
    assert.ok((await stack.metrics(one))('tern_catchups_total', { tier: 'gap' }) >= 1);
  } finally {
    stack.cont('writer/0');
  }
  const later = await sayMany(ada, id, 5);
  await waitForCount(seen, ids.length + later.length);
  assertIds(seen, [...ids, ...later]);
  // The writer goes on where the log begins; what it had been sent before it stood still it may have stored.
  await waitFor('the later ones are stored', async () => (await storedIds(stack, id)).slice(-later.length).join() === later.join(), 20000);
  const stored = await storedIds(stack, id);
  assert.deepEqual(stored.filter((one) => !lost.includes(one)), [...ids, ...later]);
  for (const socket of [ada, bob]) socket.disconnect();
});

test('a topic that is made anew begins a new life: nothing is lost, nothing comes twice, seq goes on rising', async () => {
  const { id, ada, bob, seen, gaps } = await pair();
  const ids = await sayMany(ada, id, 5);
  await waitForCount(seen, ids.length);
  const before = seqEpoch(seen.at(-1).seq);
  await away(bob, async () => {
    ids.push(...(await sayMany(ada, id, 5)));
    await waitStored(stack, id, ids.length);
    await admin.deleteTopics({ topics: ['chat.events'] });
    await waitFor('it is gone', async () => !(await admin.listTopics()).includes('chat.events'));
    await ctlOk(stack, ['topics', 'create']);
    await waitFor('both write again', async () => (await ada.timeout(2000).emitWithAck('send_message', { conversationId: id, content: 'anew', clientId: 'anew' }).catch(() => ({}))).ok, 60000);
    ids.push(...(await sayMany(ada, id, 5)));
  });
  const life = (await ctlJson(stack, ['epoch'])).find((l) => l.topic === 'chat.events');
  assert.equal(life.epoch, before + 1);
  await waitForCount(seen, ids.length + 1, 30000);
  assertInOrder(seen);
  const anew = seen.find((m) => m.content === 'anew');
  ids.splice(10, 0, anew.id);
  assertIds(seen, ids);
  assert.deepEqual(gaps, []);
  assert.equal(seqEpoch(seen.at(-1).seq), before + 1);
  assert.deepEqual(await waitStored(stack, id, ids.length), ids);
  const { messages } = await askOk(bob, 'fetch_messages', { conversationId: id, limit: 200 });
  assert.deepEqual(messages.map((m) => m.id), ids);
  for (const socket of [ada, bob]) socket.disconnect();
});

test('a topic that is made anew and has grown past every old place is told from the old one', async () => {
  const { id, ada, bob, seen, gaps } = await pair();
  const ids = await sayMany(ada, id, 5);
  await waitForCount(seen, ids.length);
  const before = seqEpoch(seen.at(-1).seq);
  await waitStored(stack, id, ids.length);
  stack.pause('writer/0'); // it must not notice by itself that the log was short for a while
  await away(bob, async () => {
    await admin.deleteTopics({ topics: ['chat.events'] });
    await waitFor('it is gone', async () => !(await admin.listTopics()).includes('chat.events'));
    await admin.createTopics({ topics: [{ topic: 'chat.events', numPartitions: 16, replicationFactor: 1 }], waitForLeaders: false });
    const leaders = async () => (await admin.fetchTopicMetadata({ topics: ['chat.events'] })).topics[0].partitions.filter((p) => p.leader >= 0).length;
    await waitFor('its leaders are known', async () => (await leaders().catch(() => 0)) === 16);
    const fill = Array.from({ length: 960 }, (_, n) => ({ partition: n % 16, key: `other-${n}`, value: '{}', headers: { ce_type: 'tern.unknown', ce_id: `fill-${n}` } }));
    const producer = new Kafka({ brokers: stack.bootstrap.split(','), logLevel: logLevel.NOTHING }).producer();
    await producer.connect();
    await producer.send({ topic: 'chat.events', messages: fill });
    await producer.disconnect();
    await ctlOk(stack, ['topics', 'create']);
    stack.cont('writer/0');
    await stack.kill(two);
    await stack.start(two);
  });
  const life = (await ctlJson(stack, ['epoch'])).find((l) => l.topic === 'chat.events');
  assert.equal(life.epoch, before + 1);
  await waitFor('ada is back', () => ada.connected, 20000);
  if (!ada.recovered) await askOk(ada, 'join_conversation', id);
  if (!bob.recovered) await askOk(bob, 'join_conversation', id);
  const later = await sayMany(ada, id, 5);
  await waitForCount(seen, ids.length + later.length, 30000);
  assertIds(seen, [...ids, ...later]);
  assert.deepEqual(gaps, []);
  assert.deepEqual(await waitStored(stack, id, ids.length + later.length, 60000), [...ids, ...later]);
  for (const socket of [ada, bob]) socket.disconnect();
});

test('partitions grown: doctor says so, topics create begins a new life, and old rows stay in their order', async () => {
  // Of many conversations some would lie elsewhere under the new count.
  const pairs = [];
  for (let n = 0; n < 8; n++) pairs.push(await pair());
  for (const p of pairs) p.ids = await sayMany(p.ada, p.id, 5);
  for (const p of pairs) {
    await waitForCount(p.seen, p.ids.length);
    await waitStored(stack, p.id, p.ids.length);
    for (const socket of [p.ada, p.bob]) socket.disconnect();
  }
  // A writer that has a name, as the stack's have, is given the new partitions only when Kafka gives out all of them anew.
  const { id, ids } = pairs.find((p) => javaPartition(p.id, 20) < 16);
  const dlqCount = async () => (await admin.fetchTopicOffsets('chat.events.dlq')).reduce((sum, p) => sum + Number(p.high), 0);
  const deadBefore = await dlqCount();
  await admin.createPartitions({ topicPartitions: [{ topic: 'chat.events', count: 20 }] });
  const doctor = await ctlOk(stack, ['doctor'], { code: 1 });
  assert.match(doctor.out + doctor.err, /chat\.events/);
  // The other topics have not grown: partly done.
  await ctlOk(stack, ['topics', 'create'], { env: { TERN_PARTITIONS: '20' }, code: 3 });
  // Until the writer has seen the new life it takes what comes under the new count for a foreign producer's.
  const inNewLife = `SELECT FROM ingest_offset WHERE topic = 'chat.events' AND epoch = (SELECT max(epoch) FROM log_epoch WHERE topic = 'chat.events')`;
  await waitFor('the writer is in the new life', async () => (await sql(stack, inNewLife)).length > 0, 20000);
  // A gateway's places are by partition: it ends, and whoever watches over it starts it again. The writer goes on.
  for (const gateway of [one, two]) {
    await waitFor(`${gateway} has ended`, () => !stack.isAlive(gateway), 60000);
    await stack.start(gateway);
  }
  const [again, listener] = [await connected(stack, two, 'ada', websocket), await connected(stack, one, 'bob', websocket)];
  for (const socket of [again, listener]) await askOk(socket, 'join_conversation', id);
  const heard = recordEvents(listener);
  const later = await sayMany(again, id, 5);
  await waitForCount(heard, later.length);
  ids.push(...later);
  assert.deepEqual(await waitStored(stack, id, ids.length), ids);
  // Nothing of what was written under the old count is published again: the log holds each id once, and nobody hears it twice.
  const said = new Map();
  for (const r of await kcatRead(stack, 'chat.events')) said.set(r.headers.ce_id, (said.get(r.headers.ce_id) ?? 0) + 1);
  assert.deepEqual(pairs.flatMap((p) => p.ids).map((one) => said.get(one)), pairs.flatMap((p) => p.ids).map(() => 1));
  assert.deepEqual(await dlqCount(), deadBefore);
  assertIds(heard, later);
  const { messages } = await askOk(listener, 'fetch_messages', { conversationId: id, limit: 200 });
  assert.deepEqual(messages.map((m) => m.id), ids);
  const [{ count }] = await sql(stack, 'SELECT count(*)::int FROM message WHERE conversation_id = $1', [id]);
  assert.equal(count, ids.length);
  for (const socket of [again, listener]) socket.disconnect();
});
