// What is made from the tables, and what is built on them: manual pages, rules, alerts, dashboard. No stack is needed.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { parse } from 'yaml';
import { binary, promtool, root } from '../../scripts/lib/paths.mjs';
import { readMetrics, readSettings, seriesOf, tablesOf } from '../../scripts/lib/tables.mjs';
import { kustomize } from '../lib/manifests.js';
import { scratchDir } from '../lib/stack.js';

const read = (path) => readFileSync(join(root, path), 'utf8');
const observability = join(root, 'deploy/observability');
const { groups } = parse(read('deploy/observability/rules.yaml'));
const rules = groups.flatMap((g) => g.rules);
const alerts = rules.filter((r) => r.alert);
const dashboard = JSON.parse(read('deploy/observability/dashboard.json'));
const metricOfSeries = new Map(readMetrics().flatMap((m) => seriesOf(m).map((name) => [name, m])));

function run(file, args, options) {
  const { status, stdout, stderr } = spawnSync(file, args, { encoding: 'utf8', ...options });
  return { status, said: stdout + stderr };
}

for (const script of ['generate-docs', 'generate-dashboard', 'generate-k8s', 'generate-proto']) {
  test(`what scripts/${script}.mjs makes is up to date`, () => {
    assert.deepEqual(run(join(root, `scripts/${script}.mjs`), ['--check']), { status: 0, said: '' });
  });
}

test('each program reads the settings that docs/settings.md says, with these defaults', () => {
  const page = read('docs/settings.md');
  for (const [program, tables] of Object.entries(tablesOf)) {
    const { status, said } = run(binary(program), ['--help']);
    assert.equal(status, 0, said);
    const helped = new Map([...said.matchAll(/^ {2}(TERN_[A-Z0-9_]+) \((.*?)(?:;.*)?\)$/gm)].map((m) => [m[1], m[2]]));
    const settings = tables.flatMap(readSettings);
    assert.deepEqual([...helped.keys()].sort(), settings.map((s) => s.env).sort(), program);
    for (const { env, def } of settings) {
      assert.equal(helped.get(env), def || 'unset', `${program} ${env}`);
      assert.ok(page.includes(`| \`${env}\` |`), `${env} stands in docs/settings.md`);
    }
  }
});

test('every metric stands in docs/metrics.md', () => {
  const page = read('docs/metrics.md');
  for (const { name } of readMetrics()) assert.ok(page.includes(`| \`${name}\` |`), name);
});

// ---- rules ----

test('promtool accepts the rules', () => {
  assert.ok(existsSync(promtool), 'promtool is missing: scripts/setup --tests fetches it');
  const { status, said } = run(promtool, ['check', 'rules', join(observability, 'rules.yaml')]);
  assert.equal(status, 0, said);
  assert.match(said, new RegExp(`${rules.length} rules found`));
});

test('each alert keeps quiet when all is usual and fires when it should', () => {
  const tried = new Map(parse(read('deploy/observability/rules.test.yaml')).tests.flatMap((t) => t.alert_rule_test).map((c) => [`${c.alertname} ${c.exp_alerts?.length > 0}`, c]));
  for (const { alert } of alerts) {
    assert.ok(tried.has(`${alert} false`), `${alert} has a case in which it keeps quiet`);
    assert.ok(tried.has(`${alert} true`), `${alert} has a case in which it fires`);
  }
  const { status, said } = run(promtool, ['test', 'rules', 'rules.test.yaml'], { cwd: observability });
  assert.equal(status, 0, said);
});

test('the cases see an alert that never fires and one that always does', () => {
  const dir = scratchDir('rules');
  const cases = parse(read('deploy/observability/rules.test.yaml'));
  writeFileSync(join(dir, 'rules.test.yaml'), JSON.stringify({ ...cases, tests: cases.tests.filter((t) => t.name === 'TernRelayBehind') }));
  const text = read('deploy/observability/rules.yaml');
  for (const changed of [text.replace('tern_relay_lag_seconds) > 60', 'tern_relay_lag_seconds) > 6000'), text.replace('tern_relay_lag_seconds) > 60', 'tern_relay_lag_seconds) > 0')]) {
    assert.notEqual(changed, text);
    writeFileSync(join(dir, 'rules.yaml'), changed);
    const { status, said } = run(promtool, ['test', 'rules', 'rules.test.yaml'], { cwd: dir });
    assert.notEqual(status, 0);
    assert.match(said, /TernRelayBehind/);
  }
});

// ---- what expressions name ----

const everywhere = new Set(['namespace', 'instance', 'le', 'pod']);

