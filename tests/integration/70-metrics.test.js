// What the metrics say while a stack is used: each of them is moved by what it counts, and promtool has nothing to remark.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import test from 'node:test';
import { promtool } from '../../scripts/lib/paths.mjs';
import { get } from '../../scripts/lib/services.mjs';
import { waitStored } from '../lib/database.js';
import { emitRecord, kafkajsProducer } from '../lib/records.js';
import { restOk } from '../lib/rest.js';
import { askOk, askRefused, client, connected, recordEvents, say, waitForCount } from '../lib/sockets.js';
import { atEnd, startStack } from '../lib/stack.js';
import { openStream, rawStream, streamUrl } from '../lib/streams.js';
import { once, waitFor } from '../lib/wait.js';

const set = { TERN_OPEN_CONVERSATIONS: 'on', TERN_CLIENT_EVENTS: 'order:*', TERN_CLIENT_EVENTS_ANSWER_MS: '60000', TERN_CONNECTIONS_MAX: '20', TERN_USER_CONNECTIONS_MAX: '5' };
const stack = await startStack({ set });
const chat = 'messaging/0';
const stream = 'notification/0';
const writer = 'writer/0';

/** Waits until a metric of a process has the value, or is what the function says. */
async function metricIs(name, metric, labels, wanted) {
  let value;
  await waitFor(
    () => `${metric} ${JSON.stringify(labels)} of ${name} is ${value}`,
    async () => {
      value = (await stack.metrics(name))(metric, labels);
      return typeof wanted === 'function' ? wanted(value) : value === wanted;
    },
  );
}

