// The Node reference with the applications of the conformance programs. One process serves all: each on a port of its own.
import { createServer } from 'node:http';
import { Server as EngineServer } from 'engine.io';
import { Server } from 'socket.io';

const cors = { origin: '*' };
const heartbeat = { pingInterval: 300, pingTimeout: 200, maxHttpBufferSize: 1e6 };

function listen(http) {
  return new Promise((resolve) => { http.listen(0, '127.0.0.1', () => resolve(http.address().port)); });
}

async function engineio() {
  const http = createServer((_, res) => res.writeHead(404).end());
  const engine = new EngineServer({ ...heartbeat, cors });
  engine.attach(http, { path: '/engine.io/' });
  engine.on('connection', (s) => s.on('message', (data) => s.send(data)));
  const port = await listen(http);
  return { port, stop: () => { engine.close(); http.close(); } };
}

async function socketio() {
  const http = createServer((_, res) => res.writeHead(404).end());
  const io = new Server(http, { ...heartbeat, connectTimeout: 1000, cors, serveClient: false });
  for (const nsp of ['/', '/custom']) io.of(nsp).on('connection', (s) => s.emit('auth', s.handshake.auth));
  io.of('/').on('connection', (s) => {
    s.on('message', (...args) => s.emit('message-back', ...args.filter((arg) => typeof arg !== 'function')));
    s.on('message-with-ack', (...args) => typeof args.at(-1) === 'function' && args.pop()(...args));
  });
  const port = await listen(http);
  return { port, stop: () => io.close() };
}

async function client() {
  const http = createServer((_, res) => res.writeHead(404).end());
  const io = new Server(http, { pingInterval: 2000, connectionStateRecovery: {}, cors, serveClient: false,
    allowRequest: (req, done) => done(null, !new URL(req.url, 'http://x').searchParams.has('deny')) });
  for (const nsp of ['/foo', '/abc', '/valid']) io.of(nsp).on('connection', () => {});
  io.of('/no').use((_, next) => next(new Error('Auth failed (custom namespace)')));
  io.use((s, next) => (s.handshake.auth.refuse ? next(Object.assign(new Error(s.handshake.auth.refuse.message), { data: s.handshake.auth.refuse.data })) : next()));
  io.on('connection', (s) => {
    s.on('hi', () => s.emit('hi'));
    s.on('echo', (arg, done) => done?.(arg));
    s.on('doge', () => s.emit('doge', Buffer.from('asdfasdf')));
    s.on('getUtf8', () => { for (const text of ['てすと', 'Я Б Г Д Ж Й', 'Ä ä Ü ü ß', 'utf8 — string', 'utf8 — string']) s.emit('takeUtf8', text); });
    s.on('server disconnect', (close) => s.disconnect(close));
  });
  const port = await listen(http);
  return { port, stop: () => io.close() };
}

/** {program: {port, stop}} */
export async function startReferences() {
  return { 'conf-engineio': await engineio(), 'conf-socketio': await socketio(), 'conf-client': await client() };
}
