// scripts/quickstart after the installing and building: a stack on the well-known ports, in the foreground.
//
// The processes are tied to this one, so that nothing stays behind however it ends. What dies meanwhile is started
// again: killing a gateway to see the clients resume is part of trying Tern out.
import { chmodSync, existsSync, mkdtempSync, readdirSync, rmSync, statfsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Failure, report, sentenceOf } from './failure.mjs';
import { portFault } from './ports.mjs';
import { alive } from './processes.mjs';
import { Stack } from './stack.mjs';
import { signToken } from './tokens.mjs';

const ports = { messaging: [3006, 3007], notification: [3005, 3004] };
const kafkaPort = 9092; // unless somebody else's Kafka is there
const diskMin = 500e6; // Postgres' first files and its log of changes
const restartsMax = 3; // of one process within a minute
const day = 24 * 3600;

const apache = process.argv.includes('--kafka=apache');
const auth = process.argv.includes('--auth');
const set = Object.fromEntries(process.argv.map((word) => /^--set=(TERN_\w+)=(.*)$/s.exec(word)).filter(Boolean).map(([, name, value]) => [name, value]));

async function checkPorts() {
  for (const port of [...ports.messaging, ...ports.notification]) {
    const fault = await portFault(port);
    if (fault === 'EADDRINUSE') throw new Failure(`port ${port} is in use by another program`);
    if (fault) throw new Failure(`port ${port} cannot be opened (${fault})`);
  }
}

function checkDisk(dir) {
  const { bavail, bsize } = statfsSync(dir);
  if (bavail * bsize < diskMin) throw new Failure(`the disk of ${dir} has only ${Math.floor((bavail * bsize) / 1e6)} MB left, ${diskMin / 1e6} MB are needed`);
}

function tokens(stack) {
  const sign = (claims) => signToken(stack.facts().auth, { exp: Math.floor(Date.now() / 1000) + day, ...claims });
  return [
    // Notifying each other is part of the page, so these two may publish.
    ...['alice', 'bob'].map((sub) => `  ${sub.padEnd(17)} ${sign({ sub, name: sub, scope: 'notifications:publish' })}`),
    `  cy (a plain user) ${sign({ sub: 'cy', name: 'cy' })}`,
  ];
}

function greeting(stack) {
  const facts = stack.facts();
  return [
    '',
    'Tern is running.',
    '',
    `  page              http://localhost:${ports.messaging[0]}/`,
    `  chat              ${ports.messaging.map((p) => `http://localhost:${p}`).join('  ')}`,
    `  notifications     ${ports.notification.map((p) => `http://localhost:${p}`).join('  ')}`,
    `  Kafka             ${facts.kafka.bootstrap} (${apache ? 'Apache' : 'embedded'})`,
    `  Postgres          ${facts.postgres.dsn}`,
    `  logs              ${stack.logs}`,
    ...(auth ? ['', 'Tokens, good for a day:', ...tokens(stack)] : []),
    '',
    `For ternctl in a second terminal:      . ${join(stack.dir, 'env')}`,
    `A gateway dies, and is back at once:   scripts/stack kill ${stack.dir} messaging/0`,
    'Open the page in two windows. Ctrl-C ends it all.',
    '',
  ].join('\n');
}

/** Starts again what dies, until `ended`; fails when a process cannot be kept up. */
async function keepUp(stack, ended) {
  const restarts = new Map();
  while (!ended.signal.aborted) {
    await sleep(200);
    for (const [name, record] of Object.entries(stack.records())) {
      if (ended.signal.aborted) return;
      if (alive(record)) continue;
      const recent = (restarts.get(name) ?? []).filter((t) => Date.now() - t < 60000);
      if (recent.length >= restartsMax) throw new Failure(`${name} keeps ending (log: ${record.command.log})`);
      restarts.set(name, [...recent, Date.now()]);
      console.log(`${name} ended, starting it again`);
      await stack.start(name);
      console.log(`${name} is back`);
    }
  }
}

/** What a run that was killed could not remove: its folder, and the marks of its ports. Its processes died with it. */
async function sweep() {
  for (const name of readdirSync(tmpdir())) {
    const pid = /^tern-quickstart-(\d+)-/.exec(name)?.[1];
    if (!pid || existsSync(`/proc/${pid}`)) continue;
    const dir = join(tmpdir(), name);
    try {
      await new Stack(dir).down();
      rmSync(dir, { recursive: true, force: true });
    } catch {
      // Another user's.
    }
  }
}

async function main() {
  await sweep();
  checkDisk(tmpdir());
  await checkPorts();
  if (!(await portFault(kafkaPort))) ports.kafka = [kafkaPort];
  const dir = mkdtempSync(join(tmpdir(), `tern-quickstart-${process.pid}-`));
  chmodSync(dir, 0o711); // the user that runs Postgres has to get through
  const stack = new Stack(dir);
  const ended = stack.abort;
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(name, () => ended.abort());
  let keepLogs = false;
  try {
    console.log('starting ...');
    await stack.up({
      kafka: apache ? 'apache' : 'embedded',
      messaging: ports.messaging.length,
      notification: ports.notification.length,
      writer: 1,
      set: { TERN_OPEN_CONVERSATIONS: 'on', ...set },
      auth,
      ports,
      tied: true,
    });
    console.log(greeting(stack));
    await keepUp(stack, ended);
  } catch (e) {
    await sleep(50); // Ctrl-C fails a command that is waited for, and is told to us only then
    if (!ended.signal.aborted) {
      keepLogs = true;
      throw e;
    }
  } finally {
    if (ended.signal.aborted) console.log('\nending ...');
    await stack.down();
    if (!keepLogs) rmSync(dir, { recursive: true, force: true });
  }
}

try {
  await main();
} catch (e) {
  report('scripts/quickstart', e);
  if (!sentenceOf(e)) console.error('this is a fault of scripts/quickstart itself');
}
