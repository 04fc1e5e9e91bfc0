// What the sockets saw against the archive: each event of a room that a socket followed once and in order, or the socket was told
// that its session begins anew, and then its messages came with the join; nothing that was not sent, nothing without a right.
//
// All sockets of a room are held to one order, the archive's; so it is equal for all of them.
import { Findings } from './findings.js';
import { eventKeys, readRooms } from './rooms.js';

/** One room as one socket knows it. */
class Following {
  constructor() {
    this.from = null; // everything behind this seq is owed
    this.seen = new Set();
    this.last = -1;
    this.asked = false; // a join went out in this session
    this.joined = false; // and was acked
    this.brokenAt = null; // the newest seq before a session that began anew
    this.excused = []; // [from, to]: events that are no messages and lie between two sessions
  }
}

class Socket {
  constructor(name, user) {
    this.name = name;
    this.user = user;
    this.sid = null;
    this.marked = false; // told that its session cannot be recovered
    this.rooms = new Map();
  }

  room(id) {
    if (!this.rooms.has(id)) this.rooms.set(id, new Following());
    return this.rooms.get(id);
  }
}

class Checker {
  constructor({ chat, sends, emits, archive }) {
    this.found = new Findings({ owed: 0, lost: 0, doubled: 0, outOfOrder: 0, invented: 0, forbidden: 0, recovered: 0, unrecovered: 0, gaps: 0 });
    this.rooms = readRooms(archive);
    this.tokens = new Set([...sends.filter((r) => r.k === 'send').map((r) => r.token), ...emits.map((r) => r.token)]);
    this.sockets = new Map();
    this.chat = chat;
  }

  run() {
    for (const room of this.rooms.values()) for (const row of room.repeated) this.found.fault('doubled', `the archive has ${row.key} twice`);
    for (const r of this.chat) {
      if (!this.sockets.has(r.c)) this.sockets.set(r.c, new Socket(r.c, r.user));
      this[r.k](this.sockets.get(r.c), r);
    }
    for (const socket of this.sockets.values()) for (const [id, f] of socket.rooms) this.checkOwed(socket, id, f);
    if (this.found.counts.owed === 0) this.found.fault('nothing', 'no event was owed to anybody');
    return this.found;
  }

  // ---- what a socket was told ----

  connect(socket, r) {
    if (socket.sid === null) {
      socket.sid = r.sid;
    } else if (r.recovered) {
      this.found.count('recovered');
      if (r.sid !== socket.sid) this.found.fault('identity', `${socket.name} was recovered as ${r.sid}, it was ${socket.sid} (${r.t} ms)`);
    } else {
      this.beginAnew(socket, r);
    }
  }

  beginAnew(socket, r) {
    const followed = [...socket.rooms].filter(([, f]) => f.joined);
    if (followed.length > 0) {
      this.found.count('unrecovered');
      if (!socket.marked) this.found.fault('sessionLost', `${socket.name} got a new session at ${r.t} ms, and nothing had said that its own was unrecoverable`);
    }
    for (const [, f] of socket.rooms) {
      if (f.joined && f.brokenAt === null) f.brokenAt = f.last > f.from ? f.last : f.from;
      f.asked = f.joined = false;
    }
    socket.sid = r.sid;
    socket.marked = false;
  }

  break() {}

  /** `on`: its cursor is one that nobody knows; off: it has a good one again. */
  mark(socket, r) {
    socket.marked = r.on;
  }

  gap(socket, r) {
    this.found.count('gaps');
    this.found.fault('illegalGap', `${socket.name} was told of a gap at ${r.t} ms, and nothing had passed out of the log`);
  }

  ask(socket, r) {
    socket.room(r.room).asked = true;
  }

  join(socket, r) {
    const f = socket.room(r.room);
    f.joined = true;
    const start = f.from === null ? r.headSeq : Math.min(f.from, r.headSeq);
    f.from = f.from === null && r.after >= 0 ? r.after : start;
    if (f.brokenAt !== null) f.excused.push([f.brokenAt, r.headSeq]);
    f.brokenAt = null;
    if (r.missed) this.page(socket, { ...r, messages: r.missed, upTo: r.headSeq });
  }

  /** Messages that were asked for: ascending, and within what was asked. */
  page(socket, r) {
    const f = socket.room(r.room);
    let before = r.after;
    for (const m of r.messages) {
      this.known(socket, r, { ...m, name: 'new_message' });
      if (m.seq <= before || m.seq > r.upTo) this.found.fault('outOfOrder', `${socket.name} asked ${r.room} for (${r.after}, ${r.upTo}] and got ${m.seq} after ${before}`);
      before = m.seq;
      f.seen.add(m.seq);
      f.last = Math.max(f.last, m.seq);
    }
  }

  /** The row of what was shown; faults if there is none, or another. */
  known(socket, r, e) {
    const row = this.rooms.get(r.room)?.byKey.get(eventKeys[e.name](e));
    const token = e.token ?? (e.text === undefined ? undefined : /^\S+/.exec(e.text)?.[0]);
    if (!row) this.found.fault('invented', `${socket.name} saw ${e.name} ${e.id ?? e.token ?? e.userId} ${e.seq ?? ''} of ${r.room} at ${r.t} ms, which is not in the archive`);
    else if ((e.seq !== undefined && e.seq !== row.seq) || (e.text !== undefined && e.text !== row.text)) this.found.fault('invented', `${socket.name} saw ${e.id} as ${e.seq} ${e.text?.slice(0, 40)}, the archive has ${row.seq} ${row.text?.slice(0, 40)}`);
    else if (token !== undefined && !this.tokens.has(token)) this.found.fault('invented', `${socket.name} saw ${token}, which nobody sent`);
    return row;
  }

  event(socket, r) {
    const f = socket.room(r.room);
    const row = this.known(socket, r, r);
    if (!row) return;
    if (!f.asked || this.rooms.get(r.room).isAway(socket.user, row.seq)) this.found.fault('forbidden', `${socket.name} (${socket.user}) was shown ${row.key} of ${r.room} at ${r.t} ms ${f.asked ? 'while it was no member' : 'without having joined'}`);
    if (f.seen.has(row.seq)) this.found.fault('doubled', `${socket.name} saw ${row.key} (${row.seq}) of ${r.room} again at ${r.t} ms`);
    else if (row.seq < f.last) this.found.fault('outOfOrder', `${socket.name} saw ${row.seq} of ${r.room} after ${f.last} at ${r.t} ms`);
    f.seen.add(row.seq);
    f.last = Math.max(f.last, row.seq);
    if (f.from === null || row.seq <= f.from) f.from = row.seq - 1;
  }

  // ---- what it was owed ----

  checkOwed(socket, id, f) {
    const room = this.rooms.get(id);
    if (!f.joined) this.found.fault('notBack', `${socket.name} does not follow ${id} at the end`);
    if (f.from === null || !room) return;
    for (const row of room.rows) {
      if (row.seq <= f.from || room.isAway(socket.user, row.seq)) continue;
      if (row.kind !== 'message' && f.excused.some(([from, to]) => row.seq > from && row.seq <= to)) continue;
      this.found.count('owed');
      if (!f.seen.has(row.seq)) this.found.fault('lost', `${socket.name} (${socket.user}) did not see ${row.key} (${row.seq}) of ${id}; it saw up to ${f.last}`);
    }
  }
}

export function checkChat(history) {
  return new Checker(history).run();
}
