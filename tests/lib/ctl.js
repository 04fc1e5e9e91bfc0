// ternctl as an operator runs it.
import { spawn } from 'node:child_process';
import { binary } from '../../scripts/lib/paths.mjs';
import { atEnd } from './stack.js';

/** Starts it: {child, out, err, end}; end is {code, signal, out, err}. `postgres: false` gives it Kafka's address alone. */
export function startCtl(stack, args, { env = {}, input, postgres = true } = {}) {
  const settings = { TERN_KAFKA_BOOTSTRAP_SERVERS: stack.bootstrap, ...(postgres ? { TERN_POSTGRES_DSN: stack.dsn } : {}) };
  const child = spawn(binary('ternctl'), args, { env: { PATH: process.env.PATH, ...settings, ...env }, stdio: ['pipe', 'pipe', 'pipe'] });
  const run = { child, out: '', err: '' };
  child.stdout.on('data', (chunk) => (run.out += chunk));
  child.stderr.on('data', (chunk) => (run.err += chunk));
  child.stdin.on('error', () => {});
  child.stdin.end(input ?? '');
  atEnd(() => child.kill('SIGKILL'));
  run.end = new Promise((done) => child.on('exit', (code, signal) => setImmediate(() => done({ code, signal, out: run.out, err: run.err }))));
  return run;
}

export async function ctl(stack, args, options) {
  return startCtl(stack, args, options).end;
}

/** Runs it and fails with what it said unless it ends with the code. */
export async function ctlOk(stack, args, options = {}) {
  const { code = 0, ...more } = options;
  const result = await ctl(stack, args, more);
  if (result.code !== code) throw new Error(`ternctl ${args.join(' ')}: ${result.code}, not ${code}\n${result.err}\n${result.out}`);
  return result;
}

/** The same, with its JSON. */
export async function ctlJson(stack, args, options) {
  return JSON.parse((await ctlOk(stack, [...args, '--json'], options)).out);
}
