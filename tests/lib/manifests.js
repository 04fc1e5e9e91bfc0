// What an overlay builds, and look-ups in it.
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { parseAllDocuments } from 'yaml';
import { root } from '../../scripts/lib/paths.mjs';
import { readMetrics, readSettings, tablesOf } from '../../scripts/lib/tables.mjs';

export const k8sDir = join(root, 'deploy/k8s');

export function parseManifests(text) {
  return parseAllDocuments(text).map((d) => d.toJS()).filter(Boolean);
}

/** `kubectl kustomize` of a folder: its text. */
export function kustomize(dir) {
  const r = spawnSync('kubectl', ['kustomize', dir], { encoding: 'utf8', maxBuffer: 1 << 26 });
  if (r.error) throw new Error(`kubectl (1.27 or later) is needed on PATH: ${r.error.message}`);
  if (r.status !== 0) throw new Error(`kubectl kustomize ${dir}: ${r.stderr}`);
  return r.stdout;
}

/** Whether labels fit a selector with matchLabels and matchExpressions; an empty one fits all. */
export function selects(selector, labels) {
  if (!selector) return false;
  const exact = Object.entries(selector.matchLabels ?? {}).every(([k, v]) => labels?.[k] === v);
  return exact && (selector.matchExpressions ?? []).every(({ key, operator, values }) => {
    if (operator === 'In') return values.includes(labels?.[key]);
    if (operator === 'NotIn') return !values.includes(labels?.[key]);
    return (operator === 'Exists') === Object.hasOwn(labels ?? {}, key);
  });
}

export class Manifests {
  /** secrets: Secrets that somebody else makes. */
  constructor(objects, secrets = []) {
    this.objects = objects;
    this.secrets = secrets;
  }

  static of(overlay) {
    const dir = join(k8sDir, 'overlays', overlay);
    const example = join(dir, 'secrets.example.yaml');
    return new Manifests(parseManifests(kustomize(dir)), existsSync(example) ? parseManifests(readFileSync(example, 'utf8')) : []);
  }

  /** A copy in which `change` may break something. */
  altered(change) {
    const copy = structuredClone(this);
    const other = new Manifests(copy.objects, copy.secrets);
    change(other);
    return other;
  }

  kind(kind) {
    return this.objects.filter((o) => o.kind === kind);
  }

  get(kind, name) {
    return this.objects.find((o) => o.kind === kind && o.metadata.name === name);
  }

  /** A ConfigMap by the name that its generator gave it. */
  generated(name) {
    return this.kind('ConfigMap').find((o) => o.metadata.name.replace(/-[a-z0-9]{10}$/, '') === name || o.metadata.name === name);
  }

  secret(name) {
    return this.get('Secret', name) ?? this.secrets.find((s) => s.metadata.name === name);
  }

  /** All that makes pods: [{name, kind, component, object, template}]. */
  workloads() {
    return this.objects
      .filter((o) => o.spec?.template?.spec?.containers)
      .map((object) => ({ object, kind: object.kind, name: object.metadata.name, template: object.spec.template, labels: object.spec.template.metadata.labels, pod: object.spec.template.spec }));
  }

  ours() {
    return this.workloads().filter((w) => w.labels['app.kubernetes.io/name'] === 'tern');
  }
}

export const componentOf = (labels) => labels['app.kubernetes.io/component'] ?? labels['app.kubernetes.io/name'];
export const allContainers = (pod) => [...(pod.initContainers ?? []), ...pod.containers];

/** A container's environment: {NAME: {value} | {from: 'status.podIP'} | {secret, key}}; faults go to `complain`. */
export function environment(m, container, complain = () => {}) {
  const env = {};
  for (const { configMapRef, secretRef } of container.envFrom ?? []) {
    const source = configMapRef ? m.get('ConfigMap', configMapRef.name) : m.secret(secretRef.name);
    if (!source) complain(`there is no ${configMapRef ? 'ConfigMap' : 'Secret'} ${(configMapRef ?? secretRef).name}`);
    for (const [name, value] of Object.entries(source?.data ?? {})) env[name] = { value };
  }
  for (const { name, value, valueFrom } of container.env ?? []) {
    const { fieldRef, resourceFieldRef, secretKeyRef, configMapKeyRef } = valueFrom ?? {};
    if (secretKeyRef) env[name] = { secret: secretKeyRef.name, key: secretKeyRef.key };
    else if (configMapKeyRef) env[name] = { value: m.get('ConfigMap', configMapKeyRef.name)?.data?.[configMapKeyRef.key] };
    else env[name] = valueFrom ? { from: fieldRef?.fieldPath ?? resourceFieldRef.resource } : { value };
    if (!valueFrom && typeof value !== 'string') complain(`${name} is no text`);
  }
  return env;
}

// ---- the tables ----

/** Map of each program to its settings by name. */
export const settingsOf = Object.fromEntries(Object.entries(tablesOf).map(([program, tables]) => [program, new Map(tables.flatMap(readSettings).map((s) => [s.env, s]))]));
/** Map of a metric's name to the components that have it. */
export const metricsTable = new Map(readMetrics().map((m) => [m.name, m.components]));

export const componentNames = readdirSync(join(k8sDir, 'components'));
