// Wrong events, wrong requests, wrong bytes: answered, counted, and nobody else notices.
import assert from 'node:assert/strict';
import { randomBytes, randomUUID } from 'node:crypto';
import { connect } from 'node:net';
import test from 'node:test';
import { createConversation, rest, restOk, restRefused } from '../lib/rest.js';
import { ask, askOk, askRefused, assertIds, connected, recordEvents, say, waitForCount } from '../lib/sockets.js';
import { atEnd, startStack } from '../lib/stack.js';
import { waitFor, within } from '../lib/wait.js';

const stack = await startStack();
const chat = stack.urlOf('messaging/0');
const notifications = stack.urlOf('notification/0');
const pids = Object.fromEntries(['messaging/0', 'notification/0', 'writer/0'].map((name) => [name, stack.record(name).pid]));
const id = await createConversation(stack, { owner: 'ada', members: ['bob'] });
const ada = await connected(stack, 'messaging/0', 'ada');
await askOk(ada, 'join_conversation', id);

/** Sends bytes over TCP; gives what came back when the other side closed, or so far after a while. */
async function raw(url, bytes, waitMs = 1500) {
  const { hostname, port } = new URL(url);
  const socket = connect({ host: hostname, port: Number(port) });
  atEnd(() => socket.destroy());
  const parts = [];
  let closed = false;
  socket.on('data', (chunk) => parts.push(chunk));
  socket.on('error', () => {});
  socket.on('close', () => (closed = true));
  await within(2000, 'a connection', new Promise((done) => socket.once('connect', done)));
  for (const piece of [bytes].flat()) socket.write(piece);
  await waitFor('an end', () => closed, waitMs).catch(() => {});
  socket.destroy();
  return { closed, bytes: Buffer.concat(parts), text: Buffer.concat(parts).toString('latin1') };
}

test('wrong events are refused with a code and the socket stays', async () => {
  const other = `none-${randomUUID()}`;
  const big = 'x'.repeat(65537);
  const cases = [
    ['invalid', 'no_such_event', {}],
    ['invalid', 'join_conversation'],
    ['invalid', 'join_conversation', 42],
    ['invalid', 'join_conversation', null],
    ['invalid', 'join_conversation', ''],
    ['invalid', 'join_conversation', 'with space'],
    ['invalid', 'join_conversation', 'x'.repeat(129)],
    ['invalid', 'join_conversation', { conversationId: id, after: 'x' }],
    ['not_found', 'join_conversation', other],
    ['invalid', 'leave_conversation', {}],
    ['invalid', 'send_message'],
    ['invalid', 'send_message', 'text'],
    ['invalid', 'send_message', []],
    ['invalid', 'send_message', { content: 'no conversation' }],
    ['invalid', 'send_message', { conversationId: id }],
    ['invalid', 'send_message', { conversationId: id, content: 7 }],
    ['invalid', 'send_message', { conversationId: id, content: big }],
    ['invalid', 'send_message', { conversationId: id, content: 'nul \u0000 inside' }],
    ['invalid', 'send_message', { conversationId: id, content: 'x', clientId: 'c'.repeat(129) }],
    ['invalid', 'send_message', { conversationId: id, content: 'x', metadata: { large: 'm'.repeat(20000) } }],
    ['not_found', 'send_message', { conversationId: other, content: 'x' }],
    ['not_found', 'fetch_messages', { conversationId: other }],
    ['invalid', 'fetch_messages', { conversationId: id, limit: 'many' }],
    ['invalid', 'mark_read', { conversationId: id }],
    ['invalid', 'mark_read', { conversationId: id, seq: -1 }],
    ['invalid', 'mark_read', { conversationId: id, seq: 2 ** 60 }],
  ];
  for (const [code, event, ...args] of cases) {
    await askRefused(code, ada, event, ...args).catch((e) => assert.fail(`${event} ${JSON.stringify(args).slice(0, 80)}: ${e.message}`));
  }
  assert.ok(ada.connected);
  await say(ada, id, 'x'.repeat(65536));
});

