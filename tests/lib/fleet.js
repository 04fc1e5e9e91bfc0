// Crowds of stock clients behind a round-robin TCP proxy that follows readiness, and what an operator may do to them.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { EventSource } from 'eventsource';
import { io } from 'socket.io-client';
import { get } from '../../scripts/lib/services.mjs';
import { startBalancer } from './balancer.js';
import { createConversation, restOk } from './rest.js';
import { askOk, assertInOrder, recordEvents, say } from './sockets.js';
import { atEnd } from './stack.js';
import { streamUrl } from './streams.js';
import { once, sleep, waitFor } from './wait.js';

const lookMs = 25;
const warmUp = 'warm-up';

/** A balancer over those of `names` that are ready and not in `leaving`, as an endpoint controller keeps it. */
export async function startReadyBalancer(stack, names) {
  const balancer = await startBalancer([]);
  balancer.leaving = new Set();
  let going = true;
  const look = async () => {
    while (going) {
      const ready = await Promise.all(names.map(async (n) => (await get(`${stack.opsUrlOf(n)}/readyz`, 500))?.status === 200));
      balancer.servers = names.filter((n, i) => ready[i] && !balancer.leaving.has(n)).map((n) => stack.urlOf(n));
      await sleep(lookMs);
    }
  };
  const looking = look();
  atEnd(async () => {
    going = false;
    await looking;
  });
  await waitFor('a gateway is ready', () => balancer.servers.length > 0);
  return balancer;
}

/** What a rollout does with one gateway: out of the balancer, SIGTERM, until it has ended; and a new one in its place. */
export async function replace(stack, balancer, name, whileDraining = async () => {}) {
  balancer.leaving.add(name);
  await waitFor(`${name} is out of the balancer`, () => !balancer.servers.includes(stack.urlOf(name)));
  const began = Date.now();
  await stack.term(name);
  await whileDraining();
  await waitFor(`${name} has ended`, () => !stack.isAlive(name), 60000);
  const tookMs = Date.now() - began;
  await stack.start(name);
  balancer.leaving.delete(name);
  await waitFor(`${name} is in the balancer`, () => balancer.servers.includes(stack.urlOf(name)));
  return tookMs;
}

/** The newest line of a process's log with this event; its fields. */
export function lastLogged(stack, name, event) {
  const lines = readFileSync(stack.log(name), 'utf8').split('\n').filter((line) => line.startsWith('{'));
  return lines.map((line) => JSON.parse(line)).findLast((line) => line.event === event);
}

/** Most times within any second. */
export function mostInASecond(times) {
  const sorted = [...times].sort((a, b) => a - b);
  let most = 0;
  for (let from = 0, to = 0; to < sorted.length; to++) {
    while (sorted[to] - sorted[from] >= 1000) from++;
    most = Math.max(most, to - from + 1);
  }
  return most;
}

/** Sockets with nothing but the stock client's own settings, in rooms of `roomSize`; one talks in each room. */
export class Crowd {
  constructor(stack, balancer) {
    Object.assign(this, { stack, balancer, clients: [], rooms: [], going: true, returns: [], departures: [] });
  }

  async join(count, roomSize) {
    while (this.clients.length < count) {
      const owner = `owner-${randomUUID()}`;
      const id = await createConversation(this.stack, { owner, gateway: 'messaging/0' });
      const room = { id, said: [], clients: [] };
      const size = Math.min(roomSize, count - this.clients.length);
      room.clients = await Promise.all(Array.from({ length: size }, () => this.enter(owner, room)));
      this.rooms.push(room);
      this.clients.push(...room.clients);
    }
  }

  async enter(user, room) {
    const socket = io(this.balancer.url, { auth: { token: this.stack.token(user) }, transports: ['websocket'], forceNew: true });
    atEnd(() => socket.disconnect());
    const c = { socket, room, seen: recordEvents(socket), lostAt: 0, waits: [], reasons: [], unrecovered: 0, errors: [] };
    await once(socket, 'connect', 20000);
    await askOk(socket, 'join_conversation', room.id);
    socket.on('disconnect', (reason) => {
      c.lostAt = Date.now();
      c.reasons.push(reason);
      this.departures.push(c.lostAt);
    });
    socket.on('connect', () => {
      const now = Date.now();
      c.waits.push(now - c.lostAt);
      this.returns.push(now);
      if (!socket.recovered) c.unrecovered++;
    });
    socket.on('connect_error', (e) => c.errors.push(e.message));
    return c;
  }

