// ternctl replay from topic to topic, on Kafka alone: byte for byte, without a hole or a double over kills.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { ctl, ctlJson, ctlOk, startCtl } from '../lib/ctl.js';
import { kafkajsAdmin, kafkajsProducer, kcatRead, readRecords } from '../lib/records.js';
import { scratchDir, startStack } from '../lib/stack.js';
import { sleep, waitFor } from '../lib/wait.js';

const stack = await startStack({ messaging: 0, notification: 0, writer: 0 });
const admin = await kafkajsAdmin(stack);
const producer = await kafkajsProducer(stack, { idempotent: true });
const kafkaOnly = { postgres: false };
const dir = scratchDir('replay');

async function makeTopic(topic, numPartitions, configEntries = []) {
  await admin.createTopics({ topics: [{ topic, numPartitions, configEntries }], waitForLeaders: false });
  await waitFor(`${topic} is there`, async () => (await partitionsOf(topic).catch(() => 0)) === numPartitions);
}

async function partitionsOf(topic) {
  const { topics } = await admin.fetchTopicMetadata({ topics: [topic] });
  return topics[0].partitions.length;
}

const audits = async (topic) => (await kcatRead(stack, 'audit')).map((r) => JSON.parse(r.value)).filter((a) => a.topic === topic);

/** n records over some keys; each value says its place among those of its key. */
async function fill(topic, n, keys, headers = () => ({})) {
  const messages = Array.from({ length: n }, (_, i) => ({ key: `k${i % keys}`, value: JSON.stringify({ n: i, k: i % keys }), headers: headers(i) }));
  for (let i = 0; i < n; i += 2000) await producer.send({ topic, messages: messages.slice(i, i + 2000) });
}

/** Every value once, in the order of its key. */
function assertWhole(records, n, keys) {
  const values = records.map((r) => JSON.parse(r.value));
  assert.equal(values.length, n);
  assert.equal(new Set(values.map((v) => v.n)).size, n);
  for (let k = 0; k < keys; k++) {
    const own = values.filter((v) => v.k === k).map((v) => v.n);
    assert.deepEqual(own, [...own].sort((a, b) => a - b), `the order of k${k}`);
  }
}

test('records are copied as they are, valid or not, into a topic made with the source\'s partitions and settings', async () => {
  await makeTopic('odd', 5, [{ name: 'retention.ms', value: '777000000' }]);
  const odd = [
    { partition: 0, key: 'a', value: 'text' },
    { partition: 0, key: null, value: 'no key' },
    { partition: 1, key: '', value: '' },
    { partition: 1, key: 'gone', value: null },
    { partition: 2, key: randomBytes(40), value: randomBytes(5000), headers: { bytes: randomBytes(30), empty: '' } },
    { partition: 3, key: 'a', value: '{"a":', headers: { twice: ['1', '2'], ce_id: 'x' } },
    { partition: 4, key: 'big', value: 'x'.repeat(900000) },
  ];
  await producer.send({ topic: 'odd', messages: odd });
  const done = await ctlJson(stack, ['replay', '--topic', 'odd', '--to-topic', 'odd.copy', '--yes'], kafkaOnly);
  assert.equal(done.copied, odd.length);
  assert.equal(await partitionsOf('odd.copy'), 5);
  const bare = (records) => records.map(({ partition, key, value, headers }) => ({ partition, key, value, headers }));
  assert.deepEqual(bare(await readRecords(stack, 'odd.copy', odd.length)), bare(await readRecords(stack, 'odd', odd.length)));
  const { resources } = await admin.describeConfigs({ includeSynonyms: false, resources: [{ type: 2, name: 'odd.copy', configNames: ['retention.ms'] }] });
  assert.equal(resources[0].configEntries[0].configValue, '777000000');
});

test('a dry run counts exactly what a replay with the same filters and ranges copies', async () => {
  await makeTopic('many', 4);
  await fill('many', 1000, 20, (i) => ({ ce_type: i % 2 ? 'tern.odd' : 'tern.even', third: String(i % 3) }));
  const cases = [
    [[], 1000],
    [['--key', 'k3'], 50],
    [['--type', 'odd'], 500],
    [['--type', 'tern.even', '--header', 'third=0'], 167],
    [['--header', 'third'], 1000],
    [['--where', '.value.n >= 990 and .headers.third != "0"'], 6],
    [['--from', '0:5,end', '--to', '0:12,end'], 7],
    [['--from', '-1h'], 1000],
    [['--from', '2001-01-01T00:00:00Z', '--to', '-1h'], 0],
  ];
  for (const [i, [filter, want]] of cases.entries()) {
    const args = ['replay', '--topic', 'many', ...filter];
    const dry = await ctlJson(stack, [...args, '--dry-run'], kafkaOnly);
    assert.equal(dry.records, want, args.join(' '));
    for (const by of ['partitions', 'types', 'sizes']) assert.equal(dry[by].reduce((sum, c) => sum + c.records, 0), want, by);
    const done = await ctlJson(stack, [...args, '--to-topic', `many.${i}`, '--yes'], kafkaOnly);
    assert.deepEqual([done.copied, done.bytes], [want, dry.bytes]);
    assert.equal((await kcatRead(stack, `many.${i}`)).length, want);
  }
  assert.ok(!(await admin.listTopics()).includes('many.dry'), 'a dry run makes no topic');
});

