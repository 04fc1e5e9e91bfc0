// Stock Socket.IO clients that follow rooms, send into them, and note down all that they see and are told.
import { setTimeout as sleep } from 'node:timers/promises';
import { io } from 'socket.io-client';

const joinMs = 6000;
const sendMs = 12000;
const sendPatienceMs = 60000;
const retryMs = 500;
const pageMax = 200;

class ChatClient {
  constructor(world, history, { name, user, rooms, transports }) {
    Object.assign(this, { history, name, user, rooms });
    this.session = 0; // raised with each session that begins anew
    this.last = new Map(); // by room: the newest seq seen
    this.base = new Map(); // by room: the same when the session began; what came since may have come behind a hole
    this.followed = new Set();
    this.ended = false;
    this.socket = io(world.url('messaging'), { auth: { token: world.token(user) }, forceNew: true, transports, timeout: 4000, reconnectionDelay: 150, reconnectionDelayMax: 1500 });
    this.listen();
  }

  note(k, record) {
    this.history.note('chat', { c: this.name, user: this.user, k, ...record });
  }

  listen() {
    const { socket } = this;
    socket.on('connect', () => this.connected());
    socket.on('disconnect', (reason) => this.note('break', { reason }));
    socket.on('cursor', (value) => this.note('mark', { on: value === 'unrecoverable' }));
    socket.on('gap', (data) => this.note('gap', { data }));
    const saw = (name, fields) => socket.on(name, (data, cursor) => this.saw(name, data, cursor, fields(data)));
    saw('new_message', (m) => ({ id: m.id, text: m.content }));
    saw('member_added', (m) => ({ userId: m.userId }));
    saw('member_removed', (m) => ({ userId: m.userId }));
    socket.on('chaos_emit', (data, cursor) => this.note('event', { name: 'chaos_emit', room: data.room, token: data.token, cursor }));
  }

  saw(name, data, cursor, fields) {
    const room = data.conversationId;
    this.last.set(room, Math.max(this.last.get(room) ?? -1, data.seq));
    this.note('event', { name, room, seq: data.seq, cursor, ...fields });
  }

  connected() {
    const { id: sid, recovered } = this.socket;
    this.note('connect', { sid, recovered });
    if (recovered) return;
    this.session++;
    this.followed.clear();
    this.base = new Map(this.last);
    for (const room of this.rooms) this.follow(room, this.session);
  }

  /** Asks to join until it is answered well, or the session is over. */
  async follow(room, session) {
    while (!this.ended && this.session === session && !this.followed.has(room)) {
      if (this.socket.connected) await this.join(room, session);
      if (!this.followed.has(room)) await sleep(retryMs);
    }
  }

  join(room, session) {
    const after = this.base.get(room) ?? -1;
    this.note('ask', { room });
    return new Promise((done) => {
      // In the callback itself, not after a promise: the next event may come in the same turn.
      this.socket.timeout(joinMs).emit('join_conversation', { conversationId: room, ...(after >= 0 && { after }) }, (late, answer) => {
        if (!late && answer.ok && this.session === session) this.joined(room, after, answer);
        done();
      });
    });
  }

  joined(room, after, { headSeq, missed, more }) {
    this.followed.add(room);
    this.note('join', { room, headSeq, after, ...(missed && { missed: missed.map((m) => ({ id: m.id, seq: m.seq, text: m.content })) }) });
    this.last.set(room, Math.max(this.last.get(room) ?? -1, headSeq));
    if (more) this.readOn(room, missed.at(-1).seq, headSeq);
  }

  /** What the join's answer had no place for. */
  async readOn(room, from, upTo) {
    for (let after = from; !this.ended && after < upTo; ) {
      const answer = this.socket.connected && (await this.socket.timeout(joinMs).emitWithAck('fetch_messages', { conversationId: room, after, limit: pageMax }).catch(() => null));
      if (!answer?.ok) {
        await sleep(retryMs);
        continue;
      }
      const messages = answer.messages.filter((m) => m.seq <= upTo).map((m) => ({ id: m.id, seq: m.seq, text: m.content }));
      this.note('page', { room, after, upTo, messages });
      if (messages.length < answer.messages.length || answer.cursor === null) return;
      after = answer.messages.at(-1).seq;
    }
  }

