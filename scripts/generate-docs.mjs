#!/usr/bin/env node
// Writes the pages of the manual that are tables of the tree: docs/metrics.md and docs/settings.md.
// With --check it writes nothing and fails if what is there differs.
import { writeOrCheck } from './lib/generated.mjs';
import { readMetrics, readSettings, tablesOf } from './lib/tables.mjs';

const made = '<!-- Made by scripts/generate-docs.mjs. -->\n';
const cell = (text) => text.replaceAll('|', '\\|');
const code = (text) => `\`${cell(text)}\``;
const capital = (text) => text[0].toUpperCase() + text.slice(1);

// ---- metrics ----

const programNames = { messaging: 'messaging', notification: 'notification', writer: 'writer' };

function labelText({ labels, labelValues }) {
  return labels.map((label, i) => `${code(label)}: ${labelValues[i].join(', ')}`).join('<br>') || '-';
}

function whoHas({ components }) {
  return components.length === 3 ? 'all' : components.length === 2 ? 'gateways' : programNames[components[0]];
}

function metricsPage() {
  const metrics = readMetrics();
  const sections = [...new Set(metrics.map((m) => m.section))];
  const tables = sections.map((section) => {
    const rows = metrics.filter((m) => m.section === section).map((m) => `| ${code(m.name)} | ${m.type} | ${m.unit || '-'} | ${labelText(m)} | ${whoHas(m)} | ${cell(m.help)} |\n`);
    return `## ${capital(section)}\n\n| metric | type | unit | labels | of | meaning |\n|---|---|---|---|---|---|\n${rows.join('')}`;
  });
  return `${made}# Metrics

Each service answers \`GET /metrics\` on its ops port (9306 messaging, 9305 notification, 9307 writer) in Prometheus's text format. Every label has
a fixed list of values, so the number of series does not grow with users, rooms or time. Counters start at 0 with the process; a
histogram has the series \`_bucket\`, \`_sum\` and \`_count\`.

[deploy/observability](../deploy/observability) holds recording rules, alerts and a Grafana dashboard over these metrics;
[operations.md](operations.md#alerts) says what to do when an alert comes.

${tables.join('\n')}`;
}

// ---- settings ----

const titles = {
  messaging: 'Chat gateway',
  notification: 'Notification gateway',
  writer: 'Writer',
  devbroker: 'Embedded broker',
  'lib/auth': 'Authentication',
  'lib/bus': 'Kafka',
  'lib/feed': "The log's tail",
  'lib/http': 'HTTP',
  'lib/peer': 'Splices between chat gateways',
  'lib/fleet': 'The fleet',
  'lib/store': 'Postgres',
  'lib/topics': 'Topics',
};

/** As add_range() of services/lib/base/config.c says it. */
function rangeOf({ type, min, max, unit }) {
  if (type === 'U32' || type === 'U64') return `${min} to ${max} ${unit}`;
  if (type === 'BOOL') return 'on, off';
  if (type === 'SECRET') return 'path of a file';
  return unit.replaceAll('|', ', ') || '-';
}

function settingsPage() {
  const tables = Object.keys(titles).map((table) => {
    const programs = Object.keys(tablesOf).filter((program) => tablesOf[program].includes(table));
    const rows = readSettings(table).map((s) => `| ${code(s.env)} | ${s.def ? code(s.def) : 'unset'} | ${cell(rangeOf(s))} | ${cell(s.text)} |\n`);
    return `## ${titles[table]}\n\nRead by ${programs.map(code).join(', ')}.\n\n| setting | default | values | meaning |\n|---|---|---|---|\n${rows.join('')}`;
  });
  return `${made}# Settings

All settings come from the environment. \`--help\` of a program lists those that it reads, \`--print-settings\` shows what is in force, without
secrets. Wrong ones are all named at once, with the value and the range (exit code 2); a \`TERN_\` variable that a program does not know is
a warning in its log.

Any property of librdkafka is a setting too: \`TERN_KAFKA_A_B\` is \`a.b\`, as in \`TERN_KAFKA_BOOTSTRAP_SERVERS\` or
\`TERN_KAFKA_SASL_MECHANISM\`. What bounds memory, and what happens at each bound, stands in [ARCHITECTURE.md](../ARCHITECTURE.md#what-bounds-memory).

${tables.join('\n')}`;
}

writeOrCheck('scripts/generate-docs.mjs', { 'docs/metrics.md': metricsPage(), 'docs/settings.md': settingsPage() });
