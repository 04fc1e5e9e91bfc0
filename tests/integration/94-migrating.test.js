// docs/migrating-from-socket-io.md from top to bottom: a Node server with Redis, then Tern beside it, both talking to each other.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import test from 'node:test';
import { createClient } from 'redis';
import { testPage } from '../lib/manual.js';
import { releasePorts, takePorts } from '../../scripts/lib/ports.mjs';
import { sql } from '../lib/database.js';
import { atEnd, scratchDir, startStack } from '../lib/stack.js';
import { waitFor } from '../lib/wait.js';

const stack = await startStack({ notification: 0 });
const dir = scratchDir('redis');
const ports = await takePorts(3, dir);
const [redisPort, oldPort, besidePort] = ports;
atEnd(() => releasePorts(ports));

// The program is one and the same; its name decides what it is. The package redis-server would start one as a service.
const redis = spawn('/usr/bin/redis-check-rdb', ['--port', String(redisPort), '--bind', '127.0.0.1', '--save', '', '--dir', dir], { argv0: 'redis-server', stdio: 'ignore' });
atEnd(() => redis.kill('SIGKILL'));
const url = `redis://127.0.0.1:${redisPort}`;
await waitFor('Redis answers', async () => {
  const client = createClient({ url, socket: { reconnectStrategy: false } }).on('error', () => {});
  return client.connect().then(() => client.close(), () => false).then((r) => r !== false);
});

testPage('docs/migrating-from-socket-io.md', {
  stack,
  replace: [['redis://localhost:6379', url], ['localhost:3000', `127.0.0.1:${oldPort}`], ['Server(3000', `Server(${oldPort}`], ['localhost:3001', `127.0.0.1:${besidePort}`], ['Server(3001', `Server(${besidePort}`]],
});

test('what was imported is stored once, and so is what either side said', async () => {
  const contents = async () => (await sql(stack, 'SELECT content FROM message ORDER BY seq')).map((r) => r.content);
  await waitFor('all three', async () => (await contents()).length >= 3);
  assert.deepEqual(await contents(), ['before the move', 'from the old side', 'from the new side']);
});
