// Hostile and broken clients, at random but reproducibly: nothing stays open behind them and nobody else notices.
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import net from 'node:net';
import { test } from 'node:test';
import { io } from 'socket.io-client';
import { sleep, startProgram } from './program.js';

// mulberry32
function generator(seed) {
  let a = seed;
  return (n) => {
    a = (a + 0x6d2b79f5) | 0;
    let t = Math.imul(a ^ (a >>> 15), 1 | a);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % n;
  };
}

const handshake = 'Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n';
function frame(text, first = 0x81) {
  const body = Buffer.from(text);
  const length = body.length < 126 ? [0x80 | body.length] : [0xfe, body.length >> 8, body.length & 255];
  return Buffer.concat([Buffer.from([first, ...length, 0, 0, 0, 0]), body]);
}
const texts = ['40', '40/custom,', '41', '42["message",1]', '4210["message-with-ack","x"]', '451-["message",{"_placeholder":true,"num":0}]', '3', '2', '2probe', '5', '1', '6',
  '42["message"', '4', '', 'abc', '40{"a":', '44{}', 'bAQID', '452-["x"]', `42["message","${'y'.repeat(3000)}"]`, '42["__proto__"]', '43', `40/${'n'.repeat(5000)}`];

async function visit(server, random) {
  const sockets = [];
  const open = () => {
    const s = net.connect(server.port, '127.0.0.1');
    s.on('error', () => {});
    s.on('data', (d) => { s.got = (s.got ?? '') + d.toString('latin1'); });
    sockets.push(s);
    return s;
  };
  const leave = () => { for (const s of sockets) random(2) ? s.resetAndDestroy() : s.end(); };
  if (random(2)) { // WebSocket only
    const s = open();
    s.write(`GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: x\r\n${handshake}`);
    for (let i = random(8); i > 0; i--) {
      const all = frame(texts[random(texts.length)], [0x81, 0x81, 0x81, 0x01, 0x82, 0x80, 0x89, 0xc1][random(8)]);
      s.write(random(4) ? all : all.subarray(0, random(all.length)));
      if (random(3) === 0) await sleep(random(5));
    }
    if (random(2)) await sleep(random(20));
    leave();
    return;
  }
  const r = await fetch(`${server.url}/socket.io/?EIO=4&transport=polling`);
  const { sid } = JSON.parse((await r.text()).slice(1));
  for (let i = random(6); i > 0; i--) {
    const s = open();
    const path = `/socket.io/?EIO=4&transport=polling&sid=${sid}`;
    const body = [texts[random(texts.length)], texts[random(texts.length)]].join('\x1e');
    switch (random(5)) {
      case 0: s.write(`GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`); break;
      case 1: s.write(`POST ${path} HTTP/1.1\r\nHost: x\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`); break;
      case 2: s.write(`POST ${path} HTTP/1.1\r\nHost: x\r\nContent-Length: ${Buffer.byteLength(body) + 5}\r\n\r\n${body}`); break;
      case 3: s.write(`GET ${path.replace('polling', 'websocket')} HTTP/1.1\r\nHost: x\r\n${handshake}`); break;
      default:
        s.write(`GET ${path.replace('polling', 'websocket')} HTTP/1.1\r\nHost: x\r\n${handshake}`);
        s.write(frame('2probe'));
        if (random(2)) s.write(frame('5'));
        if (random(2)) s.write(frame('42["message",1]'));
    }
    if (random(2)) await sleep(random(8));
  }
  await sleep(random(20));
  leave();
}

test('after a thousand broken visits all descriptors are given back and a good client has noticed nothing', async () => {
  const seed = Number(process.env.TERN_SEED ?? 1);
  const random = generator(seed);
  const server = await startProgram('conf-socketio');
  try {
    const descriptors = () => readdirSync(`/proc/${server.pid}/fd`).length;
    const base = descriptors();
    const good = io(server.url, { forceNew: true, transports: ['websocket'] });
    let lost = 0;
    good.on('disconnect', () => lost++);
    await new Promise((resolve) => good.once('connect', resolve));
    for (let round = 0; round < 50; round++) {
      await Promise.all(Array.from({ length: 20 }, () => visit(server, random).catch(() => {})));
      assert.equal(await good.timeout(1000).emitWithAck('message-with-ack', round), round);
    }
    assert.equal(lost, 0);
    good.disconnect();
    for (let left = 100; descriptors() > base + 1 && left > 0; left--) await sleep(200);
    assert.ok(descriptors() <= base + 1, `seed ${seed}: ${descriptors()} descriptors are open, ${base} were`);
  } finally {
    await server.stop();
  }
});
