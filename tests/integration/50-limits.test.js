// What one user, one address and one socket may have: the answer first, the end of the connection only for who goes on.
import assert from 'node:assert/strict';
import http from 'node:http';
import test from 'node:test';
import { WebSocket } from 'ws';
import { askOk, ask, client, connected } from '../lib/sockets.js';
import { createConversation } from '../lib/rest.js';
import { atEnd, startStack } from '../lib/stack.js';
import { once, waitFor } from '../lib/wait.js';

const stack = await startStack({
  messaging: 1,
  notification: 1,
  set: {
    TERN_USER_CONNECTIONS_MAX: '3',
    TERN_USER_EVENTS_PER_SECOND: '20',
    TERN_USER_JOINS_PER_SECOND: '5',
    TERN_USER_BYTES_PER_SECOND: '50000',
    TERN_RATE_BURST_MS: '1000',
    TERN_REFUSALS_MAX: '50',
    TERN_ADDRESS_CONNECTIONS_MAX: '6',
    TERN_ADDRESS_CONNECTS_PER_SECOND: '1000',
    TERN_TRUSTED_PROXIES: '127.0.0.0/8',
    TERN_ROOMS_MAX: '40',
    TERN_OPEN_CONVERSATIONS: 'on',
  },
});
const from = (address) => ({ extraHeaders: { 'X-Forwarded-For': address }, transports: ['websocket'], reconnection: false });
const limited = async (limit) => (await stack.metrics('messaging/0'))('tern_limited_total', { limit });
const refused = (socket) => new Promise((resolve) => { socket.once('connect_error', resolve); });

test('a user has so many sockets, and one more when one has gone', async () => {
  const mine = [];
  for (let i = 0; i < 3; i++) mine.push(await connected(stack, 'messaging/0', 'ada', from(`192.0.2.${i}`)));
  const error = await refused(client(stack, 'messaging/0', 'ada', from('192.0.2.9')));
  assert.equal(error.data.code, 'rate_limited');
  assert.match(error.message, /TERN_USER_CONNECTIONS_MAX/);
  await connected(stack, 'messaging/0', 'bob', from('192.0.2.9'));
  mine[0].disconnect();
  await waitFor('a place', async () => {
    const s = client(stack, 'messaging/0', 'ada', from('192.0.2.9'));
    const came = await Promise.race([once(s, 'connect').then(() => true), refused(s).then(() => false)]);
    return came;
  });
  assert.ok((await limited('user_connections')) >= 1);
});

test('events over the rate are answered with rate_limited, others go on, and a second later all is well', async () => {
  const cy = await connected(stack, 'messaging/0', 'cy', from('192.0.2.20'));
  const dan = await connected(stack, 'messaging/0', 'dan', from('192.0.2.21'));
  const id = await createConversation(stack, { owner: 'cy', members: ['dan'] });
  await askOk(cy, 'join_conversation', id);
  const answers = await Promise.all(Array.from({ length: 60 }, () => ask(cy, 'fetch_messages', { conversationId: id })));
  const refusals = answers.filter((a) => !a.ok);
  assert.ok(refusals.length >= 30 && refusals.length < 50, `${refusals.length} of 60 were refused`);
  assert.deepEqual([...new Set(refusals.map((a) => a.error.code))], ['rate_limited']);
  assert.equal((await ask(dan, 'fetch_messages', { conversationId: id })).ok, true);
  assert.ok(cy.connected);
  await waitFor('the rate to recover', async () => (await ask(cy, 'fetch_messages', { conversationId: id })).ok);
});

test('who does not stop is closed', async () => {
  const eve = await connected(stack, 'messaging/0', 'eve', from('192.0.2.30'));
  const gone = new Promise((resolve) => { eve.once('disconnect', resolve); });
  let codes = 0;
  for (let i = 0; i < 200; i++) eve.emit('fetch_messages', { conversationId: 'x' }, (a) => { codes += a.error?.code === 'rate_limited'; });
  assert.equal(await gone, 'transport close');
  assert.ok(codes >= 40, `${codes} answers came before the end`);
  assert.equal(await limited('refusals'), 1);
});

