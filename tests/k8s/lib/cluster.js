// A Kubernetes control plane on loopback and nodes whose pods are local processes. Everything dies with the test.
import { spawn } from 'node:child_process';
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { controlPlane, nodeAgent } from '../../../scripts/lib/k8s_build.mjs';
import { binDir, kafkaDir, root } from '../../../scripts/lib/paths.mjs';
import { alive, launch, logTail, waitGone } from '../../../scripts/lib/processes.mjs';
import { releasePorts, takePorts } from '../../../scripts/lib/ports.mjs';
import { atEnd, scratchDir } from '../../lib/stack.js';
import { waitFor } from '../../lib/wait.js';

const here = join(root, 'tests/k8s');

export class Cluster {
  constructor(dir) {
    this.dir = dir;
    this.kubeconfig = join(dir, 'kubeconfig');
    this.processes = {};
    // Two networks of our own, so that several runs on one machine do not meet: 10.N.x.y is 127.N.x.y here.
    this.podNet = 1 + 2 * Math.floor(Math.random() * 120);
    this.serviceNet = this.podNet + 1;
  }

  async start() {
    this.ports = await takePorts(5, this.dir);
    mkdirSync(join(this.dir, 'state'), { recursive: true }); // keeps the ports ours
    const [clients, peers, api, manager, scheduler] = this.ports;
    const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048, privateKeyEncoding: { type: 'pkcs8', format: 'pem' }, publicKeyEncoding: { type: 'spki', format: 'pem' } });
    const file = (name, text) => {
      writeFileSync(join(this.dir, name), text, { mode: 0o600 });
      return join(this.dir, name);
    };
    const key = file('sa.key', privateKey);
    const token = randomBytes(16).toString('hex');
    const tokens = file('tokens.csv', `${token},admin,admin,system:masters\n`);
    const etcd = `http://127.0.0.1:${clients}`;
    const peer = `http://127.0.0.1:${peers}`;
    const at = (port, certs) => ['--bind-address', '127.0.0.1', '--secure-port', port, '--cert-dir', join(this.dir, certs)];
    await this.spawn('etcd', controlPlane, ['etcd', '--name', 't', '--data-dir', join(this.dir, 'etcd'), '--unsafe-no-fsync', '--log-level', 'error', '--listen-client-urls', etcd, '--advertise-client-urls', etcd, '--listen-peer-urls', peer, '--initial-advertise-peer-urls', peer, '--initial-cluster', `t=${peer}`]);
    await this.spawn('apiserver', controlPlane, ['apiserver', '--etcd-servers', etcd, ...at(api, 'certs'), '--advertise-address', '127.0.0.1', '--service-cluster-ip-range', `10.${this.serviceNet}.0.0/24`, '--allow-privileged=false', '--service-account-issuer', 'https://kubernetes.default.svc', '--service-account-key-file', key, '--service-account-signing-key-file', key, '--token-auth-file', tokens, '--authorization-mode', 'RBAC', '--endpoint-reconciler-type', 'none']);
    const authority = join(this.dir, 'certs/apiserver.crt');
    await this.waitRunning('the API server', () => existsSync(authority), 'apiserver');
    file('kubeconfig', JSON.stringify({ apiVersion: 'v1', kind: 'Config', clusters: [{ name: 't', cluster: { server: `https://127.0.0.1:${api}`, 'certificate-authority': authority } }], users: [{ name: 't', user: { token } }], contexts: [{ name: 't', context: { cluster: 't', user: 't' } }], 'current-context': 't' }));
    await this.waitRunning('the API server', async () => (await this.try('get', '--raw', '/readyz')).code === 0, 'apiserver');
    const config = ['--kubeconfig', this.kubeconfig, '--leader-elect=false'];
    await this.spawn('controller-manager', controlPlane, ['controller-manager', ...config, ...at(manager, 'certs-manager'), '--service-account-private-key-file', key, '--root-ca-file', authority, '--use-service-account-credentials=true', '--horizontal-pod-autoscaler-sync-period=2s']);
    await this.spawn('scheduler', controlPlane, ['scheduler', ...config, ...at(scheduler, 'certs-scheduler')]);
    await this.waitRunning('the controllers', async () => (await this.try('-n', 'default', 'get', 'serviceaccount', 'default')).code === 0, 'controller-manager');
    const image = (name, folders = {}) => ({ entrypoint: ['/image/run'], folders: { '/image': join(here, 'images', name), ...folders } });
    const images = file('images.json', JSON.stringify({ 'docker.io/apache/kafka': image('kafka', { '/opt/kafka': kafkaDir }), 'docker.io/library/postgres': image('postgres') }));
    await this.spawn('node', nodeAgent, ['--kubeconfig', this.kubeconfig, '--dir', join(this.dir, 'nodes'), '--bin', binDir, '--images', images, '--nodes', '3', '--pod-net', this.podNet]);
    await this.waitRunning('the nodes', async () => (await this.try('wait', '--for=condition=Ready', 'node', '--all', '--timeout=1s')).code === 0, 'node');
  }

  async spawn(name, file, args) {
    this.processes[name] = await launch({ file, args: args.map(String), env: { PATH: process.env.PATH, HOME: this.dir }, cwd: this.dir, log: join(this.dir, `${name}.log`), tied: true });
  }

  waitRunning(what, condition, name) {
    return waitFor(`${what}, as ${join(this.dir, name)}.log tells`, async () => {
      if (!alive(this.processes[name])) throw new Error(`${name} ended: ${logTail(join(this.dir, `${name}.log`), 0, 2000)}`);
      return condition();
    }, 90000);
  }

  async stop() {
    const all = Object.values(this.processes).reverse();
    for (const p of all) if (alive(p)) process.kill(p.pid, 'SIGTERM');
    if (!(await waitGone(all, 5000))) for (const p of all) if (alive(p)) process.kill(p.pid, 'SIGKILL');
    releasePorts(this.ports ?? []);
  }

  /** kubectl with these arguments; {code, out, err}. */
  try(...args) {
    return new Promise((done) => {
      const child = spawn('kubectl', ['--kubeconfig', this.kubeconfig, ...args.map(String)], { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, HOME: this.dir } });
      let out = '';
      let err = '';
      child.stdout.on('data', (chunk) => (out += chunk));
      child.stderr.on('data', (chunk) => (err += chunk));
      child.on('error', (e) => done({ code: -1, out, err: e.message }));
      child.on('close', (code) => done({ code, out, err }));
    });
  }

  async kubectl(...args) {
    const { code, out, err } = await this.try(...args);
    if (code !== 0) throw new Error(`kubectl ${args.join(' ')}: ${err}${out}`);
    return out;
  }

  async get(...args) {
    return JSON.parse(await this.kubectl('get', ...args, '-o', 'json'));
  }

  /** Where a Service is on this machine. */
  async urlOf(namespace, service) {
    const { spec } = await this.get('-n', namespace, 'service', service);
    return `http://${spec.clusterIP.replace(/^10\./, '127.')}:${spec.ports[0].port}`;
  }

  /** Of each Service port, by namespace/name:port: {Accepted, Refused, Why}. */
  counts() {
    return JSON.parse(readFileSync(join(this.dir, 'nodes/counts.json'), 'utf8'));
  }

  podLog(namespace, pod, container) {
    return logTail(join(this.dir, 'nodes/logs', `${namespace}_${pod}_${container}.log`));
  }

  /** An overlay of the tree with changes of the test's own, in a folder of the cluster; its path. */
  overlay(name, base, changes) {
    const dir = join(this.dir, 'overlays', name);
    mkdirSync(dir, { recursive: true });
    const kustomization = { apiVersion: 'kustomize.config.k8s.io/v1beta1', kind: 'Kustomization', resources: [relative(dir, join(root, 'deploy/k8s/overlays', base))], ...changes };
    writeFileSync(join(dir, 'kustomization.yaml'), JSON.stringify(kustomization, null, 2));
    return dir;
  }

  rolledOut(namespace, ...names) {
    return Promise.all(names.map((name) => this.kubectl('-n', namespace, 'rollout', 'status', `deployment/${name}`, '--timeout=180s')));
  }
}

export async function startCluster() {
  const cluster = new Cluster(scratchDir('cluster'));
  atEnd(() => cluster.stop());
  await cluster.start();
  return cluster;
}
