// All 517 cases of the Autobahn suite, as kosoku runs them. None may fail; those of compression find that it was not negotiated.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { pythonBinDir } from '../../scripts/lib/paths.mjs';
import { startProgram } from './program.js';

const compression = (id) => /^1[23]\./.test(id);

test('the Autobahn suite passes, and compression is never negotiated', async () => {
  const server = await startProgram('conf-websocket');
  const out = mkdtempSync(join(tmpdir(), 'tern-autobahn-'));
  try {
    const child = spawn(join(pythonBinDir, 'kosoku'), ['-p', '2', '-o', out, `127.0.0.1:${server.port}`], { stdio: 'ignore' });
    await once(child, 'exit');
    const [cases] = Object.values(JSON.parse(readFileSync(join(out, 'index.json'), 'utf8')));
    const ids = Object.keys(cases);
    assert.equal(ids.length, 517);
    const bad = ids.filter((id) => {
      const { behavior, behaviorClose } = cases[id];
      if (compression(id)) return behavior !== 'UNIMPLEMENTED';
      return !['OK', 'INFORMATIONAL'].includes(behavior) || !['OK', 'INFORMATIONAL'].includes(behaviorClose);
    });
    assert.deepEqual(bad.map((id) => `${id} ${cases[id].behavior} ${cases[id].behaviorClose}`), []);
    assert.equal(ids.filter(compression).length, 216);
  } finally {
    rmSync(out, { recursive: true, force: true });
    await server.stop();
  }
});
