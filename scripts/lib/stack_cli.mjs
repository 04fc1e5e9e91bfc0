// scripts/stack: the commands.
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, realpathSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { Failure, report } from './failure.mjs';
import { isBuilt, kafkaDir, root } from './paths.mjs';
import { Stack } from './stack.mjs';

const usage = `usage: scripts/stack up DIR [--kafka=embedded|apache] [--kafka-nodes=1|3] [--messaging N] [--notification N] [--writer N] [--set TERN_X=V]...
       scripts/stack down DIR
       scripts/stack kill|term|pause|cont|start DIR NAME
       scripts/stack logs DIR [NAME] [--follow]

up     starts a whole Tern under DIR on free loopback ports and returns when all is ready; DIR/stack.json says where what is,
       and ". DIR/env" tells ternctl.
       One of each service unless told otherwise; topics and tables are made in any case. Tokens are signed with the
       key in stack.json; --set TERN_AUTH=off goes without.
down   ends it; the logs stay in DIR/logs.
kill   SIGKILL, with all children; returns when the process is gone.      term   asks it to stop, and returns.
pause  SIGSTOP.                                                          cont   SIGCONT.
start  brings back what ended, on the same ports; returns when it is ready.
NAME   kafka (kafka/0 ... with --kafka-nodes=3), postgres, messaging/0, notification/1, writer/0, ...
`;

class Usage extends Failure {}

/** --name=value and --name value alike. */
function parse(words) {
  const options = { kafka: 'embedded', kafkaNodes: '1', messaging: '1', notification: '1', writer: '1', set: [], follow: false };
  const plain = [];
  const names = { kafka: 'kafka', 'kafka-nodes': 'kafkaNodes', messaging: 'messaging', notification: 'notification', writer: 'writer', set: 'set' };
  for (let i = 0; i < words.length; i++) {
    const match = /^--([a-z-]+)(?:=(.*))?$/s.exec(words[i]);
    if (!match) {
      plain.push(words[i]);
      continue;
    }
    if (match[1] === 'follow') {
      options.follow = true;
      continue;
    }
    const field = names[match[1]];
    if (!field) throw new Usage(`unknown option --${match[1]}`);
    const value = match[2] ?? words[++i];
    if (value === undefined) throw new Usage(`--${match[1]} needs a value`);
    if (field === 'set') options.set.push(value);
    else options[field] = value;
  }
  return { options, plain };
}

function count(name, text, max) {
  if (!/^\d{1,4}$/.test(text) || Number(text) > max) throw new Usage(`--${name} is ${text}, it has to be 0 to ${max}`);
  return Number(text);
}

const ours = ['TERN_PORT', 'TERN_OPS_PORT', 'TERN_SPLICE_PORT', 'TERN_DEVBROKER_PORT'];

function settings(pairs) {
  const set = {};
  for (const pair of pairs) {
    const match = /^(TERN_[A-Z0-9_]+)=(.*)$/s.exec(pair);
    if (!match) throw new Usage(`--set takes TERN_X=VALUE, not ${pair}`);
    if (ours.includes(match[1])) throw new Usage(`${match[1]} is the stack's own choice`);
    set[match[1]] = match[2];
  }
  return set;
}

function upOptions(options) {
  if (!['embedded', 'apache'].includes(options.kafka)) throw new Usage(`--kafka is ${options.kafka}, it has to be embedded or apache`);
  if (!['1', '3'].includes(options.kafkaNodes)) throw new Usage(`--kafka-nodes is ${options.kafkaNodes}, it has to be 1 or 3`);
  if (options.kafka === 'embedded' && options.kafkaNodes !== '1') throw new Usage('--kafka-nodes needs --kafka=apache');
  const set = settings(options.set);
  return {
    kafka: options.kafka,
    kafkaNodes: Number(options.kafkaNodes),
    messaging: count('messaging', options.messaging, 100),
    notification: count('notification', options.notification, 100),
    writer: count('writer', options.writer, 100),
    set,
    auth: set.TERN_AUTH !== 'off',
  };
}

/** What is missing is installed and built: `up` alone suffices on a fresh machine. */
function ensureSetup(kafka) {
  if (isBuilt() && (kafka !== 'apache' || existsSync(join(kafkaDir, 'libs')))) return;
  const r = spawnSync(join(root, 'scripts/setup'), [`--kafka=${kafka}`], { stdio: ['ignore', 'inherit', 'inherit'] });
  if (r.status !== 0) throw new Failure('scripts/setup failed');
  if (!isBuilt()) throw new Failure('the build made no programs');
}

async function up(dir, options) {
  const wanted = upOptions(options);
  ensureSetup(wanted.kafka);
  try {
    mkdirSync(dir, { recursive: true });
  } catch (e) {
    throw new Failure(`the folder ${dir} cannot be made (${e.code})`);
  }
  const stack = new Stack(realpathSync(dir));
  let interrupted = null;
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
    process.on(name, () => {
      interrupted = name;
      stack.abort.abort();
    });
  }
  try {
    await stack.up(wanted);
  } catch (e) {
    if (interrupted) process.exit(interrupted === 'SIGINT' ? 130 : 143);
    throw e;
  }
}

function logs(stack, name, follow) {
  if (!existsSync(stack.logs)) throw new Failure(`there are no logs in ${stack.dir}`);
  const files = name ? [stack.log(name)] : readdirSync(stack.logs).sort().map((f) => join(stack.logs, f));
  if (name && !existsSync(files[0])) throw new Failure(`there is no log of ${name}`);
  const args = follow ? ['-n', '50', '-F', ...files] : ['-n', '+1', ...files];
  return new Promise((done) => {
    const child = spawn('tail', args, { stdio: ['ignore', 'inherit', 'inherit'] });
    child.on('exit', done);
  });
}

async function run(words) {
  if (words.length === 0 || words.includes('--help') || words.includes('-h')) {
    process.stdout.write(usage);
    process.exitCode = words.length === 0 ? 2 : 0;
    return;
  }
  const { options, plain } = parse(words);
  const [command, dir, name] = plain;
  const named = ['kill', 'term', 'pause', 'cont', 'start'].includes(command);
  if (!named && !['up', 'down', 'logs'].includes(command)) throw new Usage(`unknown command ${command}`);
  if (!dir) throw new Usage(`${command} needs the stack's folder`);
  if (named && !name) throw new Usage(`${command} needs the name of a process`);
  if (plain.length > (named || command === 'logs' ? 3 : 2)) throw new Usage(`too many words: ${plain.slice(2).join(' ')}`);
  if (command === 'up') return up(resolve(dir), options);
  const stack = new Stack(existsSync(dir) ? realpathSync(dir) : resolve(dir));
  if (command === 'down') return stack.down();
  if (command === 'logs') return logs(stack, name, options.follow);
  return stack[command](name);
}

try {
  await run(process.argv.slice(2));
} catch (e) {
  report('scripts/stack', e);
  if (e instanceof Usage) {
    console.error('(scripts/stack --help)');
    process.exitCode = 2;
  }
}
