// How programs end: SIGTERM drains, a second one ends at once, whatever is under way; and how they wait for the schema.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import test from 'node:test';
import { binary } from '../../scripts/lib/paths.mjs';
import { get } from '../../scripts/lib/services.mjs';
import { sql } from '../lib/database.js';
import { kcatRead } from '../lib/records.js';
import { createConversation } from '../lib/rest.js';
import { askOk, askRefused, connected } from '../lib/sockets.js';
import { startStack } from '../lib/stack.js';
import { openStream } from '../lib/streams.js';
import { waitFor } from '../lib/wait.js';

const drainMs = 20000;
const atOnceMs = 1500;
const stack = await startStack({ messaging: 1, notification: 1, writer: 1, set: { TERN_DRAIN_MS: String(drainMs) } });

async function endsAtOnce(name) {
  const { pid } = stack.record(name);
  process.kill(pid, 'SIGTERM');
  const began = Date.now();
  await waitFor(`${name} is gone`, () => !stack.isAlive(name), atOnceMs);
  return Date.now() - began;
}

const websocket = { transports: ['websocket'] };

test('a gateway that drains keeps its clients for a while, and a second SIGTERM ends it at once', async () => {
  for (let i = 0; i < 5; i++) {
    await connected(stack, 'messaging/0', `user-${i}`, { ...websocket, reconnection: false });
    await openStream(stack, 'notification/0', `user-${i}`);
  }
  for (const name of ['messaging/0', 'notification/0']) {
    await stack.term(name);
    await waitFor(`${name} is not ready`, async () => (await get(`${stack.opsUrlOf(name)}/readyz`))?.status === 503);
    assert.ok(stack.isAlive(name), 'it drains');
    await endsAtOnce(name);
    await stack.start(name);
  }
});

test('a second SIGTERM ends a gateway and a writer that wait for Kafka with what they still have', async () => {
  await stack.kill('kafka');
  for (const name of ['messaging/0', 'notification/0', 'writer/0']) {
    await stack.term(name);
    await endsAtOnce(name);
  }
  await stack.start('kafka');
  for (const name of ['messaging/0', 'notification/0', 'writer/0']) await stack.start(name);
});

/** Runs ternctl migrate --check: {end: promise of {code, out, ms}, running()}. */
function check(dsn, wait) {
  const began = Date.now();
  const child = spawn(binary('ternctl'), ['migrate', '--check', '--wait', String(wait)], { env: { ...process.env, TERN_POSTGRES_DSN: dsn }, stdio: ['ignore', 'pipe', 'pipe'] });
  let out = '';
  child.stdout.on('data', (chunk) => (out += chunk));
  child.stderr.on('data', (chunk) => (out += chunk));
  return new Promise((done) => child.on('exit', (code) => done({ code, out, ms: Date.now() - began })));
}

test('ternctl migrate --check changes nothing, waits as long as it is told, and sees the schema come', async () => {
  await sql(stack, 'CREATE DATABASE later');
  const address = new URL(stack.dsn);
  address.pathname = '/later';
  const now = await check(address.href, 0);
  assert.equal(now.code, 1, now.out);
  assert.match(now.out, /migrate/);
  const waiting = check(address.href, 60);
  const { code } = await new Promise((done) => {
    const child = spawn(binary('ternctl'), ['migrate'], { env: { ...process.env, TERN_POSTGRES_DSN: address.href }, stdio: 'ignore' });
    child.on('exit', (exit) => done({ code: exit }));
  });
  assert.equal(code, 0);
  const seen = await waiting;
  assert.equal(seen.code, 0, seen.out);
  assert.match(seen.out, /the schema is this build's/);
});

/** Writes much more than may be on its way at once, unanswered, through a gateway whose Kafka stands still; returns the conversation. */
async function leaveUnconfirmed(name) {
  const id = await createConversation(stack, { owner: 'ada', gateway: name });
  const socket = await connected(stack, name, 'ada', { ...websocket, reconnection: false });
  await askOk(socket, 'join_conversation', id);
  stack.pause('kafka');
  for (let i = 0; i < unconfirmed; i++) socket.emit('send_message', { conversationId: id, content: 'x'.repeat(60000) });
  // What one socket sends is handled in order: when this is refused, all of it has been handed to Kafka's client.
  await askRefused('invalid', socket, 'no such event');
  socket.disconnect();
  return id;
}

const unconfirmed = 300;
const inLog = async (id) => (await kcatRead(stack, 'chat.events')).filter((r) => r.key === id && r.headers.ce_type === 'tern.message.created').length;
const lines = (name, event) => readFileSync(stack.log(name), 'utf8').split('\n').filter((line) => line.includes(`"event":"${event}"`));

test('a gateway that ends writes what it has taken, and ends with code 0', async () => {
  const id = await leaveUnconfirmed('messaging/0');
  const before = lines('messaging/0', 'drained').length;
  await stack.term('messaging/0');
  await waitFor('nobody is there any more', () => lines('messaging/0', 'drained').length > before);
  assert.ok(stack.isAlive('messaging/0'), 'it waits for Kafka');
  stack.cont('kafka');
  await waitFor('it has ended', () => !stack.isAlive('messaging/0'), 15000);
  assert.equal(JSON.parse(lines('messaging/0', 'stopped').at(-1)).code, 0);
  assert.equal(await inLog(id), unconfirmed);
  await stack.start('messaging/0');
});

test('a second SIGTERM ends it at once, with writes that Kafka has not confirmed', async () => {
  const id = await leaveUnconfirmed('messaging/0');
  const before = lines('messaging/0', 'drained').length;
  const stopped = lines('messaging/0', 'stopped').length;
  await stack.term('messaging/0');
  await waitFor('nobody is there any more', () => lines('messaging/0', 'drained').length > before);
  await endsAtOnce('messaging/0');
  assert.equal(lines('messaging/0', 'stopped').length, stopped, 'it did not wait to the end');
  stack.cont('kafka');
  assert.ok((await inLog(id)) < unconfirmed, 'there were such writes');
  await stack.start('messaging/0');
});
