// conf-client with the stock Socket.IO client: what that client's own tests want of their server.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Manager, io } from 'socket.io-client';
import { openWebSocket, sleep, startProgram } from './program.js';

let server;
const open = [];
before(async () => { server = await startProgram('conf-client'); });
after(async () => {
  for (const s of open) s.disconnect();
  await server.stop();
});

function connect(nsp = '', options = {}) {
  const s = io(server.url + nsp, { forceNew: true, reconnectionDelay: 10, ...options });
  open.push(s);
  return s;
}
const event = (s, name) => new Promise((resolve) => { s.once(name, (...args) => resolve(args)); });
const transports = [['websocket'], ['polling'], ['polling', 'websocket']];

test('the address is printed within a second by every program', async () => {
  for (const name of ['conf-engineio', 'conf-socketio', 'conf-websocket', 'conf-client']) {
    const began = performance.now();
    const one = await startProgram(name);
    const took = performance.now() - began;
    assert.ok(took < 1000, `${name} took ${took} ms`);
    assert.match(one.url, /^http:\/\/127\.0\.0\.1:\d+$/);
    await one.stop();
  }
});

for (const t of transports) {
  test(`over ${t}: ids, acks both ways, dates, false, text of many bytes`, async () => {
    const s = connect('', { transports: t });
    const id = await s.timeout(3000).emitWithAck('getId');
    assert.equal(id, s.id);
    assert.notEqual(id, s.io.engine.id);
    s.emit('hi');
    assert.equal((await event(s, 'hi')).length, 1, 'the offset is the last argument');
    s.emit('ack');
    const [answer] = await event(s, 'ack');
    answer(5, { test: true });
    await event(s, 'got it');
    assert.match(await s.emitWithAck('getAckDate', {}), /^\d{4}-\d\d-\d\dT[\d:.]+Z$/);
    s.emit('getDate');
    assert.equal(typeof (await event(s, 'takeDate'))[0], 'string');
    s.emit('getDateObj');
    assert.equal(typeof (await event(s, 'takeDateObj'))[0].date, 'string');
    s.emit('false');
    assert.equal((await event(s, 'false'))[0], false);
    const texts = [];
    s.on('takeUtf8', (text) => texts.push(text));
    s.emit('getUtf8');
    while (texts.length < 5) await event(s, 'takeUtf8');
    assert.deepEqual(texts, ['てすと', 'Я Б Г Д Ж Й', 'Ä ä Ü ü ß', 'utf8 — string', 'utf8 — string']);
    s.disconnect();
  });

  test(`over ${t}: binary in events and acks, nested in objects and arrays`, async () => {
    const s = connect('', { transports: t });
    s.emit('doge');
    assert.deepEqual(Buffer.from((await event(s, 'doge'))[0]), Buffer.from('asdfasdf'));
    s.emit('getbin');
    assert.deepEqual(Buffer.from((await event(s, 'takebin'))[0]), Buffer.from('asdfasdf'));
    const bytes = Buffer.from([0, 1, 254, 255]);
    for (const [name, args, back] of [
      ['buffa', [bytes], 'buffack'],
      ['jsonbuff', [{ hello: 'lol', message: bytes, goodbye: 'gotcha' }], 'jsonbuff-ack'],
      ['blob', [bytes], 'back'],
      ['jsonblob', [{ hello: 'lol', message: bytes, goodbye: 'gotcha' }], 'jsonblob-ack'],
    ]) {
      s.emit(name, ...args);
      await event(s, back);
    }
    s.emit('abuff1', bytes);
    s.emit('abuff2', 'please arrive second');
    await event(s, 'abuff2-ack');
    s.emit('blob1', bytes);
    s.emit('blob2', 'second');
    s.emit('blob3', bytes);
    await event(s, 'blob3-ack');
    const nested = { list: [bytes, { deep: bytes }], text: 'x', none: null };
    assert.deepEqual(await s.emitWithAck('echo', nested), nested);
    assert.deepEqual(await s.emitWithAck('echo', bytes, Buffer.from('not echoed')), bytes);
    assert.equal(await s.emitWithAck('echo', 123), 123);
    s.disconnect();
  });
}

test('the handshake shows query and auth, on / and in a namespace', async () => {
  const main = connect('', { query: { e: 'f' } });
  const shown = await main.emitWithAck('getHandshake');
  assert.equal(shown.query.e, 'f');
  assert.equal(shown.query.EIO, '4');
  assert.equal(shown.xdomain, false);
  assert.deepEqual(shown.auth, {});
  main.disconnect();
  const [h] = await event(connect('/abc', { query: { '&a': '&=?a', b: 'ü 1' }, auth: (cb) => cb({ a: 'b', c: 'd' }) }), 'handshake');
  assert.equal(h.query['&a'], '&=?a');
  assert.equal(h.query.b, 'ü 1');
  assert.deepEqual(h.auth, { a: 'b', c: 'd' });
  const [byUrl] = await event(connect('/abc?b=c&d=e'), 'handshake');
  assert.deepEqual([byUrl.query.b, byUrl.query.d], ['c', 'e']);
});