test('what needs membership is forbidden to others', async () => {
  const cy = await connected(stack, 'messaging/0', 'cy');
  for (const [event, arg] of [
    ['join_conversation', id],
    ['send_message', { conversationId: id, content: 'x' }],
    ['fetch_messages', { conversationId: id }],
    ['mark_read', { conversationId: id, seq: 1 }],
  ]) await askRefused('forbidden', cy, event, arg);
  assert.ok(cy.connected);
});

test('events without an ack, with too many arguments and with binary do no harm', async () => {
  const bob = await connected(stack, 'messaging/0', 'bob');
  for (const args of [['no_such'], ['send_message'], ['send_message', null, null], ['join_conversation', [[[[]]]]], ['typing', { conversationId: id }], ['__proto__', {}], ['constructor']]) bob.emit(...args);
  bob.emit('send_message', randomBytes(100));
  bob.emit('send_message', { conversationId: id, content: randomBytes(10) });
  const answer = await ask(bob, 'send_message', { conversationId: id, content: Buffer.from('binary') });
  assert.equal(answer.ok, false);
  assert.ok(bob.connected);
  await askOk(bob, 'join_conversation', id, 'extra', { arguments: true });
});

test('wrong REST requests are refused as JSON', async () => {
  const token = stack.token('ada');
  const publisher = stack.token('backend', { scope: 'notifications:publish' });
  for (const body of ['', '{', '[]', '"x"', '{"id":"bad id"}', '{"title":7}', '{"members":"bob"}', '{"members":["not a user/"]}', Buffer.from('{"title":"\xff"}', 'latin1')]) {
    await restRefused(400, 'invalid', 'POST', `${chat}/conversations`, { token, body });
  }
  for (const query of ['limit=0', 'limit=201', 'limit=x', 'before=-1', 'after=1e3']) await restRefused(400, 'invalid', 'GET', `${chat}/conversations/${id}/messages?${query}`, { token });
  for (const body of ['{', '{}', '{"userId":"ada"}', '{"userId":"a b","type":"t","title":"t","body":"b"}', '{"userId":"ada","userIds":["bob"],"type":"t","title":"t","body":"b"}', '{"userIds":[],"type":"t","title":"t","body":"b"}', '{"userId":"ada","type":"t","title":"nul \\u0000","body":"b"}']) {
    await restRefused(400, 'invalid', 'POST', `${notifications}/notifications`, { token: publisher, body });
  }
  await restRefused(404, 'not_found', 'POST', `${notifications}/notifications/${randomUUID()}/read`, { token });
  assert.equal((await rest('GET', `${chat}/no/such/path`, { token })).status, 404);
  assert.equal((await rest('GET', `${notifications}/no/such/path`, { token })).status, 404);
  assert.ok([404, 405].includes((await rest('DELETE', `${chat}/conversations`, { token })).status));
  assert.equal((await rest('POST', `${chat}/conversations`, { token, body: 'x'.repeat(2000000) })).status, 413);
});

test('what is no HTTP is closed', async () => {
  for (const url of [chat, notifications]) {
    const pieces = [
      'hello\r\n\r\n',
      `${'A'.repeat(70000)}`,
      'GET / HTTP/9.9\r\n\r\n',
      'GET http:// HTTP/1.1\r\nHost: x\r\n\r\n',
      `GET / HTTP/1.1\r\nHost: x\r\n${'X-Fill: y\r\n'.repeat(3000)}\r\n`,
      'POST /conversations HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n',
      'POST /conversations HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
      'POST /conversations HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcde',
      randomBytes(4000),
      Buffer.concat([Buffer.from('\x16\x03\x01\x02\x00', 'latin1'), randomBytes(512), Buffer.from('\r\n\r\n')]),
    ];
    for (const bytes of pieces) {
      const { closed, text } = await raw(url, bytes, 7000);
      assert.ok(closed, `still open after ${JSON.stringify(String(bytes).slice(0, 40))}`);
      if (text) assert.match(text, /^HTTP\/1\.1 (400|404|405|408|413|414|431|501|505) /, text.slice(0, 100));
    }
  }
});

