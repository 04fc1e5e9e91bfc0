// scripts/stack as its users drive it: from outside, by its commands and stack.json.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, readFileSync, readdirSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { root } from '../../scripts/lib/paths.mjs';
import { get } from '../../scripts/lib/services.mjs';
import { sql } from '../lib/database.js';
import { topicNames } from '../lib/records.js';
import { atEnd, scratchDir } from '../lib/stack.js';
import { waitFor } from '../lib/wait.js';

function stackCommand(...words) {
  return new Promise((done) => {
    const child = spawn(join(root, 'scripts/stack'), words, { stdio: ['ignore', 'pipe', 'pipe'] });
    let out = '';
    child.stdout.on('data', (chunk) => (out += chunk));
    child.stderr.on('data', (chunk) => (out += chunk));
    child.on('exit', (code) => done({ code, out }));
  });
}

async function stackOk(...words) {
  const { code, out } = await stackCommand(...words);
  assert.equal(code, 0, `scripts/stack ${words.join(' ')}: ${out}`);
  return out;
}

const stackFile = (dir) => JSON.parse(readFileSync(join(dir, 'stack.json'), 'utf8'));

/** Processes that work in a folder. */
function processesIn(dir) {
  return readdirSync('/proc').filter((pid) => {
    try {
      return /^\d+$/.test(pid) && `${readlinkSync(`/proc/${pid}/cwd`)}/`.startsWith(`${dir}/`);
    } catch {
      return false;
    }
  });
}

function isRunning(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

test('without any service there are all topics and tables on a real Kafka', async () => {
  const dir = scratchDir('bare');
  atEnd(() => stackCommand('down', dir));
  await stackOk('up', dir, '--kafka=apache', '--messaging', '0', '--notification', '0', '--writer', '0');
  const facts = stackFile(dir);
  assert.deepEqual(Object.keys(facts.processes).sort(), ['kafka', 'postgres']);
  const view = { bootstrap: facts.kafka.bootstrap, dsn: facts.postgres.dsn };
  const topics = Object.fromEntries((await topicNames(view)).map((t) => [t.name, t.partitions]));
  for (const name of ['chat.events', 'chat.receipts', 'chat.signals', 'chat.sessions', 'notifications']) assert.equal(topics[name], 16, name);
  for (const name of ['broadcasts', 'access']) assert.equal(topics[name], 1, name);
  for (const name of ['control', 'chat.events.dlq', 'notifications.dlq']) assert.ok(topics[name] > 0, name);
  const tables = (await sql(view, `SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'`)).map((r) => r.table_name);
  for (const name of ['chat_event', 'event_id', 'message', 'conversation', 'member', 'receipt', 'session', 'notification', 'ingest_offset', 'log_epoch']) {
    assert.ok(tables.includes(name), name);
  }
  assert.equal((await sql(view, 'SHOW fsync'))[0].fsync, 'on');
  await stackOk('down', dir);
  assert.deepEqual(processesIn(dir), []);
  assert.ok(!existsSync(join(dir, 'stack.json')));
});

test('two stacks run at a time, and single processes are killed, paused and brought back on their ports', async () => {
  const [one, two] = [scratchDir('one'), scratchDir('two')];
  atEnd(() => stackCommand('down', one));
  atEnd(() => stackCommand('down', two));
  await Promise.all([
    stackOk('up', one, '--messaging=2', '--notification=1', '--writer=1', '--set', 'TERN_LOG_LEVEL=debug'),
    stackOk('up', two, '--messaging', '1', '--notification', '0', '--writer', '0'),
  ]);
  const facts = stackFile(one);
  assert.deepEqual(Object.keys(facts.processes).sort(), ['kafka', 'messaging/0', 'messaging/1', 'notification/0', 'postgres', 'writer/0']);
  assert.match(facts.auth.hs256Secret, /^[\x21-\x7e]{32,}$/);
  for (const [name, p] of Object.entries(facts.processes)) {
    assert.ok(isRunning(p.pid), name);
    assert.ok(existsSync(p.log), name);
    if (p.opsUrl) assert.equal((await get(`${p.opsUrl}/readyz`)).status, 200, name);
  }

  const { pid, url } = facts.processes['messaging/1'];
  await stackOk('kill', one, 'messaging/1');
  assert.ok(!isRunning(pid));
  assert.equal(await get(`${url}/`), null);
  await stackOk('start', one, 'messaging/1');
  const again = stackFile(one).processes['messaging/1'];
  assert.notEqual(again.pid, pid);
  assert.equal(again.url, url);
  assert.ok((await get(`${url}/about`)) !== null, 'the public port is open when start returns');

  await stackOk('pause', one, 'messaging/0');
  assert.equal(await get(`${facts.processes['messaging/0'].opsUrl}/healthz`, 500), null);
  await stackOk('cont', one, 'messaging/0');
  assert.equal((await get(`${facts.processes['messaging/0'].opsUrl}/healthz`)).status, 200);

  await stackOk('term', one, 'writer/0');
  await waitFor('the writer has ended', () => !isRunning(facts.processes['writer/0'].pid), 20000);
  await stackOk('start', one, 'writer/0');
  assert.match(await stackOk('logs', one, 'writer/0'), /"event":"ready"/);

  await stackOk('down', one);
  assert.deepEqual(processesIn(one), []);
  assert.ok(isRunning(stackFile(two).processes['messaging/0'].pid), 'the other stack goes on');
  await stackOk('down', two);
  assert.deepEqual(processesIn(two), []);
});

test('a start that fails says why in one sentence and leaves nothing behind', async () => {
  const dir = scratchDir('failing');
  const { code, out } = await stackCommand('up', dir, '--messaging', '1', '--notification', '0', '--writer', '0', '--set', 'TERN_MAX_PAYLOAD=many');
  assert.equal(code, 1);
  assert.equal(out.trim().split('\n').length, 1, out);
  assert.match(out, /messaging\/0.*TERN_MAX_PAYLOAD/);
  assert.deepEqual(processesIn(dir), []);
  assert.ok(!existsSync(join(dir, 'stack.json')));
});

test('wrong words are refused', async () => {
  const dir = scratchDir('words');
  for (const words of [['up'], ['jump', dir], ['kill', dir], ['up', dir, '--kafka=other'], ['up', dir, '--set', 'X=1']]) {
    assert.equal((await stackCommand(...words)).code, 2, words.join(' '));
  }
  assert.equal((await stackCommand('kill', dir, 'messaging/0')).code, 1);
});
