// What a schema cannot see: whether the parts of an overlay fit each other, the settings' tables and the design's arrows.
// Each rule gives sentences about what is wrong.
import { parseAllDocuments } from 'yaml';
import { allContainers, componentOf, environment, metricsTable, selects, settingsOf } from './manifests.js';

const flushMs = 5000; // bus_free() of the gateways
const leaveMs = 8000; // the writer's: the group is left, the producer flushed
const spareMs = 1000;

const gateways = ['messaging', 'notification'];
const services = [...gateways, 'writer'];

function* selectorFaults(m) {
  const workloads = m.workloads();
  const fitting = (selector) => workloads.filter((w) => selects(selector, w.labels));
  for (const w of workloads.filter((x) => x.kind === 'Deployment' || x.kind === 'StatefulSet')) {
    const others = fitting(w.object.spec.selector);
    if (others.length !== 1 || others[0] !== w) yield `${w.kind} ${w.name} selects ${others.map((o) => o.name).join(', ') || 'no pods'}`;
    for (const t of w.pod.topologySpreadConstraints ?? []) if (!selects(t.labelSelector, w.labels)) yield `${w.name} spreads pods that are not its own`;
  }
  for (const s of m.kind('Service')) {
    const found = fitting({ matchLabels: s.spec.selector });
    if (found.length !== 1) yield `Service ${s.metadata.name} selects ${found.length} workloads`;
  }
  for (const p of m.kind('PodDisruptionBudget')) {
    const found = fitting(p.spec.selector);
    if (found.length !== 1) yield `PodDisruptionBudget ${p.metadata.name} selects ${found.length} workloads`;
  }
  for (const p of m.kind('NetworkPolicy')) {
    if (fitting(p.spec.podSelector).length === 0) yield `NetworkPolicy ${p.metadata.name} selects no pods`;
  }
}

const portsOf = (w) => w.pod.containers.flatMap((c) => c.ports ?? []);
const findPort = (w, port) => portsOf(w).find((p) => p.name === port || p.containerPort === port);

function* portFaults(m) {
  for (const s of m.kind('Service')) {
    const w = m.workloads().find((x) => selects({ matchLabels: s.spec.selector }, x.labels));
    for (const p of s.spec.ports) if (w && !findPort(w, p.targetPort ?? p.port)) yield `Service ${s.metadata.name} leads to port ${p.targetPort}, which ${w.name} does not have`;
  }
  for (const i of m.kind('Ingress')) {
    for (const { backend } of i.spec.rules.flatMap((r) => r.http.paths)) {
      const { name, port } = backend.service;
      const s = m.get('Service', name);
      if (!s?.spec.ports.some((p) => p.name === port.name || p.port === port.number)) yield `Ingress ${i.metadata.name} leads to ${name}, port ${port.name ?? port.number}, which is not there`;
    }
  }
  for (const w of m.workloads()) {
    for (const c of w.pod.containers) {
      for (const probe of [c.startupProbe, c.livenessProbe, c.readinessProbe]) {
        const port = (probe?.httpGet ?? probe?.tcpSocket)?.port;
        if (port && !c.ports?.some((p) => p.name === port || p.containerPort === port)) yield `${w.name} probes port ${port}, which ${c.name} does not have`;
      }
    }
  }
  for (const w of m.ours().filter((x) => services.includes(componentOf(x.labels)))) {
    const c = w.pod.containers[0];
    const env = environment(m, c);
    for (const [name, setting] of [['http', 'TERN_PORT'], ['ops', 'TERN_OPS_PORT'], ['splice', 'TERN_SPLICE_PORT']]) {
      const port = c.ports.find((p) => p.name === name)?.containerPort;
      const set = env[setting]?.value ?? settingsOf[c.command[0]].get(setting)?.def;
      if (port !== undefined && String(port) !== set) yield `${w.name}: port ${name} is ${port}, ${setting} is ${set}`;
    }
    if (w.template.metadata.annotations?.['prometheus.io/port'] !== String(findPort(w, 'ops')?.containerPort)) yield `${w.name}: prometheus.io/port is not the ops port`;
  }
}

