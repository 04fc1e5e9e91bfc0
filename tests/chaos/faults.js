// Does what the plan says, when it says so, and undoes it; and watches for what ends without having been asked to.
import { existsSync, statSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { alive, lastWords, logTail, waitGone } from '../../scripts/lib/processes.mjs';
import { withDatabase } from './archive.js';

const watchMs = 300;
const goneMs = 75000;
const startsMax = 5;
const settleMs = 1000;

export class Faults {
  constructor(world, history) {
    Object.assign(this, { world, history, stack: world.stack });
    this.busy = new Set(); // names that a fault is upon
    this.done = new Map(); // by kind: how many
    this.skipped = 0;
    this.deaths = [];
    this.under = new Set();
    this.over = false;
  }

  /** Returns when all of the plan is over and every process is back. */
  async run(plan) {
    const began = Date.now();
    for (const fault of plan) {
      await sleep(Math.max(0, began + fault.at - Date.now()));
      // On a slow machine something may not be back yet from the fault before.
      if (fault.targets.some((name) => this.busy.has(name))) {
        this.skipped++;
        continue;
      }
      const work = this.strike(fault).finally(() => this.under.delete(work));
      this.under.add(work);
    }
    await Promise.all(this.under);
  }

  async strike(fault) {
    const { kind, targets } = fault;
    this.done.set(kind, (this.done.get(kind) ?? 0) + 1);
    for (const name of targets) this.busy.add(name);
    this.history.note('faults', { k: 'begin', ...fault });
    try {
      await Promise.all(targets.map((name) => this[kind](name, fault)));
    } catch (e) {
      this.deaths.push(`${kind} of ${targets.join(' ')}: ${e.message}`);
    }
    for (const name of targets) this.busy.delete(name);
    this.history.note('faults', { k: 'end', kind, targets });
  }

  async kill(name, { forMs }) {
    await this.stack.kill(name);
    await sleep(forMs);
    await this.start(name);
  }

  async term(name, { forMs }) {
    await this.stack.term(name);
    if (!(await waitGone([this.stack.record(name)], goneMs))) throw new Error(`${name} does not end within ${goneMs / 1000} s of SIGTERM`);
    await sleep(forMs);
    await this.start(name);
  }

  async pause(name, { forMs }) {
    this.stack.pause(name);
    await sleep(forMs);
    this.stack.cont(name);
  }

  // ---- the network ----

  async storm(name, change, { forMs, reset }) {
    const weather = this.world.weather(name);
    weather.set(change);
    await sleep(forMs);
    if (reset) weather.reset();
    weather.set({});
  }

  cut(name, fault) {
    return this.storm(name, { cut: true }, fault);
  }

  silence(name, fault) {
    return this.storm(name, { silent: { up: fault.way !== 'down', down: fault.way !== 'up' } }, fault);
  }

  delay(name, fault) {
    return this.storm(name, { delayMs: fault.delayMs }, fault);
  }

  slow(name, fault) {
    return this.storm(name, { bytesPerSecond: fault.bytesPerSecond }, fault);
  }

  // ---- Postgres ----

  /** Two of three backends are ended. Postgres may be away just then. */
  async terminate() {
    const text = 'SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND usename = current_user AND random() < 0.67';
    await withDatabase(this.world.dsn, (client) => client.query(text)).catch((e) => this.history.note('faults', { k: 'missed', why: e.message }));
  }

  /** Postgres may end itself when it cannot write its log of changes: then it is started again. */
  async full(name, { forMs }) {
    this.world.fillDisk();
    await sleep(forMs);
    this.world.emptyDisk();
    await sleep(settleMs);
    if (!alive(this.stack.record(name))) await this.start(name);
  }

  /** A service may give up while what it needs is away: whoever runs it starts it again. */
  async start(name) {
    for (let tries = 1; ; tries++) {
      try {
        await this.stack.start(name);
        return;
      } catch (e) {
        this.history.note('faults', { k: 'start', name, failed: e.message });
        if (tries >= startsMax) throw e;
        if (alive(this.stack.record(name))) await this.stack.kill(name);
      }
    }
  }

  /** Notes down each process that ends by itself, and starts it again. */
  async watch() {
    const sizes = new Map();
    const sizeOf = (path) => (existsSync(path) ? statSync(path).size : 0);
    while (!this.over) {
      for (const [name, record] of Object.entries(this.stack.records())) {
        if (this.busy.has(name) || alive(record)) continue;
        const log = this.stack.log(name);
        this.deaths.push(`${name} ended by itself at ${this.history.now()} ms: ${lastWords(logTail(log, sizes.get(name) ?? 0)) || `see ${log}`}`);
        this.history.note('faults', { k: 'died', name });
        this.busy.add(name);
        await this.start(name).catch((e) => this.deaths.push(e.message));
        this.busy.delete(name);
        sizes.set(name, sizeOf(log));
      }
      await sleep(watchMs);
    }
  }
}
