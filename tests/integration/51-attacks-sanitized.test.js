// Attacks on the protocols, one test for each, on programs built with the address and undefined-behaviour sanitizers: answered or closed, and
// nobody else notices. Tokens (03-auth), wrong events (08-bad-input) and floods (52) stand in files of their own.
import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { closeCode, descriptors, frame, key, memoryBytes, rawWebSocket, statusOf } from '../lib/attacks.js';
import { createConversation, rest } from '../lib/rest.js';
import { askOk, assertIds, connected, recordEvents, say, waitForCount } from '../lib/sockets.js';
import { startStack } from '../lib/stack.js';
import { rawStream, streamUrl } from '../lib/streams.js';
import { sleep, waitFor } from '../lib/wait.js';

const stack = await startStack({
  messaging: 1,
  notification: 1,
  set: { TERN_ORIGINS: 'https://app.example.com', TERN_PING_INTERVAL_MS: '20000', TERN_MAX_PAYLOAD: '100000', TERN_CONNECT_TIMEOUT_MS: '3000' },
});
const chat = stack.urlOf('messaging/0');
const notifications = stack.urlOf('notification/0');
const wsPath = '/socket.io/?EIO=4&transport=websocket';
const { pid } = stack.record('messaging/0');
const id = await createConversation(stack, { owner: 'ada', members: ['bob'] });
const ada = await connected(stack, 'messaging/0', 'ada');
let lost = 0;
ada.on('disconnect', () => lost++);
await askOk(ada, 'join_conversation', id);
const base = descriptors(pid);

async function joined(user = 'bob') {
  const c = await rawWebSocket(chat, wsPath);
  c.write(frame(`40${JSON.stringify({ token: stack.token(user) })}`));
  await waitFor('CONNECT', () => c.text().includes('40{"sid"'));
  return c;
}

test('1. a frame that claims 2^31-1, 2^63 or 0x7fff0001 bytes is refused at once, and memory stays flat', async () => {
  const before = memoryBytes(pid);
  for (const length of [2n ** 31n - 1n, 2n ** 63n, 0x7fff0001n, 2n ** 64n - 1n, 100001n]) {
    for (let i = 0; i < 10; i++) {
      const c = await rawWebSocket(chat, wsPath);
      c.write(frame('4x', { length }));
      c.write('dribble');
      assert.ok([1002, 1009].includes(await closeCode(c)), `${length}`);
    }
  }
  assert.ok(memoryBytes(pid) - before < 32 << 20);
});

test('3. fragments without end reach the cap: 1009', async () => {
  for (const piece of ['', 'x']) {
    const c = await rawWebSocket(chat, wsPath);
    c.write(frame('4', { fin: false }));
    const more = Buffer.concat(Array.from({ length: 5000 }, () => frame(piece, { opcode: 0, fin: false })));
    for (let i = 0; i < 30 && !c.closed(); i++) {
      c.write(more);
      await sleep(2);
    }
    assert.equal(await closeCode(c), 1009);
  }
});

test('4. reserved bits and opcodes, no mask, long or cut control frames, bad text, bad close codes', async () => {
  for (const [code, bytes] of [
    [1002, frame('4x', { rsv: 4 })], [1002, frame('4x', { rsv: 1 })], [1002, frame('4x', { opcode: 3 })], [1002, frame('4x', { opcode: 11 })],
    [1002, frame('4x', { mask: false })], [1002, frame('x'.repeat(126), { opcode: 9 })], [1002, frame('x', { opcode: 9, fin: false })],
    [1002, frame([3], { opcode: 8 })], [1002, frame([0x03, 0xed], { opcode: 8 })], [1007, frame([0x34, 0xff])], [1007, frame([0x34, 0xed, 0xa0, 0x80])],
    [1002, frame('x', { opcode: 0 })],
  ]) {
    const c = await rawWebSocket(chat, wsPath);
    c.write(bytes);
    assert.equal(await closeCode(c), code, bytes.toString('hex').slice(0, 40));
  }
});