function* settingFaults(m) {
  for (const w of m.ours()) {
    for (const c of allContainers(w.pod)) {
      const complaints = [];
      const env = environment(m, c, (text) => complaints.push(text));
      for (const text of complaints) yield `${w.name}/${c.name}: ${text}`;
      const table = settingsOf[c.command?.[0]];
      if (!table) {
        yield `${w.name}/${c.name} runs ${c.command?.[0]}, which is no program of ours`;
        continue;
      }
      for (const name of Object.keys(env)) {
        if (name.startsWith('TERN_') && !name.startsWith('TERN_KAFKA_') && !table.has(name)) yield `${w.name}/${c.name}: ${name} is no setting of ${c.command[0]}`;
      }
      for (const name of ['TERN_KAFKA_BOOTSTRAP_SERVERS', 'TERN_POSTGRES_DSN_FILE']) if (!env[name]?.value) yield `${w.name}/${c.name}: ${name} is not set`;
    }
  }
  for (const w of m.ours().filter((x) => services.includes(componentOf(x.labels)))) {
    const env = environment(m, w.pod.containers[0]);
    const binds = gateways.includes(componentOf(w.labels)) ? ['TERN_BIND', 'TERN_OPS_BIND'] : ['TERN_OPS_BIND'];
    if (componentOf(w.labels) === 'messaging') binds.push('TERN_SPLICE_BIND', 'TERN_SPLICE_ADDRESS');
    for (const name of binds) if (env[name]?.from !== 'status.podIP') yield `${w.name}: ${name} is not the pod's address`;
    if (componentOf(w.labels) === 'writer' && env.TERN_INSTANCE) yield `${w.name}: a named writer stays in its group when it stops`;
    if (w.pod.enableServiceLinks !== false) yield `${w.name}: services' addresses are put into the environment`;
  }
  const job = m.generated('tern-migrate');
  const settings = m.generated('tern-settings');
  for (const [name, value] of Object.entries(settings?.data ?? {})) if (job?.data[name] !== value) yield `the Job's ${name} is not the services'`;
}

/** Paths that a container reads, by its settings. */
function pathsOf(m, env) {
  const paths = Object.entries(env).filter(([name]) => /_FILE$|_LOCATION$/.test(name)).map(([, e]) => e.value);
  const dsn = m.secret('tern-postgres')?.stringData?.dsn ?? '';
  return [...paths, ...[...dsn.matchAll(/ssl\w+=(\/[^&]+)/g)].map((x) => x[1])].filter((p) => p?.startsWith('/'));
}

function* secretFaults(m) {
  const has = (name, key) => {
    const s = m.secret(name);
    return s && (Object.hasOwn(s.data ?? {}, key) || Object.hasOwn(s.stringData ?? {}, key));
  };
  for (const w of m.workloads()) {
    const volumes = new Map((w.pod.volumes ?? []).map((v) => [v.name, v]));
    for (const v of volumes.values()) {
      if (v.secret && !m.secret(v.secret.secretName)) yield `${w.name}: there is no Secret ${v.secret.secretName}`;
      for (const { key } of v.secret?.items ?? []) if (!has(v.secret.secretName, key)) yield `${w.name}: Secret ${v.secret.secretName} has no ${key}`;
    }
    for (const c of allContainers(w.pod)) {
      const env = environment(m, c);
      for (const [name, e] of Object.entries(env)) if (e.secret && !has(e.secret, e.key)) yield `${w.name}: ${name} comes from ${e.secret}/${e.key}, which is not there`;
      for (const mount of c.volumeMounts ?? []) if (!volumes.has(mount.name)) yield `${w.name}/${c.name}: there is no volume ${mount.name}`;
      // ternctl migrate reads no Kafka setting, and so not its files.
      const migrates = c.command?.[0] === 'ternctl' && c.command[1] === 'migrate';
      for (const path of w.labels['app.kubernetes.io/name'] === 'tern' ? pathsOf(m, env) : []) {
        if (migrates && path.startsWith('/run/tern/kafka/')) continue;
        const mount = c.volumeMounts?.find((x) => path.startsWith(`${x.mountPath}/`));
        const secret = volumes.get(mount?.name)?.secret;
        const file = path.slice((mount?.mountPath.length ?? 0) + 1);
        const key = secret?.items ? secret.items.find((x) => x.path === file)?.key : file;
        if (!secret || !key || !has(secret.secretName, key)) yield `${w.name}/${c.name}: nobody puts a file at ${path}`;
      }
    }
  }
}

