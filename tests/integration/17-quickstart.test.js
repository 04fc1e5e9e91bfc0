// scripts/quickstart as a new user runs it.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { readdirSync, readlinkSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import test from 'node:test';
import { io } from 'socket.io-client';
import { root } from '../../scripts/lib/paths.mjs';
import { get } from '../../scripts/lib/services.mjs';
import { restOk } from '../lib/rest.js';
import { atEnd } from '../lib/stack.js';
import { once, waitFor, within } from '../lib/wait.js';

const endMs = 10000;

function quickstart(...words) {
  const child = spawn(join(root, 'scripts/quickstart'), words, { stdio: ['ignore', 'pipe', 'pipe'], detached: true });
  const run = { child, out: '' };
  child.stdout.on('data', (chunk) => (run.out += chunk));
  child.stderr.on('data', (chunk) => (run.out += chunk));
  run.end = new Promise((done) => child.on('exit', (code) => done(code)));
  atEnd(async () => {
    if (child.exitCode === null) process.kill(-child.pid, 'SIGINT');
    await run.end;
  });
  return run;
}

/** Processes that work in the folder of a quickstart. */
function leftovers() {
  return readdirSync('/proc').filter((pid) => {
    try {
      return /^\d+$/.test(pid) && readlinkSync(`/proc/${pid}/cwd`).includes('/tern-quickstart-');
    } catch {
      return false;
    }
  });
}

function running(run) {
  return waitFor(() => `it is running: ${run.out}`, () => {
    assert.equal(run.child.exitCode, null, run.out);
    return /Ctrl-C ends/.test(run.out);
  }, 120000);
}

async function ended(run, signal) {
  const began = Date.now();
  process.kill(-run.child.pid, signal);
  await within(endMs, `the end after ${signal}`, run.end);
  assert.ok(Date.now() - began < endMs);
  await waitFor('no process is left', () => leftovers().length === 0, 2000);
  for (const port of [3006, 3007, 3005, 3004]) assert.equal(await get(`http://127.0.0.1:${port}/about`), null, `port ${port}`);
}

function connectTo(url, auth) {
  const socket = io(url, { forceNew: true, ...(auth && { auth }) });
  atEnd(() => socket.disconnect());
  return socket;
}

test('it runs, the decision record\'s client code works as it stands, and Ctrl-C ends it', async () => {
  const run = quickstart();
  await running(run);
  assert.match(run.out, /http:\/\/localhost:3006\//);
  const conversationId = randomUUID();
  const sockets = [connectTo('http://127.0.0.1:3006', { user: 'ada' }), connectTo('http://127.0.0.1:3007')];
  const seen = [];
  for (const socket of sockets) {
    socket.emit('join_conversation', conversationId);
    socket.on('new_message', (message) => seen.push(message));
  }
  await Promise.all(sockets.map((socket) => once(socket, 'connect')));
  for (const socket of sockets) assert.ok((await socket.timeout(10000).emitWithAck('join_conversation', conversationId)).ok);
  const answer = await sockets[0].timeout(10000).emitWithAck('send_message', { conversationId, content: 'hello' });
  assert.ok(answer.ok, JSON.stringify(answer));
  await waitFor('both have it', () => seen.length === 2);
  const page = await get('http://127.0.0.1:3006/');
  assert.equal(page.status, 200);
  assert.match(page.body, /<title>Tern/);
  await restOk(200, 'GET', 'http://127.0.0.1:3005/notifications/unread-count?user=ada');

  const second = quickstart();
  assert.equal(await second.end, 1);
  assert.equal(second.out.trim().split('\n').length, 1, second.out);
  assert.match(second.out, /port 300\d is in use/);
  for (const socket of sockets) socket.disconnect();
  await ended(run, 'SIGINT');
});

test('--auth prints tokens that get in, and nothing gets in without', async () => {
  const run = quickstart('--auth');
  await running(run);
  const token = /^\s+alice\s+(\S+)$/m.exec(run.out)[1];
  const alice = connectTo('http://127.0.0.1:3006', { token });
  await once(alice, 'connect');
  const [error] = await once(connectTo('http://127.0.0.1:3006'), 'connect_error');
  assert.equal(error.data?.code, 'forbidden');
  alice.disconnect();
  await ended(run, 'SIGTERM');
});

test('a port that another program holds is one sentence', async () => {
  const server = createServer();
  await new Promise((done) => server.listen(3005, '127.0.0.1', done));
  atEnd(() => server.close());
  const run = quickstart();
  assert.equal(await run.end, 1);
  assert.match(run.out, /^scripts\/quickstart: port 3005 is in use[^\n]*\n$/);
  await waitFor('no process is left', () => leftovers().length === 0, 2000);
});
