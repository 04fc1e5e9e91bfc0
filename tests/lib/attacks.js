// What tests of hostile clients share: raw sockets, requests as bytes, frames as bytes, latencies, and the watched process.
import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import net from 'node:net';
import { atEnd } from './stack.js';
import { sleep, waitFor } from './wait.js';

export const key = 'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n';

/** A connection: {socket, text(), bytes(), closed(), write(...)}. Its errors are nobody's. */
export function open(url) {
  const { hostname, port } = new URL(url);
  const socket = net.connect({ host: hostname, port: Number(port) });
  const parts = [];
  let closed = false;
  socket.on('data', (d) => parts.push(d));
  socket.on('error', () => {});
  socket.on('close', () => { closed = true; });
  return {
    socket,
    write: (data) => { if (!socket.destroyed) socket.write(data); },
    bytes: () => Buffer.concat(parts),
    text: () => Buffer.concat(parts).toString('latin1'),
    closed: () => closed,
    close: () => socket.destroy(),
    connected: () => new Promise((resolve) => { socket.once('connect', resolve); socket.once('close', resolve); }),
  };
}

/** Sends a request as bytes and gives the answer's status, 0 if the connection was closed without one. */
export async function statusOf(url, request) {
  const c = open(url);
  for (const piece of [request].flat()) c.write(piece);
  await waitFor(`an answer to ${JSON.stringify(String(request)).slice(0, 200)}`, () => c.closed() || /^HTTP\/1\.1 \d{3}/.test(c.text()), 8000);
  const match = /^HTTP\/1\.1 (\d{3})/.exec(c.text());
  c.close();
  return match ? Number(match[1]) : 0;
}

/** A WebSocket as bytes, its handshake done. */
export async function rawWebSocket(url, path, headers = '') {
  const c = open(url);
  c.write(`GET ${path} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n${key}${headers}\r\n`);
  await waitFor('the 101', () => c.text().includes('\r\n\r\n') || c.closed());
  assert.match(c.text(), /^HTTP\/1\.1 101/);
  return c;
}

export function frame(data, { opcode = 1, fin = true, rsv = 0, mask = true, length } = {}) {
  const payload = Buffer.from(data);
  const n = length ?? BigInt(payload.length);
  const first = (fin ? 0x80 : 0) | (rsv << 4) | opcode;
  const bit = mask ? 0x80 : 0;
  let head;
  if (n < 126n) head = Buffer.from([first, bit | Number(n)]);
  else if (n < 65536n) head = Buffer.from([first, bit | 126, Number(n) >> 8, Number(n) & 255]);
  else {
    head = Buffer.alloc(10);
    head[0] = first;
    head[1] = bit | 127;
    head.writeBigUInt64BE(n, 2);
  }
  return Buffer.concat([head, mask ? Buffer.alloc(4) : Buffer.alloc(0), payload]);
}

/** The code of the close frame that a raw WebSocket got last, after the connection has ended; 1006 if none. */
export async function closeCode(c) {
  await waitFor('the end of the connection', () => c.closed(), 8000);
  const bytes = c.bytes();
  for (let at = bytes.length - 2; at >= 0; at--) {
    if (bytes[at] !== 0x88 || bytes[at + 1] !== bytes.length - at - 2) continue;
    return bytes[at + 1] >= 2 ? bytes.readUInt16BE(at + 2) : 1005;
  }
  return 1006;
}

/** Latencies of count calls of a function, a pause after each, sorted, in ms. */
export async function latencies(count, call) {
  const took = [];
  for (let i = 0; i < count; i++) {
    const began = performance.now();
    await call(i);
    took.push(performance.now() - began);
    await sleep(3);
  }
  return took.sort((a, b) => a - b);
}

export const p99 = (sorted) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * 0.99))];

export function descriptors(pid) {
  return readdirSync(`/proc/${pid}/fd`).length;
}

export function memoryBytes(pid) {
  return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))[1]) * 1024;
}
