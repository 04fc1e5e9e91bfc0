// A whole Tern under one folder: Kafka, Postgres and any number of services on loopback ports.
//
//   DIR/stack.json    for whoever uses the stack: addresses, the key, pids
//   DIR/env           the same as settings of ternctl, for a shell: . DIR/env
//   DIR/logs/         one file for each process; they stay after `down`
//   DIR/state/        for later commands: how each process was started, which ports and folders are ours
//
// The processes outlive the command that starts them. Each command changes the state under a lock, so commands for
// different processes of one stack may run at the same time.
import { existsSync, mkdirSync, readFileSync, readdirSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Failure } from './failure.mjs';
import { apacheReady, embeddedReady, prepareApache, prepareEmbedded, removeKafka } from './kafka.mjs';
import { binDir, binary } from './paths.mjs';
import { createDatabase, forgetServer, postgresReady, preparePostgres, removePostgres } from './postgres.mjs';
import { releasePorts, takePorts } from './ports.mjs';
import { alive, family, lastWords, launch, logTail, runToEnd, signal, waitGone } from './processes.mjs';
import { commonEnvironment, kinds, serviceCommand, serviceReady } from './services.mjs';
import { newSecret } from './tokens.mjs';

const readyMs = 90000;
const lockMs = 30000;
const termMs = 75000; // more than a gateway takes to drain
const stopMs = 3000;
const topicTries = 4;

const fileOf = (name) => `${name.replace('/', '-')}.json`;

function writeJson(path, value) {
  const temporary = `${path}.${process.pid}`;
  writeFileSync(temporary, `${JSON.stringify(value, null, 2)}\n`, { mode: 0o600 });
  renameSync(temporary, path);
}

const readJson = (path) => JSON.parse(readFileSync(path, 'utf8'));

/** Three brokers on a busy machine may take longer for hundreds of replicas than one write waits: what is made stays made. */
function makeTopics(env) {
  for (let tries = 1; ; tries++) {
    try {
      runToEnd({ what: 'making the topics', file: binary('ternctl'), args: ['topics', 'create'], env, timeoutMs: readyMs });
      return;
    } catch (e) {
      if (tries === topicTries) throw e;
    }
  }
}

export class Stack {
  constructor(dir) {
    this.dir = dir;
    this.state = join(dir, 'state');
    this.logs = join(dir, 'logs');
    this.tied = false;
    this.abort = new AbortController();
  }

  log(name) {
    return join(this.logs, `${name.replace('/', '-')}.log`);
  }

  exists() {
    return existsSync(join(this.state, 'stack.json'));
  }

  // ---- state ----

  async locked(work) {
    const lock = join(this.state, 'lock');
    const deadline = Date.now() + lockMs;
    for (;;) {
      try {
        writeFileSync(lock, String(process.pid), { flag: 'wx' });
        break;
      } catch (e) {
        if (e.code !== 'EEXIST') throw e;
        if (this.lockStale(lock)) rmSync(lock, { force: true });
        else if (Date.now() > deadline) throw new Failure(`another command keeps ${lock}`);
        else await sleep(10);
      }
    }
    try {
      return work();
    } finally {
      rmSync(lock, { force: true });
    }
  }

  lockStale(lock) {
    try {
      return !existsSync(`/proc/${readFileSync(lock, 'utf8')}`) && Date.now() - statSync(lock).mtimeMs > 1000;
    } catch {
      return false;
    }
  }

  save(name, record) {
    return this.locked(() => {
      writeJson(join(this.state, fileOf(name)), { name, ...record });
      this.publish();
    });
  }

  /** All processes' records by name. */
  records() {
    const found = {};
    for (const file of readdirSync(this.state)) {
      if (!file.endsWith('.json') || file === 'stack.json') continue;
      const record = readJson(join(this.state, file));
      found[record.name] = record;
    }
    return found;
  }

  record(name) {
    const path = join(this.state, fileOf(name));
    if (!this.exists()) throw new Failure(`there is no stack in ${this.dir}`);
    if (!existsSync(path)) throw new Failure(`the stack has no ${name}; it has ${Object.keys(this.records()).join(', ')}`);
    return readJson(path);
  }

