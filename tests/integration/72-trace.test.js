// traceparent goes from the sender's request or event through the record to the receivers' log lines: one id for all of them.
import assert from 'node:assert/strict';
import { randomBytes, randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import test from 'node:test';
import { kafkajsProducer, kcatRead } from '../lib/records.js';
import { createConversation } from '../lib/rest.js';
import { askOk, connected, recordEvents, say, waitForCount } from '../lib/sockets.js';
import { startStack } from '../lib/stack.js';
import { openStream } from '../lib/streams.js';
import { waitFor } from '../lib/wait.js';

const stack = await startStack({ messaging: 2, notification: 2, set: { TERN_LOG_LEVEL: 'debug', TERN_OPEN_CONVERSATIONS: 'on', TERN_CLIENT_EVENTS: 'order:*' } });

function draw() {
  const id = randomBytes(16).toString('hex');
  return { id, traceparent: `00-${id}-${randomBytes(8).toString('hex')}-01` };
}

/** The log lines of a process that name the trace. */
function linesOf(name, { id }) {
  return readFileSync(stack.log(name), 'utf8').split('\n').filter((line) => line.includes(id)).map((line) => JSON.parse(line));
}

/** Waits for such a line; its fields have to be these. */
async function logged(name, trace, event, fields) {
  const line = await waitFor(() => `${event} in the log of ${name}`, () => linesOf(name, trace).find((l) => l.event === event && Object.entries(fields).every(([k, v]) => l[k] === v)));
  assert.equal(line.level, 'debug');
  assert.equal(line.trace_id, trace.id);
  return line;
}

/** The record's header in Kafka. */
async function inKafka(topic, id, { traceparent }) {
  const record = (await kcatRead(stack, topic)).find((r) => r.headers.ce_id === id);
  assert.equal(record?.headers.traceparent, traceparent, `${topic} ${id}`);
}

test('a message of a socket: the event names the trace, the record bears it, gateways and writer log it', async () => {
  const id = await createConversation(stack, { owner: 'ada', members: ['bob'] });
  const [ada, bob] = [await connected(stack, 'messaging/0', 'ada'), await connected(stack, 'messaging/1', 'bob')];
  const seen = recordEvents(bob);
  for (const s of [ada, bob]) await askOk(s, 'join_conversation', id);
  const trace = draw();
  const { id: message, seq } = await say(ada, id, 'traced', { traceparent: trace.traceparent });
  await waitForCount(seen, 1);
  assert.equal(seen[0].traceparent, undefined, 'it is no part of the message');
  await inKafka('chat.events', message, trace);
  await logged('messaging/0', trace, 'produced', { topic: 'chat.events', id: message });
  await logged('messaging/1', trace, 'delivering', { topic: 'chat.events', id: message, seq });
  await logged('writer/0', trace, 'stored', { topic: 'chat.events', id: message, seq });
});

test('a socket that came with a trace lends it to its events, unless they name their own', async () => {
  const id = `room-${randomUUID()}`;
  const trace = draw();
  const own = draw();
  const byHeader = await connected(stack, 'messaging/0', 'ada', { extraHeaders: { traceparent: trace.traceparent } });
  await askOk(byHeader, 'join_conversation', id);
  const first = await say(byHeader, id, 'by the handshake');
  const second = await say(byHeader, id, 'by the event', { traceparent: own.traceparent });
  await inKafka('chat.events', first.id, trace);
  await inKafka('chat.events', second.id, own);
  const another = draw();
  const byAuth = await connected(stack, 'messaging/0', 'ada', { auth: { token: stack.token('ada'), traceparent: another.traceparent } });
  await askOk(byAuth, 'join_conversation', id);
  await inKafka('chat.events', (await say(byAuth, id, 'by the payload')).id, another);
  byAuth.emit('order:place', { id: 7 });
  const passed = await waitFor('the event for backends', async () => (await kcatRead(stack, 'client.events')).at(-1));
  assert.equal(passed.headers.traceparent, another.traceparent);
});

test('a notification over HTTP: from the header to the stream\'s gateway and the writer', async () => {
  const user = `u-${randomUUID()}`;
  const { messages } = await openStream(stack, 'notification/1', user);
  const trace = draw();
  const answer = await fetch(`${stack.urlOf('notification/0')}/notifications`, {
    method: 'POST',
    headers: { Authorization: `Bearer ${stack.token('backend', { scope: 'notifications:publish' })}`, 'Content-Type': 'application/json', traceparent: trace.traceparent },
    body: JSON.stringify({ userId: user, type: 'note', title: 'Hello', body: 'There' }),
  });
  assert.equal(answer.status, 201);
  const { id } = await answer.json();
  await waitFor('the notification', () => messages.length === 1);
  await inKafka('notifications', id, trace);
  await logged('notification/0', trace, 'produced', { topic: 'notifications', id });
  await logged('notification/1', trace, 'delivering', { topic: 'notifications', id });
  await logged('writer/0', trace, 'stored', { topic: 'notifications', id });
});

test('a conversation over HTTP, and its members, bear the header\'s trace', async () => {
  const trace = draw();
  const id = `made-${randomUUID()}`;
  const answer = await fetch(`${stack.urlOf('messaging/1')}/conversations`, {
    method: 'POST',
    headers: { Authorization: `Bearer ${stack.token('ada')}`, 'Content-Type': 'application/json', traceparent: trace.traceparent },
    body: JSON.stringify({ id, members: ['bob'] }),
  });
  assert.equal(answer.status, 201);
  const records = (await kcatRead(stack, 'chat.events')).filter((r) => r.key === id);
  assert.equal(records.length, 3);
  for (const r of records) assert.equal(r.headers.traceparent, trace.traceparent, r.headers.ce_type);
});

test('another backend\'s record keeps its trace; what is no traceparent is neither passed on nor logged', async () => {
  const id = `foreign-${randomUUID()}`;
  const bob = await connected(stack, 'messaging/1', 'bob');
  const seen = recordEvents(bob, 'order_shipped');
  await askOk(bob, 'join_conversation', id);
  const producer = await kafkajsProducer(stack);
  const trace = draw();
  const send = (ceId, traceparent) => producer.send({ topic: 'chat.events', messages: [{ key: id, value: JSON.stringify({ event: 'order_shipped', args: [1] }), headers: { ce_type: 'tern.emit', ce_id: ceId, traceparent } }] });
  await send(`${id}-1`, trace.traceparent);
  await send(`${id}-2`, `not a trace ${trace.id.slice(0, 8)}"\n`);
  await waitForCount(seen, 2);
  await logged('messaging/1', trace, 'delivering', { id: `${id}-1` });
  await logged('writer/0', trace, 'stored', { id: `${id}-1` });
  assert.ok(!readFileSync(stack.log('messaging/1'), 'utf8').includes('not a trace'));
  const bad = await say(bob, id, 'wrong', { traceparent: `00-${'0'.repeat(32)}-${'0'.repeat(16)}-01` });
  const record = (await kcatRead(stack, 'chat.events')).find((r) => r.headers.ce_id === bad.id);
  assert.equal(record.headers.traceparent, undefined);
});
