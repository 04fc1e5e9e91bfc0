// What the event streams saw against the archive: from its first notification on a stream sees each row of its user, and each
// broadcast, once and in order; a gap only where something has left the log, which never happens here.
import { Findings } from './findings.js';

const nameOf = { 'tern.notification.created': 'message', 'tern.notification.read': 'notification_read', 'tern.broadcast': 'message' };

/** Map of 'user ada' or 'broadcasts' -> rows by seq: {seq, name, id, title}. */
function readLogs(archive) {
  const logs = new Map();
  for (const r of archive) {
    if (r.k !== 'notice' || !nameOf[r.type]) continue;
    const log = r.topic === 'broadcasts' ? 'broadcasts' : `user ${r.key}`;
    const name = nameOf[r.type];
    logs.set(log, [...(logs.get(log) ?? []), { seq: r.seq, name, id: name === 'message' ? r.id : r.data.id, title: r.data.title }]);
  }
  for (const rows of logs.values()) rows.sort((a, b) => a.seq - b.seq);
  return logs;
}

const keyOf = (e) => `${e.name} ${e.id}`;

/** A stream's place in one log. Rows of one key (a notification marked twice) are met in their order. */
class Reading {
  constructor(rows) {
    this.rows = rows;
    this.first = null;
    this.last = -1;
    this.seen = new Set();
    this.byKey = new Map();
    for (const row of rows) this.byKey.set(keyOf(row), [...(this.byKey.get(keyOf(row)) ?? []), row]);
  }

  /** The row that an event shows: the next of its key, or the last one if there is no next; undefined if there is none. */
  rowOf(e) {
    const rows = this.byKey.get(keyOf(e)) ?? [];
    return rows.find((row) => !this.seen.has(row.seq) && (this.first === null || row.seq > this.first)) ?? rows.at(-1);
  }
}

function take(found, stream, reading, e) {
  const row = reading.rowOf(e);
  if (!row) {
    found.fault('invented', `${stream} saw ${keyOf(e)} at ${e.t} ms, which is not in the archive`);
    return;
  }
  if (e.name === 'message' && (e.seq !== row.seq || e.title !== row.title)) found.fault('invented', `${stream} saw ${keyOf(e)} as ${e.seq} ${e.title}, the archive has ${row.seq} ${row.title}`);
  if (reading.seen.has(row.seq)) found.fault('doubled', `${stream} saw ${keyOf(e)} (${row.seq}) again at ${e.t} ms`);
  else if (row.seq < reading.last) found.fault('outOfOrder', `${stream} saw ${row.seq} after ${reading.last} at ${e.t} ms`);
  reading.seen.add(row.seq);
  reading.last = Math.max(reading.last, row.seq);
  reading.first ??= row.seq;
}

function checkOwed(found, stream, log, reading) {
  if (reading.first === null) {
    found.fault('notBack', `${stream} saw nothing of ${log}`);
    return;
  }
  for (const row of reading.rows) {
    if (row.seq < reading.first) continue;
    found.count('owed');
    if (!reading.seen.has(row.seq)) found.fault('lost', `${stream} did not see ${keyOf(row)} (${row.seq}) of ${log}; it saw up to ${reading.last}`);
  }
}

function checkPosts(found, posts, archive) {
  const asked = new Map(posts.filter((r) => r.k === 'post').map((r) => [r.id, r]));
  const rows = new Map();
  for (const r of archive) if (r.k === 'notification' || r.k === 'broadcast') rows.set(r.id, r);
  const events = new Map();
  for (const r of archive) if (r.k === 'notice' && r.type !== 'tern.notification.read') events.set(r.id, (events.get(r.id) ?? 0) + 1);
  for (const id of new Set(posts.filter((r) => r.k === 'posted' && r.ok).map((r) => r.id))) {
    found.count('acked');
    if (!rows.has(id)) found.fault('lostAcked', `${id} was acked and is not in Postgres`);
    if (events.get(id) !== 1) found.fault(events.has(id) ? 'storedTwice' : 'lostAcked', `${id} has ${events.get(id) ?? 0} rows in notification_event`);
  }
  for (const r of rows.values()) if (asked.get(r.id)?.title !== r.title) found.fault('storedInvented', `${r.id} ${r.title}`);
  const marked = new Set(archive.filter((r) => r.k === 'notice' && r.type === 'tern.notification.read').map((r) => r.data.id));
  for (const r of posts) if (r.k === 'marked' && r.ok && !marked.has(r.id)) found.fault('lostAcked', `the mark of ${r.id} was acked and is not in Postgres`);
}

export function checkStreams({ streams, posts, archive }) {
  const found = new Findings({ owed: 0, lost: 0, doubled: 0, outOfOrder: 0, invented: 0, gaps: 0, acked: 0, lostAcked: 0, storedTwice: 0 });
  const logs = readLogs(archive);
  const readings = new Map();
  for (const r of streams) {
    if (r.k === 'gap') {
      found.count('gaps');
      found.fault('illegalGap', `${r.c} was told of a gap at ${r.t} ms, and nothing had passed out of the log`);
      continue;
    }
    if (r.k === 'closed') {
      found.fault('closed', `${r.c} was closed for ever at ${r.t} ms: ${r.code} ${r.message}`);
      continue;
    }
    if (!readings.has(r.c)) readings.set(r.c, Object.fromEntries(['broadcasts', `user ${r.user}`].map((log) => [log, new Reading(logs.get(log) ?? [])])));
    const log = r.log === 'broadcasts' ? 'broadcasts' : `user ${r.user}`;
    if (r.log === 'notifications' && r.to !== undefined && r.to !== r.user) found.fault('forbidden', `${r.c} of ${r.user} saw ${keyOf(r)} of ${r.to}`);
    else if (r.k === 'event') take(found, r.c, readings.get(r.c)[log], r);
  }
  for (const [stream, of] of readings) for (const [log, reading] of Object.entries(of)) checkOwed(found, stream, log, reading);
  checkPosts(found, posts, archive);
  if (found.counts.owed === 0) found.fault('nothing', 'nothing was owed to any stream');
  return found;
}