/** What is wrong with the metrics and label values that an expression names. */
function expressionFaults(expression, recorded) {
  const faults = [];
  for (const [, name, selector = ''] of expression.matchAll(/([a-z_]+(?::[a-z_0-9]+)*)(?![a-z_0-9:]|\s*\()(?:\{([^}]*)\})?/g)) {
    if (name.includes(':')) {
      if (!recorded.has(name)) faults.push(`${name} is not recorded`);
      continue;
    }
    if (!/^(tern|process)_/.test(name)) continue;
    const metric = metricOfSeries.get(name);
    if (!metric) faults.push(`${name} is no metric`);
    for (const [, label, , values] of selector.matchAll(/(\w+)(=~|!~|!=|=)"([^"]*)"/g)) {
      if (!metric || everywhere.has(label)) continue;
      const known = metric.labelValues[metric.labels.indexOf(label)];
      if (!known) faults.push(`${name} has no label ${label}`);
      for (const value of known ? values.split('|') : []) if (!known.includes(value)) faults.push(`${name} has no ${label} ${value}`);
    }
  }
  return faults;
}

const recorded = new Set(rules.filter((r) => r.record).map((r) => r.record));

test('the rules name what is there: metrics, labels, their values', () => {
  for (const { record, alert, expr } of rules) assert.deepEqual(expressionFaults(expr, recorded), [], record ?? alert);
  assert.deepEqual(expressionFaults('sum (rate(tern_dead_letter_total[5m])) > x:y:z', recorded), ['tern_dead_letter_total is no metric', 'x:y:z is not recorded']);
  assert.deepEqual(expressionFaults('tern_resumes_total{result="lost",tier="tail"}', recorded), ['tern_resumes_total has no result lost', 'tern_resumes_total has no label tier']);
});

test('the dashboard names what is there, and every metric has a panel', () => {
  const panels = dashboard.panels.flatMap((p) => [p, ...(p.panels ?? [])]).filter((p) => p.type === 'timeseries');
  const expressions = panels.flatMap((p) => p.targets.map((t) => t.expr));
  for (const expr of expressions) assert.deepEqual(expressionFaults(expr, new Set()), [], expr);
  for (const metric of readMetrics()) {
    const names = seriesOf(metric);
    assert.ok(expressions.some((e) => names.some((name) => new RegExp(`\\b${name}\\b`).test(e))), `${metric.name} has a panel`);
  }
  const ids = dashboard.panels.flatMap((p) => [p.id, ...(p.panels ?? []).map((q) => q.id)]);
  assert.equal(new Set(ids).size, ids.length, 'every panel has an id of its own');
  for (const p of panels) assert.ok(p.gridPos.x + p.gridPos.w <= 24 && p.title && p.description, p.title);
});

test('Prometheus can read every expression of the dashboard', () => {
  const path = join(scratchDir('dashboard'), 'rules.yaml');
  const expressions = dashboard.panels.flatMap((p) => [p, ...(p.panels ?? [])]).flatMap((p) => p.targets ?? []).map((t) => t.expr.replaceAll('$__rate_interval', '5m').replaceAll(/\$(namespace|instance)/g, '.*'));
  const check = (list) => {
    writeFileSync(path, JSON.stringify({ groups: [{ name: 'panels', rules: list.map((expr, i) => ({ record: `panel:${i}`, expr })) }] }));
    return run(promtool, ['check', 'rules', path]);
  };
  const { status, said } = check(expressions);
  assert.equal(status, 0, said);
  assert.notEqual(check([...expressions, 'sum(']).status, 0);
});

// ---- where they go ----

test('operations.md says what to do about each alert, and about no other', () => {
  const page = read('docs/operations.md');
  const section = page.slice(page.indexOf('\n## Alerts\n'));
  const told = [...section.matchAll(/^\| `(Tern\w+)` \|/gm)].map((m) => m[1]);
  assert.deepEqual(told, alerts.map((a) => a.alert));
  for (const { alert, labels, annotations } of alerts) {
    assert.ok(['critical', 'warning', 'info'].includes(labels.severity), alert);
    assert.ok(annotations.summary && annotations.description, alert);
  }
});

test('the components bring the same rules and the same dashboard', () => {
  const dir = scratchDir('components');
  const components = ['prometheus-rules', 'grafana-dashboard'].map((name) => join(root, 'deploy/k8s/components', name));
  const relative = (path) => '../'.repeat(dir.split('/').length - 1) + path.slice(1);
  writeFileSync(join(dir, 'kustomization.yaml'), JSON.stringify({ apiVersion: 'kustomize.config.k8s.io/v1beta1', kind: 'Kustomization', namespace: 'tern', components: components.map(relative) }));
  const objects = kustomize(dir).split(/^---$/m).map((text) => parse(text));
  const rule = objects.find((o) => o.kind === 'PrometheusRule');
  assert.equal(rule.apiVersion, 'monitoring.coreos.com/v1');
  assert.deepEqual(rule.spec.groups, groups);
  const map = objects.find((o) => o.kind === 'ConfigMap');
  assert.equal(map.metadata.labels.grafana_dashboard, '1');
  assert.deepEqual(JSON.parse(map.data['tern.json']), dashboard);
});
