// Engine.IO 4 on the wire: handshake, payloads, heartbeats, overlap, upgrade, refusals.
import assert from 'node:assert/strict';
import net from 'node:net';
import { after, before, test } from 'node:test';
import { Socket } from 'engine.io-client';
import { openWebSocket, readAnswer, request, sleep, startProgram } from './program.js';

let server, base, ws;
before(async () => {
  server = await startProgram('conf-engineio');
  base = `${server.url}/engine.io/`;
  ws = `${server.url.replace('http', 'ws')}/engine.io/?EIO=4&transport=websocket`;
});
after(() => server.stop());

const poll = (sid, options) => fetch(`${base}?EIO=4&transport=polling${sid ? `&sid=${sid}` : ''}`, options);
const post = (sid, body, options) => poll(sid, { method: 'POST', body, ...options });
async function openSession() {
  const text = await (await poll()).text();
  return JSON.parse(text.slice(1)).sid;
}
async function refused(response, code, message, status = 400) {
  assert.equal(response.status, status);
  assert.equal(response.headers.get('content-type'), 'application/json');
  assert.equal(response.headers.get('access-control-allow-origin'), '*');
  assert.equal(await response.text(), `{"code":${code},"message":"${message}"}`);
}

test('a poll without a sid opens a session with exactly the known keys', async () => {
  const r = await poll();
  assert.equal(r.status, 200);
  assert.equal(r.headers.get('content-type'), 'text/plain; charset=UTF-8');
  assert.equal(r.headers.get('cache-control'), 'no-store');
  const text = await r.text();
  assert.match(text, /^0\{"sid":"[A-Za-z0-9_-]{20}","upgrades":\["websocket"\],"pingInterval":300,"pingTimeout":200,"maxPayload":1000000\}$/);
});

test('a WebSocket without a sid opens a session without upgrades', async () => {
  const c = await openWebSocket(ws);
  assert.match(await c.next(), /^0\{"sid":"[A-Za-z0-9_-]{20}","upgrades":\[\],"pingInterval":300,"pingTimeout":200,"maxPayload":1000000\}$/);
  await c.close();
});

test('refusals come in the reference\'s order, byte by byte, with CORS headers', async () => {
  const get = (query, options) => fetch(`${base}?${query}`, options);
  await refused(await get('EIO=4'), 0, 'Transport unknown');
  await refused(await get('EIO=4&transport=abc'), 0, 'Transport unknown');
  await refused(await get('EIO=4&transport=abc&sid=x', { method: 'PUT' }), 0, 'Transport unknown');
  await refused(await get('EIO=4&transport=polling&sid=unknown'), 1, 'Session ID unknown');
  await refused(await get('EIO=4&transport=polling&sid=AAAAAAAAAAAAAAAAAAAA'), 1, 'Session ID unknown');
  await refused(await get('EIO=4&transport=polling&sid=unknown', { method: 'POST', body: '4x' }), 1, 'Session ID unknown');
  await refused(await get('EIO=4&transport=polling', { method: 'POST', body: '4x' }), 2, 'Bad handshake method');
  await refused(await get('EIO=4&transport=polling', { method: 'PUT' }), 2, 'Bad handshake method');
  await refused(await get('EIO=4&transport=websocket'), 3, 'Bad request');
  for (const eio of ['', 'EIO=3&', 'EIO=5&', 'EIO=abc&'])
    await refused(await get(`${eio}transport=polling`), 5, 'Unsupported protocol version');
  const sid = await openSession();
  await refused(await get(`EIO=4&transport=websocket&sid=${sid}`), 3, 'Bad request');
  await refused(await get(`EIO=4&transport=polling&sid=${sid}`, { method: 'PUT' }), 3, 'Bad request');
  await refused(await get(`EIO=4&transport=polling&sid=${sid}`, { method: 'DELETE' }), 3, 'Bad request');
  assert.equal((await get('EIO=4&transport=polling&sid=')).status, 200, 'an empty sid is none');
});

test('refused WebSockets are answered before the 101, in text', async () => {
  const url = server.url.replace('http', 'ws');
  for (const [query, message] of [
    ['EIO=4', 'Transport unknown'],
    ['EIO=4&transport=abc', 'Transport unknown'],
    ['EIO=3&transport=websocket', 'Unsupported protocol version'],
    ['transport=websocket', 'Unsupported protocol version'],
    ['EIO=4&transport=websocket&sid=unknown', 'Session ID unknown'],
    ['EIO=4&transport=websocket&sid=AAAAAAAAAAAAAAAAAAAA', 'Session ID unknown'],
  ]) {
    const e = await openWebSocket(`${url}/engine.io/?${query}`).then(() => assert.fail(query), (error) => error);
    assert.equal(e.status, 400, query);
    assert.equal(e.headers['content-type'], 'text/html');
    assert.equal(e.body, message);
  }
});

