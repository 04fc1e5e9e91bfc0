// The resumes that count most: cut twice in the middle of ten thousand events, all gateways dead at once, all of them drained
// one after the other under load, and clients that were idle for longer than the tail is.
import assert from 'node:assert/strict';
import test from 'node:test';
import { startBalancer } from '../lib/balancer.js';
import { waitStored } from '../lib/database.js';
import { createConversation, restOk } from '../lib/rest.js';
import { askOk, assertIds, assertInOrder, connected, recordEvents, say, waitForCount } from '../lib/sockets.js';
import { startStack } from '../lib/stack.js';
import { openStream } from '../lib/streams.js';
import { once, sleep, waitFor, within } from '../lib/wait.js';

const tailMs = 2000;
const stack = await startStack({ messaging: 3, notification: 2, set: { TERN_TAIL_FILL_MS: String(tailMs), TERN_DEDUPE_WINDOW_MS: String(tailMs), TERN_DRAIN_MS: '500', TERN_RETRY_MS: '100', TERN_RETRY_JITTER_MS: '100' } });
const gateways = ['messaging/0', 'messaging/1', 'messaging/2'];
const websocket = { transports: ['websocket'] };
const publisher = stack.token('backend', { scope: 'notifications:publish' });

const tierCount = async (name, tier) => (await stack.metrics(name))('tern_catchups_total', { tier });
const storeReads = async (name) => (await stack.metrics(name))('tern_store_query_seconds_count');

/** bob's sockets, by a balancer, in a room in which ada talks; ada's own gateway is any as well. */
async function room(readers) {
  const balancer = await startBalancer(gateways.map((name) => stack.urlOf(name)));
  const id = await createConversation(stack, { owner: 'ada', members: ['bob'] });
  const sockets = [];
  for (const user of ['ada', ...Array(readers).fill('bob')]) {
    const socket = await connected(stack, null, user, { ...websocket, url: balancer.url, timeout: 3000 });
    const c = { socket, sid: socket.id, seen: recordEvents(socket), gaps: recordEvents(socket, 'gap'), back: 0, anew: 0 };
    socket.on('connect', () => (socket.recovered && socket.id === c.sid ? c.back++ : c.anew++));
    await askOk(socket, 'join_conversation', id);
    sockets.push(c);
  }
  return { id, balancer, ada: sockets[0], bobs: sockets.slice(1), all: sockets };
}

/** Sends until it is acked, whatever dies meanwhile. */
async function sayUntil({ socket }, id, content) {
  const clientId = `${id}-${content}`;
  for (;;) {
    const answer = socket.connected && (await socket.timeout(12000).emitWithAck('send_message', { conversationId: id, content, clientId }).catch(() => null));
    if (answer?.ok) return answer.message;
    await sleep(50);
  }
}

async function sayMany(ada, id, count, pad = '') {
  const all = [];
  while (all.length < count) all.push(...(await Promise.all(Array.from({ length: Math.min(250, count - all.length) }, (_, n) => say(ada.socket, id, `message ${n} ${pad}`)))));
  return all.sort((a, b) => a.seq - b.seq).map((m) => m.id);
}

async function assertExactly(clients, ids) {
  for (const c of clients) {
    await waitForCount(c.seen, ids.length, 60000);
    assertInOrder(c.seen);
    assertIds(c.seen, ids);
    assert.deepEqual(c.gaps, []);
    assert.equal(c.anew, 0, 'no new session');
  }
}

function end({ all }) {
  for (const { socket } of all) socket.disconnect();
}

