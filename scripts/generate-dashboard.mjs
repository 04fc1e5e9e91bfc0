#!/usr/bin/env node
// Writes deploy/observability/dashboard.json, a Grafana dashboard, from the table of metrics: an overview that is chosen by hand, and
// a row for each section of the table with a panel for each of its metrics.
// With --check it writes nothing and fails if what is there differs.
import { writeOrCheck } from './lib/generated.mjs';
import { readMetrics } from './lib/tables.mjs';

const metrics = readMetrics();
const rate = '[$__rate_interval]';
const where = '{namespace=~"$namespace",instance=~"$instance"}';
const datasource = { type: 'prometheus', uid: '${datasource}' };
const columns = 3;
const width = 24 / columns;
const height = 8;

/** The metric's name; what is in no table stops the generator. */
function known(name) {
  const found = metrics.find((m) => m.name === name);
  if (!found) throw new Error(`the dashboard names ${name}, which is no metric`);
  return found;
}

const by = (labels) => (labels.length > 0 ? ` by (${labels.join(', ')})` : '');
const legend = (labels, word) => labels.map((l) => `{{${l}}}`).join(' ') || word;
const unitOf = { seconds: 's', bytes: 'bytes', '': 'short' };

function quantiles(metric, labels = metric.labels) {
  return [0.5, 0.99].map((q) => ({
    expr: `histogram_quantile(${q}, sum${by([...labels, 'le'])} (rate(${metric.name}_bucket${where}${rate})))`,
    legendFormat: `p${q * 100} ${legend(labels, '')}`.trim(),
  }));
}

function rates(metric, labels = metric.labels) {
  return [{ expr: `sum${by(labels)} (rate(${metric.name}${where}${rate}))`, legendFormat: legend(labels, 'all') }];
}

function sums(metric, labels = metric.labels.length > 0 ? metric.labels : ['instance']) {
  return [{ expr: `sum${by(labels)} (${metric.name}${where})`, legendFormat: legend(labels, 'all') }];
}

/** What a metric of this type is looked at by: {targets, unit}. */
function lookOf(metric) {
  if (metric.type === 'histogram') return { targets: quantiles(metric), unit: unitOf[metric.unit] };
  if (metric.type === 'counter') return { targets: rates(metric), unit: metric.unit === 'seconds' ? 'percentunit' : 'cps' };
  if (metric.name === 'process_start_time_seconds') return { targets: [{ expr: `time() - ${metric.name}${where}`, legendFormat: '{{instance}}' }], unit: 's' };
  return { targets: sums(metric), unit: unitOf[metric.unit] };
}

function ratio(used, limit) {
  return [{ expr: `max by (bound) (${known(used).name}${where} / (${known(limit).name}${where} > 0))`, legendFormat: '{{bound}}' }];
}

// ---- panels ----

let lastId = 0;

function panel(title, description, { targets, unit }) {
  return {
    id: ++lastId,
    type: 'timeseries',
    title,
    description,
    datasource,
    targets: targets.map((t, i) => ({ ...t, refId: String.fromCharCode(65 + i), datasource })),
    fieldConfig: { defaults: { unit, min: 0, custom: { lineWidth: 1, fillOpacity: 10, showPoints: 'never' } }, overrides: [] },
    options: { legend: { displayMode: 'list', placement: 'bottom' }, tooltip: { mode: 'multi', sort: 'desc' } },
  };
}

/** Places the panels of a row below y; the y below them. */
function place(panels, y) {
  panels.forEach((p, i) => (p.gridPos = { x: (i % columns) * width, y: y + Math.floor(i / columns) * height, w: width, h: height }));
  return y + Math.ceil(panels.length / columns) * height;
}

