// What chaos is done to: a stack of 3 messaging and 2 notification gateways, 2 writers, 3 brokers and a Postgres, and the links
// through which its clients come.
import { Stack } from '../../scripts/lib/stack.mjs';
import { signToken } from '../../scripts/lib/tokens.mjs';
import { Link, Weather } from './link.js';

export const counts = { messaging: 3, notification: 2, writer: 2, kafka: 3 };

/** Timeouts that fit a run of minutes: nobody waits half a minute for a heartbeat. */
const settings = {
  TERN_PING_INTERVAL_MS: '4000',
  TERN_PING_TIMEOUT_MS: '4000',
  TERN_HEARTBEAT_MS: '4000',
  TERN_RETRY_MS: '300',
  TERN_RETRY_JITTER_MS: '300',
  TERN_DRAIN_MS: '1500',
};

const tokenSeconds = 12 * 3600;

export class World {
  constructor(dir) {
    this.stack = new Stack(dir);
    this.fronts = {};
    this.weathers = new Map();
  }

  /** The weather of one party: a gateway kind's clients ('clients messaging'), or one service. */
  weather(name) {
    if (!this.weathers.has(name)) this.weathers.set(name, new Weather());
    return this.weathers.get(name);
  }

  async start(set) {
    await this.stack.up({ kafka: 'apache', kafkaNodes: counts.kafka, messaging: counts.messaging, notification: counts.notification, writer: counts.writer, set: { ...settings, ...set } });
    for (const kind of ['messaging', 'notification']) {
      const ports = Object.entries(this.stack.records()).filter(([name]) => name.startsWith(`${kind}/`)).map(([, r]) => Number(new URL(r.url).port));
      this.fronts[kind] = await new Link(ports, () => this.weather(`clients ${kind}`)).listen();
    }
  }

  url(kind) {
    return this.fronts[kind].url;
  }

  get dsn() {
    return this.stack.facts().postgres.dsn;
  }

  token(sub, claims = {}) {
    return signToken(this.stack.facts().auth, { sub, exp: Math.floor(Date.now() / 1000) + tokenSeconds, ...claims });
  }

  names() {
    return Object.keys(this.stack.records());
  }

  async end() {
    for (const front of Object.values(this.fronts)) front.close();
    for (const weather of this.weathers.values()) weather.set({ cut: true });
    await this.stack.down();
  }
}

