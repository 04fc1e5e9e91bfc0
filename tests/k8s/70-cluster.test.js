// Both overlays on a real control plane, with pods that are processes: what an operator does, under load, costs nobody anything.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import pg from 'pg';
import { k8sDir } from '../lib/manifests.js';
import { startStack } from '../lib/stack.js';
import { waitFor } from '../lib/wait.js';
import { startCluster } from './lib/cluster.js';
import { Load } from './lib/load.js';

// Kafka and Postgres of the production overlay are outside the cluster.
const [stack, cluster] = await Promise.all([startStack({ messaging: 0, notification: 0, writer: 0 }), startCluster()]);
const production = 'tern';
const dev = 'tern-dev';
const services = ['tern-messaging', 'tern-notification', 'tern-writer'];
const auth = { hs256Secret: randomBytes(32).toString('hex'), issuer: 'tern', audience: 'tern' };
const drainMs = 4000;

const began = Date.now();
const say = (text) => console.log(`${((Date.now() - began) / 1000).toFixed(1)} s: ${text}`);

async function sql(text, database = 'postgres', user = null) {
  const address = new URL(stack.dsn);
  address.pathname = `/${database}`;
  if (user) Object.assign(address, { username: user, password: user });
  const client = new pg.Client({ connectionString: address.href });
  await client.connect();
  try {
    return (await client.query(text)).rows;
  } finally {
    await client.end();
  }
}

/** The production overlay with this test's Kafka, and other settings of the chat gateway. */
function overlay(messaging = {}) {
  const literals = (settings) => Object.entries(settings).map(([k, v]) => `${k}=${v}`);
  const merged = (name, settings, options) => ({ name, behavior: 'merge', literals: literals(settings), ...(options && { options }) });
  const kafka = { TERN_KAFKA_BOOTSTRAP_SERVERS: stack.bootstrap, TERN_KAFKA_SECURITY_PROTOCOL: 'PLAINTEXT', TERN_TOPIC_PREFIX: 'prod.' };
  return cluster.overlay('production', 'production', {
    configMapGenerator: [
      merged('tern-settings', kafka),
      merged('tern-migrate', kafka, { disableNameSuffixHash: true }),
      merged('tern-gateways', { TERN_AUTH_ISSUER: auth.issuer, TERN_DRAIN_MS: drainMs, TERN_TAIL_FILL_MS: 60000 }),
      merged('tern-messaging', messaging),
    ],
  });
}

async function makeSecrets() {
  const address = new URL(stack.dsn);
  Object.assign(address, { username: 'prod', password: 'prod', pathname: '/prod' });
  await cluster.kubectl('create', 'namespace', production);
  const make = (name, values) => cluster.kubectl('-n', production, 'create', 'secret', 'generic', name, ...Object.entries(values).map(([k, v]) => `--from-literal=${k}=${v}`));
  await make('tern-auth', { hs256: auth.hs256Secret });
  await make('tern-splice', { key: randomBytes(32).toString('hex') });
  await make('tern-postgres', { dsn: address.href, 'ca.crt': 'none' });
  await make('tern-kafka', { username: 'tern', password: 'tern', 'ca.crt': 'none' });
}

const pods = async (namespace, component) => (await cluster.get('-n', namespace, 'pods', '-l', `app.kubernetes.io/component=${component}`)).items;
const failedPods = async () => (await pods(production, 'migrate')).filter((p) => p.status.phase === 'Failed');

let load;
let urls;

function assertNobodyRefused(what) {
  const refused = Object.entries(cluster.counts()).filter(([name, c]) => name.startsWith(`${production}/`) && c.Refused > 0);
  assert.deepEqual(refused.map(([name, c]) => [name, c.Why]), [], what);
}

async function allWell(what) {
  await load.check(what);
  assertNobodyRefused(what);
  say(`${what}: ${load.acked.length} messages, ${load.published.length} notifications, ${load.returns()} returns`);
}

test('a migration that fails keeps everything waiting, and once it is mended all comes up', async () => {
  await sql("CREATE ROLE prod LOGIN PASSWORD 'prod'");
  await sql('CREATE DATABASE prod');
  await makeSecrets();
  await cluster.kubectl('apply', '-k', overlay());
  await waitFor('the Job fails', async () => (await failedPods()).length > 0, 60000);
  const [failed] = await failedPods();
  assert.match(cluster.podLog(production, failed.metadata.name, 'migrate'), /permission denied/);
  for (const c of ['messaging', 'notification', 'writer']) {
    for (const p of await pods(production, c)) assert.equal(p.status.phase, 'Pending', `${p.metadata.name} waits`);
  }
  await sql('GRANT CREATE ON SCHEMA public TO prod', 'prod');
  say('the migration is mended');
  await cluster.rolledOut(production, ...services);
  await cluster.kubectl('-n', production, 'wait', '--for=condition=complete', 'job', '--all', '--timeout=60s');
  await waitFor('the autoscaler asks for its least', async () => (await cluster.get('-n', production, 'deployment', 'tern-messaging')).spec.replicas === 3, 60000);
  await cluster.rolledOut(production, ...services);
  say('production is up');
});