test('killed twice in the middle of a resume of ten thousand events', async () => {
  const r = await room(2);
  const { id, ada, bobs, balancer } = r;
  const url = (name) => stack.urlOf(name);
  // ada stays where nobody dies; the others roam over the first two.
  ada.socket.io.uri = url(gateways[2]);
  ada.socket.io.engine.close();
  await waitFor('ada is back', () => ada.socket.connected && ada.back === 1);
  const ids = await sayMany(ada, id, 5);
  await assertExactly(r.all, ids);
  const went = Promise.all(bobs.map(({ socket }) => once(socket, 'disconnect')));
  balancer.servers = [];
  balancer.cut();
  await went;
  // Long ones: more than lies in the sockets' buffers when the gateway is gone.
  ids.push(...(await sayMany(ada, id, 10000, 'x'.repeat(1000))));
  for (const [gateway, from] of [[gateways[0], 500], [gateways[1], 4000]]) {
    // In the turn in which the event comes: a replay is over before anybody has looked twice.
    const { pid } = stack.record(gateway);
    const killed = new Promise((done) => {
      bobs[0].socket.on('new_message', function kill() {
        if (bobs[0].seen.length < from) return;
        bobs[0].socket.off('new_message', kill);
        process.kill(pid, 'SIGKILL');
        balancer.servers = [];
        done();
      });
    });
    balancer.servers = [url(gateway)];
    await within(30000, 'the replay is under way', killed);
    await waitFor('they are gone', () => bobs.every((c) => !c.socket.connected));
    await stack.kill(gateway);
    assert.ok(bobs[0].seen.length < ids.length, 'in the middle');
  }
  await Promise.all([stack.start(gateways[0]), stack.start(gateways[1])]);
  balancer.servers = gateways.map(url);
  ids.push(...(await sayMany(ada, id, 5)));
  await assertExactly(r.all, ids);
  end(r);
});

test('all gateways are killed at once, under load: everybody is back with the same session and has all', async () => {
  const r = await room(12);
  const { id, ada } = r;
  const ids = [];
  let on = true;
  const talk = (async () => {
    for (let n = 0; on; n++) ids.push((await sayUntil(ada, id, `message ${n}`)).id);
  })();
  await waitForCount(r.bobs[0].seen, 20);
  await Promise.all(gateways.map((name) => stack.kill(name)));
  await waitFor('all are gone', () => r.all.every((c) => !c.socket.connected));
  await Promise.all(gateways.map((name) => stack.start(name)));
  await waitFor('all are back', () => r.all.every((c) => c.socket.connected), 30000);
  on = false;
  await talk;
  await assertExactly(r.all, ids);
  assert.ok(r.all.every((c) => c.back >= 1));
  end(r);
});

test('all gateways are drained and started again, one after the other, under load: every client is recovered', async () => {
  const r = await room(12);
  const { id, ada } = r;
  const ids = [];
  let on = true;
  const talk = (async () => {
    for (let n = 0; on; n++) ids.push((await sayUntil(ada, id, `message ${n}`)).id);
  })();
  for (const name of gateways) {
    await stack.term(name);
    await waitFor(`${name} has ended`, () => !stack.isAlive(name), 20000);
    await stack.start(name);
  }
  await waitFor('all are there', () => r.all.every((c) => c.socket.connected), 30000);
  on = false;
  await talk;
  await assertExactly(r.all, ids);
  assert.ok(r.all.every((c) => c.back >= 1 && c.socket.recovered));
  end(r);
});

