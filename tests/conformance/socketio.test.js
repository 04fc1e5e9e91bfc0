// Socket.IO 5 on the wire and with the stock client: namespaces, events, acks, binary, what closes a connection and what does not.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { io } from 'socket.io-client';
import { openWebSocket, sleep, startProgram } from './program.js';

let server, base, ws;
before(async () => {
  server = await startProgram('conf-socketio');
  base = `${server.url}/socket.io/`;
  ws = `${server.url.replace('http', 'ws')}/socket.io/?EIO=4&transport=websocket`;
});
after(() => server.stop());

async function open() {
  const c = await openWebSocket(ws);
  assert.match(await c.next(), /^0\{/);
  return c;
}
async function joined() {
  const c = await open();
  c.send('40');
  assert.match(await c.nextMessage(), /^40\{"sid":"[A-Za-z0-9_-]{20}"\}$/);
  assert.equal(await c.nextMessage(), '42["auth",{}]');
  return c;
}
// The connection answers an event on /, so nothing has closed it.
async function alive(c) {
  c.send('42["message","alive"]');
  assert.equal(await c.nextMessage(), '42["message-back","alive"]');
}

test('CONNECT joins / and /custom, with and without payload, comma and slash', async () => {
  for (const [sent, prefix, nsp, payload] of [
    ['40', '40', '', '{}'],
    ['40{"token":"123"}', '40', '', '{"token":"123"}'],
    ['40/,', '40', '', '{}'],
    ['40/custom', '40/custom,', '/custom,', '{}'],
    ['40/custom,', '40/custom,', '/custom,', '{}'],
    ['40/custom,{"a": [1, "ü"]}', '40/custom,', '/custom,', '{"a":[1,"ü"]}'],
  ]) {
    const c = await open();
    c.send(sent);
    const answer = await c.nextMessage();
    assert.ok(answer.startsWith(`${prefix}{`), answer);
    assert.deepEqual(Object.keys(JSON.parse(answer.slice(prefix.length))), ['sid']);
    assert.equal(await c.nextMessage(), `42${nsp}["auth",${payload}]`);
    await c.close();
  }
});

test('an unknown namespace is refused and the connection stays', async () => {
  const c = await joined();
  c.send('40/random');
  assert.equal(await c.nextMessage(), '44/random,{"message":"Invalid namespace"}');
  c.send('40/custom?x=1,');
  assert.equal(await c.nextMessage(), '44/custom?x=1,{"message":"Invalid namespace"}');
  await alive(c);
  await c.close();
});

test('what is no CONNECT payload closes the connection', async () => {
  for (const text of ['40[]', '40null', '40"x"', '40{', '40,', '4abc', '4', '47', '40{}x']) {
    const c = await open();
    c.send(text);
    await c.closed;
  }
});

test('invalid states and malformed packets close the connection', async () => {
  for (const text of [
    '40', '42/custom,["message"]', '43/custom,1[]', '41/custom', '44{"message":"x"}', '41{}',
    '42[]', '42[null]', '42["message"', '42["message"]x', "42['message']", '42{}', '42abc["message-with-ack",1]',
    '42["connect"]', '42["connect_error"]', '42["disconnect"]', '42["disconnecting"]', '42["newListener"]', '42["removeListener"]',
    '42["conn\\u0065ct"]', '43{}', '451-', '450-["message"]', '45-["message"]', '4511-["message"]', '45999999999999-["message"]',
    '451-["message",{"_placeholder":true,"num":1}]', '451-["message",{"_placeholder":true,"num":-1}]',
    '451-["message",{"_placeholder":true,"num":"0"}]', '451-["message",{"_placeholder":true}]',
    `42["message",${'['.repeat(10000)}${']'.repeat(10000)}]`, `42["message","\x1e"]`,
  ]) {
    const c = await joined();
    c.send(text);
    await c.closed;
  }
  const before = await open();
  before.send('42["message",1]');
  await before.closed;
});

test('a connection that joins nothing is closed after connectTimeout, one that did not', async () => {
  const c = await openWebSocket(ws);
  const t = performance.now();
  await assert.rejects(async () => { for (;;) await c.nextMessage(); }, /closed/);
  const took = performance.now() - t;
  assert.ok(took > 950 && took < 1100, `closed after ${took} ms`);
  const refused = await open();
  refused.send('40/random');
  await assert.rejects(async () => { for (;;) await refused.nextMessage(); }, /closed/);
  const kept = await joined();
  const until = performance.now() + 1300;
  while (performance.now() < until) await alive(kept).then(() => sleep(50));
  await kept.close();
});

test('DISCONNECT leaves one namespace, and CONNECT again gives a new sid', async () => {
  const c = await joined();
  c.send('40/custom');
  const first = JSON.parse((await c.nextMessage()).slice(10)).sid;
  await c.nextMessage();
  c.send('41/custom');
  await alive(c);
  c.send('40/custom,');
  const second = JSON.parse((await c.nextMessage()).slice(10)).sid;
  assert.notEqual(second, first);
  await c.nextMessage();
  c.send('41');
  c.send('41/custom,');
  assert.equal(await c.next(), '2', 'the connection stays without a namespace');
  c.send('3');
  c.send('40');
  assert.match(await c.nextMessage(), /^40\{/);
  await c.close();
});

test('events and acks are relayed byte for byte', async () => {
  const c = await joined();
  c.send('42["message",1,"2",{"3":[true]}]');
  assert.equal(await c.nextMessage(), '42["message-back",1,"2",{"3":[true]}]');
  c.send('42["message"]');
  assert.equal(await c.nextMessage(), '42["message-back"]');
  c.send('42 [ "message" , 1 , { "a" : "b" } ] ');
  assert.equal(await c.nextMessage(), '42["message-back",1,{"a":"b"}]');
  c.send('42["message","ä€😀\u2028\\u0000\\ud800",{"_placeholder":true,"num":7}]');
  assert.equal(await c.nextMessage(), '42["message-back","ä€😀\u2028\\u0000\\ud800",{"_placeholder":true,"num":7}]');
  c.send('42456["message-with-ack",1,"2",{"3":[false]}]');
  assert.equal(await c.nextMessage(), '43456[1,"2",{"3":[false]}]');
  c.send('420["message-with-ack"]');
  assert.equal(await c.nextMessage(), '430[]');
  c.send('42007["message-with-ack",7]');
  assert.equal(await c.nextMessage(), '437[7]');
  c.send('429007199254740991["message-with-ack"]');
  assert.equal(await c.nextMessage(), '439007199254740991[]');
  c.send('42');
  c.send('42["unknown",1]');
  c.send('42["__proto__",1]');
  c.send('42[5,1]');
  c.send('4399[1]');
  c.send('43');
  await alive(c);
  await c.close();
});

test('attachments are put together and come back', async () => {
  const c = await joined();
  const a = Buffer.from([1, 2, 3]);
  const b = Buffer.from([4, 5, 6]);
  const two = '["message",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]';
  c.send(`452-${two}`);
  c.send(a);
  c.send('3');
  c.send(b);
  assert.equal(await c.nextMessage(), `452-${two.replace('message', 'message-back')}`);
  assert.deepEqual(await c.nextMessage(), a);
  assert.deepEqual(await c.nextMessage(), b);
  c.send(`452-789${two.replace('message', 'message-with-ack')}`);
  c.send(a);
  c.send(b);
  assert.equal(await c.nextMessage(), '462-789[{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]');
  assert.deepEqual(await c.nextMessage(), a);
  assert.deepEqual(await c.nextMessage(), b);
  c.send('451-["message",{"_placeholder":true,"num":0},{"_placeholder":true,"num":0}]');
  c.send('b');
  assert.equal(await c.nextMessage(), '451-["message-back",{"_placeholder":true,"num":0},{"_placeholder":true,"num":0}]');
  assert.deepEqual(await c.nextMessage(), Buffer.alloc(0));
  c.send('451-["message","no placeholder"]');
  c.send(a);
  assert.equal(await c.nextMessage(), '451-["message-back","no placeholder"]');
  assert.deepEqual(await c.nextMessage(), a);
  c.send(`4510-["unknown"]`);
  for (let i = 0; i < 10; i++) c.send(a);
  await alive(c);
  c.send(`451-${two.replace(',{"_placeholder":true,"num":1}', '')}`);
  c.send('42["message"]');
  await c.closed;
  const d = await joined();
  d.send(a);
  await d.closed;
});

test('over polling the attachments follow as base64', async () => {
  const sid = JSON.parse((await (await fetch(`${base}?EIO=4&transport=polling`)).text()).slice(1)).sid;
  const url = `${base}?EIO=4&transport=polling&sid=${sid}`;
  assert.equal(await (await fetch(url, { method: 'POST', body: '40\x1e451-["message",{"_placeholder":true,"num":0}]\x1ebAQID' })).text(), 'ok');
  let all = '';
  while (!all.includes('\x1eb')) all += `${all && '\x1e'}${await (await fetch(url)).text()}`;
  assert.match(all, /^40\{"sid":"[^"]+"\}\x1e42\["auth",\{\}\]\x1e451-\["message-back",\{"_placeholder":true,"num":0\}\]\x1ebAQID$/);
  assert.equal((await fetch(url, { method: 'POST', body: '1' })).status, 200);
});

const connect = (options, nsp = '') => io(server.url + nsp, { forceNew: true, reconnectionDelay: 50, reconnectionDelayMax: 100, ...options });
const event = (s, name) => new Promise((resolve) => { s.once(name, (...args) => resolve(args)); });

for (const transports of [['websocket'], ['polling'], ['polling', 'websocket']]) {
  test(`the stock client over ${transports}: auth, acks, binary, order, heartbeats, a clean end`, async () => {
    const s = connect({ transports, auth: { token: 'abc' } });
    assert.deepEqual(await event(s, 'auth'), [{ token: 'abc' }]);
    assert.equal(await s.timeout(2000).emitWithAck('message-with-ack', 'one', 2), 'one');
    s.emit('message', { deep: [Buffer.from('x'), { b: Buffer.from([0, 255]) }] }, Buffer.alloc(0));
    assert.deepEqual(await event(s, 'message-back'), [{ deep: [Buffer.from('x'), { b: Buffer.from([0, 255]) }] }, Buffer.alloc(0)]);
    const got = [];
    s.on('message-back', (i) => got.push(i));
    for (let i = 0; i < 500; i++) {
      s.emit('message', i);
      if (i % 50 === 0) await sleep(5);
    }
    await s.timeout(3000).emitWithAck('message-with-ack');
    assert.deepEqual(got, Array.from({ length: 500 }, (_, i) => i));
    let lost = 0;
    s.on('disconnect', () => lost++);
    await sleep(1300);
    assert.equal(lost, 0);
    assert.equal(s.io.engine.transport.name, transports.at(-1));
    s.disconnect();
    await sleep(20);
  });
}

test('several namespaces share a connection', async () => {
  const s = io(server.url, { forceNew: true, transports: ['websocket'], auth: { n: 1 } });
  const custom = s.io.socket('/custom', { auth: { n: 2 } });
  custom.connect();
  const [[a], [b]] = await Promise.all([event(s, 'auth'), event(custom, 'auth')]);
  assert.deepEqual([a, b], [{ n: 1 }, { n: 2 }]);
  assert.notEqual(s.id, custom.id);
  const unknown = s.io.socket('/unknown');
  unknown.connect();
  const [error] = await event(unknown, 'connect_error');
  assert.equal(error.message, 'Invalid namespace');
  custom.disconnect();
  assert.equal(await s.timeout(1000).emitWithAck('message-with-ack', 5), 5);
  s.disconnect();
});

test('a client whose connection is cut comes back and what it sent meanwhile arrives', async () => {
  const s = connect({ transports: ['websocket'] });
  await event(s, 'auth');
  s.io.engine.transport.ws.terminate();
  const back = event(s, 'message-back');
  await event(s, 'disconnect');
  s.emit('message', 'buffered');
  assert.deepEqual(await back, ['buffered']);
  s.disconnect();
});

test('a client that stops answering pings is let go, and comes back by itself', async () => {
  const s = connect({ transports: ['websocket'] });
  await event(s, 'auth');
  const { engine } = s.io;
  const send = engine._sendPacket.bind(engine);
  engine._sendPacket = (type, ...rest) => (type === 'pong' ? undefined : send(type, ...rest));
  const [reason] = await event(s, 'disconnect');
  assert.equal(reason, 'transport close');
  await event(s, 'auth');
  s.disconnect();
});
