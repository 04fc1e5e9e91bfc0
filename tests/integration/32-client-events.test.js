// Clients' events for other backends: passed on to client.events by the allow list, and answered by a record.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import test from 'node:test';
import { Kafka, logLevel } from 'kafkajs';
import { cloudEvent, emitRecord, kafkajsProducer } from '../lib/records.js';
import { createConversation } from '../lib/rest.js';
import { ask, askOk, askRefused, connected } from '../lib/sockets.js';
import { atEnd, startStack } from '../lib/stack.js';
import { staysFalse, waitFor } from '../lib/wait.js';

const waitingMax = 20;
const stack = await startStack({
  messaging: 2,
  notification: 0,
  set: { TERN_CLIENT_EVENTS: 'order:*, ping', TERN_CLIENT_EVENTS_ANSWER_MS: '1500', TERN_CLIENT_EVENTS_WAITING_MAX: String(waitingMax), TERN_SHARDS: '1' },
});
const producer = await kafkajsProducer(stack);
const websocket = { transports: ['websocket'] };

const send = (topic, key, record) => producer.send({ topic, messages: [{ key, ...record }] });
const answer = (user, data) => send('chat.signals', `user:${user}`, cloudEvent({ id: randomUUID(), type: 'tern.ack', data }));

// A backend in Node: it knows the topic, and nothing of Socket.IO.
const handled = [];
const handlers = {
  'order:place': (e) => answer(e.userId, { ack: e.ack, args: [{ ok: true, order: e.args[0], by: e.userId }] }),
  'order:draw': (e) => answer(e.userId, { ack: e.ack, args: [{ back: e.args[0] }, null], attachments: e.attachments }),
  'order:nothing': (e) => answer(e.userId, { ack: e.ack }),
};
const consumer = new Kafka({ clientId: 'backend', brokers: [stack.bootstrap], logLevel: logLevel.NOTHING }).consumer({ groupId: 'backend' });
await consumer.connect();
atEnd(() => consumer.disconnect());
await consumer.subscribe({ topic: 'client.events', fromBeginning: true });
await consumer.run({
  eachMessage: async ({ message }) => {
    const e = { key: message.key.toString(), ce_type: message.headers.ce_type.toString(), ...JSON.parse(message.value.toString()) };
    handled.push(e);
    await handlers[e.event]?.(e);
  },
});

const metric = async (name, labels) => (await stack.metrics('messaging/0'))(name, labels);

test('a client asks, a backend answers through Kafka', async () => {
  const id = await createConversation(stack, { owner: 'ada' });
  const ada = await connected(stack, 'messaging/0', 'ada', websocket);
  await askOk(ada, 'join_conversation', id);
  assert.deepEqual(await ask(ada, 'order:place', { item: 7, note: 'é"\\' }), { ok: true, order: { item: 7, note: 'é"\\' }, by: 'ada' });
  const { ack, ...rest } = handled.at(-1);
  assert.match(ack, /^[0-9a-f-]{36}$/);
  assert.deepEqual(rest, { key: 'ada', ce_type: 'tern.client.event', userId: 'ada', event: 'order:place', args: [{ item: 7, note: 'é"\\' }], sid: ada.id, rooms: [id] });
  assert.equal(await metric('tern_client_answers_total', { result: 'answered' }), 1);
  assert.equal(await metric('tern_client_events_waiting'), 0);
});

test('bytes go there and come back, nested, over both transports', async () => {
  const picture = Buffer.from([0, 255, 30, 7]);
  for (const transport of ['websocket', 'polling']) {
    const bob = await connected(stack, 'messaging/1', 'bob', { transports: [transport] });
    const back = await new Promise((done) => bob.emit('order:draw', { pages: [{ png: picture }] }, (...args) => done(args)));
    assert.deepEqual(back, [{ back: { pages: [{ png: picture }] } }, null]);
    assert.deepEqual(handled.at(-1).attachments, [picture.toString('base64')]);
  }
});

test('an answer without arguments, and an event that wants none', async () => {
  const ada = await connected(stack, 'messaging/0', 'ada', websocket);
  assert.equal(await ask(ada, 'order:nothing', 1), undefined);
  ada.emit('ping', 'a', 'b');
  const ping = await waitFor('the event', () => handled.find((e) => e.event === 'ping'));
  assert.deepEqual(ping.args, ['a', 'b']);
  assert.equal(ping.ack, undefined);
});