  /** Writes stack.json, the outside's view. */
  publish() {
    const facts = readJson(join(this.state, 'stack.json'));
    const processes = {};
    for (const [name, r] of Object.entries(this.records()).sort()) {
      processes[name] = { pid: r.pid, ...(r.url && { url: r.url }), ...(r.opsUrl && { opsUrl: r.opsUrl }), log: r.command.log };
    }
    writeJson(join(this.dir, 'stack.json'), { kafka: facts.kafka, postgres: facts.postgres, auth: facts.auth, processes });
    const settings = {
      DIR: this.dir,
      TERN_KAFKA_BOOTSTRAP_SERVERS: facts.kafka.bootstrap,
      TERN_POSTGRES_DSN: facts.postgres.dsn,
      TERN_AUTH_HS256_SECRET_FILE: join(this.state, 'hs256.secret'),
      TERN_AUTH_ISSUER: facts.auth.issuer,
    };
    const quoted = (text) => `'${String(text).replaceAll("'", "'\\''")}'`;
    const lines = [...Object.entries(settings).map(([name, value]) => `export ${name}=${quoted(value)}`), `export PATH=${quoted(binDir)}:"$PATH"`];
    writeFileSync(join(this.dir, 'env'), `${lines.join('\n')}\n`, { mode: 0o600 });
  }

  facts(change = {}) {
    const path = join(this.state, 'stack.json');
    const facts = { ...(existsSync(path) ? readJson(path) : {}), ...change };
    writeJson(path, facts);
    return facts;
  }

  // ---- processes ----

  stopIfAborted() {
    if (this.abort.signal.aborted) throw new Failure('interrupted');
  }

  /** A function that tells whether the process is ready, made before its start. */
  readiness(record) {
    const { ready, command } = record;
    switch (ready.kind) {
      case 'postgres':
        return postgresReady(ready);
      case 'apache':
        return apacheReady(ready, record.pid === undefined);
      case 'embedded':
        return embeddedReady(command.log, existsSync(command.log) ? statSync(command.log).size : 0);
      default:
        return serviceReady(record.opsUrl);
    }
  }

  async launchRecord(name, record) {
    this.stopIfAborted();
    const isReady = this.readiness(record);
    const from = existsSync(record.command.log) ? statSync(record.command.log).size : 0;
    const started = await launch({ ...record.command, tied: this.tied });
    await this.save(name, { ...record, pid: started.pid, born: started.born, ending: false });
    return { name, started, isReady, from, log: record.command.log };
  }

  async waitReady({ name, started, isReady, from, log }) {
    const deadline = Date.now() + readyMs;
    for (let pause = 10; ; pause = Math.min(pause * 1.3, 100)) {
      this.stopIfAborted();
      const gone = !alive(started);
      if (gone) {
        const words = lastWords(logTail(log, from));
        throw new Failure(`${name} ended before it was ready${words ? `: ${words}` : ''} (log: ${log})`);
      }
      if (await isReady()) return;
      if (Date.now() > deadline) throw new Failure(`${name} was not ready within ${readyMs / 1000} s (log: ${log})`);
      await sleep(pause);
    }
  }

  /** Starts processes that do not need each other; returns when all are ready, and fails when all have settled. */
  async startAll(records) {
    const launched = [];
    for (const [name, record] of Object.entries(records)) launched.push(await this.launchRecord(name, record));
    const results = await Promise.allSettled(launched.map((l) => this.waitReady(l)));
    const failed = results.find((r) => r.status === 'rejected');
    if (failed) throw failed.reason;
  }

  // ---- up ----

  /**
   * options: kafka ('embedded' | 'apache'), kafkaNodes, messaging, notification, writer (counts), set (settings for
   * every program), auth (false: TERN_AUTH=off), ports ({messaging, notification, kafka: [...]}: instead of free ones),
   * tied (the processes die with us), through (with Apache's Kafka: a function that is given the ports of Kafka's nodes and of Postgres,
   * {kafka: [...], postgres}, and promises the same with those that the services are to use instead: a network that can be
   * disturbed; whoever reads stack.json goes straight). Fails with everything torn down again, also when `abort` is signalled.
   */
  async up(options) {
    if (this.exists()) throw new Failure(`there is a stack in ${this.dir} already (scripts/stack down ${this.dir} ends it)`);
    this.tied = options.tied ?? false;
    mkdirSync(this.logs, { recursive: true });
    mkdirSync(this.state, { recursive: true, mode: 0o700 });
    for (const file of readdirSync(this.logs)) rmSync(join(this.logs, file), { recursive: true, force: true });
    try {
      await this.bringUp(options);
    } catch (e) {
      await this.down();
      throw e;
    }
  }

