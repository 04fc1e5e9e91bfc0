// A real Prometheus reads a stack: every rule is evaluated without an error, a stack that is well fires no alert, and each panel of the
// dashboard has an answer.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { spawn } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { prometheus, root } from '../../scripts/lib/paths.mjs';
import { releasePorts, takePorts } from '../../scripts/lib/ports.mjs';
import { askOk, connected, recordEvents, say, waitForCount } from '../lib/sockets.js';
import { atEnd, scratchDir, startStack } from '../lib/stack.js';
import { openStream } from '../lib/streams.js';
import { waitFor } from '../lib/wait.js';

const names = ['messaging/0', 'notification/0', 'writer/0'];
const stack = await startStack({ set: { TERN_OPEN_CONVERSATIONS: 'on' } });
const dir = scratchDir('prometheus');
const url = await startPrometheus();

async function startPrometheus() {
  assert.ok(existsSync(prometheus), 'prometheus is missing: scripts/setup --tests fetches it');
  const rules = join(root, 'deploy/observability/rules.yaml');
  const targets = names.map((name) => new URL(stack.opsUrlOf(name)).host);
  writeFileSync(join(dir, 'prometheus.yml'), JSON.stringify({ global: { scrape_interval: '1s', evaluation_interval: '1s' }, rule_files: [rules], scrape_configs: [{ job_name: 'tern', static_configs: [{ targets }] }] }));
  const [port] = await takePorts(1, dir);
  atEnd(() => releasePorts([port]));
  const address = `127.0.0.1:${port}`;
  const child = spawn(prometheus, [`--config.file=${join(dir, 'prometheus.yml')}`, `--storage.tsdb.path=${join(dir, 'data')}`, `--web.listen-address=${address}`], { stdio: ['ignore', 'ignore', 'pipe'] });
  let said = '';
  child.stderr.on('data', (chunk) => (said += chunk));
  atEnd(() => child.kill('SIGKILL'));
  await waitFor(() => `Prometheus is ready: ${said.slice(-1000)}`, async () => (await fetch(`http://${address}/-/ready`).catch(() => null))?.ok, 20000);
  return `http://${address}`;
}

async function api(path) {
  const answer = await (await fetch(`${url}/api/v1/${path}`)).json();
  assert.equal(answer.status, 'success', `${path}: ${answer.error}`);
  return answer.data;
}

const query = async (expression) => (await api(`query?query=${encodeURIComponent(expression)}`)).result;
const value = async (expression) => Number((await query(expression))[0]?.value[1] ?? NaN);
const rulesNow = async () => (await api('rules')).groups.flatMap((g) => g.rules);

test('all three are scraped, and what a client does can be asked for', async () => {
  await waitFor('three targets are up', async () => (await value('sum(up{job="tern"})')) === 3, 20000);
  const id = `room-${randomUUID()}`;
  const [ada, bob] = [await connected(stack, 'messaging/0', 'ada'), await connected(stack, 'messaging/0', 'bob')];
  await openStream(stack, 'notification/0', 'ada');
  const seen = recordEvents(bob);
  for (const s of [ada, bob]) await askOk(s, 'join_conversation', id);
  for (let i = 0; i < 20; i++) await say(ada, id, `${i}`);
  await waitForCount(seen, 20);
  await waitFor('the connections are there', async () => (await value('sum(namespace:tern_connections:sum{state="joined"})')) === 3, 20000);
  await waitFor('so is the latency', async () => (await value('namespace:tern_publish_to_socket_seconds:p99_5m')) > 0, 20000);
});

test('every rule is evaluated without an error, and no alert fires or is about to', async () => {
  const rules = await waitFor('every rule was evaluated', async () => {
    const all = await rulesNow();
    return all.length > 30 && all.every((r) => r.health !== 'unknown') && all;
  }, 20000);
  assert.deepEqual(rules.filter((r) => r.health !== 'ok').map((r) => `${r.name}: ${r.lastError}`), []);
  assert.deepEqual(rules.filter((r) => r.type === 'alerting' && r.state !== 'inactive').map((r) => r.name), []);
});

test('every panel of the dashboard has an answer', async () => {
  const dashboard = JSON.parse(readFileSync(join(root, 'deploy/observability/dashboard.json'), 'utf8'));
  const panels = dashboard.panels.flatMap((p) => [p, ...(p.panels ?? [])]).filter((p) => p.targets);
  const silent = [];
  for (const { title, targets } of panels) {
    for (const { expr } of targets) {
      const result = await query(expr.replaceAll('$__rate_interval', '1m').replaceAll(/\$(namespace|instance)/g, '.*'));
      if (result.length === 0) silent.push(title);
    }
  }
  assert.deepEqual(silent, []);
});

test('an alert that should fire does: the writer dies', async () => {
  await stack.kill('writer/0');
  const pending = async () => (await rulesNow()).find((r) => r.name === 'TernNoWriter')?.state;
  await waitFor('TernNoWriter is pending', async () => (await pending()) === 'pending', 30000);
});
