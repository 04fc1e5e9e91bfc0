// python-engineio and python-socketio, blocking and asyncio, over each transport.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { test } from 'node:test';
import { pythonBinDir } from '../../scripts/lib/paths.mjs';
import { startProgram } from './program.js';

const script = join(dirname(fileURLToPath(import.meta.url)), 'python_clients.py');

async function python(...args) {
  const child = spawn(join(pythonBinDir, 'python'), [script, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  let said = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (text) => { said += text; });
  const timer = setTimeout(() => child.kill('SIGKILL'), 30000);
  const [code] = await once(child, 'exit');
  clearTimeout(timer);
  assert.equal(code, 0, said);
}

test('python-engineio gets its echo back', async () => {
  const server = await startProgram('conf-engineio');
  try {
    await python('engineio', server.url);
  } finally {
    await server.stop();
  }
});

test('python-socketio connects, asks, sends binary, leaves and comes back', async () => {
  const server = await startProgram('conf-socketio');
  try {
    await python('socketio', server.url);
  } finally {
    await server.stop();
  }
});

test('python-socketio at a server with recovery', async () => {
  const server = await startProgram('conf-client');
  try {
    await python('client', server.url);
  } finally {
    await server.stop();
  }
});
