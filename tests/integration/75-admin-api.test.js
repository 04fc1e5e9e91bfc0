// The admin page's API: who may ask, what the fleet looks like from any gateway, and what an operator may do to it.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import test from 'node:test';
import { adminGet, adminPages, adminPost, adminToken, adminUrl, fleetOf, jobEnd } from '../lib/admin.js';
import { sql } from '../lib/database.js';
import { cloudEvent, kafkajsProducer, kcatRead } from '../lib/records.js';
import { createConversation, rest, restOk, restRefused } from '../lib/rest.js';
import { askOk, connected, say } from '../lib/sockets.js';
import { startStack } from '../lib/stack.js';
import { openStream } from '../lib/streams.js';
import { once, waitFor } from '../lib/wait.js';

const stack = await startStack({ messaging: 2, notification: 1, set: { TERN_ANNOUNCE_MS: '500' } });
const producer = await kafkajsProducer(stack, { idempotent: true });
const api = (path, name = 'messaging/0') => adminUrl(stack, name, path);
const kick = { userId: 'nobody' };

/** The audit's records of a command, newest last. */
const audited = async (command) => (await kcatRead(stack, 'audit')).map((r) => JSON.parse(r.value)).filter((a) => a.command === command);

test('without a token of scope admin there is nothing to see, and nothing is done', async () => {
  const token = stack.token('ada');
  const stream = stack.token('ada', { scope: 'admin', aud: 'stream' });
  const late = stack.token('ada', { scope: 'admin', exp: Math.floor(Date.now() / 1000) - 120 });
  for (const path of ['fleet', 'connections', 'conversations', 'audiences', 'lag', 'letters', 'letter', 'jobs', 'nothing']) {
    await restRefused(401, 'forbidden', 'GET', api(path));
    await restRefused(403, 'forbidden', 'GET', api(path), { token });
  }
  for (const path of ['kick', 'redrive', 'replay', 'stop']) {
    await restRefused(401, 'forbidden', 'POST', api(path), { body: kick });
    await restRefused(403, 'forbidden', 'POST', api(path), { token, body: kick });
  }
  await restRefused(401, 'forbidden', 'GET', api('fleet'), { token: stream });
  await restRefused(401, 'forbidden', 'GET', api('fleet'), { token: late });
  await restRefused(401, 'forbidden', 'GET', `${api('fleet')}?token=${adminToken(stack)}`);
  assert.deepEqual(await audited('kick'), []);
});

test('a token that was taken back opens nothing', async () => {
  const token = stack.token('mallory', { scope: 'admin', iat: Math.floor(Date.now() / 1000) - 60 });
  await restOk(200, 'GET', api('fleet'), { token });
  await producer.send({ topic: 'access', messages: [{ key: 'mallory', ...cloudEvent({ id: randomUUID(), type: 'tern.revoked', data: { userId: 'mallory', before: Date.now() } }) }] });
  await waitFor('the token is void', async () => (await rest('GET', api('fleet'), { token })).status === 401);
});

test('what a foreign page sends is refused, and so is what is no JSON or too much of it', async () => {
  const token = adminToken(stack);
  const foreign = (headers) => restRefused(403, 'forbidden', 'POST', api('kick'), { token, body: kick, headers });
  await foreign({ Origin: 'https://evil.example' });
  await foreign({ Origin: 'null' });
  await foreign({ 'Sec-Fetch-Site': 'cross-site' });
  await foreign({ 'Sec-Fetch-Site': 'same-site' });
  await restRefused(415, 'invalid', 'POST', api('kick'), { token, body: JSON.stringify(kick), headers: { 'Content-Type': 'text/plain' } });
  await restRefused(400, 'invalid', 'POST', api('kick'), { token, body: '[]' });
  await restRefused(400, 'invalid', 'POST', api('kick'), { token, body: '{"userId":' });
  await restRefused(400, 'invalid', 'POST', api('kick'), { token, body: { userId: 'a b' } });
  await restRefused(400, 'invalid', 'POST', api('replay'), { token, body: { topic: '../etc' } });
  await restRefused(413, 'invalid', 'POST', api('kick'), { token, body: { userId: 'x'.repeat(20000) } });
  await restRefused(405, 'invalid', 'GET', api('kick'), { token });
  await restRefused(405, 'invalid', 'POST', api('fleet'), { token, body: {} });
  for (const [path, parameters] of [['connections', 'limit=0'], ['connections', 'limit=101'], ['connections', 'prefix=%22'], ['connections', 'prefix=%ff'], ['letters', 'topic=a%2fb'], ['letters', 'after=x'], ['letter', 'place=--all']]) {
    await restRefused(400, 'invalid', 'GET', api(`${path}?${parameters}`), { token });
  }
  const same = await rest('POST', api('kick'), { token, body: kick, headers: { Origin: stack.opsUrlOf('messaging/0'), 'Sec-Fetch-Site': 'same-origin' } });
  assert.equal(same.status, 200, JSON.stringify(same.body));
});