  async bringUp(options) {
    const nodes = options.kafka === 'apache' ? (options.kafkaNodes ?? 1) : 1;
    const counts = Object.fromEntries(kinds.map((kind) => [kind, options[kind]]));
    const services = kinds.flatMap((kind) => Array.from({ length: counts[kind] }, (_, index) => ({ kind, index, name: `${kind}/${index}` })));
    const through = options.kafka === 'apache' ? options.through : undefined;
    const ports = await takePorts(1 + (through ? 3 : 2) * nodes + 2 * services.length + counts.messaging, this.dir);
    this.facts({ ports, kafka: {}, postgres: {}, auth: {}, folders: [] });
    const next = () => ports.shift();

    const postgres = preparePostgres({ dir: this.dir, port: next(), log: this.log('postgres') });
    const brokers = Array.from({ length: nodes }, (_, i) => ({ port: options.ports?.kafka?.[i] ?? next(), controllerPort: next() }));
    const bootstrapOf = (list) => list.map((port) => `127.0.0.1:${port}`).join(',');
    const bootstrap = bootstrapOf(brokers.map((b) => b.port));
    let seen = null;
    if (through) {
      for (const b of brokers) b.clientPort = next();
      seen = await through({ kafka: brokers.map((b) => b.clientPort), postgres: postgres.port });
      brokers.forEach((b, i) => (b.advertisedPort = seen.kafka[i]));
    }
    const secret = newSecret();
    const secretFile = join(this.state, 'hs256.secret');
    writeFileSync(secretFile, secret, { mode: 0o600 });
    // Gateways of one stack splice for each other, so that no client needs to come back to the same one.
    const spliceKeyFile = join(this.state, 'splice.key');
    writeFileSync(spliceKeyFile, newSecret(), { mode: 0o600 });
    const auth = options.auth === false ? null : { secretFile, issuer: 'tern', audience: 'tern' };
    this.facts({
      kafka: { bootstrap },
      postgres: { dsn: postgres.dsn },
      auth: { hs256Secret: secret, issuer: 'tern', audience: 'tern' },
      folders: postgres.folders,
    });
    const common = commonEnvironment({ bootstrap, dsn: postgres.dsn, set: options.set });

    const base = { postgres: { command: postgres.command, ready: { kind: 'postgres', port: postgres.port, bin: postgres.bin, data: postgres.data, sockets: postgres.sockets } } };
    if (options.kafka === 'apache') {
      const names = brokers.map((_, i) => (nodes === 1 ? 'kafka' : `kafka/${i}`));
      const plans = prepareApache({ dir: this.dir, nodes: brokers, logs: names.map((n) => this.log(n)) });
      plans.forEach((p, i) => (base[names[i]] = { command: p.command, ready: { kind: 'apache', port: p.port, id: p.id, brokers: p.brokers } }));
    }
    await this.startAll(base);
    createDatabase(postgres);
    runToEnd({ what: 'the migration', file: binary('ternctl'), args: ['migrate'], env: common, timeoutMs: readyMs });
    if (options.kafka === 'apache') {
      const replication = nodes >= 3 ? { TERN_REPLICATION: '3' } : {};
      makeTopics({ ...replication, ...common });
    } else {
      const plan = prepareEmbedded({ dir: this.dir, port: brokers[0].port, env: common, log: this.log('kafka') });
      await this.startAll({ kafka: { command: plan.command, ready: { kind: 'embedded' } } });
    }
    const ofServices = seen ? commonEnvironment({ bootstrap: bootstrapOf(seen.kafka), dsn: postgres.dsnAt(seen.postgres), set: options.set }) : common;
    await this.startAll(this.serviceRecords(services, { ports: options.ports ?? {}, next, common: ofServices, auth, spliceKeyFile, set: options.set }));
  }

