// The manual as a whole: every block of every page is run or says why not, and every link leads somewhere.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import test from 'node:test';
import { root } from '../../scripts/lib/paths.mjs';
import { readBlocks } from '../lib/blocks.js';

const pages = readdirSync(join(root, 'docs')).filter((f) => f.endsWith('.md')).map((f) => `docs/${f}`);
const read = (path) => readFileSync(join(root, path), 'utf8');
const runners = ['integration', 'k8s'].flatMap((folder) => readdirSync(join(root, 'tests', folder)).filter((f) => f.endsWith('.test.js')).map((f) => read(`tests/${folder}/${f}`)));

/** What is wrong with a page's blocks: [text]. */
function faultsOf(page) {
  const faults = [];
  const blocks = readBlocks(join(root, page));
  const runner = runners.filter((source) => source.includes(`'${page}'`)).join('\n');
  const used = blocks.filter((b) => !b.norun).map((b) => b.code).join('\n') + runner;
  for (const block of blocks) {
    const where = `${page}, line ${block.line}`;
    if (block.norun !== undefined) {
      if (block.norun === true || block.norun.length < 15) faults.push(`${where}: norun gives no reason`);
      if (block.lang === 'sh' && spawnSync('bash', ['-n'], { input: block.code }).status !== 0) faults.push(`${where}: a shell does not understand it`);
    } else if (block.file) {
      if (used.split(block.file).length < 2) faults.push(`${where}: nothing uses the file ${block.file}`);
    } else if (block.lang !== 'sh') {
      faults.push(`${where}: the block is neither sh, nor a file, nor marked norun`);
    }
  }
  if (blocks.some((b) => b.norun === undefined) && !runner) faults.push(`${page}: no test runs its blocks`);
  return faults;
}

test('every block of every page is run by a test, or says why not', () => {
  assert.ok(pages.length >= 5);
  assert.deepEqual(pages.flatMap(faultsOf), []);
});

/** A heading's anchor as GitHub makes it. */
const anchor = (heading) => heading.toLowerCase().replace(/[^\p{L}\p{N}\s_-]/gu, '').trim().replace(/\s/g, '-');

function anchorsOf(text) {
  return text.split('\n').filter((line) => /^#+ /.test(line)).map((line) => anchor(line.replace(/^#+ /, '')));
}

test('every link of the manual and of README.md leads to a file and a heading that are there', () => {
  const dead = [];
  for (const page of [...pages, 'README.md', 'deploy/k8s/README.md', 'tests/bench/README.md']) {
    const text = read(page);
    for (const [, target] of text.replace(/^```[\s\S]*?^```/gm, '').matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^[a-z]+:/.test(target)) continue;
      const [path, heading] = target.split('#');
      const file = path ? join(dirname(page), path) : page;
      if (!existsSync(join(root, file))) dead.push(`${page}: ${target}`);
      else if (heading && !anchorsOf(read(file)).includes(heading)) dead.push(`${page}: ${target} has no such heading`);
    }
  }
  assert.deepEqual(dead, []);
});

test('docs/README.md lists every page', () => {
  const contents = read('docs/README.md');
  assert.deepEqual(pages.filter((page) => page !== 'docs/README.md' && !contents.includes(`](${page.slice('docs/'.length)})`)), []);
});
