// conf-client's /engine.io/ with the stock Engine.IO client: what that client's own tests want of their server.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Socket } from 'engine.io-client';
import { startProgram } from './program.js';

let server;
before(async () => { server = await startProgram('conf-client', '--max-payload', '100'); });
after(() => server.stop());

const engine = (options) => new Socket(server.url, options);
const event = (s, name) => new Promise((resolve) => { s.once(name, (...args) => resolve(args)); });
// An error with the text of its answer, which is there only as long as the event is told.
const failure = (s) => new Promise((resolve) => { s.once('error', (e) => resolve({ status: e.description, text: e.context.responseText })); });
// The next count messages that are not the greeting.
function messages(s, count) {
  const got = [];
  return new Promise((resolve) => {
    s.on('message', (m) => {
      if (m !== 'hi') got.push(m);
      if (got.length === count) resolve(got);
    });
  });
}

for (const transports of [['polling'], ['websocket'], ['polling', 'websocket']]) {
  test(`over ${transports}: the greeting, text, emoji, binary`, async () => {
    const s = engine({ transports });
    assert.deepEqual(await event(s, 'message'), ['hi']);
    const got = messages(s, 4);
    s.send('cash money €€€');
    s.send('\uD800\uDC00-\uDB7F\uDFFF\uDB80\uDC00-\uDBFF\uDFFF\uE000-\uF8FF');
    s.send('give utf8');
    s.send('give binary');
    const [money, emoji, text, bytes] = await got;
    assert.equal(money, 'cash money €€€');
    assert.equal(emoji, '\uD800\uDC00-\uDB7F\uDFFF\uDB80\uDC00-\uDBFF\uDFFF\uE000-\uF8FF');
    assert.equal(text, 'пойду спать всем спокойной ночи');
    assert.deepEqual(Buffer.from(bytes), Buffer.from([0, 1, 2, 3, 4]));
    s.close();
  });
}

test('packets are merged up to maxPayload bytes, text and binary', async () => {
  const s = engine({ transports: ['polling'] });
  await event(s, 'open');
  assert.equal(s.maxPayload ?? s._maxPayload, 100);
  const got = messages(s, 6);
  const sent = ['a'.repeat(99), 'b'.repeat(30), 'c'.repeat(30), 'd'.repeat(35), '€'.repeat(33), 'f'.repeat(99)];
  for (const text of sent) s.send(text);
  assert.deepEqual(await got, sent);
  const binary = messages(s, 5);
  for (const m of [Buffer.alloc(72, 1), Buffer.alloc(20, 2), 'a'.repeat(20), Buffer.alloc(20, 3), Buffer.alloc(72, 4)]) s.send(m);
  assert.deepEqual((await binary).map((m) => m.length), [72, 20, 20, 20, 72]);
  s.close();
});

test('a byte over maxPayload is 413 with an empty body, or 1009 without a reason', async () => {
  const polling = engine({ transports: ['polling'] });
  await event(polling, 'open');
  polling.send('a'.repeat(101));
  assert.deepEqual(await failure(polling), { status: 413, text: '' });
  const ws = engine({ transports: ['websocket'] });
  await event(ws, 'open');
  ws.send('a'.repeat(101));
  const [reason, details] = await event(ws, 'close');
  assert.equal(reason, 'transport close');
  assert.deepEqual([details.context.code, details.context.reason], [1009, '']);
});

test('an unknown session and a denied transport', async () => {
  const unknown = engine({ transports: ['polling'], query: { sid: 'abc' } });
  assert.deepEqual(await failure(unknown), { status: 400, text: '{"code":1,"message":"Session ID unknown"}' });
  const ws = engine({ transports: ['websocket'], query: { sid: 'abc' } });
  assert.equal((await event(ws, 'error'))[0].message, 'websocket error');
  for (const [first, second] of [['websocket', 'polling'], ['polling', 'websocket']]) {
    const s = engine({ transports: [first, second], transportOptions: { [first]: { query: { deny: 1 } } }, tryAllTransports: true });
    await event(s, 'open');
    assert.equal(s.transport.name, second);
    s.close();
  }
});

test('cookies of the first answer come back with credentials, and do not without', async () => {
  for (const withCredentials of [true, false]) {
    const s = engine({ transports: ['polling'], withCredentials });
    await event(s, 'message');
    s.send('sendHeaders');
    const [headers] = await event(s, 'message');
    assert.equal(JSON.parse(headers).cookie, withCredentials ? '1=1; 2=2' : undefined);
    s.close();
  }
});

test('a close while upgrading waits for the upgrade, and what was buffered still goes out', async () => {
  const s = engine();
  await event(s, 'open');
  let upgraded = false;
  s.on('upgrade', () => { upgraded = true; });
  await event(s, 'upgrading');
  s.send('hello');
  s.close();
  await event(s, 'close');
  assert.equal(upgraded, true);
  assert.equal(s.writeBuffer.length, 0);
});
