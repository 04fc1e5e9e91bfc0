// Many at once: half-sent heads, bodies and frames, sockets that never join, floods of one user. Others' latencies stay what they were, memory
// within its bound, and the offenders are gone at their deadline.
//
// TERN_ATTACK_SCALE=1 is the full figure (10,000 heads, 1,000 bodies, 5,000 sockets, 100,000 events); a tenth of it unless told otherwise.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import test from 'node:test';
import { descriptors, frame, key, latencies, memoryBytes, openMany, p99 } from '../lib/attacks.js';
import { createConversation, restOk } from '../lib/rest.js';
import { ask, askOk, connected } from '../lib/sockets.js';
import { atEnd, startStack } from '../lib/stack.js';
import { waitFor } from '../lib/wait.js';

const scale = Number(process.env.TERN_ATTACK_SCALE ?? 0.1);
const full = scale >= 1;
const deadline = full ? 20000 : 8000;
const stack = await startStack({
  messaging: 1,
  notification: 0,
  set: {
    TERN_HEAD_MS: String(deadline), TERN_BODY_MS: String(deadline), TERN_CONNECT_TIMEOUT_MS: String(deadline),
    TERN_PING_INTERVAL_MS: '3000', TERN_PING_TIMEOUT_MS: '3000',
    TERN_USER_EVENTS_PER_SECOND: '200', TERN_RATE_BURST_MS: '1000', TERN_REFUSALS_MAX: '1000000', TERN_USER_CONNECTIONS_MAX: '100',
  },
});
const flood = fileURLToPath(new URL('../lib/flood.js', import.meta.url));
const chat = stack.urlOf('messaging/0');
const ops = stack.opsUrlOf('messaging/0');
const { pid } = stack.record('messaging/0');
const id = await createConversation(stack, { owner: 'ada', members: ['bob'] });
const ada = await connected(stack, 'messaging/0', 'ada');
let lost = 0;
ada.on('disconnect', () => lost++);
await askOk(ada, 'join_conversation', id);

// What a good client, a REST caller and a prober wait for.
async function feel(rounds = 150) {
  const token = stack.token('ada');
  return {
    ack: p99(await latencies(rounds, () => askOk(ada, 'fetch_messages', { conversationId: id, limit: 1 }))),
    rest: p99(await latencies(rounds, () => restOk(200, 'GET', `${chat}/conversations/${id}/messages?limit=1`, { token }))),
    probe: p99(await latencies(rounds, async () => assert.equal((await fetch(`${ops}/healthz`)).status, 200))),
    connect: p99(await latencies(Math.ceil(rounds / 3), async () => assert.equal((await fetch(`${chat}/socket.io/?EIO=4&transport=polling`)).status, 200))),
  };
}
await feel(); // warm
const usual = await feel();
const quiet = { descriptors: descriptors(pid), memory: memoryBytes(pid) };

// "Unchanged" as a ratio to what it was before. Two cores that others use too make single rounds late, so the best of a few counts; a server
// that is held up is late in all of them.
async function unchanged(what, still = () => true, rounds = 5) {
  let worst;
  for (let i = 0; i < rounds; i++) {
    const now = await feel(100);
    worst = Object.entries(usual).filter(([name, before]) => now[name] > Math.max(before * 2, before + 20)).map(([name, before]) => `${name} took ${now[name].toFixed(1)} ms, ${before.toFixed(1)} before`);
    console.log(`${what}: p99 ${Object.entries(usual).map(([name, before]) => `${name} ${before.toFixed(1)} -> ${now[name].toFixed(1)} ms`).join(', ')}`);
    assert.ok(still(), `${what}: the offenders were gone before it was measured`);
    if (worst.length === 0) return;
  }
  assert.fail(`${what}: ${worst.join('; ')}`);
}
async function gone(what, all, within) {
  const began = Date.now();
  await waitFor(() => `${all.filter((c) => !c.closed()).length} of ${what} to be closed`, () => all.every((c) => c.closed()), within);
  console.log(`${what}: all ${all.length} were gone after another ${Date.now() - began} ms`);
  await waitFor('the descriptors', () => descriptors(pid) <= quiet.descriptors + 60, 20000);
}