const overview = () => [
  panel('Connections', 'Open client connections by transport and state.', { targets: sums(known('tern_connections')), unit: 'short' }),
  panel('Events in and out', 'From clients, and to clients, a second.', {
    targets: [
      { expr: `sum (rate(${known('tern_events_in_total').name}${where}${rate}))`, legendFormat: 'in' },
      ...rates(known('tern_events_out_total')).map((t) => ({ ...t, legendFormat: 'out {{kind}}' })),
    ],
    unit: 'cps',
  }),
  panel('From Kafka to the sockets', known('tern_publish_to_socket_seconds').help, { targets: quantiles(known('tern_publish_to_socket_seconds')), unit: 's' }),
  panel('Records behind', "The gateways' readers by topic, and the writers.", {
    targets: [
      { expr: `max by (topic) (${known('tern_consumer_lag_records').name}${where})`, legendFormat: '{{topic}}' },
      { expr: `sum (${known('tern_writer_lag_records').name}${where})`, legendFormat: 'writers' },
    ],
    unit: 'short',
  }),
  panel('Age of what is not stored yet', known('tern_writer_lag_seconds').help, { targets: [{ expr: `max by (instance) (${known('tern_writer_lag_seconds').name}${where})`, legendFormat: '{{instance}}' }], unit: 's' }),
  panel('Clients that come back', 'By how it ended, and by the oldest place that was read.', {
    targets: [...rates(known('tern_resumes_total')), ...rates(known('tern_catchups_total')).map((t) => ({ ...t, legendFormat: 'from {{tier}}' }))],
    unit: 'cps',
  }),
  panel('What goes wrong', 'Dead letters, writes that Kafka did not confirm, reads that Postgres did not answer, dropped outboxes.', {
    targets: ['tern_dead_letters_total', 'tern_produce_errors_total', 'tern_store_errors_total', 'tern_outbox_drops_total'].map((name) => ({ ...rates(known(name), [])[0], legendFormat: name.replace(/^tern_|_total$/g, '').replaceAll('_', ' ') })),
    unit: 'cps',
  }),
  panel('How full the bounds in bytes are', 'The fullest instance.', { targets: ratio('tern_memory_used_bytes', 'tern_memory_limit_bytes'), unit: 'percentunit' }),
  panel('How full the bounds in number are', 'The fullest instance.', { targets: ratio('tern_entries_used', 'tern_entries_limit'), unit: 'percentunit' }),
];

function rowOf(title, panels, y, collapsed) {
  return { id: ++lastId, type: 'row', title, collapsed, gridPos: { x: 0, y, w: 24, h: 1 }, panels: collapsed ? panels : [] };
}

const capital = (text) => text[0].toUpperCase() + text.slice(1);
const titleOf = ({ name }) => capital(name.replace(/^tern_|_(total|seconds|bytes)$/g, '').replace(/_(total|seconds|bytes)$/, '').replaceAll('_', ' '));

function allPanels() {
  const first = overview();
  const rows = [rowOf('Overview', [], 0, false), ...first];
  let y = place(first, 1);
  for (const section of new Set(metrics.map((m) => m.section))) {
    const panels = metrics.filter((m) => m.section === section).map((m) => panel(titleOf(m), m.help, lookOf(m)));
    place(panels, y + 1);
    rows.push(rowOf(capital(section), panels, y, true));
    y += 1;
  }
  return rows;
}

function variable(name, query, options = {}) {
  return { name, type: 'query', datasource, query: { query, refId: name }, definition: query, refresh: 2, includeAll: true, multi: true, allValue: '.*', current: { text: 'All', value: '$__all' }, sort: 1, ...options };
}

const dashboard = {
  uid: 'tern',
  title: 'Tern',
  tags: ['tern'],
  editable: true,
  schemaVersion: 38,
  time: { from: 'now-1h', to: 'now' },
  refresh: '30s',
  templating: {
    list: [
      { name: 'datasource', type: 'datasource', query: 'prometheus' },
      variable('namespace', `label_values(${known('tern_build_info').name}, namespace)`),
      variable('instance', `label_values(${known('tern_build_info').name}{namespace=~"$namespace"}, instance)`),
    ],
  },
  panels: allPanels(),
};

const text = `${JSON.stringify(dashboard, null, 1)}\n`;
writeOrCheck('scripts/generate-dashboard.mjs', { 'deploy/observability/dashboard.json': text, 'deploy/k8s/components/grafana-dashboard/tern.json': text });
