// The .def tables, for what is made from them: metrics and settings.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from './paths.mjs';

export const metricsDef = 'services/lib/base/metrics.def';

const cellsOf = (row) => [...row.matchAll(/"((?:[^"\\]|\\.)*)"|([^,"\s][^,"]*)/g)].map((c) => c[1] ?? c[2].trim());

/** The rows of a macro in a .def file as arrays of texts; strings lose their quotes. */
export function rowsOf(path, macro) {
  const text = readFileSync(join(root, path), 'utf8').replace(/\/\*[\s\S]*?\*\//g, '');
  return [...text.matchAll(new RegExp(`^${macro}\\(([\\s\\S]*?)\\)$`, 'gm'))].map(([, row]) => cellsOf(row));
}

// ---- metrics ----

const componentsOf = { METRICS_ALL: ['messaging', 'notification', 'writer'], METRICS_GATEWAYS: ['messaging', 'notification'], METRICS_WRITER: ['writer'], METRICS_MESSAGING: ['messaging'], METRICS_NOTIFICATION: ['notification'] };
const types = { COUNTER: 'counter', GAUGE: 'gauge', SECONDS: 'histogram', COUNTS: 'histogram', SECONDS_TOTAL: 'counter', SECONDS_GAUGE: 'gauge', BOUND: 'gauge' };

/** By the end of its name, as Prometheus has it. */
function unitOf(name) {
  if (/_seconds(_total)?$/.test(name)) return 'seconds';
  if (/_bytes(_total)?$/.test(name)) return 'bytes';
  return '';
}

function metricOf(section, [kind, , name, services, label, values, help]) {
  if (!(kind in types) || !(services in componentsOf) || !help) throw new Error(`${metricsDef}: the row of ${name} is not understood`);
  const labels = label ? label.split(',') : [];
  const sets = label ? values.split('|').map((pair) => pair.split(',')) : [];
  const labelValues = labels.map((_, i) => [...new Set(sets.map((set) => set[i]))]);
  return { section, kind, name, type: types[kind], unit: unitOf(name), components: componentsOf[services], labels, labelValues, help };
}

/** All metrics in the table's order; `section` is the comment above. */
export function readMetrics() {
  const found = [];
  let section = 'the process';
  for (const line of readFileSync(join(root, metricsDef), 'utf8').split('\n')) {
    const heading = /^\/\* ([^:(]*?)(?:[:(].*)? \*\/$/.exec(line);
    if (heading) section = heading[1];
    const row = /^METRIC\((.*)\)$/.exec(line);
    if (row) found.push(metricOf(section, cellsOf(row[1])));
  }
  return found;
}

/** The names of the series that a metric has in Prometheus. */
export function seriesOf({ name, type }) {
  return type === 'histogram' ? ['_bucket', '_sum', '_count'].map((end) => name + end) : [name];
}

// ---- settings ----

const gatewayTables = ['lib/auth', 'lib/bus', 'lib/feed', 'lib/http', 'lib/store'];
/** The tables of each program, as its main.c lists them. */
export const tablesOf = {
  'tern-messaging': ['messaging', ...gatewayTables, 'lib/peer', 'lib/fleet'],
  'tern-notification': ['notification', ...gatewayTables, 'lib/fleet'],
  'tern-writer': ['writer', 'lib/bus', 'lib/store'],
  ternctl: ['lib/bus', 'lib/topics', 'lib/store', 'lib/auth'],
  'tern-devbroker': ['devbroker', 'lib/bus', 'lib/topics', 'lib/store'],
};

/** The settings of one table. */
export function readSettings(table) {
  return rowsOf(`services/${table}/settings.def`, 'CONFIG').map(([type, , env, def, min, max, unit, text]) => ({ type, env, def, min, max, unit, text }));
}