test('2. and 34. half-sent heads that dribble: nobody waits, each is gone at its deadline', async () => {
  const count = Math.round(10000 * scale);
  const all = await openMany(chat, count, (c, i) => c.write(i % 3 ? 'GET /socket.io/?EIO=4 HTTP/1.1\r\nHost: x\r\nX-' : 'GE'));
  const dribble = setInterval(() => { for (const c of all) if (!c.closed()) c.write('a'); }, 1000);
  try {
    await unchanged(`${count} half heads`, () => all.some((c) => !c.closed()));
    const each = (memoryBytes(pid) - quiet.memory) / count;
    assert.ok(each < 16384, `${each} bytes for each`);
    await gone('half heads', all, deadline + 10000);
  } finally {
    clearInterval(dribble);
  }
  assert.ok(all.filter((c) => /^HTTP\/1\.1 408/.test(c.text())).length > count / 2, 'those who had begun were told 408');
});

test('2. half-sent bodies: at most half of the workers wait, and until one deadline', async () => {
  const count = Math.round(1000 * scale);
  const head = `POST /conversations HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${stack.token('eve')}\r\nContent-Length: 1000\r\n\r\n{"`;
  const all = await openMany(chat, count, (c) => c.write(head));
  await unchanged(`${count} half bodies`);
  await gone('half bodies', all, deadline + 10000);
});

test('2. half-sent frames: the heartbeat ends them', async () => {
  const count = Math.round(1000 * scale);
  const head = `GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n${key}\r\n`;
  const all = await openMany(chat, count, (c) => { c.write(head); c.write(frame('4x').subarray(0, 3)); });
  const dribble = setInterval(() => { for (const c of all) if (!c.closed()) c.write('a'); }, 1500);
  try {
    await unchanged(`${count} half frames`);
    await gone('half frames', all, 20000);
  } finally {
    clearInterval(dribble);
  }
});

test('sockets that never send CONNECT are gone at theirs', async () => {
  const count = Math.round(5000 * scale);
  const head = `GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n${key}\r\n`;
  const all = await openMany(chat, count, (c) => {
    c.write(head);
    c.socket.on('data', (d) => { if (d.includes('\x81\x012')) c.write(frame('3')); });
  });
  await waitFor('their handshakes', () => all.every((c) => c.text().includes('0{"sid"') || c.closed()), 20000);
  await unchanged(`${count} sockets without CONNECT`);
  await gone('sockets without CONNECT', all, deadline + 20000);
});

test('13. forged cursors and thousands that start at the beginning at once get no more than their rights', async () => {
  const count = Math.round(1000 * scale);
  const answers = await Promise.all(Array.from({ length: count }, (_, i) => ask(ada, 'fetch_messages', i % 2 ? { conversationId: 'none', after: 0 } : { conversationId: id, after: 0, limit: 200 })));
  for (const [i, a] of answers.entries()) assert.ok(i % 2 ? !a.ok : a.ok || a.error.code === 'rate_limited', JSON.stringify(a).slice(0, 300));
});

test('14. a flood of one user is answered with rate_limited, and another user hardly notices', async () => {
  const wanted = Math.round(100000 * scale);
  const child = spawn(process.execPath, [flood, chat, stack.token('mallory'), id, String(wanted)], { stdio: ['ignore', 'pipe', 'inherit'] });
  atEnd(() => child.kill('SIGKILL'));
  const lines = [];
  createInterface({ input: child.stdout }).on('line', (line) => lines.push(line));
  await waitFor('the flood', () => lines.includes('connected'));
  let best = Infinity;
  while (child.exitCode === null && lines.length < 2) {
    const during = p99(await latencies(50, () => askOk(ada, 'fetch_messages', { conversationId: id, limit: 1 })));
    best = Math.min(best, during);
  }
  await waitFor('its end', () => lines.length === 2, 60000);
  const said = JSON.parse(lines[1]);
  console.log(`a flood of ${wanted}: ${lines[1]}; another's ack p99 ${usual.ack.toFixed(1)} ms before, ${best.toFixed(1)} ms during`);
  assert.ok(best <= Math.max(usual.ack * 2, usual.ack + 20), `${best} ms, ${usual.ack} before`);
  assert.equal(said.answered, wanted);
  assert.ok(said.limited > wanted / 2 && said.connected, lines[1]);
});

test('after all that memory is back, the good client was never lost, and no sanitizer has spoken', async () => {
  assert.equal(lost, 0);
  assert.ok(memoryBytes(pid) < quiet.memory + (256 << 20), `${memoryBytes(pid) >> 20} MiB, ${quiet.memory >> 20} before`);
  for (const file of readdirSync(stack.logs)) assert.doesNotMatch(readFileSync(join(stack.logs, file), 'utf8'), /AddressSanitizer|runtime error:/, file);
});
