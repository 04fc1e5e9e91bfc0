// The simulator: many seeded worlds, and the deliberate bugs that some seed must catch.
import { spawn, spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { Failure } from './failure.mjs';
import { root } from './paths.mjs';
import { simCoverage } from './sim_coverage.mjs';

const seeds = process.env.TERN_SIM_SEEDS ?? '1-10000';
const mutantSeeds = '1-4000';
const coverageSeeds = '1-400';
const coverageMin = 80; // percent of the lines of feed and fanout

export const simNames = ['sim/seeds', 'sim/mutations', 'sim/coverage'];

function build() {
  const steps = [
    ['cmake', ['--preset', 'release']],
    ['cmake', ['--build', '--preset', 'release', '--target', 'sim_tests']],
  ];
  for (const [file, args] of steps) {
    const r = spawnSync(file, args, { cwd: root, encoding: 'utf8', maxBuffer: 1 << 28 });
    if (r.status === 0) continue;
    console.log((r.stdout + r.stderr).split('\n').slice(-60).join('\n'));
    throw new Failure('the simulator does not build');
  }
}

async function run(program, args, onChild) {
  const child = spawn(join(root, 'build/release/bin', program), args, { stdio: ['ignore', 'pipe', 'inherit'], detached: true });
  onChild(child);
  let text = '';
  child.stdout.on('data', (data) => (text += data));
  const code = await new Promise((done) => child.on('close', done));
  return { code, text };
}

async function runSeeds({ tally, onChild }) {
  const began = Date.now();
  const { code, text } = await run('tern-sim', ['--seeds', seeds], onChild);
  const last = text.trim().split('\n').at(-1);
  const passed = Number(/^(\d+) passed, 0 failed$/.exec(last)?.[1] ?? 0);
  tally.add({ name: `sim/seeds ${seeds}: ${last}`, ok: code === 0 && passed > 0, ms: Date.now() - began, why: text });
}

/** One result for each mutation, as soon as the program has done them all. */
async function runMutations({ tally, onChild }) {
  const began = Date.now();
  const { text } = await run('tern-sim-mutants', ['--mutation', 'all', '--seeds', mutantSeeds], onChild);
  const results = [...text.matchAll(/^(ok  |FAIL) (\w+) (.*)$/gm)];
  const ms = Math.round((Date.now() - began) / Math.max(1, results.length));
  for (const [, word, name, rest] of results) tally.add({ name: `sim/mutations: ${name} ${rest}`, ok: word === 'ok  ', ms });
  if (results.length < 20) tally.add({ name: 'sim/mutations', ok: false, ms: 0, why: `there are ${results.length} mutations, and not 20` });
}

/** The cores' lines that the worlds run through: printed when it was asked for alone, or too few. */
function runCoverage({ tally }, alone) {
  const began = Date.now();
  const { percent, text } = simCoverage(coverageSeeds);
  if (alone) console.log(text);
  tally.add({ name: `sim/coverage ${percent.toFixed(1)} % of feed and fanout`, ok: percent >= coverageMin, ms: Date.now() - began, why: text });
}

/** Runs what was chosen of simNames. */
export async function runSim(names, context) {
  if (names.some((name) => name !== 'sim/coverage')) build();
  if (names.includes('sim/seeds')) await runSeeds(context);
  if (names.includes('sim/mutations')) await runMutations(context);
  if (names.includes('sim/coverage')) runCoverage(context, names.length === 1);
}
