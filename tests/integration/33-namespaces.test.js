// Namespaces of the chat gateway: who may enter, rooms, user rooms, emits and recovery in each; chat lives in "/".
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import test from 'node:test';
import { Manager } from 'socket.io-client';
import { binDir } from '../../scripts/lib/paths.mjs';
import { startBalancer } from '../lib/balancer.js';
import { emitRecord, kafkajsProducer, kcatRead } from '../lib/records.js';
import { createConversation, restOk } from '../lib/rest.js';
import { ask, askOk, askRefused, say } from '../lib/sockets.js';
import { atEnd, startStack } from '../lib/stack.js';
import { once, waitFor } from '../lib/wait.js';

const stack = await startStack({ messaging: 2, notification: 0, set: { TERN_NAMESPACES: '/admin,/,/shop', TERN_CLIENT_EVENTS: 'order:*', TERN_OUTBOX_BYTES_MAX: '262144' } });
const producer = await kafkajsProducer(stack);
const emit = (topic, key, data) => producer.send({ topic, messages: [{ key, ...emitRecord(data) }] });

const everywhere = { scope: 'nsp:/admin nsp:/shop' };

/** One connection with a socket for each namespace. */
function sockets(user, names, { url = stack.urlOf('messaging/0'), claims = everywhere, auth = {}, ...options } = {}) {
  const token = stack.token(user, claims);
  const manager = new Manager(url, { transports: ['websocket'], reconnectionDelay: 100, reconnectionDelayMax: 500, ...options });
  const made = {};
  for (const name of names) {
    made[name] = manager.socket(name, { auth: { token, ...auth } });
    atEnd(() => made[name].disconnect());
  }
  return made;
}

async function entered(user, names, options) {
  const made = sockets(user, names, options);
  for (const socket of Object.values(made)) if (!socket.connected) await once(socket, 'connect');
  return made;
}

function record(socket, event) {
  const seen = [];
  socket.on(event, (arg) => seen.push(arg));
  return seen;
}

async function refusal(socket) {
  const [error] = await once(socket, 'connect_error');
  return error;
}

test('a namespace that is not served is refused, and so is who has no right to one that is', async () => {
  const unknown = sockets('ada', ['/nowhere']);
  assert.equal((await refusal(unknown['/nowhere'])).message, 'Invalid namespace');
  for (const claims of [{}, { scope: 'nsp:/shop' }, { scope: 'admin' }, { scope: 'nsp:/admins' }]) {
    const made = sockets('ada', ['/', '/admin'], { claims });
    const error = await refusal(made['/admin']);
    assert.equal(error.data.code, 'forbidden');
    if (!made['/'].connected) await once(made['/'], 'connect');
    assert.equal(made['/admin'].connected, false);
    made['/'].disconnect();
  }
  for (const scope of ['nsp:/admin', 'nsp:*']) await entered('ada', ['/', '/admin'], { claims: { scope } });
});

test('a list of namespaces that cannot be served is a wrong setting', () => {
  const r = spawnSync(join(binDir, 'tern-messaging'), [], { env: { TERN_NAMESPACES: 'bad,/a b,/admin', TERN_AUTH: 'off', TERN_BIND: '127.0.0.1', TERN_OPS_BIND: '127.0.0.1' }, encoding: 'utf8', timeout: 10000 });
  assert.equal(r.status, 2);
  for (const line of ['bad is no namespace', '/a b is no namespace', 'TERN_NAMESPACES lacks /']) assert.ok(r.stderr.includes(line), r.stderr);
});

test('emits reach the sockets of their own namespace, in rooms and at users, on every gateway', async () => {
  const id = await createConversation(stack, { owner: 'ada', members: ['bob'] });
  const ada = await entered('ada', ['/', '/admin', '/shop']);
  const bob = await entered('bob', ['/admin', '/'], { url: stack.urlOf('messaging/1') });
  for (const socket of [...Object.values(ada), bob['/admin']]) await askOk(socket, 'join_conversation', id);
  const all = [ada['/'], ada['/admin'], ada['/shop'], bob['/'], bob['/admin']];
  const seen = all.map((s) => record(s, 'told'));
  for (const topic of ['chat.events', 'chat.signals']) {
    for (const nsp of [undefined, '/admin', '/shop', '/nowhere']) {
      await emit(topic, id, { event: 'told', args: [`${topic} room ${nsp ?? '/'}`], nsp });
      await emit(topic, 'user:bob', { event: 'told', args: [`${topic} bob ${nsp ?? '/'}`], nsp });
    }
    await emit(topic, id, { event: 'bytes', args: [{ _placeholder: true, num: 0 }], attachments: ['AAH/'], nsp: '/admin' });
  }
  const bytes = record(bob['/admin'], 'bytes');
  await emit('chat.events', id, { event: 'bytes', args: [{ _placeholder: true, num: 0 }], attachments: ['AAH/'], nsp: '/admin' });
  const expected = [['room /'], ['room /admin'], ['room /shop'], ['bob /'], ['room /admin', 'bob /admin']].map((list) => list.flatMap((what) => [`chat.events ${what}`, `chat.signals ${what}`]).sort());
  await waitFor('all', () => seen.every((s, i) => s.length >= expected[i].length) && bytes.length >= 1);
  assert.deepEqual(seen.map((s) => [...s].sort()), expected);
  assert.deepEqual(bytes.at(-1), Buffer.from([0, 1, 255]));
});