test('the path is a prefix with its slash, and also served without it', async () => {
  assert.equal((await fetch(`${base}foo?EIO=4&transport=polling`)).status, 200);
  assert.equal((await fetch(`${server.url}/engine.io?EIO=4&transport=polling`)).status, 200);
  assert.equal((await fetch(`${server.url}/engine.iox/?EIO=4&transport=polling`)).status, 404);
  const e = await openWebSocket(`${server.url.replace('http', 'ws')}/engine.iox/?EIO=4&transport=websocket`).then(() => assert.fail('served'), (error) => error);
  assert.equal(e.status, 404);
});

test('a preflight is answered with 204', async () => {
  const r = await fetch(base, { method: 'OPTIONS', headers: { Origin: 'http://a.example', 'Access-Control-Request-Method': 'POST', 'Access-Control-Request-Headers': 'x-a,x-b' } });
  assert.equal(r.status, 204);
  assert.equal(r.headers.get('access-control-allow-methods'), 'GET,HEAD,PUT,PATCH,POST,DELETE');
  assert.equal(r.headers.get('access-control-allow-headers'), 'x-a,x-b');
  assert.equal(r.headers.get('content-length'), '0');
});

test('payloads come back with the same bytes', async () => {
  const sid = await openSession();
  for (const payload of ['4hello', '4test1\x1e4test2\x1e4test3', '4hello\x1ebAQIDBA==', '4', '4äöü€😀\u2028', 'b', `4${'x'.repeat(100000)}`]) {
    const r = await post(sid, payload);
    assert.equal(r.status, 200);
    assert.equal(r.headers.get('content-type'), 'text/html');
    assert.equal(await r.text(), 'ok');
    assert.equal(await (await poll(sid)).text(), payload);
  }
  assert.equal((await post(sid, '4a\x1ebAQ')).status, 200);
  assert.equal(await (await poll(sid)).text(), '4a\x1ebAQ==', 'base64 goes out padded');
});

test('a parked poll is answered by what comes later', async () => {
  const sid = await openSession();
  const parked = poll(sid);
  await sleep(50);
  assert.equal((await post(sid, '4late')).status, 200);
  assert.equal(await (await parked).text(), '4late');
});

test('chunked bodies, Expect: 100-continue, other content types and keep-alive work', async () => {
  const sid = await openSession();
  const path = `/engine.io/?EIO=4&transport=polling&sid=${sid}`;
  const chunked = await request(server.port, `POST ${path} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Type: a/b\r\n\r\n2\r\n4h\r\n3\r\nell\r\n0\r\n\r\n`, { keepOpen: true });
  assert.equal(chunked.body, 'ok');
  const expecting = await request(server.port, `POST ${path} HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n`.concat('4hi'), { keepOpen: true, socket: chunked.socket });
  assert.equal(expecting.body, 'ok');
  const got = await request(server.port, `GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`, { keepOpen: true, socket: chunked.socket });
  assert.equal(got.body, '4hell\x1e4hi');
  assert.equal(got.headers.connection, 'keep-alive');
  const pipelined = `POST ${path} HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n4aGET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`;
  const first = await request(server.port, pipelined, { keepOpen: true, socket: chunked.socket });
  assert.equal(first.body, 'ok');
  const second = first.rest.length ? null : await readAnswer(chunked.socket);
  if (second) assert.equal(second.body, '4a');
  chunked.socket.destroy();
});

test('request and frames may come byte by byte, and frames with the request', async () => {
  const s = net.connect(server.port, '127.0.0.1');
  s.setNoDelay(true);
  const head = 'GET /engine.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n';
  const frame = Buffer.from([0x81, 0x83, 0, 0, 0, 0, 0x34, 0x68, 0x69]);
  let got = Buffer.alloc(0);
  s.on('data', (d) => { got = Buffer.concat([got, d]); });
  for (const c of head.slice(0, -40)) s.write(c);
  s.write(Buffer.concat([Buffer.from(head.slice(-40)), frame, frame.subarray(0, 3)]));
  await sleep(30);
  for (const b of frame.subarray(3)) {
    s.write(Buffer.from([b]));
    await sleep(2);
  }
  await sleep(100);
  assert.match(got.toString('latin1'), /101 Switching/);
  assert.equal(got.toString('latin1').split('\x81\x034hi').length - 1, 2);
  s.destroy();
});

