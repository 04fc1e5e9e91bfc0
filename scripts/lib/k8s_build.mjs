// The programs of scripts/test k8s, built from tests/k8s with the Go on PATH: a Kubernetes control plane (some minutes, once)
// and our node agent. Both are kept in the cache, by what they were made from.
import { createHash } from 'node:crypto';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, readdirSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { Failure } from './failure.mjs';
import { cacheDir, root } from './paths.mjs';

const source = join(root, 'tests/k8s');
const versionWanted = { kubectl: '1.27', go: '1.26' };
const kubernetes = /k8s.io\/kubernetes (v\S+)/.exec(readFileSync(join(source, 'go.mod'), 'utf8'))[1];

function path(name) {
  const hash = createHash('sha256');
  const files = [...['go.mod', 'go.sum'], ...readdirSync(join(source, name)).sort().map((file) => `${name}/${file}`)];
  for (const file of files) hash.update(readFileSync(join(source, file)));
  return join(cacheDir, 'k8s', `${name}-${hash.digest('hex').slice(0, 12)}`);
}

export const controlPlane = path('controlplane');
export const nodeAgent = path('node');

function outputOf(command, ...args) {
  const r = spawnSync(command, args, { encoding: 'utf8' });
  return r.status === 0 ? r.stdout : null;
}

const atLeast = (have, want) => {
  const [a, b] = [have, want].map((v) => v.split('.').map(Number));
  return a[0] > b[0] || (a[0] === b[0] && a[1] >= b[1]);
};

/** Fails with a sentence that names what is missing. */
export function checkTools() {
  const kubectl = /"gitVersion": "v(\d+\.\d+)/.exec(outputOf('kubectl', 'version', '--client', '-o', 'json') ?? '')?.[1];
  if (!kubectl || !atLeast(kubectl, versionWanted.kubectl)) throw new Failure(`kubectl ${versionWanted.kubectl} or later has to be on PATH, there is ${kubectl ?? 'none'}`);
  const go = /go(\d+\.\d+)/.exec(outputOf('go', 'version') ?? '')?.[1];
  const built = existsSync(controlPlane) && existsSync(nodeAgent);
  if (!built && (!go || !atLeast(go, versionWanted.go))) throw new Failure(`Go ${versionWanted.go} or later has to be on PATH, there is ${go ?? 'none'}`);
  if (process.getuid() !== 0) throw new Failure('scripts/test k8s runs pods in mount namespaces and as users of their own: it needs root');
}

function build(args) {
  const env = { ...process.env, CGO_ENABLED: '0', GOFLAGS: '-mod=readonly -buildvcs=false' };
  const r = spawnSync('nice', ['-n', '10', 'go', 'build', '-trimpath', ...args], { cwd: source, env, encoding: 'utf8', maxBuffer: 1 << 26 });
  if (r.status !== 0) throw new Failure(`go build ${args.at(-1)} failed: ${r.stderr.trim().split('\n').slice(-5).join(' | ')}`);
}

/** Builds what is not in the cache. */
export function buildCluster() {
  checkTools();
  mkdirSync(join(cacheDir, 'k8s'), { recursive: true });
  if (!existsSync(nodeAgent)) {
    console.error('building the node agent');
    build(['-ldflags=-s -w', '-o', `${nodeAgent}.${process.pid}`, './node']);
    renameSync(`${nodeAgent}.${process.pid}`, nodeAgent);
  }
  if (!existsSync(controlPlane)) {
    console.error(`building the control plane of Kubernetes ${kubernetes} (about 5 minutes, once)`);
    const version = 'k8s.io/component-base/version';
    const [, major, minor] = /v(\d+)\.(\d+)/.exec(kubernetes);
    build([`-ldflags=-s -w -X ${version}.gitVersion=${kubernetes} -X ${version}.gitMajor=${major} -X ${version}.gitMinor=${minor}`, '-o', `${controlPlane}.${process.pid}`, './controlplane']);
    renameSync(`${controlPlane}.${process.pid}`, controlPlane);
  }
}
