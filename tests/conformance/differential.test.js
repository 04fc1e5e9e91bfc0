// The same bytes to the Node reference and to the conformance programs: what comes back is the same, or differs as differential/intended.mjs says.
//
// TERN_DIFFERENTIAL=N plays N scenarios by chance (600 unless told otherwise), from TERN_SEED on.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { compare, intended } from './differential/intended.mjs';
import { play } from './differential/play.mjs';
import { randomScenario } from './differential/random.mjs';
import { startReferences } from './differential/reference.mjs';
import { scenarios } from './differential/scenarios.mjs';
import { startProgram } from './program.js';

const together = 8;
const count = Number(process.env.TERN_DIFFERENTIAL ?? 600);
const firstSeed = Number(process.env.TERN_SEED ?? 1);

let references;
const programs = {};
before(async () => {
  references = await startReferences();
  for (const name of Object.keys(references)) programs[name] = await startProgram(name);
});
after(async () => {
  for (const reference of Object.values(references)) reference.stop();
  await Promise.all(Object.values(programs).map((p) => p.stop()));
  setTimeout(() => process.exit(), 1000).unref();
});

async function difference(scenario, used) {
  const [reference, tern] = await Promise.all([play(references[scenario.program].port, scenario), play(programs[scenario.program].port, scenario)]);
  return compare(scenario, reference, tern, used);
}

function describe(name, d) {
  const short = (x) => JSON.stringify(x).slice(0, 2000);
  return `${name}, step ${d.index}: ${short(d.step)}\n  reference ${short(d.reference)}\n  tern      ${short(d.tern)}\n  all steps ${short(d.scenario.steps)}`;
}

async function playAll(named, used) {
  const found = [];
  const rest = [...named];
  await Promise.all(Array.from({ length: together }, async () => {
    for (let next; (next = rest.shift());) {
      const d = await difference(next[1], used);
      if (d) found.push(describe(next[0], d));
    }
  }));
  assert.equal(found.length, 0, `${found.length} differences that nobody wants:\n${found.slice(0, 10).join('\n')}`);
}

test('the named scenarios are answered as by the reference, but for the intended differences, each of which is there', async () => {
  const used = new Set();
  await playAll(Object.entries(scenarios), used);
  assert.deepEqual(intended.map((r) => r.name).filter((name) => !used.has(name)), []);
});

test(`so are ${count} scenarios by chance`, async () => {
  await playAll(Array.from({ length: count }, (_, i) => [`seed ${firstSeed + i}`, randomScenario(firstSeed + i)]));
});