test('5. binary packets that lie about their attachments close the connection', async () => {
  const flood = Buffer.concat(Array.from({ length: 50 }, () => frame('x', { opcode: 2 })));
  for (const bytes of [
    frame('45999999999-["a"]'), frame('450-["a"]'), frame('451-'), frame('4511-["a"]'), frame('451-["a",{"_placeholder":true,"num":-1}]'),
    frame('451-["a",{"_placeholder":true,"num":1000000000}]'), frame('451-["a",{"_placeholder":true,"num":1e9}]'), frame('451-["a",{"_placeholder":true,"num":"0"}]'),
    Buffer.concat([frame('451-["a",{"_placeholder":true,"num":0}]'), frame('42["a"]')]), flood,
    Buffer.concat([frame('4510-["typing",{"_placeholder":true,"num":9}]'), flood]),
  ]) {
    const c = await joined();
    c.write(bytes);
    await waitFor('the end', () => c.closed());
  }
});

test('6. events: reserved and strange names, deep JSON, huge ids, long namespaces, forged offsets', async () => {
  const deep = `42["send_message",${'['.repeat(10000)}${']'.repeat(10000)}]`;
  for (const text of ['42["connect"]', '42["disconnecting",1]', '42["newListener"]', '42[{}]', '42[null]', deep, `42${'9'.repeat(400)}["typing",{}]`, `40/${'n'.repeat(90000)},`]) {
    const c = await joined();
    c.write(frame(text));
    await waitFor(`the end after ${text.slice(0, 40)}`, () => c.closed());
  }
  const c = await joined();
  for (const name of ['__proto__', 'constructor', 'toString', '', 'x'.repeat(5000), '\u0000'])
    c.write(frame(`421[${JSON.stringify(name)},{"conversationId":"${id}"}]`));
  await waitFor('six answers', () => c.text().split('431[').length === 7);
  assert.equal(c.text().split('"code":"invalid"').length, 7);
  c.close();
  for (const offset of ['AAAA', 'x'.repeat(50000), '__proto__', '\u0000', '1.1.1.1.1']) {
    const back = await rawWebSocket(chat, wsPath);
    back.write(frame(`40${JSON.stringify({ token: stack.token('bob'), pid: 'AAAAAAAAAAAAAAAAAAAAAAAA', offset })}`));
    await waitFor('a new session', () => /40\{"sid"/.test(back.text()));
    back.close();
  }
});

test('7. Engine.IO: bodies, polls, sids, versions, upgrades that break off; descriptors come back', async () => {
  const atLast = [];
  const polling = `${chat}/socket.io/?EIO=4&transport=polling`;
  const session = async () => JSON.parse((await (await fetch(polling)).text()).slice(1)).sid;
  const post = (sid, body, headers) => fetch(`${polling}&sid=${sid}`, { method: 'POST', body, headers });
  assert.equal((await post(await session(), '4x', { 'Content-Type': 'application/octet-stream' })).status, 400);
  assert.equal((await post(await session(), '4'.padEnd(100001, 'x'))).status, 413);
  const sid = await session();
  const [first, second] = await Promise.all([fetch(`${polling}&sid=${sid}`), sleep(30).then(() => fetch(`${polling}&sid=${sid}`))]);
  assert.deepEqual([first.status, second.status], [200, 400]);
  for (const foreign of ['x', '%00', 'A'.repeat(20), 'A'.repeat(44), 'A'.repeat(5000), '..%2f..%2fetc', '%F0%9F%98%80'])
    assert.equal((await fetch(`${polling}&sid=${foreign}`)).status, 400, foreign);
  assert.equal((await fetch(polling.replace('EIO=4', 'EIO=3'))).status, 400);
  for (let i = 0; i < 40; i++) {
    const upgrading = await session();
    const c = await rawWebSocket(chat, `${wsPath}&sid=${upgrading}`);
    c.write(frame('2probe'));
    if (i % 2) await waitFor('3probe', () => c.text().includes('3probe'));
    if (i % 4 < 2) c.socket.resetAndDestroy();
    else atLast.push(c);
  }
  for (const c of atLast) c.close();
  await waitFor('the descriptors', () => descriptors(pid) <= base + 8, 40000);
});
test('8. deflate is not negotiated, so nothing can be inflated', async () => {
  for (const url of [chat]) {
    const c = await rawWebSocket(url, wsPath, 'Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n');
    assert.doesNotMatch(c.text(), /sec-websocket-extensions/i);
    c.write(frame([0x4a, 0x01, 0x00], { rsv: 4 }));
    assert.equal(await closeCode(c), 1002);
  }
});

test('9. a WebSocket of a foreign page is 403 before the 101, with or without a cookie', async () => {
  const status = (headers) => statusOf(chat, `GET ${wsPath} HTTP/1.1\r\nHost: ${new URL(chat).host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n${key}${headers}\r\n`);
  for (const origin of ['null', 'https://evil.example', 'https://app.example.com.evil.example', 'http://app.example.com', 'https://app.example.com:444', 'file://']) {
    assert.equal(await status(`Origin: ${origin}\r\n`), 403, origin);
    assert.equal(await status(`Origin: ${origin}\r\nCookie: token=${stack.token('ada')}\r\n`), 403, origin);
  }
  for (const good of ['Origin: https://app.example.com\r\n', `Origin: ${chat}\r\n`, '']) assert.equal(await status(good), 101, good);
  const stream = new URL(streamUrl(stack, 'notification/0', 'ada', {}));
  const byCookie = (origin) => statusOf(notifications, `GET /notifications/stream/ada HTTP/1.1\r\nHost: x\r\nCookie: tern_token=${stack.token('ada')}\r\nOrigin: ${origin}\r\n\r\n`);
  assert.equal(await byCookie('https://evil.example'), 401, 'to a foreign page the cookie is none');
  assert.equal(await byCookie('https://app.example.com'), 200);
});

// What a browser would make of a stream: one event for each blank line, by the rules of HTML 9.2.
function parseStream(text) {
  const events = [];
  let event = { data: [] };
  for (const line of text.replace(/^\ufeff/, '').split(/\r\n|\n|\r/)) {
    if (line === '') {
      if (event.data.length) events.push({ ...event, data: event.data.join('\n') });
      event = { data: [] };
    } else if (!line.startsWith(':')) {
      const [, name, value] = /^([^:]*):? ?(.*)$/s.exec(line);
      if (name === 'data') event.data.push(value);
      else event[name] = value;
    }
  }
  return events;
}

test('11. nothing in a notification ends a line of the stream: a parser sees one event for each', async () => {
  const stream = await rawStream(streamUrl(stack, 'notification/0', 'ada', {}), { 'Last-Event-ID': 'x:evil,data' });
  await waitFor('the first block', () => stream.text().includes('id:'));
  const evil = ['a\nb', 'a\r\nevent: evil\r\ndata: x\r\n\r\n', 'a\rid: evil\r\r', '\ufeffdata: x\n\n', 'a\u2028b', ': comment\n\ndata: y'];
  for (const [i, text] of evil.entries()) {
    const answer = await rest('POST', `${notifications}/notifications`, { token: stack.token('backend', { scope: 'notifications:publish' }), body: { id: `evil-${i}`, userId: 'ada', type: `t${text}`.slice(0, 60), title: text, body: text } });
    assert.ok(answer.status < 300, `${answer.status} ${JSON.stringify(answer.body)}`);
  }
  const nul = await rest('POST', `${notifications}/notifications`, { token: stack.token('backend', { scope: 'notifications:publish' }), body: { userId: 'ada', type: 't', title: 'a\u0000b', body: '' } });
  assert.equal(nul.status, 400);
  const mine = () => parseStream(stream.text()).filter((e) => e.data.includes('evil-'));
  await waitFor('all of them', () => mine().length >= evil.length);
  assert.deepEqual(mine().map((e) => JSON.parse(e.data).title), evil);
  assert.deepEqual(parseStream(stream.text()).filter((e) => e.event === 'evil' || e.id === 'evil'), []);
  stream.close();
  for (const bad of ['a\u0001b', 'ä', 'x'.repeat(9000), '1.1.1.1.1\u0000']) {
    const raw = await statusOf(notifications, Buffer.from(`GET /notifications/stream/ada?token=${stack.token('ada')} HTTP/1.1\r\nHost: x\r\nLast-Event-ID: ${bad}\r\n\r\n`));
    assert.ok([200, 400, 431].includes(raw), `${raw}`);
  }
});

test('12. requests that two readers would read differently are 400, and CVE-2025-55763 ends in an answer', async () => {
  const post = (headers, body = '') => `POST /conversations HTTP/1.1\r\nHost: x\r\n${headers}\r\n${body}`;
  const cases = {
    'both lengths': [400, post('Content-Length: 4\r\nTransfer-Encoding: chunked\r\n', '0\r\n\r\n')],
    'two lengths': [400, post('Content-Length: 4\r\nContent-Length: 5\r\n', '{}')],
    'a list of lengths': [400, post('Content-Length: 4, 4\r\n', '{}')],
    'a negative length': [400, post('Content-Length: -1\r\n')],
    'a length of 2^64': [400, post('Content-Length: 18446744073709551617\r\n')],
    'a length in hex': [400, post('Content-Length: 0x4\r\n')],
    'a name with a blank': [400, post('Content-Length : 4\r\n', '{}')],
    'a folded header': [400, post('X-A: b\r\n c\r\nContent-Length: 0\r\n')],
    'a bare line feed': [400, 'GET / HTTP/1.1\nHost: x\r\n\r\n'],
    'two encodings': [501, post('Transfer-Encoding: chunked, gzip\r\n', '0\r\n\r\n')],
    'an encoding that is nearly one': [501, post('Transfer-Encoding: xchunked\r\n', '0\r\n\r\n')],
    'two hosts': [400, 'GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n'],
    'no host': [400, 'GET / HTTP/1.1\r\n\r\n'],
    'a control character': [400, 'GET /\u0001 HTTP/1.1\r\nHost: x\r\n\r\n'],
    '65 headers': [431, `GET / HTTP/1.1\r\nHost: x\r\n${'A: b\r\n'.repeat(65)}\r\n`],
    'a header over the limit': [431, `GET / HTTP/1.1\r\nHost: x\r\nA: ${'b'.repeat(20000)}\r\n\r\n`],
  };
  for (const [name, [status, bytes]] of Object.entries(cases)) {
    for (const url of [chat, notifications]) {
      const got = await statusOf(url, bytes);
      assert.ok(got === status || (status === 431 && got === 400), `${name}: ${got}`);
    }
  }
  const token = stack.token('ada');
  const chunked = (chunks) => post(`Authorization: Bearer ${token}\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n`, chunks);
  for (const chunks of ['fffffffffffffffff\r\nx\r\n', '-1\r\nx\r\n', '10000000000000000\r\nx', '7fffffffffffffff\r\nx\r\n', '2\rx\r\n', '2;ä\nx', 'zz\r\n', `${'0'.repeat(5000)}2\r\n{}\r\n0\r\n\r\n`])
    assert.ok([400, 408, 413, 431].includes(await statusOf(chat, chunked(chunks))), chunks.slice(0, 20));
  // CVE-2025-55763: the URI of a redirect to a folder's name with a slash was built in a buffer on the heap that was too short for it.
  for (const n of [10, 200, 1000, 1023, 1024, 1025, 4000, 8000, 15000]) {
    for (const path of ['a', '%2e', '%00', '..%2f', '/']) {
      const long = path.repeat(Math.floor(n / path.length));
      for (const url of [chat, notifications]) {
        const got = await statusOf(url, `GET /${long}?${long.slice(0, 100)} HTTP/1.1\r\nHost: ${'h'.repeat(Math.min(n, 1000))}\r\n\r\n`);
        assert.ok([400, 404, 414, 431].includes(got), `${got} for ${n} of ${path}`);
      }
    }
  }
});

test('after all that the same processes serve, no good client was lost, and no sanitizer has spoken', async () => {
  assert.equal(lost, 0);
  const bob = await connected(stack, 'messaging/0', 'bob');
  const seen = recordEvents(bob);
  await askOk(bob, 'join_conversation', id);
  const sent = await say(ada, id, 'still here');
  await waitForCount(seen, 1);
  assertIds(seen, [sent.id]);
  for (const name of ['messaging/0', 'notification/0', 'writer/0']) assert.ok(stack.isAlive(name), name);
  for (const file of readdirSync(stack.logs)) {
    const text = readFileSync(join(stack.logs, file), 'utf8');
    assert.doesNotMatch(text, /AddressSanitizer|runtime error:|LeakSanitizer/, file);
  }
});
