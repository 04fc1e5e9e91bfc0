// The unmodified EventSource, and the REST routes beside it.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import test from 'node:test';
import { sql } from '../lib/database.js';
import { restOk, restRefused } from '../lib/rest.js';
import { startStack } from '../lib/stack.js';
import { openStream, rawStream, streamUrl } from '../lib/streams.js';
import { waitFor } from '../lib/wait.js';

const stack = await startStack({ messaging: 0, notification: 2, set: { TERN_HEARTBEAT_MS: '500', TERN_RETRY_MS: '200', TERN_RETRY_JITTER_MS: '100' } });
const [one, two] = [stack.urlOf('notification/0'), stack.urlOf('notification/1')];
const publisher = stack.token('backend', { scope: 'notifications:publish' });

async function publish(body, url = one) {
  return restOk(201, 'POST', `${url}/notifications`, { token: publisher, body: { type: 'note', title: 'Hello', body: 'There', ...body } });
}

const count = async (user, url = one) => (await restOk(200, 'GET', `${url}/notifications/unread-count`, { token: stack.token(user) })).count;
const list = (user, query = '', url = one) => restOk(200, 'GET', `${url}/notifications${query}`, { token: stack.token(user) });

test('the decision record\'s client code works: onmessage and JSON.parse', async () => {
  const user = `u-${randomUUID()}`;
  const streams = [await openStream(stack, 'notification/0', user), await openStream(stack, 'notification/1', user)];
  const stranger = await openStream(stack, 'notification/0', 'stranger');
  const { id } = await publish({ userId: user, type: 'order.shipped', title: 'Shipped', body: 'On its way', data: { order: 7 } }, two);
  for (const stream of streams) {
    await waitFor('the notification', () => stream.messages.length === 1);
    const [m] = stream.messages;
    assert.deepEqual(
      { id: m.id, userId: m.userId, type: m.type, title: m.title, body: m.body, data: m.data },
      { id, userId: user, type: 'order.shipped', title: 'Shipped', body: 'On its way', data: { order: 7 } },
    );
    assert.ok(m.seq > 0);
    assert.ok(Math.abs(Date.parse(m.createdAt) - Date.now()) < 60000);
    assert.match(stream.ids[0], /^1\.\d+\.\d+\.\d+\.\d+$/);
  }
  assert.equal(stranger.messages.length, 0);
});

test('the answer has the headers that proxies and browsers need, a retry, an id, and heartbeats', async () => {
  const raw = await rawStream(streamUrl(stack, 'notification/0', 'ada'));
  assert.equal(raw.status, 200);
  assert.match(raw.headers['content-type'], /^text\/event-stream/);
  assert.match(raw.headers['cache-control'], /no-cache/);
  assert.equal(raw.headers['x-accel-buffering'], 'no');
  assert.equal(raw.headers['content-length'], undefined);
  await waitFor('two heartbeats', () => (raw.text().match(/^:/gm) ?? []).length >= 2, 5000);
  assert.match(raw.text(), /^retry: ?\d+$/m);
  assert.match(raw.text(), /^id: ?1\.\d+\.\d+\.\d+\.\d+$/m);
  raw.close();
});

test('Last-Event-ID brings exactly what was missed, on any gateway, by header and by query', async () => {
  const user = `u-${randomUUID()}`;
  const first = await openStream(stack, 'notification/0', user);
  await publish({ userId: user, title: '0' });
  await waitFor('the first', () => first.messages.length === 1);
  first.source.close();
  const lastEventId = first.ids[0];
  for (let n = 1; n <= 5; n++) await publish({ userId: user, title: String(n) }, n % 2 ? one : two);
  const again = [
    await openStream(stack, 'notification/1', user, { lastEventId }),
    await openStream(stack, 'notification/0', user, { query: { lastEventId } }),
  ];
  await publish({ userId: user, title: '6' });
  for (const stream of again) {
    await waitFor('all that was missed', () => stream.messages.length >= 6);
    assert.deepEqual(stream.messages.map((m) => m.title), ['1', '2', '3', '4', '5', '6']);
    assert.deepEqual(stream.named, []);
  }
});

