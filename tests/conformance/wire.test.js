// Rows of the wire facts that the other files leave out: what is refused on purpose, leniency, compression, cookies, heartbeats through an upgrade, ids.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { openWebSocket, request, sleep, startProgram } from './program.js';

const programs = {};
before(async () => {
  for (const name of ['conf-engineio', 'conf-socketio', 'conf-websocket', 'conf-client']) programs[name] = await startProgram(name);
});
after(() => Promise.all(Object.values(programs).map((p) => p.stop())));

const paths = { 'conf-engineio': '/engine.io/?EIO=4&transport=websocket', 'conf-socketio': '/socket.io/?EIO=4&transport=websocket', 'conf-websocket': '/', 'conf-client': '/socket.io/?EIO=4&transport=websocket' };
const wsUrl = (name, path = paths[name]) => programs[name].url.replace('http', 'ws') + path;
const polling = (name) => `${programs[name].url}/${name === 'conf-engineio' ? 'engine.io' : 'socket.io'}/?EIO=4&transport=polling`;
async function openSession(name) {
  return JSON.parse((await (await fetch(polling(name))).text()).slice(1)).sid;
}

test('permessage-deflate is never negotiated, whatever is offered, and a compressed frame is 1002', async () => {
  const offers = ['permessage-deflate', 'permessage-deflate; client_max_window_bits', 'permessage-deflate; server_no_context_takeover, permessage-deflate',
    'x-webkit-deflate-frame', 'permessage-bzip2, permessage-deflate; server_max_window_bits=8'];
  for (const [name, program] of Object.entries(programs)) {
    for (const offer of offers) {
      const r = await request(program.port, `GET ${paths[name]} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Extensions: ${offer}\r\n\r\n`);
      assert.equal(r.status, 101);
      assert.equal(r.headers['sec-websocket-extensions'], undefined, `${name} agreed to ${offer}`);
    }
    const c = await openWebSocket(wsUrl(name), { perMessageDeflate: { threshold: 0 } });
    assert.equal(c.ws.extensions, '');
    c.ws._socket.write(Buffer.from([0xc1, 0x83, 0, 0, 0, 0, 0x4b, 0x04, 0x00])); // RSV1 is what says "compressed"
    assert.equal((await c.closed).code, 1002, name);
  }
});

test('EIO 3, JSONP and WebTransport are refused', async () => {
  for (const name of ['conf-engineio', 'conf-socketio', 'conf-client']) {
    const refusal = async (query) => {
      const r = await fetch(polling(name).replace('EIO=4&transport=polling', query));
      return [r.status, await r.text()];
    };
    assert.deepEqual(await refusal('EIO=3&transport=polling'), [400, '{"code":5,"message":"Unsupported protocol version"}']);
    assert.deepEqual(await refusal('EIO=4&transport=polling&j=0'), [400, '{"code":3,"message":"Bad request"}']);
    assert.deepEqual(await refusal('EIO=4&transport=webtransport'), [400, '{"code":0,"message":"Transport unknown"}']);
    const e = await openWebSocket(wsUrl(name).replace('EIO=4', 'EIO=3')).then(() => null, (error) => error);
    assert.deepEqual([e.status, e.body], [400, 'Unsupported protocol version'], 'before the 101');
  }
});

test('queries: unknown parameters, an encoded sid, a sid given twice', async () => {
  const sid = await openSession('conf-engineio');
  const encoded = [...sid].map((c) => `%${c.charCodeAt(0).toString(16)}`).join('');
  const url = polling('conf-engineio');
  assert.equal((await fetch(`${url}&t=abc&x=%zz&sid=${encoded}`, { method: 'POST', body: '4x' })).status, 200);
  assert.equal(await (await fetch(`${url}&b64=1&&=&sid=${sid}`)).text(), '4x');
  assert.equal((await fetch(`${url}&sid=${sid}&sid=${sid}`)).status, 400);
});

test('what is no UTF-8 in a body is replaced, on a WebSocket it is 1007; base64 is read leniently', async () => {
  const sid = await openSession('conf-engineio');
  const url = `${polling('conf-engineio')}&sid=${sid}`;
  assert.equal((await fetch(url, { method: 'POST', body: Buffer.from([0x34, 0x61, 0xff, 0x62]) })).status, 200);
  assert.equal(await (await fetch(url)).text(), '4a\ufffdb');
  assert.equal((await fetch(url, { method: 'POST', body: 'bAQ\x1ebA Q-_=\x1eb' })).status, 200);
  assert.equal(await (await fetch(url)).text(), 'bAQ==\x1ebAQ+/\x1eb');
  const c = await openWebSocket(wsUrl('conf-engineio'));
  c.ws._socket.write(Buffer.from([0x81, 0x82, 0, 0, 0, 0, 0x34, 0xff]));
  assert.equal((await c.closed).code, 1007);
});

