// The image: really built, and each of its programs starts from it as its user, with nothing to write to.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import test from 'node:test';
import { root } from '../../scripts/lib/paths.mjs';

test('the image builds, and its programs print their version and settings on a read-only root', () => {
  const { status, stdout, stderr } = spawnSync(join(root, 'scripts/image'), ['--check'], { encoding: 'utf8' });
  assert.equal(status, 0, stderr);
  for (const program of ['tern-messaging', 'tern-notification', 'tern-writer', 'ternctl', 'tern-devbroker']) assert.match(stdout, new RegExp(`^${program} \\d`, 'm'));
  assert.match(stdout, /^\d+ MB above the base$/m);
});
