// What the generators share: files that are made from the tree and stand in it.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from './paths.mjs';

function existing(path) {
  try {
    return readFileSync(join(root, path), 'utf8');
  } catch {
    return null;
  }
}

/** Writes the files ({path: text}) that differ; with --check only names them, and the exit code is 1 if there are any. */
export function writeOrCheck(script, files) {
  const stale = Object.keys(files).filter((path) => existing(path) !== files[path]);
  if (process.argv.includes('--check')) {
    for (const path of stale) console.error(`${path} is not what ${script} makes of the tree: run it`);
    process.exit(stale.length > 0 ? 1 : 0);
  }
  for (const path of stale) writeFileSync(join(root, path), files[path]);
}
