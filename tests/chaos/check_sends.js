// What was acked is stored exactly once, under the id and the seq that the ack named; what is stored was sent; and who began to
// send after another's ack stands behind it.
import { Findings } from './findings.js';

/** The attempts of each token: {room, sender, text, began, acked, id, seq, acks}. */
function readSends(sends, found) {
  const byToken = new Map();
  for (const r of sends) {
    if (r.k === 'send') {
      const one = byToken.get(r.token) ?? { token: r.token, room: r.room, sender: r.sender, text: r.text, began: r.t, acks: [] };
      byToken.set(r.token, one);
    } else if (r.ok) {
      const one = byToken.get(r.token);
      one.acks.push(r);
      one.acked = Math.min(one.acked ?? Infinity, r.t);
      if (one.acks[0].id !== r.id || one.acks[0].seq !== r.seq) found.fault('contradiction', `${r.token} was acked as ${one.acks[0].id} ${one.acks[0].seq}, and as ${r.id} ${r.seq}`);
    }
  }
  return byToken;
}

function checkStored(byToken, messages, found) {
  const byText = new Map();
  for (const row of messages) byText.set(row.content, [...(byText.get(row.content) ?? []), row]);
  for (const one of byToken.values()) {
    const rows = byText.get(one.text) ?? [];
    if (rows.length > 1) found.fault('storedTwice', `${one.token} of ${one.room}: ${rows.map((r) => `${r.id} ${r.seq}`).join(', ')}`);
    if (one.acks.length === 0) continue;
    found.count('acked');
    const [{ id, seq, t }] = one.acks;
    if (rows.length === 0) found.fault('lostAcked', `${one.token} of ${one.room}, acked as ${id} ${seq} at ${t} ms, is not in Postgres`);
    else if (rows[0].id !== id || rows[0].seq !== seq) found.fault('contradiction', `${one.token} was acked as ${id} ${seq} and is stored as ${rows[0].id} ${rows[0].seq}`);
  }
  for (const row of messages) {
    const one = byToken.get(/^\S+/.exec(row.content)?.[0]);
    if (!one || one.text !== row.content || one.room !== row.room || one.sender !== row.sender) found.fault('storedInvented', `${row.id} ${row.seq} of ${row.room}: ${row.content.slice(0, 60)}`);
  }
}

/** What was committed to tern_outbox is in the log, once. */
function checkEmits(emits, events, found) {
  const rows = new Map();
  for (const e of events) if (e.type === 'tern.emit') rows.set(e.data.args[0].token, (rows.get(e.data.args[0].token) ?? 0) + 1);
  for (const { token, room } of emits.filter((r) => r.k === 'emitted' && r.ok)) {
    found.count('acked');
    if (!rows.has(token)) found.fault('lostAcked', `${token} of ${room} was committed to tern_outbox and is not in chat_event`);
  }
  for (const [token, n] of rows) if (n > 1) found.fault('storedTwice', `${token} has ${n} rows in chat_event`);
}

/** Both tables hold the same messages under the same places. */
function checkTables(messages, events, found) {
  const byId = new Map(messages.map((row) => [row.id, row]));
  const seen = new Set();
  for (const e of events) {
    if (e.type !== 'tern.message.created') continue;
    if (seen.has(e.id)) found.fault('storedTwice', `${e.id} has two rows in chat_event`);
    seen.add(e.id);
    const row = byId.get(e.id);
    if (!row || row.seq !== e.seq || row.room !== e.room) found.fault('contradiction', `${e.id} ${e.seq} of ${e.room} stands in chat_event, and in message ${row ? `as ${row.seq}` : 'not at all'}`);
  }
  for (const row of messages) if (!seen.has(row.id)) found.fault('contradiction', `${row.id} ${row.seq} stands in message alone`);
}

function checkRealTime(byToken, found) {
  const byRoom = new Map();
  for (const one of byToken.values()) if (one.acks.length > 0) byRoom.set(one.room, [...(byRoom.get(one.room) ?? []), one]);
  for (const list of byRoom.values()) {
    list.sort((a, b) => b.acks[0].seq - a.acks[0].seq);
    let earliest = null; // the earliest ack of all that stand behind
    for (const one of list) {
      if (earliest && earliest.acked < one.began) found.fault('orderOfAcks', `${one.token} (${one.acks[0].seq}) began at ${one.began} ms, after ${earliest.token} (${earliest.acks[0].seq}) was acked at ${earliest.acked} ms`);
      if (!earliest || one.acked < earliest.acked) earliest = one;
    }
  }
}

export function checkSends({ sends, emits, archive }) {
  const found = new Findings({ acked: 0, lostAcked: 0, storedTwice: 0, storedInvented: 0 });
  const messages = archive.filter((r) => r.k === 'message');
  const events = archive.filter((r) => r.k === 'event');
  const byToken = readSends(sends, found);
  checkStored(byToken, messages, found);
  checkEmits(emits, events, found);
  checkTables(messages, events, found);
  checkRealTime(byToken, found);
  if (found.counts.acked === 0) found.fault('nothing', 'no send was acked');
  return found;
}
