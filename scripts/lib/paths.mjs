// Where things are: the source tree, what was built from it, and what scripts/setup put into the cache.
import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = resolve(dirname(fileURLToPath(import.meta.url)), '../..');
export const cacheDir = process.env.TERN_CACHE_DIR || join(homedir(), '.cache/tern');
export const preset = process.env.TERN_PRESET || 'release';
export const binDir = process.env.TERN_BIN_DIR || join(root, 'build', preset, 'bin');
/** Python programs of the tests' own environment. */
export const pythonBinDir = join(root, 'build/python/bin');
export const kafkaDir = join(cacheDir, 'kafka-4.1.0');
/** The Java client's jars, those of tests/pom.xml. */
export const javaClientDir = join(cacheDir, 'java-client/libs');
/** Prometheus and its tool, out of Debian's package. */
export const prometheus = join(cacheDir, 'prometheus');
export const promtool = join(cacheDir, 'promtool');
export const kubectlValidate = join(cacheDir, 'kubectl-validate-v0.0.4');

/** A program that the build made. */
export function binary(name) {
  return join(binDir, name);
}

export const programs = ['tern-messaging', 'tern-notification', 'tern-writer', 'ternctl', 'tern-devbroker'];

export function isBuilt() {
  return programs.every((name) => existsSync(binary(name)));
}
