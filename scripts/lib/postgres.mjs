// A private Postgres 15: its own cluster, its own user, TCP on loopback and a Unix socket, fsync on.
//
// Postgres refuses to run as root, so root's clusters belong to the `postgres` user of the Debian package. If that
// user cannot reach the stack's folder, the cluster's data stands in a temporary folder instead.
import { randomBytes } from 'node:crypto';
import { appendFileSync, chownSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { spawnSync } from 'node:child_process';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Failure } from './failure.mjs';
import { runToEnd } from './processes.mjs';

const socketPathMax = 90; // of 107, less the socket's own name
const databaseName = 'tern';
const role = 'tern';

function installation() {
  const base = '/usr/lib/postgresql';
  const versions = existsSync(base) ? readdirSync(base).filter((v) => Number(v) >= 15 && existsSync(join(base, v, 'bin/postgres'))) : [];
  if (versions.length === 0) throw new Failure('Postgres is missing (scripts/setup installs it)');
  return join(base, versions.includes('15') ? '15' : versions[0], 'bin');
}

/** {uid, gid} of the user that a root shell runs Postgres as; {} for anybody else, who runs it himself. */
function runAs() {
  if (process.getuid() !== 0) return {};
  const line = readFileSync('/etc/passwd', 'utf8').split('\n').find((l) => l.startsWith('postgres:'));
  if (!line) throw new Failure('there is no user `postgres` to run Postgres as (the Debian package makes it)');
  const fields = line.split(':');
  return { uid: Number(fields[2]), gid: Number(fields[3]) };
}

function reachable(folder, user) {
  return user.uid === undefined || spawnSync('test', ['-x', folder], { ...user, cwd: '/' }).status === 0;
}

function own(folder, user) {
  if (user.uid !== undefined) chownSync(folder, user.uid, user.gid);
  return folder;
}

/** Makes the cluster. The plan has all that starting it takes: it is kept in the stack's state. */
export function preparePostgres({ dir, port, log }) {
  const bin = installation();
  const user = runAs();
  const password = randomBytes(12).toString('hex');
  const temporary = reachable(dir, user) ? null : mkdtempSync(join(tmpdir(), 'tern-postgres-'));
  const home = own(temporary ?? join(dir, 'postgres'), (mkdirSync(temporary ?? join(dir, 'postgres'), { recursive: true, mode: 0o700 }), user));
  const data = join(home, 'data');
  const sockets = home.length <= socketPathMax ? home : own(mkdtempSync(join(tmpdir(), 'tern-pg-')), user);
  const secret = join(home, 'password');
  writeFileSync(secret, password, { mode: 0o600 });
  own(secret, user);
  const env = { PATH: process.env.PATH, LC_ALL: 'C', TZ: 'UTC' };
  const args = ['-D', data, '-U', role, '--pwfile', secret, '-A', 'scram-sha-256', '-E', 'UTF8', '--locale=C', '--no-sync', '--no-instructions'];
  runToEnd({ what: 'making the Postgres cluster', file: join(bin, 'initdb'), args, env, ...user });
  appendFileSync(
    join(data, 'postgresql.conf'),
    [
      `listen_addresses = '127.0.0.1'`,
      `port = ${port}`,
      `unix_socket_directories = '${sockets.replaceAll("'", "''")}'`,
      'fsync = on',
      'max_connections = 200',
      'shared_buffers = 128MB',
      'max_wal_size = 2GB',
      'jit = off',
      "log_line_prefix = '%m [%p] '",
      '',
    ].join('\n'),
  );
  const dsnAt = (at) => `postgresql://${role}:${password}@127.0.0.1:${at}/${databaseName}`;
  return {
    dsn: dsnAt(port),
    dsnAt,
    password,
    port,
    bin,
    data,
    sockets,
    folders: [...new Set([home, sockets])],
    command: { file: join(bin, 'postgres'), args: ['-D', data], env, cwd: home, log, ...user },
  };
}

/**
 * Before a start after a death: the server is known to be gone, but its lock files may name a process that nobody has
 * reaped yet, which Postgres takes for a living server.
 */
export function forgetServer(plan) {
  rmSync(join(plan.data, 'postmaster.pid'), { force: true });
  rmSync(join(plan.sockets, `.s.PGSQL.${plan.port}.lock`), { force: true });
}

export function postgresReady(plan) {
  return () => spawnSync(join(plan.bin, 'pg_isready'), ['-q', '-h', '127.0.0.1', '-p', String(plan.port), '-t', '2']).status === 0;
}

export function createDatabase(plan) {
  runToEnd({
    what: 'making the database',
    file: join(plan.bin, 'createdb'),
    args: ['-h', '127.0.0.1', '-p', String(plan.port), '-U', role, '-w', databaseName],
    env: { PATH: process.env.PATH, PGPASSWORD: plan.password },
  });
}

export function removePostgres(plan) {
  for (const folder of plan.folders) rmSync(folder, { recursive: true, force: true });
}
