// Loopback ports that stay ours over restarts.
//
// They are taken from below the kernel's range for outgoing connections, so that no client socket grabs the port
// of a process that is down for a moment, and each is marked by a file, so that several stacks that start at the
// same time do not choose the same one.
import { existsSync, mkdirSync, readFileSync, rmdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Failure } from './failure.mjs';

const uid = process.getuid();
const marks = join(tmpdir(), uid === 0 ? 'tern-ports' : `tern-ports-${uid}`); // one user's cannot be written by another
const first = 12000;
const fresh_ms = 120000;

function range() {
  let low = 32768;
  try {
    low = Number(readFileSync('/proc/sys/net/ipv4/ip_local_port_range', 'utf8').split(/\s+/)[0]);
  } catch {
    // The usual value will do.
  }
  return low > first + 2000 ? { low: first, high: low - 1 } : { low: first, high: 31999 };
}

/** Null if the port can be listened on, else the error's code. */
export function portFault(port, host = '127.0.0.1') {
  return new Promise((done) => {
    const server = createServer();
    server.once('error', (e) => done(e.code));
    server.listen({ port, host, exclusive: true }, () => server.close(() => done(null)));
  });
}

/** A mark counts while its owner's folder holds a stack, and for its first two minutes. */
function stale(mark) {
  try {
    const owner = readFileSync(mark, 'utf8');
    return !existsSync(join(owner, 'state')) && Date.now() - statSync(mark).mtimeMs > fresh_ms;
  } catch {
    return false;
  }
}

function take(port, owner) {
  const mark = join(marks, String(port));
  try {
    mkdirSync(marks, { recursive: true, mode: 0o777 });
    writeFileSync(mark, owner, { flag: 'wx' });
    return true;
  } catch (e) {
    if (e.code !== 'EEXIST') throw e;
    if (stale(mark)) rmSync(mark, { force: true });
    return false;
  }
}

/** `count` free ports, marked as `owner`'s (a folder) until releasePorts(). */
export async function takePorts(count, owner) {
  const { low, high } = range();
  const ports = [];
  for (let tries = 0; ports.length < count; tries++) {
    if (tries > 20000) throw new Failure(`no free port from ${low} to ${high}`);
    const port = low + Math.floor(Math.random() * (high - low + 1));
    if (!take(port, owner)) continue;
    if ((await portFault(port)) === null) ports.push(port);
    else releasePorts([port]);
  }
  return ports;
}

export function releasePorts(ports) {
  for (const port of ports) rmSync(join(marks, String(port)), { force: true });
  try {
    rmdirSync(marks);
  } catch {
    // Others have marks of their own.
  }
}
