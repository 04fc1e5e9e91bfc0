#!/usr/bin/env node
// Writes what deploy/k8s repeats of the tree: the Job that migrates, whose name tells which migrations and topics it brings,
// Strimzi's topics with the numbers of `ternctl topics create`, and Prometheus's rules as its operator takes them.
// With --check it writes nothing and fails if what is there differs.
import { createHash } from 'node:crypto';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { writeOrCheck } from './lib/generated.mjs';
import { root } from './lib/paths.mjs';

const read = (path) => readFileSync(join(root, path), 'utf8');
const topicsDef = read('proto/topics.def');

const version = /project\(tern VERSION (\S+)/.exec(read('CMakeLists.txt'))[1];
const migrations = readdirSync(join(root, 'migrations')).filter((name) => name.endsWith('.sql')).sort();

/** Another version, migration or topic gives another name: a finished Job does not run again under the old one. */
function jobHash() {
  const hash = createHash('sha256').update(version).update(topicsDef);
  for (const name of migrations) hash.update(name).update(read(`migrations/${name}`));
  return hash.digest('hex').slice(0, 10);
}

/** A number as topics.def writes it: 7 * TOPIC_DAY. */
function number(text) {
  const units = { TOPIC_MINUTE: 60000, TOPIC_DAY: 86400000 };
  return text.split('*').reduce((product, part) => product * (units[part.trim()] ?? Number(part)), 1);
}

function topicRows() {
  const found = [...topicsDef.matchAll(/^TOPIC\("([^"]+)", (\d+), "([^"]+)", ([^,]+), "([^"]*)"\)$/gm)];
  return found.map(([, name, partitions, cleanup, retention, text]) => ({ name, partitions: Number(partitions), cleanup, retention: number(retention), text }));
}

function partitionsDefault() {
  return Number(/"TERN_PARTITIONS", "(\d+)"/.exec(read('services/lib/topics/settings.def'))[1]);
}

/** What plan_fill() of services/lib/topics/topics.c asks for, on three brokers or more. */
function topicConfig({ cleanup, retention }) {
  const config = { 'cleanup.policy': cleanup, 'message.timestamp.type': 'LogAppendTime', 'unclean.leader.election.enable': 'false', 'min.insync.replicas': '2' };
  if (retention >= 0) config['retention.ms'] = String(retention);
  if (retention >= 0 && retention < 86400000) config['segment.ms'] = String(retention / 2);
  return config;
}

const made = '# Made by scripts/generate-k8s.mjs.\n';

function strimzi() {
  const topics = topicRows().map((row) => {
    const config = Object.entries(topicConfig(row)).map(([name, value]) => `    ${name}: "${value}"\n`);
    return `---
# ${row.text}
apiVersion: kafka.strimzi.io/v1beta2
kind: KafkaTopic
metadata:
  name: ${row.name}
  labels:
    strimzi.io/cluster: kafka
spec:
  topicName: ${row.name}
  partitions: ${row.partitions || partitionsDefault()}
  replicas: 3
  config:
${config.join('')}`;
  });
  return `${made}# The Job tern-migrate-* still has to register the topics' epochs, and finds them made.\n${topics.join('')}`;
}

function job() {
  return read('deploy/k8s/base/migrate.template.yaml').replace(/^#.*\n/, made).replaceAll('HASH', jobHash());
}

function prometheusRules() {
  const groups = read('deploy/observability/rules.yaml').replace(/^#.*\n/gm, '');
  return `${made}apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: tern
  labels:
    app.kubernetes.io/name: tern
    app.kubernetes.io/component: monitoring
spec:
${groups.trimEnd().replace(/^(?=.)/gm, '  ')}
`;
}

writeOrCheck('scripts/generate-k8s.mjs', {
  'deploy/k8s/base/migrate.yaml': job(),
  'deploy/k8s/components/strimzi-topics/topics.yaml': strimzi(),
  'deploy/k8s/components/prometheus-rules/rules.yaml': prometheusRules(),
});
