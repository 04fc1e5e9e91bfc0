// Starts a conformance program on a free port, and speaks to it as bytes.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import net from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import WebSocket from 'ws';
import { binDir } from '../../scripts/lib/paths.mjs';

export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

export async function startProgram(name, ...args) {
  const child = spawn(join(binDir, name), ['--port', '0', ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  let errors = '';
  child.stderr.on('data', (text) => { errors += text; });
  const [line] = await Promise.race([
    once(createInterface({ input: child.stdout }), 'line'),
    once(child, 'exit').then(() => { throw new Error(`${name} ended: ${errors}`); }),
  ]);
  const url = line.replace('ready ', '');
  const port = Number(new URL(url).port);
  return {
    url,
    port,
    pid: child.pid,
    async stop() {
      child.kill('SIGTERM');
      const [code] = await once(child, 'exit');
      if (code !== 0) throw new Error(`${name} ended with ${code}: ${errors}`);
    },
  };
}

// One request on a connection of its own, answered as {status, headers, body}; keepOpen gives the socket back too.
export async function request(port, text, { keepOpen = false, socket } = {}) {
  const s = socket ?? net.connect(port, '127.0.0.1');
  s.on('error', () => {});
  s.write(text);
  const answer = await readAnswer(s);
  if (keepOpen) return { ...answer, socket: s };
  s.destroy();
  return answer;
}

export function readAnswer(s) {
  return new Promise((resolve, reject) => {
    let got = Buffer.alloc(0);
    const done = (error, value) => {
      s.off('data', onData).off('close', onClose);
      if (error) reject(error);
      else resolve(value);
    };
    const onClose = () => done(new Error(`closed after ${JSON.stringify(got.toString())}`));
    const onData = (part) => {
      got = Buffer.concat([got, part]);
      const at = got.indexOf('\r\n\r\n');
      if (at < 0) return;
      const lines = got.subarray(0, at).toString().split('\r\n');
      const status = Number(lines[0].split(' ')[1]);
      const headers = Object.fromEntries(lines.slice(1).map((l) => [l.slice(0, l.indexOf(':')).toLowerCase(), l.slice(l.indexOf(':') + 1).trim()]));
      const n = Number(headers['content-length'] ?? 0);
      const body = got.subarray(at + 4);
      if (status === 100) {
        got = body;
        onData(Buffer.alloc(0));
      } else if (body.length >= n) {
        done(null, { status, headers, body: body.subarray(0, n).toString(), rest: body.subarray(n) });
      }
    };
    s.on('data', onData).on('close', onClose);
  });
}

// A WebSocket whose messages are awaited one by one, in order.
export async function openWebSocket(url, options) {
  const ws = new WebSocket(url, options);
  const inbox = [];
  const waiters = [];
  let closed = null;
  ws.on('message', (data, binary) => {
    const item = binary ? data : data.toString();
    if (waiters.length) waiters.shift().resolve(item);
    else inbox.push(item);
  });
  const whenClosed = new Promise((resolve) => {
    ws.on('close', (code, reason) => {
      closed = { code, reason: reason.toString() };
      for (const w of waiters.splice(0)) w.reject(new Error(`closed with ${code}`));
      resolve(closed);
    });
  });
  ws.on('error', () => {});
  await new Promise((resolve, reject) => {
    ws.on('open', resolve);
    ws.on('unexpected-response', (_, res) => {
      let body = '';
      res.on('data', (d) => { body += d; });
      res.on('end', () => reject(Object.assign(new Error(`refused with ${res.statusCode}`), { status: res.statusCode, body, headers: res.headers })));
    });
    ws.on('close', () => reject(new Error('closed before it opened')));
  });
  return {
    ws,
    send: (data) => ws.send(data),
    next: () => new Promise((resolve, reject) => {
      if (inbox.length) resolve(inbox.shift());
      else if (closed) reject(new Error(`closed with ${closed.code}`));
      else waiters.push({ resolve, reject });
    }),
    // The next one that is no ping; pings are answered.
    async nextMessage() {
      for (;;) {
        const m = await this.next();
        if (m !== '2') return m;
        ws.send('3');
      }
    },
    closed: whenClosed,
    close: () => { ws.close(); return whenClosed; },
  };
}