test('wrong Engine.IO requests get the protocol\'s answers', async () => {
  const base = `${chat}/socket.io/`;
  const expect = async (query, status, code, method = 'GET', body) => {
    const answer = await rest(method, `${base}?${query}`, { body, headers: body === undefined ? {} : { 'Content-Type': 'text/plain;charset=UTF-8' } });
    assert.equal(answer.status, status, `${method} ${query}: ${answer.status} ${JSON.stringify(answer.body)}`);
    assert.equal(answer.body.code, code, `${method} ${query}`);
  };
  await expect('EIO=4&transport=carrier-pigeon', 400, 0);
  await expect('EIO=4&transport=polling&sid=unknown', 400, 1);
  await expect('EIO=4&transport=polling', 400, 2, 'POST', '4x');
  await expect('EIO=4&transport=websocket', 400, 3);
  await expect('EIO=3&transport=polling', 400, 5);
  const open = await restOk(200, 'GET', `${base}?EIO=4&transport=polling`);
  const { sid } = JSON.parse(open.slice(1));
  await rest('POST', `${base}?EIO=4&transport=polling&sid=${sid}`, { body: 'abc', headers: { 'Content-Type': 'text/plain' } }).catch(() => {});
  await waitFor('the session is gone', async () => (await rest('GET', `${base}?EIO=4&transport=polling&sid=${sid}`)).status === 400);
});

test('wrong frames close their connection only', async () => {
  const key = randomBytes(16).toString('base64');
  const upgrade = `GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: ${key}\r\nSec-WebSocket-Version: 13\r\n\r\n`;
  const masked = (first, payload) => {
    const body = Buffer.from(payload, 'latin1');
    return Buffer.concat([Buffer.from([first, 0x80 | body.length, 0, 0, 0, 0]), body]);
  };
  const frames = {
    'an unmasked frame': Buffer.from([0x81, 0x01, 0x34]),
    'reserved bits': masked(0xf1, '4'),
    'a reserved opcode': masked(0x83, '4'),
    'a continuation of nothing': masked(0x80, '4'),
    'bad UTF-8': masked(0x81, '4\xc3\x28'),
    'a claim of 2^63 bytes': Buffer.from([0x81, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
    'a claim of 2 GiB': Buffer.from([0x81, 0xff, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0]),
    'a fragmented ping': masked(0x09, ''),
    'an unknown packet': masked(0x81, '9'),
    'an event before CONNECT': masked(0x81, '42["x"]'),
    'binary attachments without end': masked(0x81, '459999999999-["x"]'),
    'an attachment that was not announced': Buffer.concat([masked(0x81, '40'), masked(0x82, 'xx')]),
    'JSON that is none': Buffer.concat([masked(0x81, '40{"token":'), masked(0x81, '42[')]),
  };
  for (const [what, frame] of Object.entries(frames)) {
    const { closed, text } = await raw(chat, [upgrade, frame], 5000);
    assert.match(text, /^HTTP\/1\.1 101 /, what);
    assert.ok(closed, `${what} is still open`);
  }
});

test('after all that the same processes serve', async () => {
  for (const [name, pid] of Object.entries(pids)) {
    assert.equal(stack.record(name).pid, pid);
    assert.ok(stack.isAlive(name), name);
  }
  const bob = await connected(stack, 'messaging/0', 'bob');
  const seen = recordEvents(bob);
  await askOk(bob, 'join_conversation', id);
  const { id: message } = await say(ada, id, 'all is well');
  await waitForCount(seen, 1);
  assertIds(seen, [message]);
  const metrics = await stack.metrics('messaging/0');
  assert.ok(metrics('tern_handshakes_refused_total') > 0);
  await waitFor('no head waits any more', async () => (await stack.metrics('messaging/0'))('tern_intake_waiting') === 0, 15000);
});
