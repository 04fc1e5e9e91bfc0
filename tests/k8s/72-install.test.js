// docs/install.md: its commands for production, on a real control plane; what they make is what the pods want to mount.
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { k8sDir } from '../lib/manifests.js';
import { testPage } from '../lib/manual.js';
import { scratchDir } from '../lib/stack.js';
import { startCluster } from './lib/cluster.js';

const cluster = await startCluster();
const certificate = join(scratchDir('certificates'), 'ca.crt');
writeFileSync(certificate, 'yours\n');
testPage('docs/install.md', {
  env: { KUBECONFIG: cluster.kubeconfig },
  replace: [['deploy/k8s', k8sDir]],
  links: { 'postgres-ca.crt': certificate, 'kafka-ca.crt': certificate },
});

test('each Secret and key that a pod mounts is there', async () => {
  const { items } = await cluster.get('-n', 'tern', 'deployment,job');
  const wanted = items.flatMap((item) => item.spec.template.spec.volumes ?? []).flatMap((v) => [v.secret, ...(v.projected?.sources ?? []).map((s) => s.secret)]).filter(Boolean);
  assert.ok(wanted.length > 4);
  for (const { secretName, name, items: keys = [] } of wanted) {
    const { data } = await cluster.get('-n', 'tern', 'secret', secretName ?? name);
    for (const { key } of keys) assert.ok(data[key], `${secretName ?? name} has ${key}`);
  }
});