test('the page itself is open, may load nothing from elsewhere, and probes stay as they were', async () => {
  const page = await rest('GET', `${stack.opsUrlOf('messaging/0')}/admin/`);
  assert.equal(page.status, 200);
  const policy = page.headers['content-security-policy'];
  for (const part of ["default-src 'none'", "script-src 'self'", "style-src 'self'", "connect-src 'self'", "frame-ancestors 'none'", "base-uri 'none'"]) assert.ok(policy.includes(part), policy);
  assert.ok(!policy.includes('unsafe'), policy);
  assert.equal(page.headers['x-content-type-options'], 'nosniff');
  assert.equal(page.headers['cache-control'], 'no-store');
  assert.equal((await rest('GET', `${stack.opsUrlOf('messaging/0')}/admin`)).headers.location, '/admin/');
  for (const path of ['nothing.js', '..%2f..%2fetc%2fpasswd', 'api', 'internal.h']) assert.equal((await rest('GET', `${stack.opsUrlOf('messaging/0')}/admin/${path}`)).status, 404);
  for (const path of ['healthz', 'readyz', 'metrics']) assert.equal((await rest('GET', `${stack.opsUrlOf('notification/0')}/${path}`)).status, 200);
});

const names = await Promise.all(['messaging/0', 'messaging/1', 'notification/0'].map(async (name) => (await fleetOf(stack, name, 3)).find((g) => g.self).instance));

test('every gateway knows all of them, and pages over them all have each connection and each room once', async () => {
  const id = await createConversation(stack, { owner: 'ada', members: ['bob', 'cy'] });
  const users = ['ada', 'bob', 'cy', 'ada'];
  const sockets = [];
  for (const [i, user] of users.entries()) sockets.push(await connected(stack, `messaging/${i % 2}`, user));
  for (const socket of sockets) await askOk(socket, 'join_conversation', id);
  await openStream(stack, 'notification/0', 'ada', { query: { topics: 'news' } });
  const [m0, m1, n0] = names;
  const want = [['ada', m0], ['ada', m1], ['ada', n0], ['bob', m1], ['cy', m0]];
  for (const from of ['messaging/0', 'messaging/1', 'notification/0']) {
    const { rows, pages } = await waitFor('the stream is counted', async () => {
      const all = await adminPages(stack, from, 'connections', { limit: 2 });
      return all.rows.length === 5 && all;
    });
    assert.equal(pages, 3);
    assert.deepEqual(rows.map((c) => c.user), ['ada', 'ada', 'ada', 'bob', 'cy']);
    assert.deepEqual(rows.map((c) => [c.user, c.gateway]).sort(), want.sort());
    const rooms = await adminGet(stack, from, 'conversations');
    assert.deepEqual(rooms.rows, [{ name: id, members: 4, gateways: 2 }]);
    const audiences = await adminGet(stack, from, 'audiences');
    assert.deepEqual(audiences.rows, [{ name: 'all', members: 1, gateways: 1 }, { name: 'topic:news', members: 1, gateways: 1 }]);
    const chat = await adminGet(stack, from, 'connections', { gateway: m1, prefix: 'a' });
    assert.deepEqual(chat.rows.map((c) => [c.user, c.gateway, c.transport, c.state, c.rooms, c.address]), [['ada', m1, 'websocket', 'live', 1, '127.0.0.1']]);
  }
  const unknown = await adminGet(stack, 'messaging/0', 'connections', { gateway: 'nobody' });
  assert.deepEqual(unknown, { rows: [], next: null, missing: ['nobody'] });
  for (const socket of sockets) socket.disconnect();
});

