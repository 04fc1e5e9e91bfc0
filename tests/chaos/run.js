// scripts/test chaos: a whole Tern is run under load while all kinds of faults strike it, and what its clients saw is checked.
//
// usage: node tests/chaos/run.js --minutes N --seed S --out DIR [--disk] [--tell]
//
// --disk says that we are in a mount namespace of our own (unshare --mount), so that Postgres gets a disk that can be filled.
//
// DIR/stack holds the processes' logs, DIR/history what was observed, DIR/results.json what the checkers say.
import { existsSync, mkdirSync, readdirSync, realpathSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { get } from '../../scripts/lib/services.mjs';
import { standing, writeArchive } from './archive.js';
import { Chat } from './chat_clients.js';
import { checkChat } from './check_chat.js';
import { checkSends } from './check_sends.js';
import { checkStreams } from './check_streams.js';
import { Faults } from './faults.js';
import { History, readHistory } from './history.js';
import { Others } from './others.js';
import { planFaults } from './plan.js';
import { Random } from './random.js';
import { Streams } from './stream_clients.js';
import { waitFor } from '../lib/wait.js';
import { counts, World } from './world.js';

const load = { chat: { sockets: 18, perSecond: 20 }, streams: { perSecond: 6 } };
const settleMs = 120000;

const say = (text) => console.log(`chaos: ${text}`);
const countsText = (found) => Object.entries(found.counts).map(([name, n]) => `${name} ${n}`).join(', ');

class Run {
  constructor({ minutes, seed, disk, out }) {
    Object.assign(this, { minutes, seed, disk });
    mkdirSync(out, { recursive: true, mode: 0o755 });
    this.out = realpathSync(out);
    this.random = new Random(seed);
    this.tailMs = this.random.pick([2000, 20000, 120000]);
    this.plan = planFaults(new Random(seed + 1), { ms: minutes * 60000, ...counts });
    if (!disk) {
      say('a disk of its own takes root: that of Postgres is never full');
      this.plan = this.plan.filter((fault) => fault.kind !== 'full');
    }
    this.world = new World(join(this.out, 'stack'));
    this.results = [];
  }

  result(name, ok, why = []) {
    this.results.push({ name, ok, why: why.join('\n') });
  }

  async run() {
    say(`seed ${this.seed}, ${this.minutes} minutes, a tail of ${this.tailMs / 1000} s, ${this.plan.length} faults; all goes to ${this.out}`);
    await this.world.start({ TERN_TAIL_FILL_MS: String(this.tailMs) }, { disk: this.disk });
    this.history = new History(join(this.out, 'history'));
    this.chat = new Chat(this.world, this.history, new Random(this.seed + 2), load.chat);
    this.streams = new Streams(this.world, this.history, new Random(this.seed + 3), load.streams);
    this.others = new Others(this.world, this.history, new Random(this.seed + 4), this.chat);
    this.faults = new Faults(this.world, this.history);
    await this.begin();
    await this.storm();
    await this.settle();
    await this.tellTiers();
    await writeArchive(this.world.dsn, this.history);
    this.endClients();
    this.history.close();
  }

  async begin() {
    await this.chat.begin((owner, body) => this.others.createConversation(owner, body));
    await waitFor(() => `all follow their rooms, but ${this.chat.late()}`, () => this.chat.late().length === 0, settleMs);
    this.streams.begin();
    // What is published before a stream is open is not for it: so until each has seen something of all it is to see.
    const until = Date.now() + settleMs;
    do {
      await this.streams.publishToAll('the beginning');
      await waitFor('', () => this.streams.late().length === 0, 2000).catch(() => {});
    } while (this.streams.late().length > 0 && Date.now() < until);
    say('all are in');
  }

  async storm() {
    const talks = [this.chat.talk(), this.streams.talk(), this.others.act()];
    const watching = this.faults.watch();
    await this.faults.run(this.plan);
    say(`the faults are over: ${[...this.faults.done].map(([kind, n]) => `${n} ${kind}`).join(', ')}${this.faults.skipped ? `; ${this.faults.skipped} left out, their targets were not back yet` : ''}`);
    this.chat.on = this.streams.on = this.others.on = false;
    await Promise.all(talks);
    this.faults.over = true;
    await watching;
    this.result('no process ended by itself', this.faults.deaths.length === 0, this.faults.deaths);
  }

  /** Everybody gets what is left, and Postgres too. */
  async settle() {
    const began = Date.now();
    const late = [];
    const wait = (what, condition) => waitFor(what, condition, settleMs).catch((e) => late.push(e.message));
    await this.others.settle();
    await wait('tern_outbox is empty', async () => (await standing(this.world.dsn, [], [])).outbox === 0);
    const finals = await this.chat.finals();
    const titles = (await this.streams.publishToAll('the end')).filter(([user]) => user !== undefined).map(([, title]) => title);
    await wait(() => `all sockets see the last message, but ${this.chat.late(finals)}`, () => this.chat.late(finals).length === 0);
    await wait(() => `all streams see the last notification, but ${this.streams.late()}`, () => this.streams.late().length === 0);
    const texts = finals.map((f) => f.text);
    await wait('the last of all are in Postgres', async () => {
      const n = await standing(this.world.dsn, texts, titles);
      return n.messages === texts.length && n.notifications === titles.length;
    });
    this.result('all have caught up', late.length === 0, late);
    say(`settled within ${Date.now() - began} ms`);
  }

  /** How the resumes since the gateways' last starts were served. */
  async tellTiers() {
    const sums = new Map();
    for (const [name, record] of Object.entries(this.world.stack.records())) {
      if (!/^(messaging|notification)/.test(name)) continue;
      const text = (await get(`${record.opsUrl}/metrics`))?.body ?? '';
      for (const [, tier, n] of text.matchAll(/^tern_catchups_total\{tier="(\w+)"\} (\d+)/gm)) sums.set(tier, (sums.get(tier) ?? 0) + Number(n));
    }
    say(`catch-ups of the gateways that stand now: ${[...sums].map(([tier, n]) => `${tier} ${n}`).join(', ')}`);
  }

  check() {
    const history = readHistory(join(this.out, 'history'));
    for (const [name, check] of [['sends', checkSends], ['chat', checkChat], ['streams', checkStreams]]) {
      const found = check(history);
      this.result(`${name}: ${countsText(found)}`, found.faults === 0, found.report());
    }
  }

  endClients() {
    this.chat?.end();
    this.streams?.end();
  }

  async end() {
    this.endClients();
    if (this.faults) this.faults.over = true;
    this.history?.close();
    await this.world.end();
  }
}

const { values } = parseArgs({ options: { minutes: { type: 'string', default: '10' }, seed: { type: 'string' }, out: { type: 'string' }, tell: { type: 'boolean' }, disk: { type: 'boolean', default: false } } });
const seed = Number(values.seed ?? Math.floor(Math.random() * 1e6));
const run = new Run({ minutes: Number(values.minutes), seed, disk: values.disk, out: values.out });
for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(name, () => run.end().finally(() => process.exit(1)));
try {
  await run.run();
  run.check();
} catch (e) {
  run.result('the run', false, [e.stack]);
}
await run.end().catch((e) => run.result('the end', false, [e.stack]));
writeFileSync(join(run.out, 'results.json'), JSON.stringify(run.results, null, 2));
if (values.tell) for (const { name, ok, why } of run.results) console.log(`${ok ? 'ok  ' : 'FAIL'} ${name}${why ? `\n${why}` : ''}`);
const failed = run.results.filter((r) => !r.ok).length;
if (failed > 0) say(`again: scripts/test chaos --minutes ${run.minutes} --seed ${seed}; logs: ${existsSync(join(run.out, 'stack/logs')) ? readdirSync(join(run.out, 'stack/logs')).map((f) => join(run.out, 'stack/logs', f)).join(' ') : 'none'}`);
process.exit(failed === 0 ? 0 : 1);