  serviceRecords(services, { ports, next, common, auth, spliceKeyFile, set }) {
    const places = services.map((s) => {
      const port = s.kind === 'writer' ? 0 : (ports[s.kind]?.[s.index] ?? next());
      return { ...s, port, opsPort: next(), splicePort: s.kind === 'messaging' ? next() : 0, url: port ? `http://127.0.0.1:${port}` : undefined };
    });
    const urls = (kind) => places.filter((p) => p.kind === kind).map((p) => (ports[kind] ? `http://localhost:${p.port}` : p.url)).join(',');
    const splicePorts = places.map((p) => p.splicePort).filter((port) => port > 0);
    const splice = { keyFile: spliceKeyFile, min: Math.min(...splicePorts), max: Math.max(...splicePorts) };
    const pages = { gateways: urls('messaging'), notifications: urls('notification') };
    return Object.fromEntries(
      places.map((p) => [
        p.name,
        {
          command: serviceCommand({ ...p, common, auth, pages, splice, set, dir: this.dir, log: this.log(p.name) }),
          ready: { kind: 'service' },
          url: p.url,
          opsUrl: `http://127.0.0.1:${p.opsPort}`,
        },
      ]),
    );
  }

  // ---- single processes ----

  running(name) {
    const record = this.record(name);
    if (!alive(record)) throw new Failure(`${name} is not running (scripts/stack start brings it back)`);
    return record;
  }

  /** Like a power cut: the process and its children, and it is gone when this returns. */
  async kill(name) {
    const record = this.record(name);
    const all = family(record);
    for (const p of all) signal(p, 'SIGKILL');
    if (!(await waitGone(all, 10000))) throw new Failure(`${name} survives SIGKILL (pid ${record.pid})`);
  }

  /** Asks it to stop; it may take its time. Postgres takes SIGINT for that: SIGTERM waits for its clients. */
  async term(name) {
    const record = this.running(name);
    await this.save(name, { ...record, ending: true });
    signal(record, record.ready.kind === 'postgres' ? 'SIGINT' : 'SIGTERM');
  }

  pause(name) {
    for (const p of family(this.running(name))) signal(p, 'SIGSTOP');
  }

  cont(name) {
    for (const p of family(this.running(name)).reverse()) signal(p, 'SIGCONT');
  }

  /** Brings a process that ended back on its old ports. */
  async start(name) {
    const record = this.record(name);
    if (alive(record) && !record.ending) throw new Failure(`${name} is running already (pid ${record.pid})`);
    if (!(await waitGone([record], termMs))) throw new Failure(`${name} has not ended yet (pid ${record.pid})`);
    if (record.ready.kind === 'postgres') forgetServer(record.ready);
    await this.startAll({ [name]: record });
  }

  // ---- down ----

  async down() {
    const records = existsSync(this.state) ? this.records() : {};
    await this.stopServices(Object.values(records).filter((r) => r.ready.kind === 'service'));
    const rest = Object.values(records).filter((r) => r.ready.kind !== 'service');
    const all = rest.flatMap(family);
    for (const p of all) signal(p, 'SIGKILL');
    const left = [...Object.values(records), ...all];
    if (!(await waitGone(left, 10000))) throw new Failure(`these processes do not end: ${left.filter(alive).map((p) => p.pid).join(' ')}`);
    this.removeFiles();
  }

  /** A second SIGTERM ends a drain; what does not end then is killed. */
  async stopServices(records) {
    for (const p of records) signal(p, 'SIGCONT');
    for (let tries = 0; tries < 2; tries++) {
      for (const p of records) signal(p, 'SIGTERM');
      if (await waitGone(records, tries === 0 ? stopMs / 2 : stopMs)) return;
    }
    for (const p of records) signal(p, 'SIGKILL');
  }

  removeFiles() {
    if (existsSync(join(this.state, 'stack.json'))) {
      const facts = readJson(join(this.state, 'stack.json'));
      removePostgres(facts);
      releasePorts(facts.ports);
    }
    removeKafka(this.dir);
    rmSync(join(this.dir, 'postgres'), { recursive: true, force: true });
    for (const file of ['stack.json', 'env']) rmSync(join(this.dir, file), { force: true });
    rmSync(this.state, { recursive: true, force: true });
  }
}