test('dev comes up beside it, with Kafka and Postgres inside, and carries a message', async () => {
  await cluster.kubectl('apply', '-k', join(k8sDir, 'overlays/dev'));
  await cluster.rolledOut(dev, 'tern-kafka', 'tern-postgres', ...services);
  await cluster.kubectl('-n', dev, 'wait', '--for=condition=complete', 'job', '--all', '--timeout=120s');
  say('dev is up');
  const key = { hs256Secret: 'for-trying-out-only-0123456789abcdef', audience: 'tern' };
  const small = new Load({ urls: { messaging: await cluster.urlOf(dev, 'tern-messaging'), notification: await cluster.urlOf(dev, 'tern-notification') }, auth: key });
  await small.start({ readers: 2, senders: 1, streams: 1 });
  await waitFor('some messages', () => small.acked.length > 10 && small.published.length > 3, 20000);
  await small.stop();
  await small.check('dev');
  // It has shown what it had to; the machine is small.
  await cluster.kubectl('delete', 'namespace', dev, '--wait=false');
});

test('clients talk through the Services', async () => {
  urls = { messaging: await cluster.urlOf(production, 'tern-messaging'), notification: await cluster.urlOf(production, 'tern-notification') };
  load = new Load({ urls, auth });
  await load.start({ readers: 12, senders: 3, streams: 6 });
  await waitFor('some messages', () => load.acked.length > 50, 20000);
  await allWell('talk');
});

test('rollout restart of everything', async () => {
  const returns = load.returns();
  for (const name of services) await cluster.kubectl('-n', production, 'rollout', 'restart', `deployment/${name}`);
  await cluster.rolledOut(production, ...services);
  await waitFor('the last old pods go', async () => (await cluster.get('-n', production, 'pods', '-l', 'app.kubernetes.io/name=tern')).items.every((p) => !p.metadata.deletionTimestamp), 60000);
  assert.ok(load.returns() > returns, 'clients had to move');
  await allWell('rollout restart');
});

test('scale 3 to 10 and back', async () => {
  for (const replicas of [10, 3]) {
    for (const name of ['tern-messaging', 'tern-notification']) await cluster.kubectl('-n', production, 'scale', `deployment/${name}`, `--replicas=${replicas}`);
    await cluster.rolledOut(production, 'tern-messaging', 'tern-notification');
    for (const component of ['messaging', 'notification']) await waitFor(`${replicas} of ${component}`, async () => (await pods(production, component)).length === replicas, 90000);
    await allWell(`scale to ${replicas}`);
  }
});

test('a node is drained against the disruption budgets', async () => {
  const node = (await pods(production, 'messaging'))[0].spec.nodeName;
  await cluster.kubectl('drain', node, '--ignore-daemonsets', '--delete-emptydir-data', '--pod-selector=app.kubernetes.io/name=tern', '--timeout=120s');
  assert.equal((await cluster.get('-n', production, 'pods', '--field-selector', `spec.nodeName=${node}`)).items.filter((p) => p.status.phase === 'Running').length, 0);
  await cluster.kubectl('uncordon', node);
  await cluster.rolledOut(production, ...services);
  await allWell('node drained');
});

test('an eviction that the budget forbids is refused', async () => {
  const [first, ...others] = await pods(production, 'writer');
  assert.ok(others.length >= 1);
  const evict = async (pod) => {
    const file = join(cluster.dir, 'eviction.json');
    writeFileSync(file, JSON.stringify({ apiVersion: 'policy/v1', kind: 'Eviction', metadata: { name: pod.metadata.name, namespace: production } }));
    return cluster.try('create', '--raw', `/api/v1/namespaces/${production}/pods/${pod.metadata.name}/eviction`, '-f', file);
  };
  assert.equal((await evict(first)).code, 0);
  const second = await evict(others[0]);
  assert.notEqual(second.code, 0);
  assert.match(second.err, /disruption budget/);
  await cluster.rolledOut(production, 'tern-writer');
});

test('a bad setting stops a rollout, the old pods serve, and it is taken back', async () => {
  await cluster.kubectl('apply', '-k', overlay({ TERN_OUTBOX_BYTES_MAX: '1' }));
  const crashing = (p) => p.status.containerStatuses?.[0].lastState.terminated?.exitCode === 2;
  const bad = await waitFor('a new pod that ends with code 2', async () => (await pods(production, 'messaging')).find(crashing), 60000);
  assert.match(cluster.podLog(production, bad.metadata.name, 'messaging'), /TERN_OUTBOX_BYTES_MAX/);
  const { status } = await cluster.get('-n', production, 'deployment', 'tern-messaging');
  assert.equal(status.availableReplicas, 3);
  assert.equal(status.updatedReplicas, 1);
  await allWell('bad setting');
  await cluster.kubectl('apply', '-k', overlay());
  await cluster.rolledOut(production, 'tern-messaging');
  await allWell('setting taken back');
});

test('at the end everything is stored once, and nobody was refused a connection', async () => {
  await load.stop();
  await allWell('end');
  const stored = async () => (await sql(`SELECT id FROM message WHERE conversation_id = '${load.conversation}'`, 'prod', 'prod')).map((r) => r.id);
  await waitFor('all is stored', async () => (await stored()).length >= load.acked.length, 20000);
  assert.deepEqual((await stored()).sort(), [...load.acked].sort());
});