  /** Sends until it is acked, and returns its seq; null for one that is given up, which may be stored all the same. */
  async send(room, token, text, patience = sendPatienceMs) {
    const sentAt = Date.now();
    const until = sentAt + patience;
    while (!this.ended && Date.now() < until) {
      if (this.socket.connected) {
        const answer = await this.attempt(room, token, text, sentAt);
        if (answer?.ok) return answer.message.seq;
        if (answer?.error?.code === 'forbidden' || answer?.error?.code === 'not_found') return null;
      }
      await sleep(retryMs);
    }
    return null;
  }

  attempt(room, token, text, sentAt) {
    this.history.note('sends', { k: 'send', token, room, sender: this.user, text });
    return new Promise((done) => {
      this.socket.timeout(sendMs).emit('send_message', { conversationId: room, content: text, clientId: token, sentAt }, (late, answer) => {
        if (!late) this.history.note('sends', { k: 'ack', token, ok: answer.ok, ...(answer.ok ? { id: answer.message.id, seq: answer.message.seq } : { code: answer.error.code }) });
        done(late ? null : answer);
      });
    });
  }

  end() {
    this.ended = true;
    this.socket.disconnect();
  }
}

const users = Array.from({ length: 8 }, (_, i) => `u${i}`);
const rooms = Array.from({ length: 6 }, (_, i) => `r${i}`);
const transportsOf = [['websocket'], ['polling', 'websocket'], ['websocket'], ['polling']];

/** All sockets, who of them is in which room, and the talk. */
export class Chat {
  constructor(world, history, random, { sockets, perSecond }) {
    Object.assign(this, { world, history, random, perSecond });
    this.count = sockets;
    this.tokens = 0;
    this.sending = new Set();
    this.on = false;
  }

  async begin(post) {
    for (const [i, room] of rooms.entries()) await post(users[i % users.length], { id: room, members: users });
    this.clients = Array.from({ length: this.count }, (_, i) => new ChatClient(this.world, this.history, { name: `s${i}`, user: users[i % users.length], rooms: this.roomsOf(i), transports: transportsOf[i % transportsOf.length] }));
  }

  roomsOf(i) {
    return [rooms[i % rooms.length], rooms[(i * 5 + 1) % rooms.length], rooms[(i * 7 + 3) % rooms.length]].filter((r, at, all) => all.indexOf(r) === at);
  }

  get rooms() {
    return rooms;
  }

  ownerOf(room) {
    return users[rooms.indexOf(room) % users.length];
  }

  get users() {
    return users;
  }

  /** Sends at random until the talk ends. */
  async talk() {
    this.on = true;
    while (this.on) {
      await sleep((1000 / this.perSecond) * 2 * this.random.next());
      if (this.sending.size < 8 * this.count) this.say();
    }
    await Promise.all(this.sending);
  }

  say() {
    const client = this.random.pick(this.clients);
    const token = `${client.name}-${this.tokens++}`;
    const text = `${token} ${'x'.repeat(this.random.weighted([[8, this.random.between(0, 200)], [1, this.random.between(200, 4000)]]))}`;
    const sending = client.send(this.random.pick(client.rooms), token, text).finally(() => this.sending.delete(sending));
    this.sending.add(sending);
  }

  /** One more message in each room, acked: [{room, seq, text}]. */
  finals() {
    return Promise.all(
      rooms.map(async (room) => {
        const client = this.clients.find((c) => c.rooms.includes(room) && c.socket.connected) ?? this.clients.find((c) => c.rooms.includes(room));
        const text = `${client.name}-${this.tokens++} the end`;
        const seq = await client.send(room, text.split(' ')[0], text);
        if (seq === null) throw new Error(`the last message of ${room} is not acked`);
        return { room, seq, text };
      }),
    );
  }

  /** Who does not follow all of its rooms, or has not seen this far. */
  late(finals = []) {
    const behind = (client) => client.rooms.some((room) => !client.followed.has(room) || finals.some((f) => f.room === room && (client.last.get(room) ?? -1) < f.seq));
    return this.clients.filter((client) => !client.socket.connected || behind(client)).map((client) => client.name);
  }

  end() {
    for (const client of this.clients ?? []) client.end();
  }
}
