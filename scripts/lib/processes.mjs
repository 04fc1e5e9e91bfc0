// Processes that outlive the command which started them.
//
// A process is named by its pid and its start time, because a pid alone may belong to somebody else by the
// time of the next command. `family` is a process with its descendants: Postgres has children that a SIGKILL
// of the parent alone would leave to finish in their own time.
import { spawn, spawnSync } from 'node:child_process';
import { closeSync, existsSync, fstatSync, openSync, readFileSync, readSync, readdirSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { Failure } from './failure.mjs';

/** {state, parent, born} of a pid, or null if there is none. */
function stat(pid) {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'latin1');
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
    return { state: fields[0], parent: Number(fields[1]), born: fields[19] };
  } catch {
    return null;
  }
}

/** Whether this very process still runs. A zombie does not. */
export function alive({ pid, born }) {
  const now = stat(pid);
  return now !== null && now.state !== 'Z' && now.state !== 'X' && now.born === born;
}

// A parent that does nothing but reap its child. The command that starts a process ends at once, and whoever adopts
// orphans on a machine may leave the dead lie for seconds; so long would `kill -0` take them for living.
const keeper = '"$@" 3>&- & echo $! >&3; exec 3>&-; wait $!';

function pidFrom(stream) {
  return new Promise((done) => {
    let text = '';
    stream.on('data', (chunk) => (text += chunk));
    stream.on('end', () => done(Number(text)));
  });
}

/**
 * Starts a process in a session of its own whose output is appended to `log`. With `tied` it dies with us, however
 * we end. Returns {pid, born}.
 */
export async function launch({ file, args = [], env, cwd, log, uid, gid, tied = false }) {
  if (file.startsWith('/') && !existsSync(file)) throw new Failure(`there is no ${file}`);
  const fd = openSync(log, 'a');
  const command = tied ? ['setpriv', '--pdeathsig', 'KILL', '--', file, ...args] : ['sh', '-c', keeper, 'keeper', file, ...args];
  const child = spawn(command[0], command.slice(1), { env, cwd, uid, gid, detached: true, stdio: ['ignore', fd, fd, tied ? 'ignore' : 'pipe'] });
  closeSync(fd);
  await new Promise((done, fail) => {
    child.once('spawn', done);
    child.once('error', (e) => fail(new Failure(`${file} cannot be started: ${e.message}`)));
  });
  child.unref();
  const pid = tied ? child.pid : await pidFrom(child.stdio[3]);
  return { pid, born: stat(pid)?.born ?? '0' };
}

function descendants(pid) {
  const children = new Map();
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    const s = stat(name);
    if (s) children.set(s.parent, [...(children.get(s.parent) ?? []), { pid: Number(name), born: s.born }]);
  }
  const found = [];
  for (const queue = [pid]; queue.length > 0; ) {
    for (const child of children.get(queue.shift()) ?? []) {
      found.push(child);
      queue.push(child.pid);
    }
  }
  return found;
}

/** The process and all its descendants, it first. */
export function family(target) {
  return alive(target) ? [{ pid: target.pid, born: target.born }, ...descendants(target.pid)] : [];
}

/** Sends a signal; false if the process is gone. */
export function signal(target, name) {
  if (!alive(target)) return false;
  try {
    process.kill(target.pid, name);
    return true;
  } catch (e) {
    if (e.code === 'ESRCH') return false;
    throw e.code === 'EPERM' ? new Failure(`process ${target.pid} belongs to somebody else`) : e;
  }
}

/** Waits until all are gone; false if some are not by the deadline. */
export async function waitGone(processes, timeoutMs) {
  const deadline = Date.now() + timeoutMs;
  while (processes.some(alive)) {
    if (Date.now() > deadline) return false;
    await sleep(10);
  }
  return true;
}

/** Runs a short command to its end. Returns its output; a failure is a sentence that ends with its last line. */
export function runToEnd({ what, file, args = [], env, uid, gid, log, timeoutMs = 60000 }) {
  const fd = log ? openSync(log, 'a') : null;
  const r = spawnSync(file, args, { env, uid, gid, encoding: 'utf8', timeout: timeoutMs, stdio: ['ignore', 'pipe', 'pipe'] });
  if (fd !== null) closeSync(fd);
  if (r.error) {
    const why = r.error.code === 'ENOENT' ? 'there is no such program' : r.error.code === 'ETIMEDOUT' ? `it took longer than ${timeoutMs / 1000} s` : r.error.message;
    throw new Failure(`${what} failed: ${file}: ${why}`);
  }
  if (r.status !== 0) {
    const last = lastWords(`${r.stdout}\n${r.stderr}`);
    throw new Failure(`${what} failed: ${last || `${file} ended with ${r.signal ?? `code ${r.status}`}`}`);
  }
  return r.stdout;
}

/** The last line that speaks to a person: a fatal one if there is one; of a JSON log line its text. */
export function lastWords(text) {
  const lines = text.trim().split('\n').reverse();
  const fatal = lines.slice(0, 30).find((line) => /\b(FATAL|PANIC):/.test(line));
  if (fatal) return fatal.trim();
  for (const line of lines) {
    if (!line.trim()) continue;
    if (!line.startsWith('{')) return line.trim();
    try {
      const entry = JSON.parse(line);
      if (entry.level === 'error') return [entry.event, entry.text ?? entry.error].filter(Boolean).join(': ');
    } catch {
      return line.trim();
    }
  }
  return '';
}

/** The end of a log, from byte `from` on. */
export function logTail(path, from = 0, bytesMax = 65536) {
  let fd;
  try {
    fd = openSync(path, 'r');
  } catch {
    return '';
  }
  try {
    const size = fstatSync(fd).size;
    const start = Math.max(from, size - bytesMax);
    const buffer = Buffer.alloc(Math.max(0, size - start));
    readSync(fd, buffer, 0, buffer.length, start);
    return buffer.toString('utf8');
  } finally {
    closeSync(fd);
  }
}
