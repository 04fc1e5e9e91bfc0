// The disturbed network itself: what passes, what does not, and who is known.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { spawn } from 'node:child_process';
import { connect, createServer } from 'node:net';
import test, { after } from 'node:test';
import { waitFor } from '../lib/wait.js';
import { Link, Weather } from './link.js';
import { Peers } from './peers.js';

const echo = createServer((socket) => socket.on('error', () => {}).pipe(socket));
echo.listen(0, '127.0.0.1');
await once(echo, 'listening');
const weather = new Weather();
const link = await new Link([1, echo.address().port], () => weather).listen();
after(() => {
  link.close();
  weather.reset();
  echo.close();
});

async function client() {
  const socket = connect({ port: link.port, host: '127.0.0.1' });
  const c = { socket, got: '', closed: false };
  socket.on('data', (bytes) => (c.got += bytes));
  socket.on('error', () => {});
  socket.on('close', () => (c.closed = true));
  socket.write('hello ');
  await waitFor('the echo', () => c.got === 'hello ' || c.closed);
  return c;
}

test('bytes pass in order, also when they are held up and slowed, and a server that is away is passed over', async () => {
  const c = await client();
  weather.set({ delayMs: 20, bytesPerSecond: 100000 });
  const text = Array.from({ length: 2000 }, (_, n) => `${n} `).join('');
  const began = Date.now();
  c.socket.write(text);
  await waitFor('all', () => c.got.length >= text.length + 6);
  assert.equal(c.got, `hello ${text}`);
  assert.ok(Date.now() - began >= 100, 'it takes its time');
  weather.set({});
  c.socket.destroy();
});

for (const way of ['up', 'down']) {
  test(`a silence holds back what goes ${way}, and passes it on when it ends`, async () => {
    const c = await client();
    weather.set({ silent: { up: way === 'up', down: way === 'down' } });
    c.socket.write('later');
    await new Promise((done) => setTimeout(done, 150)); // for what must not come there is no event
    assert.equal(c.got, 'hello ');
    weather.set({});
    await waitFor('the rest', () => c.got === 'hello later');
    c.socket.destroy();
  });
}

test('a silence that ends in a reset loses what it held, and a cut ends and refuses connections', async () => {
  const c = await client();
  weather.set({ silent: { up: true, down: true } });
  c.socket.write('lost');
  weather.reset();
  await waitFor('the reset', () => c.closed);
  assert.equal(c.got, 'hello ');
  weather.set({});
  const d = await client();
  weather.set({ cut: true });
  await waitFor('the cut', () => d.closed);
  const e = await client();
  assert.equal(e.got, '');
  assert.ok(e.closed);
  weather.set({});
  (await client()).socket.destroy();
});

test('a connection is known by the process that made it', async () => {
  const peers = new Peers(() => ({ me: { pid: process.pid }, other: { pid: other.pid } }));
  const seen = [];
  const gate = await new Link([echo.address().port], async (front) => seen.push(await peers.nameOf(front.remotePort, gate.port)) && weather).listen();
  const mine = connect({ port: gate.port, host: '127.0.0.1' });
  const other = spawn(process.execPath, ['-e', `require('net').connect(${gate.port}, '127.0.0.1')`], { stdio: 'ignore' });
  await waitFor('both are known', () => seen.length === 2);
  assert.deepEqual(seen.sort(), ['me', 'other']);
  other.kill('SIGKILL');
  mine.destroy();
  gate.close();
});