for (const name of [chat, stream, writer]) {
  test(`${name}: promtool check metrics remarks nothing`, async () => {
    assert.ok(existsSync(promtool), 'promtool is missing: scripts/setup --tests fetches it');
    const { body } = await get(`${stack.opsUrlOf(name)}/metrics`);
    const check = (input) => spawnSync(promtool, ['check', 'metrics'], { input, encoding: 'utf8' });
    const { status, stdout, stderr } = check(body);
    assert.deepEqual({ status, said: stdout + stderr }, { status: 0, said: '' });
    assert.notEqual(check(body.replace(/^# HELP tern_build_info .*$/m, '')).status, 0, 'it would say something');
  });
}

test('connections are shown by transport and state', async () => {
  const shown = (transport, state, wanted) => metricIs(chat, 'tern_connections', { transport, state }, wanted);
  // An Engine.IO session alone has joined nothing.
  const opened = await get(`${stack.urlOf(chat)}/socket.io/?EIO=4&transport=polling`);
  assert.equal(opened.status, 200);
  await shown('polling', 'connecting', 1);
  const socket = await connected(stack, chat, 'ada', { transports: ['websocket'] });
  await shown('websocket', 'joined', 1);
  await shown('websocket', 'connecting', 0);
  const poller = await connected(stack, chat, 'ada', { transports: ['polling'] });
  await shown('polling', 'joined', 1);
  const upgrader = client(stack, chat, 'ada', { transports: ['polling', 'websocket'] });
  await once(upgrader.io.engine, 'upgrade');
  await shown('websocket', 'joined', 2);
  await shown('polling', 'joined', 1);
  await metricIs(chat, 'tern_entries_used', { bound: 'connections' }, 4);
  await metricIs(chat, 'tern_entries_limit', { bound: 'connections' }, 20);
  await metricIs(chat, 'tern_subscribers', { state: 'live' }, 3);
  for (const s of [socket, poller, upgrader]) s.disconnect();
  await shown('websocket', 'joined', 0);
  await metricIs(chat, 'tern_subscribers', { state: 'live' }, 0);
  const { source } = await openStream(stack, stream, 'ada');
  await metricIs(stream, 'tern_connections', { transport: 'sse', state: 'joined' }, 1);
  await metricIs(stream, 'tern_entries_used', { bound: 'connections' }, 1);
  await metricIs(stream, 'tern_subscribers', { state: 'live' }, 1);
  source.close();
  await metricIs(stream, 'tern_connections', {}, 0);
});

test('events in and out, and the time from Kafka to the sockets, once for each record', async () => {
  const id = `room-${randomUUID()}`;
  const [ada, bob] = await Promise.all(['ada', 'bob'].map((user) => connected(stack, chat, user, { transports: ['websocket'] })));
  const seen = recordEvents(bob);
  for (const s of [ada, bob]) await askOk(s, 'join_conversation', id);
  const before = await stack.metrics(chat);
  const count = 20;
  for (let i = 0; i < count; i++) await say(ada, id, `${i}`);
  await askRefused('invalid', ada, 'no_such_event');
  ada.emit('order:place', { id: 7 }, () => {});
  await askOk(ada, 'fetch_messages', { conversationId: id });
  await waitForCount(seen, count);
  await metricIs(chat, 'tern_entries_used', { bound: 'client_events' }, 1);
  await metricIs(chat, 'tern_events_in_total', { event: 'passed_on' }, 1);
  const after = await stack.metrics(chat);
  const moved = (metric, labels = {}) => after(metric, labels) - before(metric, labels);
  assert.equal(moved('tern_events_in_total', { event: 'send_message' }), count);
  assert.equal(moved('tern_events_in_total', { event: 'fetch_messages' }), 1);
  assert.equal(moved('tern_events_in_total', { event: 'unknown' }), 1);
  assert.equal(before('tern_events_in_total', { event: 'join_conversation' }), 2);
  assert.equal(moved('tern_events_out_total', { kind: 'live' }), 2 * count);
  const records = moved('tern_publish_to_socket_seconds_count');
  assert.ok(records >= count && records <= 2 * count, `${count} records on one or two shards, ${records} were measured`);
  const mean = moved('tern_publish_to_socket_seconds_sum') / records;
  assert.ok(mean >= 0 && mean < 2, `${mean} s from the log to the sockets`);
  assert.equal(moved('tern_records_in_total', { topic: 'chat.events' }), count);
  for (const s of [ada, bob]) s.disconnect();
});

test('a stream that comes back counts as recovered, with a cursor that is nobody\'s it does not', async () => {
  const publisher = stack.token('backend', { scope: 'notifications:publish' });
  const user = `u-${randomUUID()}`;
  const first = await openStream(stack, stream, user);
  await restOk(201, 'POST', `${stack.urlOf(stream)}/notifications`, { token: publisher, body: { userId: user, type: 'note', title: 'Hello', body: 'There' } });
  await waitFor('the notification', () => first.messages.length === 1);
  first.source.close();
  await metricIs(stream, 'tern_publish_to_socket_seconds_count', {}, 1);
  await openStream(stack, stream, user, { lastEventId: first.ids[0] });
  await metricIs(stream, 'tern_resumes_total', { result: 'recovered' }, 1);
  await openStream(stack, stream, user, { lastEventId: 'not-ours' });
  await metricIs(stream, 'tern_resumes_total', { result: 'unknown_session' }, 1);
  await metricIs(stream, 'tern_resumes_total', { result: 'recovered' }, 1);
});

test('a gateway that is full, and a user who has all his streams, show as handshakes refused', async () => {
  const refused = async () => (await stack.metrics(stream))('tern_handshakes_refused_total', { reason: 'limit' });
  const open = (user) => rawStream(streamUrl(stack, stream, user));
  const streams = [];
  for (let i = 0; i < 5; i++) streams.push(await open('greedy'));
  assert.equal(await refused(), 0);
  const sixth = await open('greedy');
  await waitFor('the sixth is sent away', () => sixth.ended() && sixth.text().includes('rate_limited'));
  assert.equal(await refused(), 1);
  const left = 20 - (await stack.metrics(stream))('tern_entries_used', { bound: 'connections' });
  for (let i = 0; i < left; i++) streams.push(await open(`user-${i}`));
  const last = await open('late');
  await waitFor('a full gateway sends away', () => last.ended());
  assert.equal(await refused(), 2);
  for (const s of streams) s.close();
  await metricIs(stream, 'tern_entries_used', { bound: 'connections' }, (v) => v <= 20 - left - 5);
});

test('memory and entries in use stand beside their bounds', async () => {
  const id = `bounds-${randomUUID()}`;
  const ada = await connected(stack, chat, 'ada', { transports: ['websocket'] });
  await askOk(ada, 'join_conversation', id);
  const before = await stack.metrics(chat);
  for (let i = 0; i < 20; i++) await say(ada, id, 'x'.repeat(1000), { clientId: randomUUID() });
  await metricIs(chat, 'tern_memory_used_bytes', { bound: 'tail' }, (v) => v > before('tern_memory_used_bytes', { bound: 'tail' }) || v >= 20 * 1000);
  await metricIs(chat, 'tern_entries_used', { bound: 'dedupe_ids' }, (v) => v >= before('tern_entries_used', { bound: 'dedupe_ids' }) + 20);
  const shown = {
    [chat]: { tern_memory: ['process', 'tail', 'outboxes', 'batches', 'partial_messages', 'producer', 'volatile_producer'], tern_entries: ['connections', 'heads', 'splices', 'reads', 'client_events', 'dedupe_ids', 'producer', 'volatile_producer'] },
    [stream]: { tern_memory: ['process', 'tail', 'outboxes', 'batches', 'producer', 'volatile_producer'], tern_entries: ['connections', 'heads', 'reads', 'dedupe_ids', 'producer', 'volatile_producer'] },
    [writer]: { tern_memory: ['process', 'producer', 'volatile_producer'], tern_entries: ['producer', 'volatile_producer'] },
  };
  for (const [name, metrics] of Object.entries(shown)) {
    const { body } = await get(`${stack.opsUrlOf(name)}/metrics`);
    const value = await stack.metrics(name);
    for (const [prefix, bounds] of Object.entries(metrics)) {
      const [used, limit] = prefix === 'tern_memory' ? ['tern_memory_used_bytes', 'tern_memory_limit_bytes'] : ['tern_entries_used', 'tern_entries_limit'];
      const boundsOf = (metric) => [...body.matchAll(new RegExp(`^${metric}\\{bound="(\\w+)"\\}`, 'gm'))].map((m) => m[1]);
      assert.deepEqual(boundsOf(used), bounds, `${name} ${used}`);
      assert.deepEqual(boundsOf(limit), bounds, `${name} ${limit}`);
      for (const bound of bounds) {
        assert.ok(value(limit, { bound }) > 0, `${name} ${limit} ${bound}`);
        assert.ok(value(used, { bound }) >= 0 && value(used, { bound }) <= value(limit, { bound }), `${name} ${used} ${bound} is ${value(used, { bound })}`);
      }
    }
    for (const metric of ['process_cpu_seconds_total', 'process_resident_memory_bytes', 'process_virtual_memory_bytes', 'process_open_fds', 'process_max_fds']) assert.ok(value(metric) > 0, `${name} ${metric}`);
    assert.ok(Math.abs(value('process_start_time_seconds') - Date.now() / 1000) < 600, `${name} began at ${value('process_start_time_seconds')}`);
  }
  ada.disconnect();
});

test('half a WebSocket message is memory in use until its socket is gone', async () => {
  const socket = await connected(stack, chat, 'ada', { transports: ['websocket'] });
  const raw = socket.io.engine.transport.ws._socket;
  const payload = Buffer.alloc(20000, 'x');
  const head = Buffer.from([0x01, 0x80 | 126, payload.length >> 8, payload.length & 255, 0, 0, 0, 0]); // the first of several frames
  raw.write(Buffer.concat([head, payload]));
  await metricIs(chat, 'tern_memory_used_bytes', { bound: 'partial_messages' }, (v) => v >= 20000);
  socket.disconnect();
  await metricIs(chat, 'tern_memory_used_bytes', { bound: 'partial_messages' }, 0);
});

test('a client that does not read is memory in use, and behind once its outbox was dropped', async () => {
  const id = `slow-${randomUUID()}`;
  const slow = await connected(stack, chat, 'slow', { transports: ['websocket'], reconnection: false });
  const seen = recordEvents(slow, 'big');
  await askOk(slow, 'join_conversation', id);
  const producer = await kafkajsProducer(stack);
  const raw = slow.io.engine.transport.ws._socket;
  raw.pause();
  const record = () => ({ key: id, ...emitRecord({ event: 'big', args: ['x'.repeat(60000)] }) });
  const dropsBefore = (await stack.metrics(chat))('tern_outbox_drops_total');
  let [sent, most, drops, behind] = [0, 0, 0, 0];
  // The kernel takes some megabytes; then the outbox fills to its bound of 256 KiB.
  while ((drops === 0 || behind === 0) && sent < 500) {
    await producer.send({ topic: 'chat.events', messages: [record(), record()] });
    sent += 2;
    const metrics = await stack.metrics(chat);
    most = Math.max(most, metrics('tern_memory_used_bytes', { bound: 'outboxes' }));
    drops = metrics('tern_outbox_drops_total') - dropsBefore;
    behind = metrics('tern_subscribers', { state: 'lagged' }) + metrics('tern_subscribers', { state: 'catching_up' });
  }
  assert.ok(drops > 0, `after ${sent} records`);
  assert.equal(behind, 1);
  assert.ok(most > 60000, `outboxes held ${most} bytes`);
  raw.resume();
  await waitForCount(seen, sent);
  await metricIs(chat, 'tern_subscribers', { state: 'catching_up' }, 0);
  await metricIs(chat, 'tern_subscribers', { state: 'live' }, 1);
  await metricIs(chat, 'tern_memory_used_bytes', { bound: 'outboxes' }, 0);
  slow.disconnect();
});

test('the writer\'s lag is in records and seconds, and its batches and commits are measured', async () => {
  const id = `stored-${randomUUID()}`;
  const ada = await connected(stack, chat, 'ada', { transports: ['websocket'] });
  await askOk(ada, 'join_conversation', id);
  const before = await stack.metrics(writer);
  await stack.kill('postgres');
  for (let i = 0; i < 10; i++) await say(ada, id, `${i}`);
  await metricIs(writer, 'tern_writer_lag_records', {}, (v) => v >= 10);
  await metricIs(writer, 'tern_consumer_lag_records', { topic: 'chat.events' }, (v) => v >= 10);
  await metricIs(writer, 'tern_writer_lag_seconds', {}, (v) => v > 0.5 && v < 60);
  await stack.start('postgres');
  await waitStored(stack, id, 10);
  await metricIs(writer, 'tern_writer_lag_records', {}, 0);
  await metricIs(writer, 'tern_writer_lag_seconds', {}, 0);
  const after = await stack.metrics(writer);
  const moved = (metric, labels = {}) => after(metric, labels) - before(metric, labels);
  assert.ok(moved('tern_writer_batch_records_sum') >= 10);
  assert.ok(moved('tern_writer_commit_seconds_count') >= 1);
  assert.ok(moved('tern_writer_rows_total', { table: 'message' }) === 10);
  assert.equal(after('tern_consumer_lag_records', { topic: 'chat.events' }), 0);
  ada.disconnect();
});
