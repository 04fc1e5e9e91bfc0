// Runs a page of the manual from top to bottom, one test for each block, in a folder of the page's own.
import assert from 'node:assert/strict';
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import test from 'node:test';
import { binDir, pythonBinDir, root } from '../../scripts/lib/paths.mjs';
import { missingLines, readBlocks, runBlock, startBlock } from './blocks.js';
import { atEnd, scratchDir } from './stack.js';
import { waitFor } from './wait.js';

/** Pages name the quick start's addresses and folder; a test's stack has others. [[as written, as run]] */
export function addressesOf(stack) {
  const places = [['/tmp/tern-quickstart-*/env', join(stack.dir, 'env')], ['localhost:9092', stack.bootstrap.split(',')[0]]];
  for (const [name, ports] of [['messaging', [3006, 3007]], ['notification', [3005, 3004]]]) {
    for (const [i, port] of ports.entries()) {
      const url = stack.records()[`${name}/${i}`]?.url;
      if (url) places.push([`localhost:${port}`, new URL(url).host]);
    }
  }
  return places;
}

/** The page's folder: npm's packages are there as after their install, and what `links` names. */
function pageDir(page, links) {
  const dir = scratchDir(page.replace(/\W/g, '-'));
  for (const [name, target] of Object.entries({ node_modules: join(root, 'tests/node_modules'), ...links })) {
    mkdirSync(dirname(join(dir, name)), { recursive: true });
    symlinkSync(target, join(dir, name));
  }
  return dir;
}

/**
 * Makes a test of every block of a page that is not marked norun. options: stack (whose addresses stand for those of the page), env,
 * replace ([[as written, as run]]), links ({name: file or folder}: what stands in the page's folder), after (block => what is to be held when it
 * has been run), timeoutMs. Returns the page's folder.
 */
export function testPage(page, { stack, env = {}, replace = [], links = {}, after = () => {}, timeoutMs = 60000 } = {}) {
  const cwd = pageDir(page, links);
  const words = [['scripts/', `${join(root, 'scripts')}/`], ...(stack ? addressesOf(stack) : []), ...replace];
  const asRun = (text) => words.reduce((all, [written, run]) => all.replaceAll(written, run), text);
  const all = {
    ...process.env,
    ...env,
    PATH: [binDir, pythonBinDir, process.env.PATH].join(delimiter),
  };
  const staying = [];
  let failed = null; // the block that did not do what the page says: those behind it would fail for its sake
  atEnd(() => Promise.all(staying.map(({ run }) => run.end())));

  const mustBeWell = () => {
    if (failed) throw Object.assign(new Error(), { stack: `the block of ${failed} has failed` });
  };
  const blocks = readBlocks(join(root, page)).filter((b) => !b.norun);
  for (const block of blocks) {
    const code = asRun(block.code);
    if (block.file) {
      mkdirSync(dirname(join(cwd, block.file)), { recursive: true });
      writeFileSync(join(cwd, block.file), `${code}\n`);
      continue;
    }
    const surroundings = { cwd, env: all, state: join(cwd, '.exports'), timeoutMs };
    const expected = block.expected.map(asRun);
    test(`${page}, line ${block.line}: ${block.code.split('\n')[0]}`, async () => {
      mustBeWell();
      failed = `line ${block.line}`;
      if (block.stays) {
        const run = startBlock({ code, stays: true }, surroundings);
        staying.push({ run, block, expected });
        const first = expected.filter(Boolean).slice(0, 1);
        run.ended.then(() => (run.over = true));
        const printed = () => missingLines(first, run.out()).length === 0;
        await waitFor(() => `${first} in ${run.out()}`, () => printed() || run.over, timeoutMs);
        assert.ok(printed(), run.out());
        failed = null;
        return;
      }
      const { code: exit, out } = await runBlock({ code }, surroundings);
      assert.equal(exit, block.exit, out);
      assert.deepEqual(missingLines(expected, out), [], out);
      await after(block);
      failed = null;
    });
  }
  if (!blocks.some((b) => b.stays)) return cwd;
  test(`${page}: what goes on running has printed what the page says`, async () => {
    mustBeWell();
    for (const { run, block, expected } of staying) {
      const missing = () => missingLines(expected, run.out());
      await waitFor(() => `line ${block.line}: ${missing()} in ${run.out()}`, () => missing().length === 0, timeoutMs);
    }
  });
  return cwd;
}
