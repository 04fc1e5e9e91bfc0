// The archive's rooms: their rows in order, and who had no right to them when.
const kindOf = { 'tern.message.created': 'message', 'tern.emit': 'emit', 'tern.member.added': 'added', 'tern.member.removed': 'removed' };

/** What names a row to a client that sees it: the message's id, the emit's token, the member and the seq. */
function keyOf(kind, row) {
  if (kind === 'message') return `message ${row.id}`;
  if (kind === 'emit') return `emit ${row.data.args?.[0]?.token}`;
  return `${kind} ${row.data.userId} ${row.seq}`;
}

export const eventKeys = {
  new_message: (e) => `message ${e.id}`,
  chaos_emit: (e) => `emit ${e.token}`,
  member_added: (e) => `added ${e.userId} ${e.seq}`,
  member_removed: (e) => `removed ${e.userId} ${e.seq}`,
};

class Room {
  constructor() {
    this.rows = [];
    this.byKey = new Map();
    this.repeated = [];
    this.absences = new Map(); // by user: [[from, to]], both rows themselves are shown
  }

  add(row) {
    const kind = kindOf[row.type];
    if (!kind) return; // a conversation's creation is shown to nobody
    const entry = { seq: row.seq, kind, key: keyOf(kind, row), text: row.data.content, user: row.data.userId };
    this.rows.push(entry);
    if (this.byKey.has(entry.key)) this.repeated.push(entry);
    else this.byKey.set(entry.key, entry);
  }

  finish() {
    this.rows.sort((a, b) => a.seq - b.seq);
    for (const { kind, user, seq } of this.rows) {
      const list = this.absences.get(user) ?? [];
      if (kind === 'removed' && (list.length === 0 || list.at(-1)[1] !== Infinity)) list.push([seq, Infinity]);
      if (kind === 'added' && list.length > 0 && list.at(-1)[1] === Infinity) list.at(-1)[1] = seq;
      if (kind === 'added' || kind === 'removed') this.absences.set(user, list);
    }
  }

  /** Whether the user was removed and not yet added again where this seq stands. */
  isAway(user, seq) {
    return (this.absences.get(user) ?? []).some(([from, to]) => seq > from && seq < to);
  }
}

/** Map of the rooms by their ids. */
export function readRooms(archive) {
  const rooms = new Map();
  for (const row of archive) {
    if (row.k !== 'event') continue;
    if (!rooms.has(row.room)) rooms.set(row.room, new Room());
    rooms.get(row.room).add(row);
  }
  for (const room of rooms.values()) room.finish();
  return rooms;
}