test('invalid packets end the session', async () => {
  for (const body of ['abc', '', '7', '4a\x1e', '2', '2probe']) {
    const sid = await openSession();
    assert.equal((await post(sid, body)).status, 400, JSON.stringify(body));
    assert.equal((await poll(sid)).status, 400);
  }
  for (const text of ['abc', '', '2', '2probe']) {
    const c = await openWebSocket(ws);
    await c.next();
    c.send(text);
    await c.closed;
  }
});

test('packets that mean nothing from a client are ignored', async () => {
  const c = await openWebSocket(ws);
  await c.next();
  for (const text of ['0', '5', '6', '3', '1']) c.send(text);
  c.send('4still here');
  assert.equal(await c.nextMessage(), '4still here');
  c.send('bAQID');
  assert.deepEqual(await c.nextMessage(), Buffer.from([1, 2, 3]));
  await c.close();
});

test('an octet-stream body is refused and ends the session', async () => {
  const sid = await openSession();
  const r = await post(sid, Buffer.from([4, 1]), { headers: { 'Content-Type': 'application/octet-stream' } });
  assert.equal(r.status, 400);
  assert.equal((await poll(sid)).status, 400);
});

test('a second poll ends the session: 1 for the first, 400 for the second', async () => {
  const sid = await openSession();
  const [first, second] = await Promise.all([poll(sid), sleep(20).then(() => poll(sid))]);
  assert.equal(first.status, 200);
  assert.equal(await first.text(), '1');
  assert.equal(second.status, 400);
  assert.equal(await second.text(), '');
  await refused(await poll(sid), 1, 'Session ID unknown');
});

test('a second post while one is being read ends the session', async () => {
  const sid = await openSession();
  const parked = poll(sid);
  const slow = net.connect(server.port, '127.0.0.1');
  slow.on('error', () => {});
  slow.write(`POST /engine.io/?EIO=4&transport=polling&sid=${sid} HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n4a`);
  await sleep(50);
  assert.equal((await post(sid, '4b')).status, 400);
  assert.equal(await (await parked).text(), '1');
  slow.destroy();
});

test('a client that leaves its poll or its post ends the session at once', async () => {
  for (let i = 0; i < 20; i++) {
    const sid = await openSession();
    const abort = new AbortController();
    const parked = poll(sid, { signal: abort.signal }).catch(() => {});
    await sleep(5);
    abort.abort();
    assert.equal((await poll(sid)).status, 400);
    await parked;
  }
  const sid = await openSession();
  const s = net.connect(server.port, '127.0.0.1');
  s.write(`POST /engine.io/?EIO=4&transport=polling&sid=${sid} HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n4a`);
  await sleep(50);
  s.destroy();
  await sleep(50);
  assert.equal((await poll(sid)).status, 400);
});

test('a body of maxPayload bytes passes, one more is 413 with an empty body', async () => {
  const sid = await openSession();
  const reader = poll(sid).then((r) => r.text());
  assert.equal((await post(sid, `4${'x'.repeat(999999)}`)).status, 200);
  assert.equal((await reader).length, 1000000);
  const r = await post(sid, `4${'x'.repeat(1000000)}`);
  assert.equal(r.status, 413);
  assert.equal(r.headers.get('access-control-allow-origin'), '*');
  assert.equal(await r.text(), '');
});

test('a WebSocket message over the limit is 1009 without a reason', async () => {
  const c = await openWebSocket(ws);
  await c.next();
  c.send(`4${'x'.repeat(999999)}`);
  assert.equal((await c.nextMessage()).length, 1000000);
  c.send(`4${'x'.repeat(1000000)}`);
  assert.deepEqual(await c.closed, { code: 1009, reason: '' });
});

test('pings keep a polling session, and a missed one ends it at its deadline', async () => {
  const sid = await openSession();
  for (let i = 0; i < 3; i++) {
    assert.equal(await (await poll(sid)).text(), '2');
    assert.equal((await post(sid, '3')).status, 200);
  }
  for (let i = 0; i < 5; i++) {
    const lost = await openSession();
    await sleep(500);
    assert.equal((await poll(lost)).status, 400);
    const held = await openSession();
    assert.equal(await (await poll(held)).text(), '2');
    assert.equal(await (await poll(held)).text(), '1');
    assert.equal((await poll(held)).status, 400);
  }
});

test('pings keep a WebSocket, also a busy one, and a missed one closes it in time', async () => {
  const c = await openWebSocket(ws);
  await c.next();
  const busy = setInterval(() => c.send('4x'), 20);
  let pings = 0;
  while (pings < 3) {
    if (await c.next() !== '2') continue;
    pings++;
    c.send('3');
  }
  clearInterval(busy);
  await c.close();
  const lost = await openWebSocket(ws);
  const opened = performance.now();
  await lost.closed;
  const took = performance.now() - opened;
  assert.ok(took > 480 && took < 530, `closed after ${took} ms`);
});

