// What chaos is done to: a stack of 3 messaging and 2 notification gateways, 2 writers, 3 brokers and a Postgres, and the links
// through which its clients come.
import { spawnSync } from 'node:child_process';
import { mkdirSync, rmSync, statfsSync } from 'node:fs';
import { join } from 'node:path';
import { Stack } from '../../scripts/lib/stack.mjs';
import { signToken } from '../../scripts/lib/tokens.mjs';
import { withDatabase } from './archive.js';
import { Link, Weather } from './link.js';
import { Peers } from './peers.js';

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
const diskMegabytes = 600;
/** The clients of a gateway kind are two halves, so that a fault may strike one of them. */
export const halves = 2;

export class World {
  constructor(dir) {
    this.stack = new Stack(dir);
    this.fronts = {};
    this.links = [];
    this.peers = new Peers(() => this.services());
    this.disk = null;
    this.weathers = new Map();
  }

  /** The weather between two: 'messaging/0~kafka', 'writer/1~postgres', 'clients/0~messaging'. */
  weather(name) {
    if (!this.weathers.has(name)) this.weathers.set(name, new Weather());
    return this.weathers.get(name);
  }

  /** disk: we are in a mount namespace of our own, so Postgres may get a disk of its own. */
  async start(set, { disk }) {
    if (disk) this.ownDisk();
    const through = (ports) => this.link(ports);
    await this.stack.up({ kafka: 'apache', kafkaNodes: counts.kafka, messaging: counts.messaging, notification: counts.notification, writer: counts.writer, set: { ...settings, ...set }, through });
    for (const kind of ['messaging', 'notification']) {
      const ports = Object.entries(this.stack.records()).filter(([name]) => name.startsWith(`${kind}/`)).map(([, r]) => Number(new URL(r.url).port));
      let turn = 0;
      this.fronts[kind] = await new Link(ports, () => this.weather(`clients/${turn++ % halves}~${kind}`)).listen();
    }
    // The log of changes must fit the disk.
    if (this.disk) await withDatabase(this.dsn, (client) => client.query("ALTER SYSTEM SET max_wal_size = '128MB'").then(() => client.query('SELECT pg_reload_conf()')));
  }

  /** Links before each of Kafka's nodes and before Postgres: {kafka: ports, postgres: port}. */
  async link(ports) {
    const before = async (port, kind) => {
      const link = await new Link([port], async (front) => this.weather(`${await this.peers.nameOf(front.remotePort, link.port)}~${kind}`)).listen();
      this.links.push(link);
      return link.port;
    };
    return { kafka: await Promise.all(ports.kafka.map((port) => before(port, 'kafka'))), postgres: await before(ports.postgres, 'postgres') };
  }

  services() {
    return Object.fromEntries(Object.entries(this.stack.records()).filter(([, r]) => r.ready.kind === 'service'));
  }

  /** A small tmpfs where Postgres' files will be. */
  ownDisk() {
    this.disk = join(this.stack.dir, 'postgres');
    mkdirSync(this.disk, { recursive: true });
    const r = spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${diskMegabytes}m,mode=0700`, 'tern-chaos', this.disk], { encoding: 'utf8' });
    if (r.status !== 0) throw new Error(`Postgres' disk cannot be mounted: ${r.stderr}`);
  }

  get ballast() {
    return join(this.disk, 'ballast');
  }

  fillDisk() {
    const { bavail, bsize } = statfsSync(this.disk);
    const r = spawnSync('fallocate', ['-l', String(bavail * bsize), this.ballast]);
    if (r.status !== 0) throw new Error(`the disk cannot be filled: ${r.stderr}`);
  }

  emptyDisk() {
    rmSync(this.ballast, { force: true });
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
    for (const link of [...Object.values(this.fronts), ...this.links]) link.close();
    for (const weather of this.weathers.values()) weather.set({ cut: true });
    if (this.disk) {
      if (this.stack.exists()) await this.stack.kill('postgres').catch(() => {});
      spawnSync('umount', ['-l', this.disk]);
    }
    await this.stack.down();
  }
}