test('?since= begins in the past, and the cursor of a list begins behind it', async () => {
  const user = `u-${randomUUID()}`;
  const began = Date.now();
  for (const title of ['a', 'b']) await publish({ userId: user, title });
  const { cursor, notifications } = await list(user);
  assert.deepEqual(notifications.map((n) => n.title).sort(), ['a', 'b']);
  await publish({ userId: user, title: 'c' });
  const behind = await openStream(stack, 'notification/1', user, { query: { lastEventId: cursor } });
  const since = await openStream(stack, 'notification/1', user, { query: { since: String(began - 1000) } });
  await publish({ userId: user, title: 'd' });
  await waitFor('the list\'s continuation', () => behind.messages.length >= 2);
  assert.deepEqual(behind.messages.map((m) => m.title), ['c', 'd']);
  await waitFor('all since then', () => since.messages.length >= 4);
  assert.deepEqual(since.messages.map((m) => m.title), ['a', 'b', 'c', 'd']);
});

test('a cursor that is none begins now', async () => {
  for (const lastEventId of ['x', '1.2.3', '9.1.1.1.1', '1.1.99999999999999.1.99999999999999', '-1']) {
    const raw = await rawStream(streamUrl(stack, 'notification/0', 'ada'), { 'Last-Event-ID': lastEventId });
    assert.equal(raw.status, 200, lastEventId);
    raw.close();
  }
});

test('many users at once, and a broadcast to a topic', async () => {
  const users = Array.from({ length: 3 }, () => `u-${randomUUID()}`);
  const topic = `news-${randomUUID()}`;
  const followers = await Promise.all(users.map((u, i) => openStream(stack, `notification/${i % 2}`, u, { query: { topics: topic } })));
  const outsider = await openStream(stack, 'notification/0', `u-${randomUUID()}`);
  await publish({ userIds: users, title: 'to three' });
  await publish({ topic, title: 'to the topic' });
  await publish({ topic: 'all', title: 'to all' });
  for (const stream of [...followers, outsider]) await waitFor('the broadcast', () => stream.messages.some((m) => m.title === 'to all'));
  for (const stream of followers) assert.deepEqual(stream.messages.map((m) => m.title).sort(), ['to all', 'to the topic', 'to three']);
  assert.deepEqual(outsider.messages.map((m) => m.title), ['to all']);
});

test('one id is one notification', async () => {
  const user = `u-${randomUUID()}`;
  const stream = await openStream(stack, 'notification/0', user);
  const id = `order-${randomUUID()}`;
  for (let n = 0; n < 3; n++) await publish({ userId: user, id }, n % 2 ? one : two);
  await publish({ userId: user, title: 'end' });
  await waitFor('the end', () => stream.messages.some((m) => m.title === 'end'));
  assert.equal(stream.messages.length, 2);
  assert.equal(await count(user), 2);
  await waitFor('both are stored', async () => (await sql(stack, 'SELECT count(*)::int AS n FROM notification WHERE user_id = $1', [user]))[0].n === 2);
});

test('counts and lists are right at once on the other gateway; reading is told to all of the user\'s streams', async () => {
  const user = `u-${randomUUID()}`;
  const stream = await openStream(stack, 'notification/1', user);
  const ids = [];
  for (let n = 0; n < 5; n++) {
    ids.push((await publish({ userId: user, title: String(n) })).id);
    assert.equal(await count(user, two), n + 1);
  }
  const token = stack.token(user);
  await restOk(200, 'POST', `${one}/notifications/${ids[1]}/read`, { token });
  assert.equal(await count(user, two), 4);
  await waitFor('the read event', () => stream.named.some((e) => e.event === 'notification_read' && e.data.id === ids[1]));
  const unread = await list(user, '?unread=true', two);
  assert.deepEqual(unread.notifications.map((n) => n.id).sort(), ids.filter((id) => id !== ids[1]).sort());
  const page = await list(user, '?limit=2', two);
  assert.equal(page.notifications.length, 2);
  const seqs = new Map((await list(user)).notifications.map((n) => [n.id, n.seq]));
  await restOk(200, 'POST', `${two}/notifications/read-all`, { token, body: { seq: seqs.get(ids[3]) } });
  assert.equal(await count(user, one), 1);
  await restOk(200, 'POST', `${two}/notifications/read-all`, { token });
  assert.equal(await count(user, one), 0);
  await restRefused(404, 'not_found', 'POST', `${one}/notifications/${ids[0]}/read`, { token: stack.token('somebody') });
});
