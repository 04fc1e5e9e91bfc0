// Who is no client and acts upon rooms all the same: a backend that inserts into tern_outbox, and owners who remove and add members.
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { askUntil } from './rest.js';

/** One row of tern_outbox in a transaction of its own. Whether it was committed may stay unknown. */
async function insert(dsn, room, token) {
  const client = new pg.Client({ connectionString: dsn, connectionTimeoutMillis: 3000, query_timeout: 5000 });
  client.on('error', () => {});
  try {
    await client.connect();
    await client.query('INSERT INTO tern_outbox (key, event, args) VALUES ($1, $2, $3)', [room, 'chaos_emit', JSON.stringify([{ token, room }])]);
    return true;
  } catch {
    return false;
  } finally {
    client.end().catch(() => {});
  }
}

export class Others {
  constructor(world, history, random, chat) {
    Object.assign(this, { world, history, random, chat });
    this.on = false;
    this.away = new Map(); // by room: the user that was removed
    this.rounds = 0;
  }

  async createConversation(owner, body) {
    const answer = await askUntil([201, 400], 'POST', `${this.world.url('messaging')}/conversations`, { token: this.world.token(owner), body });
    if (!answer) throw new Error(`the conversation ${body.id} cannot be made`);
  }

  async emitAtTimes() {
    for (let n = 0; this.on; n++) {
      await sleep(this.random.between(100, 900));
      const [room, token] = [this.random.pick(this.chat.rooms), `e-${n}`];
      this.history.note('emits', { k: 'emit', token, room });
      const ok = await insert(this.world.dsn, room, token);
      this.history.note('emits', { k: 'emitted', token, room, ok });
    }
  }

  async changeMembers() {
    while (this.on) {
      await sleep(this.random.between(1000, 5000));
      const room = this.random.pick(this.chat.rooms);
      await (this.away.has(room) ? this.bringBack(room) : this.remove(room));
    }
  }

  async remove(room) {
    const user = this.random.pick(this.chat.users.filter((u) => u !== this.chat.ownerOf(room)));
    this.away.set(room, user);
    await askUntil([200, 404], 'DELETE', `${this.members(room)}/${user}`, { token: this.world.token(this.chat.ownerOf(room)) });
  }

  async bringBack(room) {
    const user = this.away.get(room);
    const answer = await askUntil([201], 'POST', this.members(room), { token: this.world.token(this.chat.ownerOf(room)), body: { userId: user } });
    if (answer) this.away.delete(room);
  }

  members(room) {
    return `${this.world.url('messaging')}/conversations/${room}/members`;
  }

  async act() {
    this.on = true;
    await Promise.all([this.emitAtTimes(), this.changeMembers()]);
  }

  /** Everybody is a member again. */
  async settle() {
    for (const room of this.away.keys()) await this.bringBack(room);
    if (this.away.size > 0) throw new Error(`these rooms do not take their members back: ${[...this.away.keys()].join(', ')}`);
  }
}
