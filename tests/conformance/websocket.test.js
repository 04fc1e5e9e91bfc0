// RFC 6455 where a server is asked for most often; the whole Autobahn suite is run by hand (see README.md beside this file).
import assert from 'node:assert/strict';
import net from 'node:net';
import { after, before, test } from 'node:test';
import { openWebSocket, startProgram } from './program.js';

let server;
before(async () => { server = await startProgram('conf-websocket'); });
after(() => server.stop());

const key = 'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n';
// Sends these bytes after the handshake; gives what came back until the server closed, without the 101.
function raw(...bytes) {
  return new Promise((resolve, reject) => {
    const s = net.connect(server.port, '127.0.0.1');
    let got = Buffer.alloc(0);
    s.write(Buffer.concat([Buffer.from(`GET /any HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n${key}`), Buffer.from(bytes.flat())]));
    s.on('data', (d) => { got = Buffer.concat([got, d]); });
    s.on('end', () => { s.destroy(); resolve(got.subarray(got.indexOf('\r\n\r\n') + 4)); });
    s.on('error', reject);
  });
}
const masked = (first, payload, length = [0x80 | payload.length]) => [first, ...length, 0, 0, 0, 0, ...payload];
const closed = (code) => Buffer.from(code ? [0x88, 2, code >> 8, code & 255] : [0x88, 0]);

test('text, binary, fragments, empty messages and pings come back', async () => {
  const c = await openWebSocket(server.url.replace('http', 'ws'));
  for (const m of ['hello', '', 'ä€😀', Buffer.alloc(0), Buffer.from([0, 255]), Buffer.alloc(70000, 7), 'x'.repeat(1 << 20)]) {
    c.send(m);
    assert.deepEqual(await c.next(), m);
  }
  for (let i = 0; i < 100; i++) c.ws.send('ab', { fin: i === 99 });
  assert.equal(await c.next(), 'ab'.repeat(100));
  const pong = new Promise((resolve) => { c.ws.on('pong', (d) => resolve(d.toString())); });
  c.ws.ping('payload');
  assert.equal(await pong, 'payload');
  assert.equal((await c.close()).code, 1005);
});

test('broken frames are closed with the right code', async () => {
  assert.deepEqual(await raw(masked(0x91, [1])), closed(1002), 'a reserved bit');
  assert.deepEqual(await raw(masked(0x83, [1])), closed(1002), 'a reserved opcode');
  assert.deepEqual(await raw([0x81, 0x01, 0x61]), closed(1002), 'no mask');
  assert.deepEqual(await raw(masked(0x09, [1])), closed(1002), 'a fragmented ping');
  assert.deepEqual(await raw(masked(0x89, new Array(126).fill(0), [0xfe, 0, 126])), closed(1002), 'a ping of 126 bytes');
  assert.deepEqual(await raw(masked(0x80, [1])), closed(1002), 'a continuation of nothing');
  assert.deepEqual(await raw(masked(0x88, [3])), closed(1002), 'a close of one byte');
  for (const code of [0, 999, 1004, 1005, 1006, 1015, 2999, 5000])
    assert.deepEqual(await raw(masked(0x88, [code >> 8, code & 255])), closed(1002), `close code ${code}`);
  assert.deepEqual(await raw(masked(0x88, [3, 232])), closed(1000));
  assert.deepEqual(await raw(masked(0x88, [])), closed(0));
  assert.deepEqual(await raw(masked(0x81, [0xc3, 0x28])), closed(1007), 'bad UTF-8');
  assert.deepEqual(await raw(masked(0x01, [0xed, 0xa0])), closed(1007), 'half a surrogate in a fragment, at once');
});

test('a length that is too much is refused when its header is there', async () => {
  assert.deepEqual(await raw([0x82, 0xff, 0, 0, 0, 0, 0x7f, 0xff, 0, 1, 0, 0, 0, 0]), closed(1009));
  assert.deepEqual(await raw([0x82, 0xff, 0, 0, 0, 0, 0x01, 0, 0, 1, 0, 0, 0, 0]), closed(1009), 'one byte over 16 MiB');
  const msb = await raw([0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
  assert.ok([1002, 1009].includes(msb.readUInt16BE(2)));
});
