// The fuzzers, each for half a minute (TERN_FUZZ_SECONDS) from the corpus in the tree, two at a time. What they find is kept with the logs.
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Failure } from './failure.mjs';
import { root } from './paths.mjs';

const seconds = Number(process.env.TERN_FUZZ_SECONDS ?? 30);
const together = 2;
const folder = join(root, 'tests/fuzz');

/** {name, binary, corpus} of every tests/fuzz/<folder>/fuzz_<x>.c. */
export function fuzzers() {
  const all = [];
  for (const shelf of readdirSync(folder, { withFileTypes: true }).filter((e) => e.isDirectory())) {
    const dir = join(folder, shelf.name);
    for (const file of readdirSync(dir).filter((f) => /^fuzz_.*\.c$/.test(f))) {
      const short = file.slice('fuzz_'.length, -'.c'.length);
      const places = [join(dir, 'corpus', short), join(dir, short)];
      all.push({ name: `fuzz/${shelf.name}/${short}`, binary: join(root, 'build/fuzz/fuzzers', file.slice(0, -2)), corpus: places.find(existsSync) });
    }
  }
  return all;
}

function build() {
  for (const args of [['--preset', 'fuzz'], ['--build', '--preset', 'fuzz', '--target', 'fuzzers']]) {
    const r = spawnSync('cmake', args, { cwd: root, encoding: 'utf8', maxBuffer: 1 << 28 });
    if (r.status === 0) continue;
    console.log((r.stdout + r.stderr).split('\n').slice(-60).join('\n'));
    throw new Failure('the fuzzers do not build');
  }
}

async function run(fuzzer, out, onChild) {
  const dir = join(out, fuzzer.name.replaceAll('/', '-'));
  const found = join(dir, 'found');
  for (const d of [join(dir, 'corpus'), found]) mkdirSync(d, { recursive: true });
  const args = [`-max_total_time=${seconds}`, '-timeout=60', '-rss_limit_mb=2048', '-max_len=16384', '-print_final_stats=1', `-artifact_prefix=${found}/`, join(dir, 'corpus')];
  if (fuzzer.corpus) args.push(fuzzer.corpus);
  const began = Date.now();
  const child = spawn(fuzzer.binary, args, { stdio: ['ignore', 'pipe', 'pipe'], detached: true });
  onChild(child);
  let text = '';
  for (const s of [child.stdout, child.stderr]) s.on('data', (d) => { text = (text + d).slice(-20000); });
  const code = await new Promise((done) => { child.on('error', () => done(-1)).on('close', done); });
  writeFileSync(join(dir, 'log'), text);
  const executed = /number_of_executed_units:\s*(\d+)/.exec(text)?.[1] ?? '0';
  const crashes = readdirSync(found).filter((f) => !f.startsWith('slow-unit'));
  const ok = code === 0 && crashes.length === 0 && Number(executed) > 0;
  const inputs = crashes.map((f) => `${f}: ${readFileSync(join(found, f)).toString('base64').slice(0, 4000)}`);
  return { name: `${fuzzer.name} (${executed} executions)`, ok, ms: Date.now() - began, why: [text, ...inputs].join('\n') };
}

export async function runFuzzers(chosen, { out, tally, onChild }) {
  build();
  const rest = [...chosen];
  await Promise.all(Array.from({ length: together }, async () => {
    for (let next; (next = rest.shift());) tally.add(await run(next, out, onChild));
  }));
}
