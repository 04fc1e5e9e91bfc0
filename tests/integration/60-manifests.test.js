// deploy/k8s, as far as it can be judged without a cluster: it builds, its schema is right, and its parts fit each other.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { parseAllDocuments } from 'yaml';
import { binary, kubectlValidate, root } from '../../scripts/lib/paths.mjs';
import { manifestFaults } from '../lib/manifest_rules.js';
import { Manifests, componentNames, environment, k8sDir, kustomize, parseManifests, settingsOf } from '../lib/manifests.js';
import { scratchDir } from '../lib/stack.js';

const scratch = scratchDir('manifests');
const overlays = { dev: Manifests.of('dev'), production: Manifests.of('production') };

function validate(name, text) {
  assert.ok(existsSync(kubectlValidate), `kubectl-validate is missing: scripts/setup --tests builds it with Go, which has to be on PATH`);
  const path = join(scratch, `${name}.yaml`);
  writeFileSync(path, text);
  return spawnSync(kubectlValidate, [path], { encoding: 'utf8' });
}

for (const name of Object.keys(overlays)) {
  test(`${name}: kubectl-validate has nothing to say`, () => {
    const text = kustomize(join(k8sDir, 'overlays', name));
    const { status, stdout, stderr } = validate(name, text);
    assert.equal(status, 0, stdout + stderr);
    const broken = validate(`${name}-broken`, text.replace('terminationGracePeriodSeconds: 75', 'terminationGracePeriodSeconds: long'));
    assert.notEqual(broken.status, 0, 'it would say something');
  });

  test(`${name}: selectors, ports, settings, Secrets, scaling, grace and policies fit each other`, () => {
    assert.deepEqual(manifestFaults(overlays[name]), []);
  });

  test(`${name}: the programs accept their settings and print no secret`, () => {
    for (const w of overlays[name].ours()) {
      for (const c of [...(w.pod.initContainers ?? []), ...w.pod.containers]) acceptsSettings(overlays[name], c);
    }
  });
}

/** Runs the program as the container would, with values in place of what only a cluster knows. */
function acceptsSettings(m, container) {
  const env = {};
  for (const [name, e] of Object.entries(environment(m, container))) env[name] = e.value ?? (e.from === 'limits.cpu' ? '2' : e.from === 'status.podIP' ? '127.0.0.9' : 'text');
  for (const name of Object.keys(env)) {
    if (settingsOf[container.command[0]].get(name)?.type !== 'SECRET') continue;
    env[name] = join(scratch, name);
    writeFileSync(env[name], name.includes('DSN') ? 'postgresql://u:p@127.0.0.1:1/tern' : '0123456789abcdef0123456789abcdef');
  }
  const { status, stdout, stderr } = spawnSync(binary(container.command[0]), ['--print-settings'], { env, encoding: 'utf8' });
  assert.equal(status, 0, `${container.name}: ${stderr}`);
  assert.ok(!stdout.includes('0123456789abcdef') && !stdout.includes('u:p@'), `${container.name} prints a secret`);
}