test('idle for three times the tail, then the gateway is killed: sockets and streams resume from the tail, without Postgres', async () => {
  const r = await room(6);
  const { id, ada, balancer } = r;
  const ids = await sayMany(ada, id, 5);
  await assertExactly(r.all, ids);
  const user = `idle-${id}`;
  const front = await startBalancer(['notification/0', 'notification/1'].map((name) => stack.urlOf(name)));
  const stream = await openStream(stack, null, user, { url: front.url });
  const publish = (title) => restOk(201, 'POST', `${stack.urlOf('notification/1')}/notifications`, { token: publisher, body: { userId: user, type: 't', title, body: 'b' } });
  await publish('first');
  await waitFor('it is there', () => stream.messages.length === 1);
  // Somebody else's traffic drives the log on; fresh cursors have to follow it.
  const other = await createConversation(stack, { owner: 'ada' });
  await askOk(ada.socket, 'join_conversation', other);
  for (const until = Date.now() + 3 * tailMs; Date.now() < until; ) {
    await say(ada.socket, other, 'elsewhere');
    await restOk(201, 'POST', `${stack.urlOf('notification/1')}/notifications`, { token: publisher, body: { userId: 'somebody', type: 't', title: 'x', body: 'b' } });
  }
  const before = Object.fromEntries(await Promise.all(gateways.map(async (name) => [name, { tail: await tierCount(name, 'tail'), postgres: await tierCount(name, 'postgres') }])));
  const streamsBefore = { tail: await tierCount('notification/1', 'tail'), postgres: await tierCount('notification/1', 'postgres') };
  const readsBefore = await storeReads(gateways[2]);
  balancer.servers = [stack.urlOf(gateways[2])];
  front.servers = [stack.urlOf('notification/1')];
  await Promise.all([stack.kill(gateways[0]), stack.kill(gateways[1]), stack.kill('notification/0')]);
  balancer.cut();
  front.cut();
  await waitFor('all are back', () => r.all.every((c) => c.socket.connected && c.back >= 1), 20000);
  ids.push(...(await sayMany(ada, id, 3)));
  for (const c of r.all) {
    await waitFor('all of the room', () => c.seen.filter((m) => m.conversationId === id).length >= ids.length);
    assertIds(c.seen.filter((m) => m.conversationId === id), ids);
    assert.deepEqual([c.gaps, c.anew], [[], 0]);
  }
  await publish('second');
  await waitFor('the stream has it', () => stream.messages.length === 2);
  assert.deepEqual([stream.messages.map((m) => m.title), stream.named], [['first', 'second'], []]);
  assert.ok((await tierCount(gateways[2], 'tail')) >= before[gateways[2]].tail + r.all.length, 'from the tail');
  assert.equal(await tierCount(gateways[2], 'postgres'), before[gateways[2]].postgres);
  assert.ok((await tierCount('notification/1', 'tail')) > streamsBefore.tail, 'the stream from the tail');
  assert.equal(await tierCount('notification/1', 'postgres'), streamsBefore.postgres);
  // The rights to one room are read once, not once for each client.
  assert.ok((await storeReads(gateways[2])) - readsBefore < r.all.length, `${(await storeReads(gateways[2])) - readsBefore} reads`);
  await Promise.all(['messaging/0', 'messaging/1', 'notification/0'].map((name) => stack.start(name)));
  end(r);
});

test('a session that only Postgres knows, and Postgres is away: the client is put off, and then recovered', async () => {
  const r = await room(3);
  const { id, ada, bobs, balancer } = r;
  ada.socket.io.uri = stack.urlOf(gateways[2]);
  ada.socket.io.engine.close();
  await waitFor('ada is back', () => ada.socket.connected && ada.back === 1);
  const went = Promise.all(bobs.map(({ socket }) => once(socket, 'disconnect')));
  balancer.servers = [];
  balancer.cut();
  await went;
  const ids = await sayMany(ada, id, 20);
  await waitStored(stack, id, ids.length);
  await sleep(3 * tailMs); // this is the point: the sessions leave the tail of whoever starts now
  await stack.kill(gateways[0]);
  await stack.start(gateways[0]);
  const unavailable = async () => (await stack.metrics(gateways[0]))('tern_resumes_total', { result: 'unavailable' });
  await stack.kill('postgres');
  try {
    balancer.servers = [stack.urlOf(gateways[0])];
    await waitFor('each was put off', async () => (await unavailable()) >= bobs.length, 30000);
    assert.ok(bobs.every((c) => c.anew === 0));
  } finally {
    await stack.start('postgres');
  }
  await waitFor('they are back', () => bobs.every((c) => c.socket.connected && c.back >= 1), 30000);
  await assertExactly(r.all, ids);
  end(r);
});
