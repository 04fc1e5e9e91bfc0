// One stack for each test file, in the folder that scripts/test gives (or a temporary one).
import { mkdirSync, mkdtempSync, chmodSync, realpathSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';
import { Stack } from '../../scripts/lib/stack.mjs';
import { get } from '../../scripts/lib/services.mjs';
import { alive } from '../../scripts/lib/processes.mjs';
import { signToken } from '../../scripts/lib/tokens.mjs';

const exitMs = 3000;
let started = 0;
const closers = [];

/** Registers something to close when the file's tests are over; the last registered goes first. */
export function atEnd(close) {
  closers.push(close);
}

after(async () => {
  for (const close of closers.reverse()) await Promise.resolve(close()).catch((e) => console.error(e));
  // Whatever handle a client library still keeps open must not keep the file from ending.
  setTimeout(() => process.exit(), exitMs).unref();
});

/** The folder for this file's stacks and files. */
export function outDir() {
  if (process.env.TERN_TEST_OUT) return process.env.TERN_TEST_OUT;
  const dir = mkdtempSync(join(tmpdir(), 'tern-test-'));
  chmodSync(dir, 0o711);
  process.env.TERN_TEST_OUT = dir;
  return dir;
}

/** A folder of its own below it. */
export function scratchDir(name) {
  const dir = join(outDir(), name);
  mkdirSync(dir, { recursive: true, mode: 0o755 });
  return realpathSync(dir);
}

class TestStack extends Stack {
  urlOf(name) {
    return this.record(name).url;
  }

  opsUrlOf(name) {
    return this.record(name).opsUrl;
  }

  get bootstrap() {
    return this.facts().kafka.bootstrap;
  }

  get dsn() {
    return this.facts().postgres.dsn;
  }

  isAlive(name) {
    return alive(this.record(name));
  }

  /** A token for a user; claims override, `scope` gives rights. */
  token(sub, claims = {}) {
    return signToken(this.facts().auth, { sub, ...claims });
  }

  /** Metrics of a process: a function (name, labels) => number. */
  async metrics(name) {
    const answer = await get(`${this.opsUrlOf(name)}/metrics`);
    if (answer?.status !== 200) throw new Error(`${name} gives no metrics: ${answer?.status}`);
    return parseMetrics(answer.body);
  }
}

/** Prometheus text as a function (name, {label: value}) => the sum of all rows that fit. */
export function parseMetrics(text) {
  const rows = [];
  for (const line of text.split('\n')) {
    const match = /^([a-z_:][a-z0-9_:]*)(?:\{([^}]*)\})? (\S+)$/i.exec(line);
    if (!match) continue;
    const labels = Object.fromEntries([...(match[2] ?? '').matchAll(/([a-z_]+)="([^"]*)"/g)].map((m) => [m[1], m[2]]));
    rows.push({ name: match[1], labels, value: Number(match[3]) });
  }
  return (name, labels = {}) => {
    const fitting = rows.filter((r) => r.name === name && Object.entries(labels).every(([k, v]) => r.labels[k] === v));
    if (!rows.some((r) => r.name === name)) throw new Error(`there is no metric ${name}`);
    return fitting.reduce((sum, r) => sum + r.value, 0);
  };
}

/** Starts a stack that ends with the file. Apache's Kafka and one of each service unless told otherwise. */
export async function startStack(options = {}) {
  const stack = new TestStack(scratchDir(`stack-${started++}`));
  atEnd(() => stack.down());
  const set = options.set ?? {};
  await stack.up({ kafka: 'apache', messaging: 1, notification: 1, writer: 1, ...options, set, auth: set.TERN_AUTH !== 'off' });
  return stack;
}