test('a kick from one gateway closes the connections on another, and the audit says who did it', async () => {
  const dan = await connected(stack, 'messaging/1', 'dan');
  const gone = once(dan, 'disconnect');
  const answer = await adminPost(stack, 'notification/0', 'kick', { userId: 'dan', reason: 'left the company' }, 200);
  assert.equal(answer.state, 'done', JSON.stringify(answer));
  assert.equal((await gone)[0], 'io server disconnect');
  const records = (await audited('kick')).filter((a) => a.userId === 'dan');
  assert.deepEqual(records.map((a) => [a.state, a.operator, a.reason]), ['begun', 'done'].map((state) => [state, `root via ${names[2]}`, 'left the company']));
});

test('lag and dead letters are paged; a mended letter is stored under its old place', async () => {
  const id = await createConversation(stack, { owner: 'ada', members: [] });
  const ids = Array.from({ length: 5 }, () => randomUUID());
  for (const one of ids) await producer.send({ topic: 'chat.events', messages: [{ key: id, ...cloudEvent({ id: one, type: 'tern.message.created', data: { conversationId: id, senderId: 'backend', content: 42 } }) }] });
  const lag = await adminGet(stack, 'messaging/1', 'lag');
  assert.ok(lag.result.some((p) => p.topic === 'chat.events' && p.end > 0), JSON.stringify(lag).slice(0, 300));
  const all = await waitFor('five letters', async () => {
    const { result } = await adminGet(stack, 'messaging/1', 'letters', { key: id });
    return result?.length === 5 && result;
  }, 20000);
  assert.deepEqual(all.map((l) => l.reason), Array(5).fill('invalid'));
  const first = await adminGet(stack, 'messaging/0', 'letters', { key: id, limit: 2 });
  assert.deepEqual(first.result.map((l) => l.place), all.slice(0, 3).map((l) => l.place), 'one more than the page, so that it knows of a next one');
  const second = await adminGet(stack, 'messaging/0', 'letters', { key: id, limit: 2, after: first.result[1].place });
  assert.deepEqual(second.result.map((l) => l.place), all.slice(2, 5).map((l) => l.place));
  const shown = await adminGet(stack, 'messaging/0', 'letter', { place: all[0].place });
  assert.equal(shown.result.record.value.content, 42);

  const refused = await jobEnd(stack, 'messaging/0', (await adminPost(stack, 'messaging/0', 'redrive', { places: [all[1].place] })).id);
  assert.equal(refused.state, 'failed');
  assert.match(refused.said, /content/);
  const value = { ...shown.result.record.value, content: 'mended \\(1) "quoted" $ENV' };
  const done = await jobEnd(stack, 'messaging/0', (await adminPost(stack, 'messaging/0', 'redrive', { place: all[0].place, value })).id);
  assert.equal(done.state, 'done', JSON.stringify(done));
  assert.equal(done.result.redriven, 1);
  const [row] = await sql(stack, 'SELECT content FROM message WHERE id = $1', [shown.result.id]);
  assert.deepEqual(row, { content: value.content });
  const left = await adminGet(stack, 'notification/0', 'letters', { key: id });
  assert.deepEqual(left.result.map((l) => l.place), all.slice(1).map((l) => l.place));
  assert.ok((await audited('dlq redrive')).some((a) => a.state === 'done' && a.operator === `root via ${names[0]}`));
});

