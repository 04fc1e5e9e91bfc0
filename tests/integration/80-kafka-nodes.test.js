// A Kafka of three nodes, as scripts/stack makes it: what is acked stands on two of them, so one may die, the leader too.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { binary, root } from '../../scripts/lib/paths.mjs';
import { waitStored } from '../lib/database.js';
import { javaPartition, kafkajsAdmin } from '../lib/records.js';
import { createConversation } from '../lib/rest.js';
import { ask, askOk, assertIds, connected, recordEvents, say, waitForCount } from '../lib/sockets.js';
import { atEnd, scratchDir, startStack } from '../lib/stack.js';
import { waitFor } from '../lib/wait.js';

const names = ['kafka/0', 'kafka/1', 'kafka/2'];

function run(file, words, env = process.env) {
  return new Promise((done) => {
    const child = spawn(file, words, { env, stdio: ['ignore', 'pipe', 'pipe'] });
    let out = '';
    child.stdout.on('data', (chunk) => (out += chunk));
    child.stderr.on('data', (chunk) => (out += chunk));
    child.on('exit', (code) => done({ code, out }));
  });
}

const stack = await startStack({ kafkaNodes: 3, messaging: 2, notification: 0, writer: 1 });
const environment = { ...process.env, TERN_KAFKA_BOOTSTRAP_SERVERS: stack.bootstrap, TERN_POSTGRES_DSN: stack.dsn };

/** Who leads a partition of chat.events, and who is in sync: names of the stack. */
async function partitionState(admin, partition) {
  const { topics } = await admin.fetchTopicMetadata({ topics: ['chat.events'] });
  const { leader, replicas, isr } = topics[0].partitions.find((p) => p.partitionId === partition);
  const name = (node) => `kafka/${node - 1}`;
  return { leader: name(leader), replicas: replicas.map(name).sort(), inSync: isr.map(name).sort() };
}

test('scripts/stack knows three nodes by their names, and one as kafka', async () => {
  const dir = scratchDir('nodes');
  const command = (...words) => run(join(root, 'scripts/stack'), words);
  atEnd(() => command('down', dir));
  const up = await command('up', dir, '--kafka=apache', '--kafka-nodes', '3', '--messaging', '0', '--notification', '0', '--writer', '0');
  assert.equal(up.code, 0, up.out);
  const facts = JSON.parse(readFileSync(join(dir, 'stack.json'), 'utf8'));
  assert.deepEqual(Object.keys(facts.processes).sort(), [...names, 'postgres']);
  assert.equal(facts.kafka.bootstrap.split(',').length, 3);
  for (const word of ['pause', 'cont', 'kill', 'start']) {
    const { code, out } = await command(word, dir, 'kafka/1');
    assert.equal(code, 0, `${word}: ${out}`);
  }
  assert.equal((await command('kill', dir, 'kafka')).code, 1, 'kafka alone is the name of a single node');
  assert.equal((await command('up', scratchDir('two'), '--kafka=apache', '--kafka-nodes', '2')).code, 2);
  assert.equal((await command('down', dir)).code, 0);
});

test('each topic has three replicas, two of which have to confirm, and doctor agrees', async () => {
  const admin = await kafkajsAdmin(stack);
  const listed = await admin.listTopics();
  const { topics } = await admin.fetchTopicMetadata({ topics: listed.filter((name) => !name.startsWith('__')) });
  assert.ok(topics.length >= 10);
  for (const topic of topics) for (const p of topic.partitions) assert.equal(p.replicas.length, 3, topic.name);
  const { resources } = await admin.describeConfigs({ includeSynonyms: false, resources: topics.map((t) => ({ type: 2, name: t.name, configNames: ['min.insync.replicas', 'unclean.leader.election.enable'] })) });
  for (const r of resources) {
    const of = (name) => r.configEntries.find((e) => e.configName === name).configValue;
    assert.equal(of('min.insync.replicas'), '2', r.resourceName);
    assert.equal(of('unclean.leader.election.enable'), 'false', r.resourceName);
  }
  const doctor = await run(binary('ternctl'), ['doctor'], environment);
  assert.equal(doctor.code, 0, doctor.out);
});

test('the leader of a conversation dies, and its talk goes on; with two dead nothing is acked', async () => {
  const admin = await kafkajsAdmin(stack);
  const id = await createConversation(stack, { owner: 'ada', members: ['bob'] });
  const ada = await connected(stack, 'messaging/0', 'ada');
  const bob = await connected(stack, 'messaging/1', 'bob');
  const seen = recordEvents(bob);
  for (const socket of [ada, bob]) await askOk(socket, 'join_conversation', id);
  const ids = [];
  const talk = async (count) => {
    for (let n = 0; n < count; n++) ids.push((await say(ada, id, `message ${n}`, { clientId: `talk-${ids.length}` })).id);
  };
  await talk(20);
  const { leader, replicas } = await partitionState(admin, javaPartition(id, 16));
  assert.deepEqual(replicas, names);
  await stack.kill(leader);
  await talk(20);
  const second = (await partitionState(admin, javaPartition(id, 16))).leader;
  assert.notEqual(second, leader);

  await stack.kill(names.find((name) => name !== leader && name !== second));
  const answer = await ask(ada, 'send_message', { conversationId: id, content: 'alone', clientId: 'alone' });
  assert.equal(answer.ok, false, 'one replica is not enough');
  assert.ok(['failed', 'unknown', 'busy'].includes(answer.error.code), answer.error.code);
  for (const name of names) if (!stack.isAlive(name)) await stack.start(name); // the first while the other is still dead
  await waitFor('all are in sync', async () => (await partitionState(admin, javaPartition(id, 16))).inSync.length === 3, 30000);
  await waitFor('the same send, told again, is acked', async () => {
    const again = await ask(ada, 'send_message', { conversationId: id, content: 'alone', clientId: 'alone' });
    if (again.ok) ids.push(again.message.id);
    return again.ok;
  }, 30000);
  await talk(5);
  await waitForCount(seen, ids.length);
  assertIds(seen, ids);
  assert.deepEqual(await waitStored(stack, id, ids.length), ids);
});
