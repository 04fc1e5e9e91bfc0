// A gateway dies with all its clients: they come back to another one with the same session, their rooms, and
// exactly what they missed, whichever tier it has to come from.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import test from 'node:test';
import { startBalancer } from '../lib/balancer.js';
import { waitStored } from '../lib/database.js';
import { createConversation, restOk } from '../lib/rest.js';
import { askOk, assertIds, assertInOrder, connected, recordEvents, say } from '../lib/sockets.js';
import { startStack } from '../lib/stack.js';
import { openStream } from '../lib/streams.js';
import { once, sleep, waitFor } from '../lib/wait.js';

// A gateway that starts again holds only the last two seconds: so a resume has to go to Postgres, or to Kafka.
const tailMs = 1000;
const stack = await startStack({ messaging: 2, notification: 2, set: { TERN_TAIL_FILL_MS: String(tailMs), TERN_DEDUPE_WINDOW_MS: String(tailMs), TERN_RETRY_MS: '200', TERN_RETRY_JITTER_MS: '100' } });
const publisher = stack.token('backend', { scope: 'notifications:publish' });
const websocket = { transports: ['websocket'] };

const tiers = ['tail', 'postgres', 'kafka', 'gap'];

/** How many catch-ups of a gateway needed which tier. */
async function catchups(name) {
  const metrics = await stack.metrics(name);
  return Object.fromEntries(tiers.map((tier) => [tier, metrics('tern_catchups_total', { tier })]));
}

async function assertCaughtUp(name, tier, count = 1) {
  const counts = await catchups(name);
  assert.ok(counts[tier] >= count, `${count} catch-ups from ${tier}: ${JSON.stringify(counts)}`);
  assert.equal(counts.gap, 0);
}

/** A sender on gateway 1 and readers of one conversation, in it. */
async function room({ readers, url }) {
  const id = await createConversation(stack, { owner: 'ada', members: ['bob'], gateway: 'messaging/1' });
  const ada = await connected(stack, 'messaging/1', 'ada', websocket);
  await askOk(ada, 'join_conversation', id);
  const clients = [];
  for (let n = 0; n < readers; n++) {
    const socket = await connected(stack, 'messaging/0', 'bob', { ...websocket, url });
    clients.push({ socket, seen: recordEvents(socket), sid: socket.id });
    await askOk(socket, 'join_conversation', id);
  }
  return { id, ada, clients };
}

async function sayMany(ada, id, count) {
  return (await Promise.all(Array.from({ length: count }, (_, n) => say(ada, id, `message ${n}`)))).sort((a, b) => a.seq - b.seq).map((m) => m.id);
}

async function assertAllSeen(clients, ids) {
  for (const { socket, seen, sid } of clients) {
    await waitFor(() => `${ids.length} messages, there are ${seen.length}`, () => seen.length >= ids.length, 20000);
    assertInOrder(seen);
    assertIds(seen, ids);
    assert.equal(socket.recovered, true, 'the session was recovered');
    assert.equal(socket.id, sid, 'with the same id');
  }
}

test('killed in the middle of the talk: the clients come back to the other gateway and miss nothing', async () => {
  const balancer = await startBalancer([stack.urlOf('messaging/0')]);
  const { id, ada, clients } = await room({ readers: 20, url: balancer.url });
  balancer.servers = [stack.urlOf('messaging/0'), stack.urlOf('messaging/1')];
  const ids = await sayMany(ada, id, 20);
  let going = true;
  const more = [];
  const talking = (async () => {
    while (going) more.push((await say(ada, id, 'meanwhile')).id);
  })();
  for (const { seen } of clients) await waitFor('the talk', () => seen.length > ids.length);
  await stack.kill('messaging/0');
  await Promise.all(clients.map(({ socket }) => once(socket, 'connect', 15000)));
  going = false;
  await talking;
  ids.push(...more, ...(await sayMany(ada, id, 5)));
  await assertAllSeen(clients, ids);
  await assertCaughtUp('messaging/1', 'tail');
  await stack.start('messaging/0');
});

test('back on another gateway within the tail, and again on the first', async () => {
  const balancer = await startBalancer([stack.urlOf('messaging/0')]);
  const { id, ada, clients } = await room({ readers: 3, url: balancer.url });
  const ids = await sayMany(ada, id, 10);
  for (const target of ['messaging/1', 'messaging/0', 'messaging/1']) {
    for (const { seen } of clients) await waitFor('all so far', () => seen.length >= ids.length);
    balancer.servers = [];
    const lost = Promise.all(clients.map(({ socket }) => once(socket, 'disconnect')));
    balancer.cut();
    await lost;
    ids.push(...(await sayMany(ada, id, 10)));
    const back = Promise.all(clients.map(({ socket }) => once(socket, 'connect', 15000)));
    balancer.servers = [stack.urlOf(target)];
    await back;
    ids.push(...(await sayMany(ada, id, 10)));
    await assertAllSeen(clients, ids);
  }
});

