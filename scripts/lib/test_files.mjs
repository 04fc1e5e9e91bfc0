// Tests written for Node's runner: one file after the other, each in a process and a folder of its own.
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, openSync, closeSync, readFileSync, readdirSync, readlinkSync, rmSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { sentenceOf } from './failure.mjs';
import { root } from './paths.mjs';
import { logTail } from './processes.mjs';
import { Stack } from './stack.mjs';

const fileMs = Number(process.env.TERN_TEST_FILE_MS ?? 420000);
const reporter = fileURLToPath(new URL('test_reporter.mjs', import.meta.url));
const suffix = '.test.js';
const tooLate = `it was not done within ${fileMs / 1000} s`;

/** Test files of a folder below tests/, in the order of their numbers: [{name, path}]. */
export function testFiles(folder) {
  const dir = join(root, 'tests', folder);
  if (!existsSync(dir)) return [];
  return readdirSync(dir)
    .filter((f) => f.endsWith(suffix))
    .sort()
    .map((f) => ({ name: `${folder}/${basename(f, suffix)}`, path: join(dir, f) }));
}

/**
 * A test that was killed may have started something that it had not yet noted down: servers that work in its folder
 * are ended all the same.
 */
function endServersIn(folder) {
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    try {
      const inside = `${readlinkSync(`/proc/${pid}/cwd`)}/`.startsWith(`${folder}/`);
      if (inside && /^(postgres|java|tern-.*)$/.test(basename(readlinkSync(`/proc/${pid}/exe`)))) process.kill(Number(pid), 'SIGKILL');
    } catch {
      // It has ended, or it is not ours to look at.
    }
  }
}

/** Ends whatever a test left below its folder. Returns the folders of the stacks' logs. */
export async function endStacks(out) {
  const logs = [];
  for (const entry of existsSync(out) ? readdirSync(out, { withFileTypes: true }) : []) {
    if (!entry.isDirectory()) continue;
    const stack = new Stack(join(out, entry.name));
    if (existsSync(stack.state)) await stack.down().catch((e) => console.log(`  ${sentenceOf(e) ?? e.stack}`));
    if (existsSync(stack.logs)) logs.push(stack.logs);
  }
  endServersIn(out);
  return logs;
}

function printLogs(folders) {
  for (const folder of folders) {
    for (const file of readdirSync(folder).sort()) {
      const lines = logTail(join(folder, file), 0, 1 << 18).trim().split('\n');
      const telling = /^(kafka|postgres)/.test(file) ? lines.filter((l) => /ERROR|FATAL|WARN/.test(l)) : lines;
      if (telling.length === 0 || telling[0] === '') continue;
      console.log(`  --- ${join(folder, file)}`);
      for (const line of telling.slice(-15)) console.log(`      ${line.slice(0, 400)}`);
    }
  }
}

function printEnd(path) {
  console.log(`  --- the end of ${path}`);
  for (const line of logTail(path, 0, 8192).trim().split('\n').slice(-30)) console.log(`      ${line}`);
}

function readResults(path) {
  if (!existsSync(path)) return [];
  return readFileSync(path, 'utf8').split('\n').filter(Boolean).map((line) => JSON.parse(line));
}

/** The process's end: 'code N', 'signal S' or 'timeout'; null when all was well. */
async function runProcess({ path, out, binDir, onChild }) {
  const events = join(out, 'events');
  const fd = openSync(join(out, 'output'), 'a');
  const args = [
    ...['--test-reporter', reporter, '--test-reporter-destination', events],
    ...['--test-reporter', 'spec', '--test-reporter-destination', 'stdout'],
    path,
  ];
  const env = { ...process.env, TERN_TEST_OUT: out, ...(binDir && { TERN_BIN_DIR: binDir, ASAN_OPTIONS: 'quarantine_size_mb=16:detect_leaks=0' }) };
  const child = spawn(process.execPath, args, { cwd: join(root, 'tests'), env, stdio: ['ignore', fd, fd], detached: true });
  closeSync(fd);
  onChild(child);
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    process.kill(-child.pid, 'SIGKILL');
  }, fileMs);
  const [code, signal] = await new Promise((done) => child.on('exit', (...end) => done(end)));
  clearTimeout(timer);
  if (late) return tooLate;
  return code === 0 ? null : signal ? `it ended by ${signal}` : `it ended with code ${code}`;
}

/** Runs one file, on the programs in binDir if it is given. Its folder stays if something failed. */
export async function runFile({ name, path, binDir }, { out, tally, onChild }) {
  const folder = join(out, name.replace('/', '-'));
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true, mode: 0o755 });
  const end = await runProcess({ path, out: folder, binDir, onChild });
  const results = readResults(join(folder, 'events'));
  let failures = 0;
  for (const r of results) {
    const why = r.skipped || r.todo ? 'it was skipped' : r.error;
    const ok = r.ok && !r.skipped && !r.todo;
    failures += ok ? 0 : 1;
    tally.add({ name: `${name}: ${r.name}`, ok, ms: r.ms, why });
  }
  const crashed = results.length === 0 || (end && (failures === 0 || end === tooLate));
  if (crashed) {
    failures++;
    tally.add({ name, ok: false, ms: 0, why: end ?? 'it holds no test' });
  }
  const logs = await endStacks(folder);
  if (failures > 0) {
    if (crashed) printEnd(join(folder, 'output'));
    printLogs(logs);
  } else {
    rmSync(folder, { recursive: true, force: true });
  }
}