function* scaleFaults(m) {
  const scaler = (name) => m.kind('HorizontalPodAutoscaler').find((h) => h.spec.scaleTargetRef.name === name);
  for (const w of m.ours().filter((x) => x.kind === 'Deployment')) {
    const budget = m.kind('PodDisruptionBudget').find((p) => selects(p.spec.selector, w.labels));
    const hpa = scaler(w.name);
    const replicas = hpa ? hpa.spec.minReplicas : (w.object.spec.replicas ?? 1);
    if (!budget) yield `${w.name} has no PodDisruptionBudget`;
    else if (budget.spec.minAvailable !== undefined ? budget.spec.minAvailable >= replicas : !(budget.spec.maxUnavailable >= 1)) yield `PodDisruptionBudget ${budget.metadata.name} lets nobody go from ${replicas}`;
    if (hpa && w.object.spec.replicas !== undefined) yield `${w.name} sets replicas against its autoscaler`;
    const { maxUnavailable, maxSurge } = w.object.spec.strategy?.rollingUpdate ?? {};
    if (maxUnavailable !== 0 || !maxSurge) yield `${w.name} takes a pod away before another one is there`;
  }
  const rules = m.kind('ConfigMap').filter((c) => c.data?.['config.yaml']).flatMap((c) => parseAllDocuments(c.data['config.yaml'])[0].toJS().rules);
  for (const h of m.kind('HorizontalPodAutoscaler')) {
    const name = h.metadata.name;
    const target = m.get('Deployment', h.spec.scaleTargetRef.name);
    if (!target) yield `${name} scales what is not there`;
    if (h.spec.minReplicas > h.spec.maxReplicas) yield `${name}: minReplicas is over maxReplicas`;
    const down = h.spec.behavior?.scaleDown;
    if (!(down?.stabilizationWindowSeconds >= 300)) yield `${name} scales down in a hurry`;
    for (const { pods } of h.spec.metrics) {
      const rule = rules.find((r) => r.name.as === pods.metric.name);
      const series = /^(\w+)\{/.exec(rule?.seriesQuery ?? '')?.[1];
      if (!rule) yield `${name}: no rule of the adapter gives ${pods.metric.name}`;
      else if (!new RegExp(rule.name.matches).test(series)) yield `${name}: the rule for ${pods.metric.name} does not match its own series ${series}`;
      else if (!metricsTable.get(series)?.includes(componentOf(target?.metadata.labels ?? {}))) yield `${name}: ${series} is no metric of ${target?.metadata.name}`;
    }
  }
  const writers = scaler('tern-writer');
  const partitions = Number(m.generated('tern-migrate')?.data.TERN_PARTITIONS ?? settingsOf.ternctl.get('TERN_PARTITIONS').def);
  if (writers && writers.spec.maxReplicas > partitions) yield `${writers.metadata.name}: more writers than ${partitions} partitions`;
}

function* graceFaults(m) {
  for (const w of m.ours().filter((x) => services.includes(componentOf(x.labels)))) {
    const c = w.pod.containers[0];
    const env = environment(m, c);
    const set = (name) => Number(env[name]?.value ?? settingsOf[c.command[0]].get(name)?.def);
    const gateway = gateways.includes(componentOf(w.labels));
    const stop = (c.lifecycle?.preStop?.sleep?.seconds ?? 0) * 1000;
    const needed = gateway ? stop + set('TERN_DRAIN_MS') + flushMs + spareMs : set('TERN_WRITER_STOP_MS') + leaveMs + spareMs;
    if (!(w.pod.terminationGracePeriodSeconds * 1000 > needed)) yield `${w.name} is killed after ${w.pod.terminationGracePeriodSeconds} s and needs ${needed} ms`;
    if (gateway && stop < 3000) yield `${w.name} stops before balancers have heard of it`;
  }
}

function* lockFaults(m) {
  for (const w of m.ours()) {
    const s = w.pod.securityContext ?? {};
    if (!s.runAsNonRoot || !(s.runAsUser > 0) || s.seccompProfile?.type !== 'RuntimeDefault') yield `${w.name} is not held to a user without rights`;
    const account = m.get('ServiceAccount', w.pod.serviceAccountName);
    if (!account || account.automountServiceAccountToken !== false || w.pod.automountServiceAccountToken !== false) yield `${w.name} gets a token for the cluster`;
    for (const c of allContainers(w.pod)) {
      const k = c.securityContext ?? {};
      if (!k.readOnlyRootFilesystem || k.allowPrivilegeEscalation !== false || !k.capabilities?.drop?.includes('ALL')) yield `${w.name}/${c.name} has more rights than it needs`;
      if (!c.resources?.requests?.cpu || !c.resources.requests.memory || !c.resources.limits?.memory) yield `${w.name}/${c.name} does not say what it takes`;
    }
    if (!services.includes(componentOf(w.labels))) continue;
    const c = w.pod.containers[0];
    for (const probe of ['startupProbe', 'livenessProbe', 'readinessProbe']) if (c[probe]?.httpGet?.port !== 'ops') yield `${w.name} has no ${probe} on its ops port`;
    if (!w.pod.topologySpreadConstraints?.length) yield `${w.name} may stand on one node`;
    if (!(w.pod.initContainers ?? []).some((i) => i.command.join(' ').startsWith('ternctl migrate --check --wait'))) yield `${w.name} does not wait for the schema`;
  }
  const names = new Set(m.objects.filter((o) => o.kind !== 'Namespace').map((o) => o.metadata.namespace));
  if (names.size !== 1 || !m.get('Namespace', [...names][0])) yield `the objects are in the namespaces ${[...names].join(', ')}`;
}

// ---- who may speak with whom ----

function peersOf(m, peers) {
  if (!peers) return ['anybody'];
  return peers.flatMap((p) => {
    if (p.namespaceSelector) return [`namespace ${p.namespaceSelector.matchLabels?.['kubernetes.io/metadata.name'] ?? 'any'}`];
    if (p.ipBlock) return [`address ${p.ipBlock.cidr}`];
    return m.workloads().filter((w) => selects(p.podSelector, w.labels)).map((w) => componentOf(w.labels));
  });
}

/** All that the policies let through: 'in messaging:3006 from anybody', 'out writer to anybody:9093'. */
export function allowed(m) {
  const found = new Set();
  const pods = m.workloads();
  const number = (w, port) => (typeof port === 'number' ? port : (findPort(w, port)?.containerPort ?? `${port}?`));
  for (const p of m.kind('NetworkPolicy')) {
    for (const w of pods.filter((x) => selects(p.spec.podSelector, x.labels))) {
      const me = componentOf(w.labels);
      const ports = (rule) => rule.ports?.map((x) => number(w, x.port)) ?? ['any'];
      for (const rule of p.spec.ingress ?? []) for (const peer of peersOf(m, rule.from)) for (const port of ports(rule)) found.add(`in ${me}:${port} from ${peer}`);
      for (const rule of p.spec.egress ?? []) for (const peer of peersOf(m, rule.to)) for (const port of ports(rule)) found.add(`out ${me} to ${peer}:${port}`);
    }
  }
  return found;
}

/** The design's arrows. inside: Kafka and Postgres are pods of the overlay. */
function arrows(m) {
  const inside = Boolean(m.get('Deployment', 'tern-kafka'));
  const settings = m.generated('tern-settings').data;
  const kafkaPorts = [...new Set(settings.TERN_KAFKA_BOOTSTRAP_SERVERS.split(',').map((s) => s.split(':')[1]))];
  const dsn = m.secret('tern-postgres');
  const address = dsn.stringData?.dsn ?? Buffer.from(dsn.data.dsn, 'base64').toString();
  const postgresPort = new URL(address).port;
  const wanted = new Set(['in messaging:3006 from anybody', 'in notification:3005 from anybody']);
  for (const c of services) wanted.add(`in ${c}:${{ messaging: 9306, notification: 9305, writer: 9307 }[c]} from namespace monitoring`);
  for (const c of [...services, 'migrate']) {
    for (const port of kafkaPorts) wanted.add(`out ${c} to ${inside ? 'kafka' : 'anybody'}:${port}`);
    wanted.add(`out ${c} to ${inside ? 'postgres' : 'anybody'}:${postgresPort}`);
    wanted.add(`out ${c} to namespace kube-system:53`);
    if (inside) wanted.add(`in kafka:9092 from ${c}`).add(`in postgres:5432 from ${c}`);
  }
  const messaging = m.get('Deployment', 'tern-messaging');
  if (messaging?.spec.template.spec.containers[0].ports.some((p) => p.name === 'splice')) wanted.add('in messaging:3106 from messaging').add('out messaging to messaging:3106');
  return wanted;
}

function* arrowFaults(m) {
  const policies = m.kind('NetworkPolicy');
  for (const w of m.workloads()) {
    for (const way of ['Ingress', 'Egress']) if (!policies.some((p) => selects(p.spec.podSelector, w.labels) && p.spec.policyTypes.includes(way))) yield `${w.name}: nothing bounds its ${way}`;
  }
  const is = allowed(m);
  const should = arrows(m);
  for (const a of is) if (!should.has(a)) yield `a policy lets through what no arrow shows: ${a}`;
  for (const a of should) if (!is.has(a)) yield `no policy lets through: ${a}`;
}

const rules = [selectorFaults, portFaults, settingFaults, secretFaults, scaleFaults, graceFaults, lockFaults, arrowFaults];

export function manifestFaults(m) {
  return rules.flatMap((rule) => [...rule(m)]);
}