test('one socket\'s events come in their order, and a backend can speak to the others alone', async () => {
  const [first, second] = [await connected(stack, 'messaging/0', 'una', websocket), await connected(stack, 'messaging/1', 'una', websocket)];
  for (let n = 0; n < 50; n++) first.emit('order:step', n);
  await waitFor('all', () => handled.filter((e) => e.event === 'order:step').length === 50);
  assert.deepEqual(handled.filter((e) => e.event === 'order:step').map((e) => e.args[0]), Array.from({ length: 50 }, (_, n) => n));
  const told = [];
  first.on('told', () => told.push('first'));
  second.on('told', () => told.push('second'));
  await send('chat.events', 'user:una', emitRecord({ event: 'told', except: [handled.at(-1).sid] }));
  await send('chat.events', 'user:una', emitRecord({ event: 'told' }));
  await waitFor('both', () => told.length === 3);
  assert.deepEqual(told.sort(), ['first', 'second', 'second']);
});

test('what is not on the list is answered as ever, and what no record can hold is invalid', async () => {
  const ada = await connected(stack, 'messaging/0', 'ada', websocket);
  const before = handled.length;
  for (const name of ['order', 'pings', 'Ping', 'orders:x', '']) await askRefused('invalid', ada, name, 1);
  await askRefused('invalid', ada, 'order:nul', 'a\u0000b');
  await askRefused('invalid', ada, `order:${'x'.repeat(200)}`, 1);
  await askRefused('invalid', ada, 'order:large', 'x'.repeat(600000));
  await ask(ada, 'order:place', 'end');
  assert.equal(handled.length, before + 1);
  assert.equal(await metric('tern_client_events_total', { result: 'invalid' }), 3);
});

test('nobody answers: no_answer at the deadline, and what comes later is nobody\'s', async () => {
  const ada = await connected(stack, 'messaging/0', 'ada', websocket);
  const began = Date.now();
  await askRefused('no_answer', ada, 'order:silence', 1);
  assert.ok(Date.now() - began >= 1400 && Date.now() - began < 5000);
  await answer('ada', { ack: handled.at(-1).ack, args: ['late'] });
  assert.deepEqual(await ask(ada, 'order:place', 2), { ok: true, order: 2, by: 'ada' });
  assert.equal(await metric('tern_client_answers_total', { result: 'no_answer' }), 1);
});

test('an answer counts once, and only under the key of who asked', async () => {
  const ada = await connected(stack, 'messaging/0', 'ada', websocket);
  await connected(stack, 'messaging/0', 'eve', websocket);
  const got = [];
  ada.emit('order:mine', 1, (r) => got.push(r));
  const { ack } = await waitFor('the event', () => handled.find((e) => e.event === 'order:mine'));
  await answer('eve', { ack, args: ['forged'] });
  await answer('ada', { ack: randomUUID(), args: ['of another'] });
  await answer('ada', { ack, args: ['right'] });
  await answer('ada', { ack, args: ['again'] });
  await ask(ada, 'order:place', 1);
  assert.deepEqual(got, ['right']);
});

test('those that wait are bounded: busy beyond it, and all are free again', async () => {
  const ada = await connected(stack, 'messaging/0', 'ada', websocket);
  const answers = await Promise.all(Array.from({ length: waitingMax + 5 }, () => ask(ada, 'order:silence', 1)));
  const codes = answers.map((a) => a.error.code).sort();
  assert.deepEqual(codes, [...Array(5).fill('busy'), ...Array(waitingMax).fill('no_answer')]);
  assert.equal(await metric('tern_client_events_waiting'), 0);
  // Who leaves gives back what he holds at the deadline at the latest.
  const bob = await connected(stack, 'messaging/0', 'bob', websocket);
  for (let n = 0; n < waitingMax; n++) bob.emit('order:silence', n, () => {});
  await waitFor('all wait', async () => (await metric('tern_client_events_waiting')) === waitingMax);
  bob.disconnect();
  await waitFor('none waits', async () => (await metric('tern_client_events_waiting')) === 0);
  await staysFalse('a crash', () => !stack.isAlive('messaging/0'), 50);
});
