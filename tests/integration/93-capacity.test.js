// docs/capacity.md: the worksheet prints what the page says, it starts from the figures of the bench and from the settings' defaults,
// and its formulas are held against ones that are reckoned here by hand.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { root } from '../../scripts/lib/paths.mjs';
import { testPage } from '../lib/manual.js';

const read = (path) => readFileSync(join(root, path), 'utf8');
const dir = testPage('docs/capacity.md');
const source = readFileSync(join(dir, 'capacity.mjs'), 'utf8');

/** The value of a constant of the worksheet. */
function constant(name) {
  const text = new RegExp(`^const ${name} = ([^;]+);`, 'm').exec(source)?.[1];
  assert.match(text ?? '', /^[\d.e+*/ -]+$/, name);
  return Function(`return ${text}`)();
}

test('the measured figures are those of the bench', () => {
  const bench = read('tests/bench/README.md');
  const measured = {
    memoryOfConnection: ['9.51 KB', 9.51e3],
    coreOfDelivery: ['5.47 us', 5.47e-6],
    coreOfMessage: ['57 us', 57e-6],
    connectsPerSecond: ['1,791 ms', 5000 / 1.791],
    rowsPerSecond: ['35,000', 35000],
  };
  for (const [name, [text, value]] of Object.entries(measured)) {
    assert.ok(bench.includes(text), `tests/bench/README.md no longer says ${text}: docs/capacity.md has to follow`);
    assert.ok(Math.abs(constant(name) / value - 1) < 1e-9, `${name} is ${constant(name)}`);
  }
});

test('the bounds are the settings\' defaults', () => {
  const defaults = (path, env) => Number(new RegExp(`"${env}", "(\\d+)"`).exec(read(path))[1]);
  const feed = 'services/lib/feed/settings.def';
  const bus = 'services/lib/bus/settings.def';
  const mib = (bytes) => bytes / 2 ** 20;
  const kib = (n) => n / 1024;
  assert.equal(
    constant('boundsMiB'),
    mib(defaults(feed, 'TERN_TAIL_BYTES_MAX')) +
      kib(defaults(bus, 'TERN_CONSUMER_KBYTES_MAX') + defaults(bus, 'TERN_PRODUCER_KBYTES_MAX') + defaults(bus, 'TERN_VOLATILE_KBYTES_MAX')) +
      2 * mib(defaults(feed, 'TERN_SHARD_CREDIT_BYTES')),
  );
  assert.equal(constant('connectionsMax'), defaults('services/messaging/settings.def', 'TERN_CONNECTIONS_MAX'));
  const parts = Number(/#define REFRESH_PARTS (\d+)/.exec(read('services/messaging/session.c'))[1]);
  assert.equal(constant('refreshSeconds'), (defaults(feed, 'TERN_TAIL_FILL_MS') + defaults(feed, 'TERN_DEDUPE_WINDOW_MS')) / parts / 1000);
});

test('the formulas, by hand', () => {
  const out = execFileSync(process.execPath, [join(dir, 'capacity.mjs'), 'users=36000', 'devices=1', 'messages=10', 'members=5', 'reads=1', 'bytes=1000', 'replicas=2', 'days=1'], { encoding: 'utf8' });
  const value = (what) => Number(new RegExp(`^${what} +([\\d.,]+)`, 'm').exec(out)[1].replaceAll(',', ''));
  assert.equal(value('sockets'), 36000);
  assert.equal(value('messages'), 100); // 36,000 * 10 / 3,600
  assert.equal(value('deliveries'), 1000); // 200 events to 5 sockets each
  assert.equal(value('chat gateways'), 3); // 12,000 each
  assert.equal(value('records into Kafka'), 500); // 200 events, 36,000 sessions in 120 s
  assert.equal(value('into Kafka'), 0.5);
  assert.equal(value('out of Kafka'), 2.5); // three gateways, a writer, one more copy
  assert.equal(value("Kafka's disks"), 86.4); // 0.5 MB * 2 * 86,400 s
  assert.equal(value('row changes in Postgres'), 600); // 200 for messages, 100 marks, 300 sessions
  assert.equal(value('cores of the chat gateways'), 0.0147); // 200 * 57 us + 600 * 5.47 us
  assert.equal(value('memory of a chat gateway'), 311); // 18,000 * 9.51 kB and 148 MiB
});
