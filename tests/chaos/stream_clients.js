// Stock EventSource clients, and whoever publishes to them: all that they see and are told is noted down.
import { setTimeout as sleep } from 'node:timers/promises';
import { EventSource } from 'eventsource';
import { askUntil } from './rest.js';

const users = Array.from({ length: 5 }, (_, i) => `n${i}`);
const streamsEach = 2;
const broadcastShare = 0.12;

class StreamClient {
  constructor(world, history, name, user) {
    Object.assign(this, { history, name, user });
    const url = new URL(`/notifications/stream/${user}?token=${world.token(user)}`, world.url('notification'));
    this.source = new EventSource(url);
    this.source.onmessage = (event) => this.saw('message', event);
    this.source.addEventListener('notification_read', (event) => this.saw('notification_read', event));
    this.source.addEventListener('gap', (event) => this.note('gap', { data: event.data }));
    this.source.onerror = (event) => {
      if (this.source.readyState === EventSource.CLOSED && !this.ended) this.note('closed', { code: event.code, message: event.message });
    };
    this.titles = new Set();
  }

  note(k, record) {
    this.history.note('streams', { c: this.name, user: this.user, k, ...record });
  }

  saw(name, event) {
    const data = JSON.parse(event.data);
    const log = data.audience === undefined ? 'notifications' : 'broadcasts';
    if (name === 'message') this.titles.add(data.title);
    this.note('event', { log, to: data.userId, name, id: data.id, ...(name === 'message' && { seq: data.seq, title: data.title }), cursor: event.lastEventId });
  }

  end() {
    this.ended = true;
    this.source.close();
  }
}

export class Streams {
  constructor(world, history, random, { perSecond }) {
    Object.assign(this, { world, history, random, perSecond });
    this.publisher = world.token('publisher', { scope: 'notifications:publish' });
    this.count = 0;
    this.acked = []; // [id, user] of what may be marked as read
    this.sending = new Set();
    this.on = false;
  }

  begin() {
    this.clients = users.flatMap((user) => Array.from({ length: streamsEach }, (_, i) => new StreamClient(this.world, this.history, `${user}-${i}`, user)));
  }

  /** Something for each user, and a broadcast: [[user or undefined, title]]. */
  async publishToAll(what) {
    const titles = await Promise.all([...users.map(async (user) => [user, await this.publish({ userId: user }, what)]), this.publish({ topic: 'all' }, what).then((title) => [undefined, title])]);
    this.lastTitles = titles;
    return titles;
  }

  /** Streams that have not seen what publishToAll() published last. */
  late() {
    return this.clients.filter((c) => this.lastTitles.some(([user, title]) => (user ?? c.user) === c.user && !c.titles.has(title))).map((c) => c.name);
  }

  async publish(whom, what, ended) {
    const id = `n-${this.count++}`;
    const title = `${id} ${what}`;
    this.history.note('posts', { k: 'post', id, title, ...whom });
    const answer = await askUntil([201], 'POST', `${this.world.url('notification')}/notifications`, { token: this.publisher, body: { id, type: 'chaos', title, body: 'b', ...whom }, ended });
    this.history.note('posts', { k: 'posted', id, ok: answer !== null });
    if (answer && whom.userId) this.acked.push([id, whom.userId]);
    return title;
  }

  async mark() {
    if (this.acked.length === 0) return;
    const [[id, user]] = this.acked.splice(this.random.between(0, this.acked.length - 1), 1);
    this.history.note('posts', { k: 'read', id });
    const answer = await askUntil([200], 'POST', `${this.world.url('notification')}/notifications/${id}/read`, { token: this.world.token(user) });
    this.history.note('posts', { k: 'marked', id, ok: answer !== null });
  }

  async talk() {
    this.on = true;
    while (this.on) {
      await sleep((1000 / this.perSecond) * 2 * this.random.next());
      if (this.sending.size >= 100) continue;
      const what = this.random.next();
      const whom = what < broadcastShare ? { topic: 'all' } : { userId: this.random.pick(users) };
      const sending = (what > 0.85 ? this.mark() : this.publish(whom, 'x')).finally(() => this.sending.delete(sending));
      this.sending.add(sending);
    }
    await Promise.all(this.sending);
  }

  end() {
    for (const client of this.clients ?? []) client.end();
  }
}
