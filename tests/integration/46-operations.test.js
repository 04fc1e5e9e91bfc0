// docs/operations.md: each of its command blocks is run, in order, and prints what the page says.
import assert from 'node:assert/strict';
import { delimiter, join } from 'node:path';
import test from 'node:test';
import { binDir, root } from '../../scripts/lib/paths.mjs';
import { missingLines, readBlocks, runBlock } from '../lib/blocks.js';
import { scratchDir, startStack } from '../lib/stack.js';

const stack = await startStack({ messaging: 0, notification: 0 });
const cwd = scratchDir('operations');
const env = { PATH: `${binDir}${delimiter}${process.env.PATH}`, TERN_KAFKA_BOOTSTRAP_SERVERS: stack.bootstrap, TERN_POSTGRES_DSN: stack.dsn };
const blocks = readBlocks(join(root, 'docs/operations.md'));

test('the page has blocks, and says why one is not run', () => {
  assert.ok(blocks.filter((b) => !b.norun).length >= 12);
  for (const block of blocks) assert.ok(block.norun === undefined || block.norun.length > 10, `line ${block.line}`);
});

for (const block of blocks.filter((b) => !b.norun)) {
  test(`line ${block.line}: ${block.code.split('\n')[0]}`, async () => {
    const { code, out } = await runBlock(block, { cwd, env });
    assert.equal(code, block.exit, out);
    assert.deepEqual(missingLines(block.expected, out), [], out);
  });
}