test('1 from the client releases its parked poll with 6', async () => {
  const sid = await openSession();
  const [parked, closing] = await Promise.all([poll(sid), sleep(10).then(() => post(sid, '1'))]);
  assert.equal(await parked.text(), '6');
  assert.equal(await closing.text(), 'ok');
  assert.equal((await poll(sid)).status, 400);
});

test('an upgrade lets the parked and the next poll go and keeps the order', async () => {
  const sid = await openSession();
  const parked = poll(sid).then((r) => r.text());
  const c = await openWebSocket(`${ws}&sid=${sid}`);
  c.send('2probe');
  assert.equal(await c.next(), '3probe');
  assert.equal(await parked, '6');
  const t = performance.now();
  assert.equal(await (await poll(sid)).text(), '6');
  assert.ok(performance.now() - t < 150);
  assert.equal((await post(sid, '4one\x1e4two')).status, 200);
  assert.equal(await (await poll(sid)).text(), '4one\x1e4two', 'until the 5 everything goes by polling');
  assert.equal((await post(sid, '4three')).status, 200);
  c.send('5');
  c.send('4four');
  assert.equal(await c.next(), '4three');
  assert.equal(await c.next(), '4four');
  await refused(await poll(sid), 3, 'Bad request');
  await refused(await post(sid, '4x'), 3, 'Bad request');
  const second = await openWebSocket(`${ws}&sid=${sid}`);
  await second.closed;
  c.send('4still');
  assert.equal(await c.nextMessage(), '4still');
  await c.close();
});

test('a 5 without a probe is accepted', async () => {
  const sid = await openSession();
  const c = await openWebSocket(`${ws}&sid=${sid}`);
  c.send('5');
  c.send('4x');
  assert.equal(await c.nextMessage(), '4x');
  await c.close();
});

test('a candidate that sends anything else, or fails, leaves the session on polling', async () => {
  const sid = await openSession();
  const c = await openWebSocket(`${ws}&sid=${sid}`);
  const second = await openWebSocket(`${ws}&sid=${sid}`);
  await second.closed;
  c.send('4x');
  await c.closed;
  const d = await openWebSocket(`${ws}&sid=${sid}`);
  d.send('2probe');
  await d.next();
  d.ws.terminate();
  await sleep(20);
  assert.equal((await post(sid, '4still')).status, 200);
  assert.equal(await (await poll(sid)).text(), '4still');
});

test('a second WebSocket on a session that began with one gets its 101 and is closed', async () => {
  const c = await openWebSocket(ws);
  const { sid } = JSON.parse((await c.next()).slice(1));
  const second = await openWebSocket(`${ws}&sid=${sid}`);
  await second.closed;
  c.send('4x');
  assert.equal(await c.nextMessage(), '4x');
  await c.close();
});

test('the stock client echoes text and binary over each transport, and upgrades', async () => {
  for (const transports of [['polling'], ['websocket'], ['polling', 'websocket']]) {
    const s = new Socket(server.url, { path: '/engine.io/', transports });
    s.binaryType = 'arraybuffer';
    await new Promise((resolve, reject) => s.on('open', resolve).on('error', reject));
    if (transports.length === 2) await new Promise((resolve) => s.on('upgrade', resolve));
    const sent = [];
    const got = [];
    const all = new Promise((resolve) => s.on('message', (m) => { got.push(m instanceof ArrayBuffer ? Buffer.from(m).toString('hex') : m); if (got.length === 100) resolve(); }));
    for (let i = 0; i < 50; i++) {
      s.send(`text ${i}`);
      s.send(Buffer.from([i, 255 - i]));
      sent.push(`text ${i}`, Buffer.from([i, 255 - i]).toString('hex'));
    }
    await all;
    assert.deepEqual(got, sent);
    await sleep(1200);
    assert.equal(s.readyState, 'open', 'heartbeats keep it');
    s.close();
  }
});

test('messages keep their order through an upgrade under load', async () => {
  for (let round = 0; round < 5; round++) {
    const s = new Socket(server.url, { path: '/engine.io/', transports: ['polling', 'websocket'] });
    const got = [];
    let upgraded = false;
    s.on('upgrade', () => { upgraded = true; });
    const all = new Promise((resolve, reject) => s.on('message', (m) => { got.push(Number(m)); if (got.length === 300) resolve(); }).on('close', reject));
    await new Promise((resolve) => s.on('open', resolve));
    for (let i = 0; i < 300; i++) {
      s.send(String(i));
      if (i % 10 === 0) await sleep(1);
    }
    await all;
    assert.deepEqual(got, Array.from({ length: 300 }, (_, i) => i));
    while (!upgraded) await sleep(5);
    s.off('close');
    s.close();
  }
});
