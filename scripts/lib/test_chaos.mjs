// Chaos: one long run of a whole Tern under faults (tests/chaos/run.js). The checkers' own tests are files like any other's.
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { root } from './paths.mjs';
import { endStacks } from './test_files.mjs';

const gateMinutes = 2;
const longMinutes = 10;
const beyondMs = 600000; // what a run may take beside its faults: the start, the settling, the checks

export const chaosNames = ['chaos/run'];

/** Minutes and seed: as they were given, else by whether chaos was asked for by name. */
export function chaosOptions({ wanted, minutes, seed }) {
  return { minutes: minutes ?? (wanted.includes('chaos') ? longMinutes : gateMinutes), seed: seed ?? Math.floor(Math.random() * 1e6) };
}

export async function runChaos({ out, tally, chaos: { minutes, seed }, onChild }) {
  const folder = join(out, `chaos-${seed}`);
  const began = Date.now();
  const args = [join(root, 'tests/chaos/run.js'), '--minutes', String(minutes), '--seed', String(seed), '--out', folder];
  // Postgres' disk is mounted for this run alone: in a namespace of its own, nothing of it can stay behind.
  const alone = process.getuid() === 0 && spawnSync('unshare', ['--mount', 'true']).status === 0;
  const command = alone ? ['unshare', '--mount', process.execPath, ...args, '--disk'] : [process.execPath, ...args];
  const child = spawn(command[0], command.slice(1), { stdio: ['ignore', 'inherit', 'inherit'], detached: true });
  onChild(child);
  const timer = setTimeout(() => process.kill(-child.pid, 'SIGKILL'), minutes * 60000 + beyondMs);
  const code = await new Promise((done) => child.on('exit', done));
  clearTimeout(timer);
  const path = join(folder, 'results.json');
  const results = existsSync(path) ? JSON.parse(readFileSync(path, 'utf8')) : [];
  for (const r of results) tally.add({ ...r, name: `chaos/run (seed ${seed}) ${r.name}`, ms: Date.now() - began });
  const failed = results.filter((r) => !r.ok).length;
  if (results.length === 0 || (code !== 0 && failed === 0)) tally.add({ name: `chaos/run (seed ${seed})`, ok: false, ms: Date.now() - began, why: `it ended with ${code ?? 'a signal'} and ${results.length} results` });
  await endStacks(folder);
  if (code === 0) rmSync(folder, { recursive: true, force: true });
}