test('the first answer of a poll carries the cookie if it is asked for, and a WebSocket does not', async () => {
  const own = await startProgram('conf-engineio', '--cookie');
  const url = `${own.url}/engine.io/?EIO=4&transport=polling`;
  const first = await fetch(url);
  const { sid } = JSON.parse((await first.text()).slice(1));
  assert.equal(first.headers.get('set-cookie'), `io=${sid}; Path=/; HttpOnly; SameSite=Lax`);
  await fetch(`${url}&sid=${sid}`, { method: 'POST', body: '4x' });
  assert.equal((await fetch(`${url}&sid=${sid}`)).headers.get('set-cookie'), null);
  assert.equal((await fetch(polling('conf-engineio'))).headers.get('set-cookie'), null);
  const r = await request(own.port, 'GET /engine.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n');
  assert.equal(r.headers['set-cookie'], undefined);
  await own.stop();
});

test('an upgrade in the middle of a heartbeat: the ping comes once, the pong may go either way', async () => {
  const sid = await openSession('conf-engineio');
  const url = `${polling('conf-engineio')}&sid=${sid}`;
  assert.equal(await (await fetch(url)).text(), '2');
  const c = await openWebSocket(`${wsUrl('conf-engineio')}&sid=${sid}`);
  c.send('2probe');
  assert.equal(await c.next(), '3probe');
  c.send('5');
  c.send('3');
  const began = performance.now();
  assert.equal(await c.next(), '2');
  const took = performance.now() - began;
  assert.ok(took > 250 && took < 400, `the next ping came after ${took} ms`);
  c.send('3');
  c.send('4x');
  assert.equal(await c.nextMessage(), '4x');
  await c.close();
});

test('a candidate that never says 5 is closed after the upgrade time-out, and polling goes on', async () => {
  const sid = await openSession('conf-client');
  const url = `${polling('conf-client')}&sid=${sid}`;
  assert.equal((await fetch(url, { method: 'POST', body: '40' })).status, 200);
  const c = await openWebSocket(`${wsUrl('conf-client')}&sid=${sid}`);
  c.send('2probe');
  assert.equal(await c.next(), '3probe');
  const began = performance.now();
  let open = true;
  const closed = c.closed.then(() => { open = false; return performance.now() - began; });
  let answers = '';
  while (open) {
    const text = await (await fetch(url)).text();
    if (text.includes('2')) await fetch(url, { method: 'POST', body: '3' });
    answers += text;
  }
  const took = await closed;
  assert.ok(took > 9900 && took < 10500, `closed after ${took} ms`);
  assert.match(answers, /40\{"sid"/);
  assert.equal((await fetch(url, { method: 'POST', body: '427["echo",1]' })).status, 200);
  let got = '';
  while (!got.includes('437[1]')) got = await (await fetch(url)).text();
});

test('ids of both directions are independent, 0 is one, and an id that JavaScript cannot hold closes', async () => {
  const c = await openWebSocket(wsUrl('conf-client'));
  await c.next();
  c.send('40');
  await c.nextMessage();
  c.send('420["ack"]');
  const [, id] = /^42(\d+)\["ack"\]$/.exec(await c.nextMessage());
  c.send(`43${id}[5,{"test":true}]`);
  assert.match(await c.nextMessage(), /^42\["got it"/);
  c.send(`43${id}[5,{"test":true}]`); // once only
  c.send('4312345[5,{"test":true}]');
  c.send('43[5,{"test":true}]');
  c.send('420["echo","zero"]');
  assert.equal(await c.nextMessage(), '430["zero"]');
  c.send('429007199254740992["echo",1]');
  await c.closed;
});

test('a server that ends closes the connections, and their clients come back', async () => {
  const own = await startProgram('conf-client');
  const c = await openWebSocket(own.url.replace('http', 'ws') + paths['conf-client']);
  await c.next();
  c.send('40');
  await c.nextMessage();
  const stopped = own.stop();
  await assert.rejects(c.next(), /closed/, 'no 41, which would keep the client away');
  await stopped;
});

test('long names and deep nesting are bounded', async () => {
  for (const text of [`40/${'n'.repeat(300)},`, `42["x",${'['.repeat(70)}${']'.repeat(70)}]`, `42["x",${'{"a":'.repeat(100)}1${'}'.repeat(100)}]`]) {
    const c = await openWebSocket(wsUrl('conf-socketio'));
    await c.next();
    c.send('40');
    await c.nextMessage();
    c.send(text);
    await c.closed;
  }
  await sleep(1);
});
