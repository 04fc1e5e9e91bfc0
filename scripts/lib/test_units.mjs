// Unit tests: CTest over a build, its results read from the JUnit file it writes.
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { Failure } from './failure.mjs';
import { root } from './paths.mjs';

const sanitized = 'asan';
const entities = { '&lt;': '<', '&gt;': '>', '&quot;': '"', '&apos;': "'", '&amp;': '&' };
const unescape = (text) => text.replace(/&(lt|gt|quot|apos|amp);/g, (e) => entities[e]).replace(/&#(\d+);/g, (_, n) => String.fromCodePoint(Number(n)));

/** Builds the unit tests of a preset, or other targets. Throws with the compiler's output printed. */
function build(preset, targets = ['unit_tests']) {
  const steps = [
    ['cmake', ['--preset', preset]],
    ['cmake', ['--build', '--preset', preset, '--target', ...targets]],
  ];
  for (const [file, args] of steps) {
    const r = spawnSync(file, args, { cwd: root, encoding: 'utf8', maxBuffer: 1 << 28 });
    if (r.status === 0) continue;
    console.log((r.stdout + r.stderr).split('\n').slice(-60).join('\n'));
    throw new Failure(`the preset ${preset} does not build`);
  }
}

/** Builds the programs that files which end in -sanitized run; returns their folder. */
export function buildSanitized() {
  build(sanitized, ['tern-messaging', 'tern-notification', 'tern-writer', 'ternctl', 'conf-engineio', 'conf-socketio', 'conf-websocket', 'conf-client']);
  return join(root, 'build', sanitized, 'bin');
}

/** The names of all unit tests of a built preset. */
export function unitNames() {
  const r = spawnSync('ctest', ['--test-dir', join(root, 'build/release'), '--show-only=json-v1'], { encoding: 'utf8', maxBuffer: 1 << 26 });
  if (r.status !== 0) throw new Failure(`ctest does not list its tests: ${r.stderr.trim()}`);
  return JSON.parse(r.stdout).tests.map((t) => t.name);
}

function parse(path) {
  const results = [];
  const text = existsSync(path) ? readFileSync(path, 'utf8') : '';
  for (const match of text.matchAll(/<testcase ([^>]*?)(\/>|>([\s\S]*?)<\/testcase>)/g)) {
    const attribute = (name) => unescape(new RegExp(`(?:^|\\s)${name}="([^"]*)"`).exec(match[1])?.[1] ?? '');
    const output = unescape(/<system-out>([\s\S]*?)<\/system-out>/.exec(match[3] ?? '')?.[1] ?? '');
    results.push({ name: attribute('name'), ok: attribute('status') === 'run', ms: Math.round(Number(attribute('time')) * 1000), output });
  }
  return results;
}

async function ctest(preset, names, out, onChild) {
  const report = join(out, `ctest-${preset}.xml`);
  rmSync(report, { force: true });
  const escaped = names.map((n) => n.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'));
  const args = ['--test-dir', join(root, 'build', preset), '-j', '2', '--timeout', '300', '--output-junit', report, '-R', `^(${escaped.join('|')})$`];
  const child = spawn('ctest', args, { stdio: 'ignore', detached: true, env: { ...process.env, ASAN_OPTIONS: 'detect_leaks=1', UBSAN_OPTIONS: 'print_stacktrace=1' } });
  onChild(child);
  await new Promise((done) => child.on('exit', done));
  return parse(report);
}

/** Runs these unit tests in the release build and under the sanitizers. */
export async function runUnits(names, { out, tally, onChild }) {
  for (const preset of ['release', sanitized]) {
    build(preset);
    const results = await ctest(preset, names, out, onChild);
    for (const r of results) tally.add({ name: `${r.name} (${preset})`, ok: r.ok, ms: r.ms, why: r.output });
    for (const name of names.filter((n) => !results.some((r) => r.name === n))) {
      tally.add({ name: `${name} (${preset})`, ok: false, ms: 0, why: 'it did not run' });
    }
  }
}
