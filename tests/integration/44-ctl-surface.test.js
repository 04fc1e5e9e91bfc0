// ternctl's commands from outside: help, man page, completion and exit codes are in step, and the embedded broker's limits are said.
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import test from 'node:test';
import { binDir, binary, root } from '../../scripts/lib/paths.mjs';
import { ctl, ctlOk } from '../lib/ctl.js';
import { scratchDir, startStack } from '../lib/stack.js';

const stack = await startStack({ kafka: 'embedded', messaging: 0, notification: 0, writer: 0 });
const run = (...args) => spawnSync(binary('ternctl'), args, { encoding: 'utf8', env: { PATH: process.env.PATH } });
const table = readFileSync(join(root, 'services/ctl/commands.def'), 'utf8');
const commands = [...table.matchAll(/^COMMAND\((\w+), "([^"]+)"/gm)].map(([, id, name]) => ({ id, name, options: [...table.matchAll(new RegExp(`^OPTION\\(${id}, "([^"]+)"`, 'gm'))].map((m) => m[1]) }));

test('each command has help with an example, and --json', () => {
  assert.ok(commands.length >= 14, String(commands.length));
  const all = run('--help').stdout;
  for (const { name, options } of commands) {
    assert.ok(all.includes(` ${name} `), name);
    const { status, stdout } = run(...name.split(' '), '--help');
    assert.equal(status, 0, name);
    assert.match(stdout, new RegExp(`example: ternctl ${name}`), name);
    assert.match(stdout, /exit code: 0 done, 1 failed, 2 usage, 3 partly done/);
    for (const option of [...options, 'json']) assert.ok(stdout.includes(`--${option}`), `${name} --${option}`);
  }
});

test('the man page and the completion name what the table names', () => {
  const page = run('--man').stdout.replaceAll('\\-', '-');
  for (const line of run('--man').stdout.split('\n')) if (line.startsWith('.')) assert.match(line, /^\.(TH|SH|SS|TP|B|I|PP|RS|RE|nf|fi)( |$)/);
  const complete = (...words) => execFileSync('bash', ['-c', `source <(${binary('ternctl')} --completion); COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _ternctl; printf '%s\\n' "\${COMPREPLY[@]}"`, 'bash', 'ternctl', ...words], { encoding: 'utf8' }).split('\n').filter(Boolean);
  for (const { name, options } of commands) {
    assert.ok(page.includes(`.SS ${name}`), name);
    const words = name.split(' ');
    assert.ok(complete(words[0].slice(0, 2)).includes(words[0]), name);
    if (words[1]) assert.ok(complete(words[0], '').includes(words[1]), name);
    assert.deepEqual(complete(...words, '--').sort(), [...options, 'help'].map((o) => `--${o}`).sort(), name);
    for (const option of options) assert.ok(page.split(`.SS ${name}`)[1].split('.SS ')[0].includes(`.B --${option}`), `${name} --${option}`);
  }
});

test('cmake installs them beside the programs', () => {
  const prefix = scratchDir('prefix');
  execFileSync('cmake', ['--install', dirname(binDir), '--prefix', prefix], { stdio: 'ignore' });
  for (const file of ['bin/ternctl', 'share/man/man1/ternctl.1', 'share/bash-completion/completions/ternctl']) assert.ok(existsSync(join(prefix, file)), file);
  assert.equal(readFileSync(join(prefix, 'share/man/man1/ternctl.1'), 'utf8'), run('--man').stdout);
  assert.equal(readFileSync(join(prefix, 'share/bash-completion/completions/ternctl'), 'utf8'), run('--completion').stdout);
});

test('exit codes mean what the help says', async () => {
  assert.equal(run('no-such').status, 2);
  assert.equal(run('replay', '--nothing').status, 2);
  assert.equal(run('replay', '--topic', 'a', '--to-topic', 'b', '--yes').status, 2, 'no brokers are named');
  await ctlOk(stack, ['topics', 'list']);
  await ctlOk(stack, ['tail', 'no.such.topic'], { code: 1 });
  await ctlOk(stack, ['tail', 'no.such.topic'], { code: 1 });
  await ctlOk(stack, ['dlq', 'list'], { postgres: false });
});

test('what the embedded broker cannot do is said', async () => {
  const refused = [
    ['replay', '--topic', 'chat.events', '--to-topic', 'x', '--yes'],
    ['replay', '--topic', 'chat.events', '--from', '-1h', '--dry-run'],
    ['dlq', 'redrive', '--all', '--yes'],
    ['dlq', 'drop', '--all', '--yes'],
    ['topics', 'create'],
  ];
  for (const args of refused) {
    const result = await ctl(stack, args);
    assert.equal(result.code, 1, `${args.join(' ')}: ${result.out}${result.err}`);
    assert.match(result.err, /not supported by the embedded broker/);
  }
});
