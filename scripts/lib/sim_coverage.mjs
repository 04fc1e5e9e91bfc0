// Which lines of the pure cores the simulator's worlds run through, told by gcov.
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { Failure } from './failure.mjs';
import { root } from './paths.mjs';

const build = join(root, 'build/coverage');
const libraries = ['fanout', 'feed'];

function step(file, args, options = {}) {
  const r = spawnSync(file, args, { cwd: root, encoding: 'utf8', maxBuffer: 1 << 28, ...options });
  if (r.status === 0) return r.stdout;
  throw new Failure(`${file} ${args.join(' ')}: ${(r.stdout + r.stderr).split('\n').slice(-20).join('\n')}`);
}

const objects = (library) => join(build, `CMakeFiles/tern_${library}.dir/services/lib/${library}`);

function counters(library) {
  const folder = objects(library);
  return existsSync(folder) ? readdirSync(folder).filter((n) => n.endsWith('.gcda')).map((n) => join(folder, n)) : [];
}

/** The executable lines of one source: how many there are, and which were not run. */
function linesOf(library, counter) {
  const told = JSON.parse(step('gcov', ['--json-format', '--stdout', counter], { cwd: build }));
  const name = counter.split('/').at(-1).replace(/\.gcda$/, '');
  const file = told.files.find((f) => f.file.endsWith(`services/lib/${library}/${name}`));
  const runs = new Map();
  for (const line of file.lines) runs.set(line.line_number, (runs.get(line.line_number) ?? 0) + line.count);
  return { name: `${library}/${name}`, all: runs.size, missed: [...runs].filter(([, n]) => n === 0).map(([line]) => line) };
}

const percent = (all, missed) => (all === 0 ? 100 : (100 * (all - missed)) / all);

/** Runs the seeds instrumented: {files, percent, text}. The text has a line for each file, with the lines that no world reached. */
export function simCoverage(seeds) {
  step('cmake', ['--preset', 'coverage']);
  step('cmake', ['--build', '--preset', 'coverage', '--target', 'tern-sim']);
  for (const library of libraries) for (const file of counters(library)) rmSync(file);
  step(join(build, 'bin/tern-sim'), ['--seeds', seeds]);
  step(join(build, 'bin/tern-sim'), ['--world', 'chat', '--seeds', '201-400']);
  const files = libraries.flatMap((library) => counters(library).map((counter) => linesOf(library, counter)));
  const all = files.reduce((sum, f) => sum + f.all, 0);
  const missed = files.reduce((sum, f) => sum + f.missed.length, 0);
  if (all === 0) throw new Failure('gcov has counted no line');
  const rows = files.map((f) => `${percent(f.all, f.missed.length).toFixed(1).padStart(6)} %  ${f.name.padEnd(24)} ${f.missed.join(' ')}`);
  const total = percent(all, missed);
  return { files, percent: total, text: [...rows, `${total.toFixed(1).padStart(6)} %  of ${all} lines`].join('\n') };
}