test('killed again and again it goes on from its checkpoint without a hole or a double', async () => {
  const n = 12000;
  const keys = 7;
  await makeTopic('long', 3);
  await fill('long', n, keys);
  const file = join(dir, 'long.json');
  const args = ['replay', '--topic', 'long', '--to-topic', 'long.copy', '--rate', '2000', '--checkpoint', file, '--yes', '--json'];
  let committed = 0;
  for (const laterMs of [0, 350, 700]) {
    const run = startCtl(stack, args, kafkaOnly);
    const before = committed;
    await waitFor(
      'another transaction',
      async () => {
        committed = (await kcatRead(stack, 'long.copy').catch(() => [])).length;
        return committed > before;
      },
      20000,
    );
    // A kill can fall anywhere into the next transaction: there is nothing to wait for but time.
    await sleep(laterMs);
    run.child.kill('SIGKILL');
    assert.equal((await run.end).signal, 'SIGKILL', run.err);
  }
  const soFar = (await kcatRead(stack, 'long.copy')).length;
  assert.ok(soFar > 0 && soFar < n, `the kills came before the end: ${soFar}`);
  const done = JSON.parse((await ctlOk(stack, [...args, '--rate', '100000'], kafkaOnly)).out);
  assert.equal(done.copied, n, 'the counts are of all runs');
  assertWhole(await kcatRead(stack, 'long.copy'), n, keys);
  assert.match((await ctlOk(stack, args, kafkaOnly)).out, /done/);
  assert.equal((await kcatRead(stack, 'long.copy')).length, n);
  assert.deepEqual((await admin.listGroups()).groups.filter((g) => g.groupId.includes('replay')), []);
});

test('Ctrl-C stops it with exit code 3, and it goes on; the audit tells who, what, when, how many', async () => {
  await makeTopic('stopped', 2);
  await fill('stopped', 4000, 5);
  const file = join(dir, 'stopped.json');
  const args = ['replay', '--topic', 'stopped', '--to-topic', 'stopped.copy', '--checkpoint', file, '--yes'];
  const run = startCtl(stack, [...args, '--rate', '1000'], kafkaOnly);
  await waitFor('the first transaction', () => existsSync(file) && JSON.parse(readFileSync(file)).state === 'copying');
  run.child.kill('SIGINT');
  const first = await run.end;
  assert.equal(first.code, 3, first.err);
  assert.match(first.err, /goes on/);
  const copied = Number(/copied (\d+) of/.exec(first.out)[1]);
  assert.equal((await kcatRead(stack, 'stopped.copy')).length, copied);
  await ctlOk(stack, args, kafkaOnly);
  assertWhole(await kcatRead(stack, 'stopped.copy'), 4000, 5);

  const records = await audits('stopped');
  assert.deepEqual(records.map((a) => a.state), ['begun', 'partly', 'begun', 'done']);
  assert.equal(records[1].copied, copied);
  assert.equal(records[3].copied, 4000);
  for (const a of records) {
    assert.match(a.operator, /.@./);
    assert.equal(a['to-topic'], 'stopped.copy');
    assert.ok(Math.abs(Date.parse(a.at) - Date.now()) < 60000);
  }
  const other = await ctl(stack, ['replay', '--topic', 'many', '--to-topic', 'x', '--checkpoint', file, '--yes'], kafkaOnly);
  assert.equal(other.code, 1);
  assert.match(other.err, /another replay/);
});

test('what must not be is refused before anything is written', async () => {
  const refused = [
    [['--topic', 'many', '--to-topic', 'many', '--yes'], 2, /own source/],
    [['--topic', 'many', '--to-topic', 'x'], 2, /--yes/],
    [['--topic', 'many', '--yes'], 2, /target/],
    [['--topic', 'many', '--to-topic', 'x', '--yes', '--from', 'yesterday'], 2, /--from is yesterday/],
    [['--topic', 'many', '--to-topic', 'x', '--yes', '--where', '.a ||'], 2, /--where/],
    [['--topic', 'nowhere', '--to-topic', 'x', '--yes'], 1, /nowhere: no such topic/],
  ];
  for (const [args, code, said] of refused) {
    const result = await ctl(stack, ['replay', ...args], kafkaOnly);
    assert.equal(result.code, code, `${args.join(' ')}: ${result.err}`);
    assert.match(result.err, said);
  }
  assert.ok(!(await admin.listTopics()).some((t) => ['x', 'nowhere'].includes(t)));
});