test('joins and bytes have rates of their own', async () => {
  const fay = await connected(stack, 'messaging/0', 'fay', from('192.0.2.40'));
  const joins = await Promise.all(Array.from({ length: 12 }, (_, i) => ask(fay, 'join_conversation', `room-${i}`)));
  assert.ok(joins.some((a) => a.error?.code === 'rate_limited' && /JOINS/.test(a.error.message)), JSON.stringify(joins));
  const gus = await connected(stack, 'messaging/0', 'gus', from('192.0.2.41'));
  const sends = await Promise.all(Array.from({ length: 4 }, () => ask(gus, 'fetch_messages', { conversationId: 'x', padding: 'x'.repeat(40000) })));
  assert.ok(sends.some((a) => a.error?.code === 'rate_limited' && /BYTES/.test(a.error.message)), JSON.stringify(sends));
});

// Engine.IO sessions that join no namespace.
function openBare(address) {
  return new Promise((resolve) => {
    const ws = new WebSocket(`${stack.urlOf('messaging/0').replace('http', 'ws')}/socket.io/?EIO=4&transport=websocket`, { headers: { 'X-Forwarded-For': address } });
    atEnd(() => ws.terminate());
    ws.on('error', () => {});
    ws.on('message', () => resolve({ ws, status: 101 }));
    ws.on('unexpected-response', (_, res) => {
      let body = '';
      res.on('data', (d) => { body += d; });
      res.on('end', () => resolve({ status: res.statusCode, body }));
    });
  });
}

test('an address has so many connections, joined or not; a trusted proxy names it, and its last word counts', async () => {
  const open = [];
  for (let i = 0; i < 6; i++) open.push(await openBare(`6.6.6.${i}, 192.0.2.50`));
  assert.deepEqual(open.map((o) => o.status), Array(6).fill(101));
  const seventh = await openBare('6.6.6.7, 192.0.2.50, 127.0.0.5');
  assert.deepEqual([seventh.status, seventh.body], [429, '{"code":4,"message":"rate_limited"}']);
  assert.equal((await openBare('192.0.2.51')).status, 101);
  const polling = await fetch(`${stack.urlOf('messaging/0')}/socket.io/?EIO=4&transport=polling`, { headers: { 'X-Forwarded-For': '192.0.2.50' } });
  assert.equal(polling.status, 429);
  open[0].ws.terminate();
  await waitFor('a place', async () => (await openBare('192.0.2.50')).status === 101);
  assert.ok((await limited('address_connections')) >= 2);
});

function openStream(user, address) {
  return new Promise((resolve, reject) => {
    const rq = http.get(`${stack.urlOf('notification/0')}/notifications/stream/${user}`, { headers: { Authorization: `Bearer ${stack.token(user)}`, 'X-Forwarded-For': address } }, (res) => {
      let text = '';
      const stream = { status: res.statusCode, close: () => rq.destroy() };
      res.on('error', () => {});
      res.on('data', (d) => {
        text += d;
        if (text.includes('\nid:') || text.includes('rate_limited')) resolve({ ...stream, text });
      });
    });
    rq.on('error', reject);
    atEnd(() => rq.destroy());
  });
}

test('a user has so many streams; one more is told so, with 200 and a retry, which a browser comes back from', async () => {
  for (let i = 0; i < 3; i++) assert.doesNotMatch((await openStream('ida', `192.0.2.6${i}`)).text, /rate_limited/);
  const fourth = await openStream('ida', '192.0.2.69');
  assert.equal(fourth.status, 200);
  assert.match(fourth.text, /^retry: \d+\n\nevent: rate_limited\ndata: \{"code":"rate_limited"/);
});