// What the rules are for: each of these has to be seen.
const template = (m, name) => m.get('Deployment', name).spec.template;
const main = (m, name) => template(m, name).spec.containers[0];
const breaks = {
  'a Service that selects nothing': (m) => (m.get('Service', 'tern-messaging').spec.selector['app.kubernetes.io/component'] = 'message'),
  'a Service that leads to a port that nobody has': (m) => (m.get('Service', 'tern-messaging').spec.ports[0].targetPort = 'web'),
  'an Ingress that leads nowhere': (m) => (m.get('Ingress', 'tern').spec.rules[0].http.paths[0].backend.service.name = 'tern'),
  'a port that is not the setting': (m) => (m.generated('tern-messaging').data.TERN_PORT = '3007'),
  'an unknown setting': (m) => (m.generated('tern-gateways').data.TERN_DRAIN = '1'),
  'a setting of another program': (m) => (m.generated('tern-writer').data.TERN_PORT = '1'),
  'a named writer': (m) => main(m, 'tern-writer').env.push({ name: 'TERN_INSTANCE', value: 'a' }),
  'a ConfigMap that is not there': (m) => (main(m, 'tern-writer').envFrom[0].configMapRef.name = 'tern-setting'),
  'a Secret that is not there': (m) => (template(m, 'tern-messaging').spec.volumes[0].secret.secretName = 'tern-key'),
  'a key that the Secret lacks': (m) => delete m.secret('tern-kafka').stringData.password,
  'a file where nothing is mounted': (m) => (m.generated('tern-gateways').data.TERN_AUTH_HS256_SECRET_FILE = '/run/tern/hs256'),
  'a PodDisruptionBudget that lets nobody go': (m) => (m.get('PodDisruptionBudget', 'tern-writer').spec = { ...m.get('PodDisruptionBudget', 'tern-writer').spec, maxUnavailable: 0 }),
  'a metric without a rule': (m) => (m.get('HorizontalPodAutoscaler', 'tern-writer').spec.metrics[0].pods.metric.name = 'tern_lag'),
  'a rule for a metric that is in no table': (m) => (m.get('ConfigMap', 'tern-adapter-rules').data['config.yaml'] = m.get('ConfigMap', 'tern-adapter-rules').data['config.yaml'].replaceAll('tern_connections', 'tern_sockets')),
  'a metric of another program': (m) => (m.get('HorizontalPodAutoscaler', 'tern-messaging').spec.metrics[0].pods.metric.name = 'tern_writer_lag_records'),
  'replicas beside an autoscaler': (m) => (m.get('Deployment', 'tern-writer').spec.replicas = 2),
  'a grace period below the drain': (m) => (m.generated('tern-gateways').data.TERN_DRAIN_MS = '70000'),
  'a root user': (m) => (template(m, 'tern-writer').spec.securityContext.runAsNonRoot = false),
  'a writable root': (m) => (main(m, 'tern-writer').securityContext.readOnlyRootFilesystem = false),
  'a policy for anybody': (m) => m.get('NetworkPolicy', 'tern-metrics').spec.ingress.push({}),
  'a policy that is missing': (m) => (m.objects = m.objects.filter((o) => o.metadata.name !== 'tern-to-postgres')),
  'a port of Kafka that no policy knows': (m) => (m.generated('tern-settings').data.TERN_KAFKA_BOOTSTRAP_SERVERS = 'kafka:9094'),
  'an object in another namespace': (m) => (m.get('Service', 'tern-messaging').metadata.namespace = 'default'),
};

test('the rules see what is wrong', () => {
  for (const [what, change] of Object.entries(breaks)) assert.notDeepEqual(manifestFaults(overlays.production.altered(change)), [], what);
});

test('what is made from the tree is up to date', () => {
  const { status, stderr } = spawnSync(join(root, 'scripts/generate-k8s.mjs'), ['--check'], { encoding: 'utf8' });
  assert.equal(status, 0, stderr);
});

test('every component builds, and the two ways in lead to the same places', () => {
  for (const name of componentNames) {
    const dir = join(k8sDir, 'components', name);
    const { resources = [] } = parseAllDocuments(readFileSync(join(dir, 'kustomization.yaml'), 'utf8'))[0].toJS();
    for (const file of resources) assert.ok(parseManifests(readFileSync(join(dir, file), 'utf8')).every((o) => o.kind && o.metadata.name), `${name}/${file}`);
  }
  const ingress = overlays.production.get('Ingress', 'tern').spec.rules[0].http.paths.map((p) => `${p.path} ${p.backend.service.name}`);
  const route = parseManifests(readFileSync(join(k8sDir, 'components/gateway-api/gateway.yaml'), 'utf8')).find((o) => o.kind === 'HTTPRoute');
  const routed = route.spec.rules.flatMap((r) => r.matches.map((x) => `${x.path.value} ${r.backendRefs[0].name}`));
  assert.deepEqual(routed, ingress);
  for (const rule of route.spec.rules) {
    const { name, port } = rule.backendRefs[0];
    assert.ok(overlays.production.get('Service', name).spec.ports.some((p) => p.port === port), `${name}:${port}`);
  }
});

test('the image is built with the libraries that scripts/setup installs', () => {
  const libraries = (file) => [...new Set(readFileSync(join(root, file), 'utf8').match(/\blib[\w.+-]+-dev\b/g))].filter((name) => !/^lib(curl4|clang)-/.test(name));
  assert.deepEqual(libraries('Dockerfile').sort(), libraries('scripts/setup').sort());
});