test('a replay is counted first, shows how far it is, can be stopped, and stands in the audit', async () => {
  const id = await createConversation(stack, { owner: 'ada', members: [] });
  const ada = await connected(stack, 'messaging/0', 'ada');
  await askOk(ada, 'join_conversation', id);
  for (let i = 0; i < 30; i++) await say(ada, id, `message ${i}`);
  const wish = { topic: 'chat.events', key: id, type: 'message.created' };
  const count = await jobEnd(stack, 'messaging/0', (await adminPost(stack, 'messaging/0', 'replay', { ...wish, dryRun: true })).id);
  assert.equal(count.result.records, 30);
  assert.equal((await audited('replay')).length, 0, 'a count is no act');
  const slow = await adminPost(stack, 'messaging/0', 'replay', { ...wish, toTopic: 'copy.slow', rate: 2 });
  const other = await adminPost(stack, 'messaging/0', 'replay', { ...wish, toTopic: 'copy.slow', rate: 2 });
  await restRefused(503, 'busy', 'POST', api('replay'), { token: adminToken(stack), body: { ...wish, dryRun: true } });
  await waitFor('it says how far it is', async () => (await adminGet(stack, 'messaging/0', 'jobs')).jobs.find((j) => j.id === slow.id).progress?.done > 0, 20000);
  await restRefused(404, 'not_found', 'POST', api('stop', 'messaging/1'), { token: adminToken(stack), body: { job: slow.id } });
  for (const job of [slow, other]) await adminPost(stack, 'messaging/0', 'stop', { job: job.id });
  const stopped = await jobEnd(stack, 'messaging/0', slow.id);
  assert.equal(stopped.state, 'partly', JSON.stringify(stopped));
  assert.ok(stopped.result.copied > 0 && stopped.result.copied < 30, JSON.stringify(stopped.result));
  await jobEnd(stack, 'messaging/0', other.id);
  const full = await jobEnd(stack, 'messaging/0', (await adminPost(stack, 'messaging/0', 'replay', { ...wish, toTopic: 'copy.full' })).id);
  assert.deepEqual([full.state, full.result.copied], ['done', 30], JSON.stringify(full));
  const end = (await audited('replay')).find((a) => a['to-topic'] === 'copy.full' && a.state === 'done');
  assert.deepEqual([end.operator, end.copied], [`root via ${names[0]}`, 30]);
  ada.disconnect();
});

/** The processes that a process has started, whichever of its threads did. */
const childrenOf = (pid) => readdirSync(`/proc/${pid}/task`).flatMap((task) => readFileSync(`/proc/${pid}/task/${task}/children`, 'utf8').split(' ').filter(Boolean));

test('a gateway that dies is missing from the page at once and from the fleet soon, and its jobs end with it', async () => {
  const { pid } = stack.record('messaging/1');
  await adminPost(stack, 'messaging/1', 'replay', { topic: 'chat.events', toTopic: 'copy.orphan', rate: 1 });
  const [child] = await waitFor('ternctl runs', () => childrenOf(pid).length > 0 && childrenOf(pid));
  await stack.kill('messaging/1');
  await waitFor('its ternctl has ended', () => !existsSync(`/proc/${child}`) || / Z /.test(readFileSync(`/proc/${child}/stat`, 'utf8')));
  const page = await adminGet(stack, 'messaging/0', 'connections');
  assert.deepEqual(page.missing, [names[1]]);
  await fleetOf(stack, 'messaging/0', 2);
  assert.deepEqual((await adminGet(stack, 'messaging/0', 'connections')).missing, []);
  await stack.start('messaging/1');
  await fleetOf(stack, 'notification/0', 3);
});

test('a gateway that is told to stop ends what it runs, and the audit says how far that came', async () => {
  await adminPost(stack, 'messaging/1', 'replay', { topic: 'chat.events', toTopic: 'copy.term', rate: 2 });
  await waitFor('it runs', async () => (await adminGet(stack, 'messaging/1', 'jobs')).jobs[0].progress?.done > 0, 20000);
  await stack.term('messaging/1');
  await waitFor('it has stopped', () => !stack.isAlive('messaging/1'), 20000);
  await waitFor('the audit has its end', async () => (await audited('replay')).some((a) => a['to-topic'] === 'copy.term' && a.state === 'partly'));
});

test('while Kafka is away the own connections are still shown, and acts fail with a reason', async () => {
  const eve = await connected(stack, 'messaging/0', 'eve');
  await stack.kill('kafka');
  const own = await adminGet(stack, 'messaging/0', 'connections', { gateway: names[0], prefix: 'eve' });
  assert.equal(own.rows.length, 1);
  const failed = await adminPost(stack, 'messaging/0', 'kick', { userId: 'eve' }, 200);
  assert.equal(failed.state, 'failed');
  assert.ok(failed.said.length > 0);
  assert.equal((await rest('GET', `${stack.opsUrlOf('messaging/0')}/healthz`)).status, 200);
  eve.disconnect();
});