  /** Somebody of each room speaks every `pauseMs`; what has no answer is said again under the same clientId. */
  talk(pauseMs) {
    this.talking = Promise.all(this.rooms.map(async (room) => {
      for (let n = 0; this.going; n++) {
        const more = { clientId: randomUUID(), sentAt: Date.now() };
        const { socket } = room.clients[n % room.clients.length];
        for (let done = false; !done; ) done = await say(socket, room.id, `message ${n}`, more).then((m) => room.said.push(m.id), () => false);
        await sleep(pauseMs);
      }
    }));
  }

  async hush() {
    this.going = false;
    await this.talking;
  }

  /** Each has all that was said in its room, once and in order; was never told to stay away; came back with its session, soon. */
  async check(waitMax) {
    for (const room of this.rooms) {
      for (const c of room.clients) {
        await waitFor(() => `${room.said.length} messages, there are ${c.seen.length}`, () => c.seen.length >= room.said.length, 20000);
        assertInOrder(c.seen);
        assert.deepEqual(c.seen.map((m) => m.id).sort(), [...room.said].sort());
        assert.equal(c.unrecovered, 0, 'recovered');
        assert.deepEqual(c.errors, []);
        assert.deepEqual(c.waits.filter((ms) => ms > waitMax), []);
        for (const reason of c.reasons) assert.match(reason, /^transport (close|error)$/);
      }
    }
  }
}

/** Stock EventSources, each of a user of its own. */
export class Listeners {
  constructor(stack, balancer) {
    Object.assign(this, { stack, balancer, streams: [], said: [], going: true, returns: [], publisher: stack.token('backend', { scope: 'notifications:publish' }) });
  }

  async open(count) {
    for (let i = 0; i < count; i++) {
      const user = `listener-${randomUUID()}`;
      const source = new EventSource(streamUrl(this.stack, null, user, { url: this.balancer.url }));
      atEnd(() => source.close());
      const s = { user, source, seen: [], gaps: 0, warm: false, lostAt: 0, waits: [], opens: 0 };
      source.onmessage = (event) => {
        const { title } = JSON.parse(event.data);
        if (title === warmUp) s.warm = true;
        else s.seen.push(title);
      };
      source.addEventListener('gap', () => s.gaps++);
      source.onerror = () => (s.lostAt ||= Date.now());
      source.onopen = () => {
        if (s.opens++ > 0) {
          s.waits.push(Date.now() - s.lostAt);
          this.returns.push(Date.now());
        }
        s.lostAt = 0;
      };
      this.streams.push(s);
    }
    for (const s of this.streams) await waitFor('the stream is open', () => s.opens > 0);
    // This client takes an id from a block with data only, unlike browsers: before its first message it has no place to come back to.
    await waitFor('each has a place', async () => {
      await this.publish(warmUp);
      return this.streams.every((s) => s.warm);
    });
  }

  publish(title) {
    const body = { userIds: this.streams.map((s) => s.user), id: randomUUID(), type: 't', title, body: 'b' };
    return restOk(201, 'POST', `${this.balancer.url}/notifications`, { token: this.publisher, body });
  }

  talk(pauseMs) {
    this.talking = (async () => {
      for (let n = 0; this.going; n++) {
        await this.publish(String(n));
        this.said.push(String(n));
        await sleep(pauseMs);
      }
    })();
  }

  async hush() {
    this.going = false;
    await this.talking;
  }

  async check(waitMax) {
    for (const s of this.streams) {
      const missing = () => this.said.filter((title) => !s.seen.includes(title));
      await waitFor(() => `${this.said.length} notifications, ${missing()} are missing after ${s.opens} opens`, () => s.seen.length >= this.said.length, 20000);
      assert.deepEqual(s.seen, this.said);
      assert.equal(s.gaps, 0);
      assert.notEqual(s.source.readyState, EventSource.CLOSED);
      assert.deepEqual(s.waits.filter((ms) => ms > waitMax), []);
    }
  }
}