test('refusals: by a middleware with message and data, and of unknown namespaces', async () => {
  const [no] = await event(connect('/no'), 'connect_error');
  assert.ok(no instanceof Error);
  assert.equal(no.message, 'Auth failed (custom namespace)');
  assert.equal(no.data, undefined);
  const [main] = await event(connect('/?fail=1'), 'connect_error');
  assert.equal(main.message, 'Auth failed (main namespace)');
  const [data] = await event(connect('', { auth: { refuse: { message: 'not now', data: { retry: [1, 'ä'] } } } }), 'connect_error');
  assert.equal(data.message, 'not now');
  assert.deepEqual(data.data, { retry: [1, 'ä'] });
  const [unknown] = await event(connect('/timeout'), 'connect_error');
  assert.equal(unknown.message, 'Invalid namespace');
  let refusals = 0;
  const again = connect('/no');
  again.on('connect_error', () => {
    refusals++;
    again.io.engine.close();
  });
  await event(again.io, 'close');
  assert.deepEqual([refusals, again.active, again.io._reconnecting], [1, false, false], 'it does not come back after a refusal');
});

for (const t of transports.slice(0, 2)) {
  test(`over ${t}: a handshake takes long enough for a client without patience, and ?deny is 403`, async () => {
    const hasty = connect('', { transports: t, timeout: 0, reconnection: false });
    assert.equal((await event(hasty, 'connect_error'))[0].message, 'timeout');
    const denied = connect('', { transports: t, query: { deny: 1 }, reconnection: false });
    const [error] = await event(denied, 'connect_error');
    assert.equal(error.type, 'TransportError');
  });
}

test('a refused handshake is 403 with the reference\'s body', async () => {
  for (const path of ['socket.io', 'engine.io']) {
    const r = await fetch(`${server.url}/${path}/?EIO=4&transport=polling&deny=1`);
    assert.equal(r.status, 403);
    assert.equal(await r.text(), '{"code":4,"message":"Forbidden"}');
    const refused = await openWebSocket(`${server.url.replace('http', 'ws')}/${path}/?EIO=4&transport=websocket&deny=1`).then(() => null, (e) => e);
    assert.equal(refused.status, 403);
  }
});

test('a manager, several namespaces: one leaves and another stays, and all come back', async () => {
  const manager = new Manager(server.url, { reconnectionDelay: 10 });
  const [foo, asd] = [manager.socket('/foo'), manager.socket('/asd')];
  await Promise.all([event(foo, 'connect'), event(asd, 'connect')]);
  assert.equal(await foo.emitWithAck('getId'), foo.id);
  assert.notEqual(foo.id, asd.id);
  let lost = 0;
  foo.on('disconnect', () => lost++);
  asd.disconnect();
  // What follows on the same connection is answered after the server has seen the one leave.
  assert.equal(await foo.emitWithAck('getId'), foo.id);
  assert.equal(lost, 0);
  manager.engine.close();
  await event(foo, 'connect');
  assert.equal(asd.connected, false);
  asd.connect();
  await event(asd, 'connect');
  for (const nsp of ['/valid', '/timeout_socket']) await event(manager.socket(nsp), 'connect');
  manager._close();
});

test('disconnect and connect in one breath, buffered events and acks that never come', async () => {
  const s = connect('', { transports: ['websocket'] });
  await event(s, 'connect');
  let lost = 0;
  s.on('disconnect', () => lost++);
  s.disconnect().connect();
  await event(s, 'connect');
  assert.equal(lost, 1);
  s.disconnect();
  const back = new Promise((resolve) => { s.emit('echo', 'b', resolve); });
  s.connect();
  assert.equal(await back, 'b');
  await assert.rejects(s.timeout(50).emitWithAck('unknown'), /timed out/);
  const late = connect('', { ackTimeout: 50, retries: 3 });
  let tries = 0;
  late.on('ack', () => tries++);
  const why = await new Promise((resolve) => { late.emit('ack', resolve); });
  assert.match(why.message, /timed out/);
  assert.equal(tries, 4);
});

test('volatile events of the client arrive when the pipe is ready, and are dropped when it is not', async () => {
  const s = connect('', { autoConnect: false });
  let dropped = 0;
  s.volatile.emit('getId', () => { dropped = -1; });
  const first = new Promise((resolve) => { s.emit('getId', resolve); });
  s.connect();
  await first;
  assert.equal(dropped, 0);
  let ready = false;
  while (!ready) {
    s.volatile.emit('getId', () => { ready = true; });
    await sleep(100);
  }
});

test('the server ends a namespace, which stays ended, or the connection, which comes back', async () => {
  const s = connect();
  await event(s, 'connect');
  s.emit('server disconnect', true);
  assert.equal((await event(s, 'disconnect'))[0], 'transport close');
  await event(s, 'connect');
  s.emit('server disconnect', false);
  assert.equal((await event(s, 'disconnect'))[0], 'io server disconnect');
  assert.deepEqual([s.active, s.io._reconnecting], [false, false]);
});
