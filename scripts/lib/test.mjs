// scripts/test after the installing and building: chooses the tests, runs them, counts.
import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Failure, sentenceOf } from './failure.mjs';
import { root } from './paths.mjs';
import { chaosNames, chaosOptions, runChaos } from './test_chaos.mjs';
import { fuzzers, runFuzzers } from './test_fuzz.mjs';
import { runSim, simNames } from './test_sim.mjs';
import { endStacks, runFile, testFiles } from './test_files.mjs';
import { buildSanitized, runUnits, unitNames } from './test_units.mjs';

const folders = ['chaos', 'integration', 'conformance'];
// Only when it is asked for by name: it takes a control plane of its own.
const extra = 'k8s';
// Files that also run on the programs built with sanitizers, as those do whose names end so.
const sanitizedToo = ['integration/03-auth', 'integration/08-bad-input', 'conformance/abuse', 'conformance/differential'];
const tidy = join(root, 'scripts/tidy');

class Tally {
  passed = 0;
  failed = [];

  add({ name, ok, ms, why }) {
    console.log(`${ok ? 'ok  ' : 'FAIL'} ${name} (${ms} ms)`);
    if (ok) {
      this.passed++;
      return;
    }
    this.failed.push(name);
    if (why) console.log(why.trim().split('\n').slice(-60).map((line) => `      ${line}`).join('\n'));
  }
}

function parse(words) {
  const wanted = [];
  const numbers = { repeat: 1 };
  for (let i = 0; i < words.length; i++) {
    const match = /^--(repeat|minutes|seed)(?:=(.*))?$/.exec(words[i]);
    if (match) {
      const number = Number(match[2] ?? words[++i]);
      if (!(number > 0) || (match[1] !== 'minutes' && !Number.isInteger(number))) throw new Failure(`--${match[1]} takes a number above 0`);
      numbers[match[1]] = number;
    } else if (words[i].startsWith('-')) {
      throw new Failure(`unknown option ${words[i]} (try --help)`);
    } else {
      wanted.push(words[i]);
    }
  }
  return { wanted, ...numbers };
}

function allFiles() {
  const files = folders.flatMap(testFiles);
  const again = files.filter((f) => sanitizedToo.includes(f.name)).map((f) => ({ ...f, name: `${f.name}-sanitized`, again: true }));
  return [...files, ...again];
}

/** What the words choose: {units: names, files: [{name, path}], fuzzers, tidy: boolean}. */
function choose(wanted) {
  const all = { units: unitNames(), sim: simNames, chaos: chaosNames, files: allFiles(), extra: testFiles(extra), fuzzers: fuzzers(), tidy: existsSync(tidy) };
  if (wanted.length === 0) return all;
  const chosen = { units: [], sim: [], chaos: [], files: [], fuzzers: wanted.includes('fuzz') ? all.fuzzers : [], tidy: wanted.includes('tidy') && all.tidy };
  if (wanted.includes(extra)) chosen.files.push(...all.extra);
  for (const word of wanted.filter((w) => w !== extra)) {
    const sim = word === 'sim' ? all.sim : all.sim.filter((n) => n === word);
    const chaos = word === 'chaos' ? all.chaos : all.chaos.filter((n) => n === word);
    const whole = sim.length + chaos.length > 0 || word === 'unit' || word === 'tidy' || word === 'fuzz' || folders.includes(word);
    const units = word === 'unit' ? all.units : whole ? [] : all.units.filter((n) => n.includes(word));
    const files = all.files.filter((f) => (folders.includes(word) ? f.name.startsWith(`${word}/`) : !whole && f.name.includes(word) && (!f.again || word.includes('sanitized'))));
    if (units.length + files.length + sim.length + chaos.length === 0 && !(word === 'tidy' && all.tidy) && word !== 'fuzz') throw new Failure(`there is no test ${word}`);
    chosen.units.push(...units);
    chosen.sim.push(...sim);
    chosen.chaos.push(...chaos);
    chosen.files.push(...files);
  }
  chosen.units = [...new Set(chosen.units)];
  chosen.files = [...all.files, ...all.extra].filter((f) => chosen.files.includes(f));
  return chosen;
}

function runTidy(tally) {
  const began = Date.now();
  const r = spawnSync(tidy, { cwd: root, encoding: 'utf8', maxBuffer: 1 << 26 });
  tally.add({ name: 'tidy', ok: r.status === 0, ms: Date.now() - began, why: r.stdout + r.stderr });
}

async function runAll(chosen, context) {
  if (chosen.tidy) runTidy(context.tally);
  if (chosen.units.length > 0) await runUnits(chosen.units, context);
  if (chosen.fuzzers.length > 0) await runFuzzers(chosen.fuzzers, context);
  if (chosen.sim.length > 0) await runSim(chosen.sim, context);
  if (chosen.chaos.length > 0) await runChaos(context);
  let binDir;
  for (const file of chosen.files) {
    if (!/-sanitized$/.test(file.name) && !file.again) {
      await runFile(file, context);
      continue;
    }
    binDir ??= buildSanitized();
    await runFile({ ...file, binDir }, context);
  }
}

/** Ends the running test and its stacks; scripts/test is over then. */
function endOnSignal(context) {
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
    process.on(name, async () => {
      if (context.ending) return;
      context.ending = true;
      try {
        if (context.child?.exitCode === null) process.kill(-context.child.pid, 'SIGKILL');
      } catch {
        // It has ended by itself.
      }
      for (const folder of readdirSync(context.out)) await endStacks(join(context.out, folder));
      rmSync(context.out, { recursive: true, force: true });
      console.log(`scripts/test: interrupted`);
      process.exit(name === 'SIGINT' ? 130 : 143);
    });
  }
}

const tally = new Tally();
const out = mkdtempSync(join(tmpdir(), 'tern-test-'));
chmodSync(out, 0o711); // the user that runs Postgres has to get through
const context = { out, tally, chaos: null, child: null, ending: false, onChild: (child) => (context.child = child) };
endOnSignal(context);
const began = Date.now();
try {
  const { wanted, repeat, minutes, seed } = parse(process.argv.slice(2));
  const chosen = choose(wanted);
  context.chaos = chaosOptions({ wanted, minutes, seed });
  if (wanted.includes(extra)) (await import('./k8s_build.mjs')).buildCluster();
  for (let i = 1; i <= repeat; i++) {
    if (repeat > 1) console.log(`--- run ${i} of ${repeat}`);
    await runAll(chosen, context);
  }
  if (tally.passed + tally.failed.length === 0) throw new Failure('no test was executed');
} catch (e) {
  tally.failed.push('scripts/test');
  console.log(`FAIL scripts/test: ${sentenceOf(e) ?? e.stack}`);
}
if (tally.failed.length === 0) {
  rmSync(out, { recursive: true, force: true });
} else {
  console.log(`\nfailed, with logs in ${out}:\n${tally.failed.map((name) => `  ${name}`).join('\n')}`);
}
console.log(`\ntook ${Math.round((Date.now() - began) / 1000)} s`);
console.log(`${tally.passed} passed, ${tally.failed.length} failed`);
process.exit(tally.failed.length === 0 ? 0 : 1);
