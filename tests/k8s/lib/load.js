// Stock clients that talk all the time through a cluster's Services, and what they hold at the end: nothing lost, nothing
// twice, each session recovered, nobody kept waiting.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { EventSource } from 'eventsource';
import { io } from 'socket.io-client';
import { signToken } from '../../../scripts/lib/tokens.mjs';
import { rest, restOk } from '../../lib/rest.js';
import { assertInOrder, recordEvents } from '../../lib/sockets.js';
import { atEnd } from '../../lib/stack.js';
import { sleep, waitFor } from '../../lib/wait.js';

const pauseMs = 100; // between two messages of one sender
const answerMs = 15000;
const waitMax = 5000;

export class Load {
  /** urls = {messaging, notification}, auth = what signToken() takes. */
  constructor({ urls, auth }) {
    Object.assign(this, { urls, auth, conversation: `c-${randomUUID()}`, readers: [], senders: [], streams: [], acked: [], published: [], going: true, faults: [] });
  }

  token(sub, claims = {}) {
    return signToken(this.auth, { sub, ...claims });
  }

  /** With polling first, as stock clients do it, a session's requests reach any gateway before it is upgraded. */
  socket(user, transports = ['websocket']) {
    const socket = io(this.urls.messaging, { auth: { token: this.token(user) }, transports, forceNew: true, reconnectionDelay: 100, reconnectionDelayMax: 500, randomizationFactor: 0.5 });
    atEnd(() => socket.disconnect());
    const client = { socket, user, back: [], lostAt: 0, refused: [] };
    socket.on('disconnect', () => (client.lostAt = Date.now()));
    socket.on('connect', () => {
      if (client.lostAt) client.back.push({ ms: Date.now() - client.lostAt, recovered: socket.recovered });
    });
    socket.on('connect_error', (e) => client.refused.push(`${new Date().toISOString()} ${e.message}`));
    return client;
  }

  async start({ readers, senders, streams }) {
    const members = Array.from({ length: readers }, (_, i) => `reader-${i}`).concat(Array.from({ length: senders }, (_, i) => `sender-${i}`));
    await restOk(201, 'POST', `${this.urls.messaging}/conversations`, { token: this.token('owner'), body: { id: this.conversation, members } });
    for (const user of members) {
      const client = this.socket(user, user.endsWith('1') ? ['polling', 'websocket'] : ['websocket']);
      await waitFor(`${user} is connected`, () => client.socket.connected, answerMs);
      if (user.startsWith('sender')) {
        this.senders.push(client);
      } else {
        client.seen = recordEvents(client.socket);
        const answer = await client.socket.timeout(answerMs).emitWithAck('join_conversation', this.conversation);
        assert.equal(answer.ok, true, JSON.stringify(answer));
        this.readers.push(client);
      }
    }
    for (let i = 0; i < streams; i++) await this.openStream(`listener-${i}`);
    this.work = [...this.senders.map((s) => this.talk(s)), this.publish()];
  }

  async openStream(user) {
    const address = `${this.urls.notification}/notifications/stream/${user}?token=${this.token(user)}`;
    const source = new EventSource(address);
    atEnd(() => source.close());
    const stream = { user, source, seen: [], gaps: 0, opens: 0 };
    source.onmessage = (event) => stream.seen.push(JSON.parse(event.data).title);
    source.addEventListener('gap', () => stream.gaps++);
    source.onopen = () => stream.opens++;
    await waitFor(`the stream of ${user}`, () => stream.opens > 0, answerMs);
    this.streams.push(stream);
  }

  /** One message after the other; what has no answer is sent again under the same clientId. */
  async talk({ socket, user }) {
    for (let n = 0; this.going; n++) {
      const message = { conversationId: this.conversation, content: `${user} ${n}`, clientId: randomUUID(), sentAt: Date.now() };
      const began = Date.now();
      for (;;) {
        const answer = await socket.timeout(answerMs / 3).emitWithAck('send_message', message).catch(() => null);
        if (answer?.ok) {
          this.acked.push(answer.message.id);
          break;
        }
        if (answer && !['busy', 'unknown', 'failed', 'unavailable'].includes(answer.error.code)) this.faults.push(`${user}: ${JSON.stringify(answer)}`);
        if (Date.now() - began > 60000) {
          this.faults.push(`${user} gets no answer for ${message.content}`);
          return;
        }
      }
      await sleep(pauseMs);
    }
  }

  /** Notifications for all streams, each tried until it is taken. */
  async publish() {
    const token = this.token('backend', { scope: 'notifications:publish' });
    const userIds = this.streams.map((s) => s.user);
    for (let n = 0; this.going && userIds.length > 0; n++) {
      const body = { userIds, id: randomUUID(), type: 't', title: String(n), body: 'b' };
      for (let tries = 0; ; tries++) {
        const answer = await rest('POST', `${this.urls.notification}/notifications`, { token, body }).catch((e) => ({ status: 0, body: e.message }));
        if (answer.status === 201 || answer.status === 202) break;
        this.faults.push(`a POST was answered ${answer.status} ${JSON.stringify(answer.body)}`);
        if (tries > 20) return;
        await sleep(pauseMs);
      }
      this.published.push(String(n));
      await sleep(3 * pauseMs);
    }
  }

  /** Holds that all is well so far, while the talk goes on. */
  async check(what) {
    const acked = [...this.acked];
    const published = [...this.published];
    for (const r of this.readers) {
      await waitFor(() => `${what}: ${r.user} has ${r.seen.length} of ${acked.length} messages`, () => acked.every((id) => this.idsOf(r).has(id)), 20000);
      assertInOrder(r.seen);
      assert.equal(r.seen.length, this.idsOf(r).size, `${what}: ${r.user} got something twice`);
    }
    for (const s of this.streams) {
      await waitFor(() => `${what}: ${s.user} has ${s.seen.length} of ${published.length} notifications`, () => published.every((n) => s.seen.includes(n)), 20000);
      assert.deepEqual(s.seen, [...new Set(s.seen)].sort((a, b) => a - b), `${what}: ${s.user} got something twice or in another order`);
      assert.equal(s.gaps, 0, `${what}: ${s.user} was told of a gap`);
    }
    for (const c of [...this.readers, ...this.senders]) {
      assert.deepEqual(c.back.filter((b) => !b.recovered || b.ms > waitMax), [], `${what}: ${c.user} came back`);
      assert.deepEqual(c.refused, [], `${what}: ${c.user} was refused`);
    }
    assert.deepEqual(this.faults, [], what);
  }

  idsOf(reader) {
    reader.ids ??= new Set();
    for (let i = reader.counted ?? 0; i < reader.seen.length; i++) reader.ids.add(reader.seen[i].id);
    reader.counted = reader.seen.length;
    return reader.ids;
  }

  /** How often clients came back, all together. */
  returns() {
    return [...this.readers, ...this.senders].reduce((sum, c) => sum + c.back.length, 0);
  }

  async stop() {
    this.going = false;
    await Promise.all(this.work ?? []);
  }
}
