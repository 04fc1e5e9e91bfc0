// docs/security.md promises tests by their names: each of them exists.
import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { root } from '../../scripts/lib/paths.mjs';

function sources(dir) {
  return readdirSync(dir, { withFileTypes: true }).flatMap((e) => {
    if (e.name === 'node_modules') return [];
    if (e.isDirectory()) return sources(join(dir, e.name));
    return /\.test\.js$|^test_.*\.c$/.test(e.name) ? [readFileSync(join(dir, e.name), 'utf8')] : [];
  });
}

test('every test that docs/security.md names exists', () => {
  const all = sources(join(root, 'tests')).join('\n');
  const exists = (name) => all.includes(`test('${name.replaceAll("'", "\\'")}'`) || new RegExp(`\\b${name.replace(/[^\w]/g, '')}\\(void \\*\\*state\\)`).test(all);
  const rows = readFileSync(join(root, 'docs/security.md'), 'utf8').split('\n').filter((line) => /^\| (?!threat|hole)/.test(line));
  assert.ok(rows.length > 15);
  const missing = [];
  for (const row of rows) {
    const names = [...row.split(' | ').at(-1).matchAll(/`([^`]+)`/g)].map((m) => m[1]);
    if (names.length === 0) missing.push(`a test in: ${row}`);
    missing.push(...names.filter((name) => !exists(name)));
  }
  assert.deepEqual(missing, []);
});