/** The gateway dies, much is said, the tail passes; it starts again, and its clients resume from below its tail. */
async function resumeBelowTail(tier) {
  const { id, ada, clients } = await room({ readers: 3 });
  const ids = await sayMany(ada, id, 10);
  for (const { seen } of clients) await waitFor('all so far', () => seen.length === ids.length);
  await waitStored(stack, id, ids.length);
  const work = () => dieAndResume({ id, ada, clients, ids, tier });
  await (tier === 'kafka' ? withoutWriter(work) : work());
}

async function withoutWriter(work) {
  await stack.kill('writer/0');
  try {
    await work();
  } finally {
    await stack.start('writer/0');
  }
}

async function dieAndResume({ id, ada, clients, ids, tier }) {
  const lost = Promise.all(clients.map(({ socket }) => once(socket, 'disconnect')));
  await stack.kill('messaging/0');
  await lost;
  ids.push(...(await sayMany(ada, id, 200)));
  if (tier === 'postgres') await waitStored(stack, id, ids.length);
  await sleep(3 * tailMs); // this is the point: the gateway's new tail begins after it
  const back = Promise.all(clients.map(({ socket }) => once(socket, 'connect', 20000)));
  await stack.start('messaging/0');
  await back;
  ids.push(...(await sayMany(ada, id, 10)));
  await assertAllSeen(clients, ids);
  await assertCaughtUp('messaging/0', tier, clients.length);
}

test('older than the tail: from Postgres', () => resumeBelowTail('postgres'));

test('older than the tail and not yet in Postgres: from Kafka', () => resumeBelowTail('kafka'));

test('a session is not for another user, and a forged offset starts anew', async () => {
  const { id, ada, clients } = await room({ readers: 1 });
  const [{ socket, seen }] = clients;
  const ids = await sayMany(ada, id, 3);
  await waitFor('all', () => seen.length === ids.length);
  const { _pid: pid, _lastOffset: offset } = socket;
  assert.ok(pid && offset);
  for (const auth of [
    { token: stack.token('eve'), pid, offset },
    { token: stack.token('bob'), pid: 'f'.repeat(20), offset },
    { token: stack.token('bob'), pid: randomUUID(), offset: '../../etc/passwd' },
  ]) {
    const other = await connected(stack, 'messaging/1', 'eve', { ...websocket, auth });
    assert.notEqual(other.id, socket.id);
    const got = recordEvents(other);
    await say(ada, id, 'not for you');
    await waitFor('the rightful one has it', () => seen.at(-1)?.content === 'not for you');
    assert.deepEqual(got, []);
    other.disconnect();
  }
});

test('streams come back by themselves and miss nothing: tail, Postgres, Kafka', async () => {
  const user = `u-${randomUUID()}`;
  const balancer = await startBalancer([stack.urlOf('notification/0'), stack.urlOf('notification/1')]);
  const stream = await openStream(stack, 'notification/0', user, { url: balancer.url });
  let n = 0;
  const publish = async (count) => {
    for (let i = 0; i < count; i++) await restOk(201, 'POST', `${stack.urlOf('notification/1')}/notifications`, { token: publisher, body: { userId: user, type: 't', title: String(n++), body: 'b' } });
  };
  const all = async () => {
    await waitFor(() => `${n} notifications, there are ${stream.messages.length}`, () => stream.messages.length >= n, 20000);
    assert.deepEqual(stream.messages.map((m) => m.title), Array.from({ length: n }, (_, i) => String(i)));
    assert.deepEqual(stream.named.filter((e) => e.event === 'gap'), []);
  };
  await publish(5);
  await all();

  // The tail: cut, and back at once.
  const tailCount = async () => (await catchups('notification/0')).tail + (await catchups('notification/1')).tail;
  const before = await tailCount();
  balancer.cut();
  await publish(5);
  await all();
  assert.ok((await tailCount()) > before, 'from the tail');

  // Postgres, then Kafka: nobody to come back to until the gateway that starts again has a tail of its own.
  const awayForLong = async (tier) => {
    balancer.servers = [];
    balancer.cut();
    await publish(20);
    await stack.kill('notification/0');
    await sleep(3 * tailMs);
    await stack.start('notification/0');
    balancer.servers = [stack.urlOf('notification/0')];
    await all();
    await assertCaughtUp('notification/0', tier);
  };
  await awayForLong('postgres');
  await withoutWriter(() => awayForLong('kafka'));
  await publish(1);
  await all();
});
