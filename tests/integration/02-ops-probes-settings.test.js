// Probes, metrics, settings and the ways a program refuses to start.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createServer } from 'node:net';
import test from 'node:test';
import { binary } from '../../scripts/lib/paths.mjs';
import { get } from '../../scripts/lib/services.mjs';
import { sql } from '../lib/database.js';
import { atEnd, startStack } from '../lib/stack.js';
import { within } from '../lib/wait.js';

const stack = await startStack({ kafka: 'embedded' });
const services = ['messaging/0', 'notification/0', 'writer/0'];
const programs = { 'messaging/0': 'tern-messaging', 'notification/0': 'tern-notification', 'writer/0': 'tern-writer' };

/** Runs a program to its end: {code, signal, err, out}. */
function run(name, args, env) {
  const child = spawn(binary(programs[name] ?? name), args, { env, stdio: ['ignore', 'pipe', 'pipe'] });
  atEnd(() => child.kill('SIGKILL'));
  const result = { child, out: '', err: '' };
  child.stdout.on('data', (chunk) => (result.out += chunk));
  child.stderr.on('data', (chunk) => (result.err += chunk));
  result.end = new Promise((done) => child.on('exit', (code, signal) => done({ code, signal, out: result.out, err: result.err })));
  return result;
}

const envOf = (name, more) => ({ ...stack.record(name).command.env, ...more });
// A second gateway beside the stack's: ports of its own, and no internal port, which the first one has.
const freePorts = { TERN_PORT: '0', TERN_OPS_PORT: '0', TERN_SPLICE_KEY_FILE: '' };

/** What is for people: lines that are not log entries. */
const sentences = (text) => text.split('\n').filter((line) => line && !line.startsWith('{'));

test('probes answer and metrics count on the ops port only', async () => {
  for (const name of services) {
    const ops = stack.opsUrlOf(name);
    assert.equal((await get(`${ops}/healthz`)).status, 200, name);
    assert.equal((await get(`${ops}/readyz`)).status, 200, name);
    const metrics = await stack.metrics(name);
    assert.equal(metrics('tern_build_info'), 1, name);
  }
  for (const name of ['messaging/0', 'notification/0']) {
    for (const path of ['healthz', 'readyz', 'metrics']) assert.equal((await get(`${stack.urlOf(name)}/${path}`)).status, 404, `${name} ${path}`);
  }
});

test('--help names every setting with its default, --version and --print-settings answer', async () => {
  for (const name of services) {
    const help = await run(name, ['--help'], process.env).end;
    assert.equal(help.code, 0);
    for (const setting of ['TERN_KAFKA_BOOTSTRAP_SERVERS', 'TERN_POSTGRES_DSN', 'TERN_OPS_PORT', 'TERN_LOG_LEVEL']) assert.match(help.out, new RegExp(setting), `${name} ${setting}`);
    assert.match((await run(name, ['--version'], process.env).end).out, /^tern-\w+ \d+\.\d+/);
    const printed = await run(name, ['--print-settings'], envOf(name)).end;
    assert.equal(printed.code, 0);
    assert.ok(!printed.out.includes(new URL(stack.dsn).password), `${name} prints the password`);
  }
});

test('wrong settings are all named at once with value and range, exit code 2', async () => {
  const wrong = { TERN_OPS_PORT: '70000', TERN_POSTGRES_POOL: 'many', TERN_LOG_LEVEL: 'loud' };
  for (const name of services) {
    const { code, err } = await run(name, [], envOf(name, wrong)).end;
    assert.equal(code, 2, `${name}: ${err}`);
    for (const [setting, value] of Object.entries(wrong)) {
      const line = err.split('\n').find((l) => l.includes(setting));
      assert.ok(line?.includes(value), `${name} does not name ${setting}=${value}: ${err}`);
    }
    assert.match(err, /65535/);
  }
});

test('TERN_AUTH=off is refused unless every listener is loopback', async () => {
  for (const name of ['messaging/0', 'notification/0']) {
    for (const bind of ['TERN_BIND', 'TERN_OPS_BIND']) {
      const { code, err } = await run(name, [], envOf(name, { ...freePorts, TERN_AUTH: 'off', [bind]: '0.0.0.0' })).end;
      assert.equal(code, 2, `${name} ${bind}: ${err}`);
      assert.match(err, /TERN_AUTH/);
    }
  }
});

test('a port in use is one sentence and exit code 1', async () => {
  const server = createServer();
  await new Promise((done) => server.listen(0, '127.0.0.1', done));
  atEnd(() => server.close());
  const port = String(server.address().port);
  for (const name of ['messaging/0', 'notification/0']) {
    const { code, err } = await run(name, [], envOf(name, { ...freePorts, TERN_PORT: port })).end;
    assert.equal(code, 1, `${name}: ${err}`);
    assert.equal(sentences(err).length, 1, err);
    assert.match(sentences(err)[0], new RegExp(port));
  }
  for (const name of services) {
    const { code, err } = await run(name, [], envOf(name, { ...freePorts, TERN_OPS_PORT: port })).end;
    assert.equal(code, 1, `${name}: ${err}`);
    assert.equal(sentences(err).length, 1, err);
  }
});

test('SIGTERM ends a service with exit code 0', async () => {
  for (const name of services) {
    const program = run(name, [], envOf(name, { ...freePorts, TERN_INSTANCE: `extra-${name.replace('/', '-')}` }));
    await within(20000, `${name} is ready`, new Promise((done) => program.child.stderr.on('data', () => /"event":"ready"/.test(program.err) && done())));
    program.child.kill('SIGTERM');
    const { code, signal, err } = await within(20000, `${name} ends`, program.end);
    assert.deepEqual({ code, signal }, { code: 0, signal: null }, `${name}: ${err.slice(-2000)}`);
    for (const line of err.split('\n').filter(Boolean)) assert.doesNotThrow(() => JSON.parse(line), `${name} logs what is not JSON: ${line}`);
  }
});

test('a schema that is too new or too old is refused with a sentence', async () => {
  await sql(stack, `INSERT INTO schema_migration (version, name, checksum) SELECT 9999, 'future', checksum FROM schema_migration LIMIT 1`);
  for (const name of services) {
    const { code, err } = await run(name, [], envOf(name, freePorts)).end;
    assert.equal(code, 1, `${name}: ${err}`);
    assert.match(sentences(err).join('\n'), /schema/i, name);
  }
  await sql(stack, 'DELETE FROM schema_migration WHERE version = 9999');
  const newest = await sql(stack, 'DELETE FROM schema_migration WHERE version = (SELECT max(version) FROM schema_migration) RETURNING *');
  for (const name of services) {
    const { code, err } = await run(name, [], envOf(name, freePorts)).end;
    assert.equal(code, 1, `${name}: ${err}`);
    assert.match(sentences(err).join('\n'), /schema/i, name);
  }
  const columns = Object.keys(newest[0]);
  await sql(stack, `INSERT INTO schema_migration (${columns.join(', ')}) VALUES (${columns.map((_, i) => `$${i + 1}`).join(', ')})`, Object.values(newest[0]));
});

test('migrate again changes nothing', async () => {
  const env = envOf('writer/0');
  const before = await sql(stack, 'SELECT version, name, checksum FROM schema_migration ORDER BY version');
  for (let i = 0; i < 2; i++) assert.equal((await run('ternctl', ['migrate'], env).end).code, 0);
  assert.deepEqual(await sql(stack, 'SELECT version, name, checksum FROM schema_migration ORDER BY version'), before);
  const unknown = await run('ternctl', ['no-such-command'], env).end;
  assert.equal(unknown.code, 2);
});