test('chat lives in "/" alone; membership counts everywhere', async () => {
  const id = await createConversation(stack, { owner: 'ada', members: ['bob'] });
  const ada = await entered('ada', ['/']);
  const bob = await entered('bob', ['/', '/admin']);
  await askOk(ada['/'], 'join_conversation', id);
  for (const socket of Object.values(bob)) await askOk(socket, 'join_conversation', id);
  const chat = { '/': record(bob['/'], 'new_message'), '/admin': record(bob['/admin'], 'new_message') };
  const removed = record(bob['/admin'], 'member_removed');
  const told = record(bob['/admin'], 'told');
  await say(ada['/'], id, 'hello');
  await waitFor('the message', () => chat['/'].length === 1);
  for (const [event, arg] of [['send_message', { conversationId: id, content: 'x' }], ['fetch_messages', { conversationId: id }], ['mark_read', { conversationId: id, seq: 1 }], ['typing', { conversationId: id, isTyping: true }]]) {
    await askRefused('invalid', bob['/admin'], event, arg);
  }
  await emit('chat.events', id, { event: 'told', args: [1], nsp: '/admin' });
  await waitFor('it', () => told.length === 1);
  await restOk(200, 'DELETE', `${stack.urlOf('messaging/0')}/conversations/${id}/members/bob`, { token: stack.token('ada') });
  await waitFor('the removal', () => removed.length === 1);
  await emit('chat.events', id, { event: 'told', args: [2], nsp: '/admin' });
  await emit('chat.events', 'user:bob', { event: 'told', args: ['end'], nsp: '/admin' });
  await waitFor('the end', () => told.includes('end'));
  assert.deepEqual(told, [1, 'end']);
  assert.deepEqual(chat['/admin'], []);
  assert.equal((await ask(bob['/admin'], 'join_conversation', id)).error.code, 'forbidden');
});

test('a client\'s event for other backends names its namespace', async () => {
  const { '/shop': shop } = await entered('ada', ['/shop']);
  await askRefused('invalid', shop, 'nothing', 1);
  shop.emit('order:place', 1);
  const record = await waitFor('the record', async () => (await kcatRead(stack, 'client.events')).find((r) => r.key === 'ada'));
  assert.equal(JSON.parse(record.value).nsp, '/shop');
});

test('each namespace\'s session is recovered by another gateway; a pid of one is unknown in another', async () => {
  const id = await createConversation(stack, { owner: 'ada' });
  const balancer = await startBalancer([stack.urlOf('messaging/0')]);
  const ada = await entered('ada', ['/', '/admin'], { url: balancer.url });
  for (const socket of Object.values(ada)) await askOk(socket, 'join_conversation', id);
  const seen = { '/': record(ada['/'], 'told'), '/admin': record(ada['/admin'], 'told') };
  const tell = async (n) => {
    await emit('chat.events', id, { event: 'told', args: [n] });
    await emit('chat.events', id, { event: 'told', args: [n], nsp: '/admin' });
  };
  await tell(1);
  await waitFor('both', () => seen['/'].length === 1 && seen['/admin'].length === 1);
  const sids = [ada['/'].id, ada['/admin'].id];
  for (const [round, target] of [[2, 'messaging/1'], [3, 'messaging/0']]) {
    const lost = Promise.all(Object.values(ada).map((s) => once(s, 'disconnect')));
    balancer.servers = [];
    balancer.cut();
    await lost;
    await tell(round);
    const back = Promise.all(Object.values(ada).map((s) => once(s, 'connect', 15000)));
    balancer.servers = [stack.urlOf(target)];
    await back;
    assert.deepEqual([ada['/'].id, ada['/admin'].id], sids);
    assert.deepEqual([ada['/'].recovered, ada['/admin'].recovered], [true, true]);
    await tell(round + 0.5);
    await waitFor('all', () => Object.values(seen).every((s) => s.length >= 2 * round - 1));
  }
  assert.deepEqual(seen, { '/': [1, 2, 2.5, 3, 3.5], '/admin': [1, 2, 2.5, 3, 3.5] });
  const pid = ada['/admin']._pid;
  assert.ok(pid);
  const other = await entered('ada', ['/'], { auth: { pid, offset: '' } });
  assert.equal(other['/'].recovered, false);
  assert.notEqual(other['/'].id, sids[1]);
});

test('a client that does not read loses nothing in either namespace, and gets nothing twice', async () => {
  const id = await createConversation(stack, { owner: 'ada' });
  const ada = await entered('ada', ['/', '/admin']);
  for (const socket of Object.values(ada)) await askOk(socket, 'join_conversation', id);
  const seen = { '/': record(ada['/'], 'big'), '/admin': record(ada['/admin'], 'big') };
  const drops = async () => (await stack.metrics('messaging/0'))('tern_outbox_drops_total');
  const before = await drops();
  const tcp = ada['/'].io.engine.transport.ws._socket;
  tcp.pause();
  const filler = 'x'.repeat(60000);
  let count = 0;
  while ((await drops()) < before + 2 && count < 400) {
    for (let n = 0; n < 10; n++, count++) {
      // Unevenly, so that the two are not at one place in the log.
      await emit('chat.events', id, { event: 'big', args: [count, filler], nsp: count % 3 ? '/admin' : undefined });
    }
  }
  assert.ok((await drops()) >= before + 2, 'its outbox was dropped');
  tcp.resume();
  await waitFor(() => `all of ${count}: ${seen['/'].length} and ${seen['/admin'].length}`, () => seen['/'].length + seen['/admin'].length >= count, 30000);
  await emit('chat.events', id, { event: 'big', args: ['end'] });
  await emit('chat.events', id, { event: 'big', args: ['end'], nsp: '/admin' });
  await waitFor('the end', () => seen['/'].at(-1) === 'end' && seen['/admin'].at(-1) === 'end');
  const numbers = Array.from({ length: count }, (_, n) => n);
  assert.deepEqual(seen, { '/': [...numbers.filter((n) => n % 3 === 0), 'end'], '/admin': [...numbers.filter((n) => n % 3), 'end'] });
});
