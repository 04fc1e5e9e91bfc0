// The checkers are fed a history that is good, and then the same one broken in one place: each break has to be refused, under
// its name.
import assert from 'node:assert/strict';
import test from 'node:test';
import { checkChat } from './check_chat.js';
import { checkSends } from './check_sends.js';
import { checkStreams } from './check_streams.js';
import { planFaults } from './plan.js';
import { Random } from './random.js';

const room = 'r0';

/** Two sockets follow a room in which six messages, an emit and bob's removal and return stand; all is as it should be. */
function goodHistory() {
  const h = { chat: [], sends: [], emits: [], streams: [], posts: [], archive: [] };
  const archived = (seq, type, id, data) => h.archive.push({ k: 'event', room, seq, type, id, data });
  const message = (seq, n) => {
    const text = `t-${n} hello`;
    h.sends.push({ t: seq * 10, k: 'send', token: `t-${n}`, room, sender: 'ada', text });
    h.sends.push({ t: seq * 10 + 5, k: 'ack', token: `t-${n}`, ok: true, id: `m${n}`, seq });
    archived(seq, 'tern.message.created', `m${n}`, { content: text });
    h.archive.push({ k: 'message', room, seq, id: `m${n}`, sender: 'ada', content: text });
    return { name: 'new_message', room, seq, id: `m${n}`, text };
  };
  const shown = [message(10, 1), message(12, 2)];
  archived(13, 'tern.emit', 'e1', { event: 'chaos_emit', args: [{ token: 'e-1' }] });
  h.emits.push({ k: 'emit', token: 'e-1', room }, { k: 'emitted', token: 'e-1', room, ok: true });
  shown.push({ name: 'chaos_emit', room, token: 'e-1' }, message(15, 3));
  archived(16, 'tern.member.removed', 'x1', { userId: 'bob' });
  shown.push({ name: 'member_removed', room, userId: 'bob', seq: 16 });
  const hidden = message(17, 4);
  archived(18, 'tern.member.added', 'x2', { userId: 'bob' });
  const rest = [{ name: 'member_added', room, userId: 'bob', seq: 18 }, message(20, 5), message(22, 6)];
  for (const [c, user, events] of [['s0', 'ada', [...shown, hidden, ...rest]], ['s1', 'bob', [...shown, ...rest]]]) {
    h.chat.push({ c, user, k: 'connect', sid: c, recovered: false }, { c, user, k: 'ask', room }, { c, user, k: 'join', room, headSeq: 9, after: -1 });
    for (const e of events) h.chat.push({ c, user, k: 'event', ...e });
  }
  const notice = (seq, topic, key, type, id, data) => h.archive.push({ k: 'notice', seq, topic, key, type, id, data });
  for (let n = 1; n <= 4; n++) {
    notice(n, 'notifications', 'ada', 'tern.notification.created', `n${n}`, { title: `title ${n}` });
    h.archive.push({ k: 'notification', id: `n${n}`, seq: n, title: `title ${n}` });
    h.posts.push({ k: 'post', id: `n${n}`, title: `title ${n}` }, { k: 'posted', id: `n${n}`, ok: true });
    h.streams.push({ c: 'e0', user: 'ada', k: 'event', log: 'notifications', to: 'ada', name: 'message', id: `n${n}`, seq: n, title: `title ${n}` });
  }
  notice(5, 'notifications', 'ada', 'tern.notification.read', 'x', { id: 'n2' });
  h.posts.push({ k: 'marked', id: 'n2', ok: true });
  h.streams.push({ c: 'e0', user: 'ada', k: 'event', log: 'notifications', name: 'notification_read', id: 'n2' });
  for (let n = 1; n <= 2; n++) {
    notice(n, 'broadcasts', 'all', 'tern.broadcast', `b${n}`, { title: `all ${n}` });
    h.archive.push({ k: 'broadcast', id: `b${n}`, seq: n, title: `all ${n}` });
    h.posts.push({ k: 'post', id: `b${n}`, title: `all ${n}` }, { k: 'posted', id: `b${n}`, ok: true });
    h.streams.push({ c: 'e0', user: 'ada', k: 'event', log: 'broadcasts', name: 'message', id: `b${n}`, seq: n, title: `all ${n}` });
  }
  return h;
}

const drop = (list, index) => list.splice(index, 1)[0];
const indexOf = (list, fits) => list.findIndex(fits);
const eventOf = (h, c, id) => indexOf(h.chat, (r) => r.c === c && r.k === 'event' && r.id === id);
const streamOf = (h, id, name = 'message') => indexOf(h.streams, (r) => r.id === id && r.name === name);
const swap = (list, a, b) => ([list[a], list[b]] = [list[b], list[a]]);
const connectAnew = (h, at, more = []) => h.chat.splice(at, 0, ...more, { c: 's0', user: 'ada', k: 'connect', sid: 'new', recovered: false }, { c: 's0', user: 'ada', k: 'ask', room });

test('a good history passes, and what was owed is counted', () => {
  const h = goodHistory();
  for (const check of [checkChat, checkSends, checkStreams]) assert.deepEqual(check(h).report(), []);
  assert.equal(checkChat(h).counts.owed, 9 + 8);
  assert.equal(checkSends(h).counts.acked, 7);
  assert.equal(checkStreams(h).counts.owed, 7);
});

test('a socket that is recovered, and one that begins anew as it was told, pass', () => {
  const h = goodHistory();
  h.chat.splice(eventOf(h, 's0', 'm2'), 0, { c: 's0', user: 'ada', k: 'break' }, { c: 's0', user: 'ada', k: 'connect', sid: 's0', recovered: true });
  const at = eventOf(h, 's0', 'm3');
  const missed = [{ seq: 12, id: 'm2', text: 't-2 hello' }];
  drop(h.chat, at - 1); // the emit falls between the sessions
  drop(h.chat, eventOf(h, 's0', 'm2'));
  connectAnew(h, eventOf(h, 's0', 'm3'), [{ c: 's0', user: 'ada', k: 'mark', on: true }]);
  h.chat.splice(eventOf(h, 's0', 'm3'), 0, { c: 's0', user: 'ada', k: 'join', room, headSeq: 13, after: 10, missed });
  const found = checkChat(h);
  assert.deepEqual(found.report(), []);
  assert.equal(found.counts.unrecovered, 1);
  assert.equal(found.counts.recovered, 1);
});

/** [what is broken, the checker, the fault's name, how]. */
const breaks = [
  ['an event is lost', checkChat, 'lost', (h) => drop(h.chat, eventOf(h, 's0', 'm3'))],
  ['the last event is lost', checkChat, 'lost', (h) => drop(h.chat, eventOf(h, 's1', 'm6'))],
  ['the first event after the join is lost', checkChat, 'lost', (h) => drop(h.chat, eventOf(h, 's1', 'm1'))],
  ['an emit is lost', checkChat, 'lost', (h) => drop(h.chat, indexOf(h.chat, (r) => r.c === 's1' && r.name === 'chaos_emit'))],
  ['an event comes twice', checkChat, 'doubled', (h) => h.chat.push({ ...h.chat[eventOf(h, 's0', 'm6')] })],
  ['an old event comes again', checkChat, 'doubled', (h) => h.chat.push({ ...h.chat[eventOf(h, 's1', 'm1')] })],
  ['two events come in the wrong order', checkChat, 'outOfOrder', (h) => swap(h.chat, eventOf(h, 's0', 'm1'), eventOf(h, 's0', 'm2'))],
  ['one socket sees another order than the other', checkChat, 'outOfOrder', (h) => swap(h.chat, eventOf(h, 's1', 'm5'), eventOf(h, 's1', 'm6'))],
  ['two sockets see one message under two seqs', checkChat, 'invented', (h) => (h.chat[eventOf(h, 's1', 'm5')].seq = 21)],
  ['an event is shown that is not in the log', checkChat, 'invented', (h) => h.chat.push({ c: 's0', user: 'ada', k: 'event', name: 'new_message', room, id: 'm9', seq: 30, text: 't-9 hello' })],
  ['an event is shown with another text', checkChat, 'invented', (h) => (h.chat[eventOf(h, 's0', 'm2')].text = 't-2 hullo')],
  ['what nobody sent is in the log and is shown', checkChat, 'invented', (h) => (h.sends = h.sends.filter((r) => r.token !== 't-3'))],
  ['a removed member sees what was said meanwhile', checkChat, 'forbidden', (h) => h.chat.splice(eventOf(h, 's1', 'm5'), 0, { ...h.chat[eventOf(h, 's0', 'm4')], c: 's1', user: 'bob' })],
  ['a socket is shown a room that it never joined', checkChat, 'forbidden', (h) => h.chat.push({ ...h.chat[eventOf(h, 's0', 'm6')], c: 's9', user: 'eve' })],
  ['a new session without a word: the gap is missing', checkChat, 'sessionLost', (h) => connectAnew(h, eventOf(h, 's0', 'm3')) ?? h.chat.push({ c: 's0', user: 'ada', k: 'join', room, headSeq: 22, after: 22 })],
  ['a new session that was announced, whose messages do not come', checkChat, 'lost', (h) => {
    connectAnew(h, eventOf(h, 's0', 'm3') + 1, [{ c: 's0', user: 'ada', k: 'mark', on: true }]);
    drop(h.chat, eventOf(h, 's0', 'm5'));
    h.chat.splice(eventOf(h, 's0', 'm6'), 0, { c: 's0', user: 'ada', k: 'join', room, headSeq: 20, after: 15, missed: [{ seq: 17, id: 'm4', text: 't-4 hello' }] });
  }],
  ['a recovered session has another sid', checkChat, 'identity', (h) => h.chat.splice(eventOf(h, 's0', 'm3'), 0, { c: 's0', user: 'ada', k: 'connect', sid: 'other', recovered: true })],
  ['a gap is told without need', checkChat, 'illegalGap', (h) => h.chat.push({ c: 's0', user: 'ada', k: 'gap' })],
  ['a socket does not get back into its room', checkChat, 'notBack', (h) => connectAnew(h, h.chat.length, [{ c: 's0', user: 'ada', k: 'mark', on: true }])],
  ['the log has an emit twice', checkChat, 'doubled', (h) => h.archive.push({ ...h.archive.find((r) => r.id === 'e1'), seq: 14, id: 'e2' })],
  ['an acked message is not stored', checkSends, 'lostAcked', (h) => (h.archive = h.archive.filter((r) => r.id !== 'm3'))],
  ['a message is stored twice', checkSends, 'storedTwice', (h) => h.archive.push({ k: 'message', room, seq: 23, id: 'm7', sender: 'ada', content: 't-3 hello' })],
  ['an event is stored twice', checkSends, 'storedTwice', (h) => h.archive.push({ k: 'event', room, seq: 23, type: 'tern.message.created', id: 'm3', data: { content: 't-3 hello' } })],
  ['a message is stored that nobody sent', checkSends, 'storedInvented', (h) => h.archive.push({ k: 'message', room, seq: 23, id: 'm7', sender: 'ada', content: 't-7 hello' })],
  ['a message is stored under another sender', checkSends, 'storedInvented', (h) => (h.archive.find((r) => r.k === 'message' && r.id === 'm3').sender = 'eve')],
  ['an ack names another seq than the one stored', checkSends, 'contradiction', (h) => (h.sends[1].seq = 11)],
  ['two acks of one send name two ids', checkSends, 'contradiction', (h) => h.sends.push({ t: 400, k: 'ack', token: 't-1', ok: true, id: 'm8', seq: 10 })],
  ['a message stands in one table only', checkSends, 'contradiction', (h) => drop(h.archive, indexOf(h.archive, (r) => r.k === 'event' && r.id === 'm3'))],
  ['what was sent after an ack stands before it', checkSends, 'orderOfAcks', (h) => {
    for (const r of h.sends) if (r.token === 't-5') r.t = r.k === 'send' ? 1 : 2;
  }],
  ['a committed row of tern_outbox is not in the log', checkSends, 'lostAcked', (h) => drop(h.archive, indexOf(h.archive, (r) => r.id === 'e1'))],
  ['a row of tern_outbox is in the log twice', checkSends, 'storedTwice', (h) => h.archive.push({ ...h.archive.find((r) => r.id === 'e1'), seq: 14, id: 'e2' })],
  ['a stream is closed for ever', checkStreams, 'closed', (h) => h.streams.push({ c: 'e0', user: 'ada', k: 'closed', code: 503 })],
  ['a notification is lost', checkStreams, 'lost', (h) => drop(h.streams, streamOf(h, 'n3'))],
  ['a broadcast is lost', checkStreams, 'lost', (h) => drop(h.streams, streamOf(h, 'b2'))],
  ['a mark is lost', checkStreams, 'lost', (h) => drop(h.streams, streamOf(h, 'n2', 'notification_read'))],
  ['a notification comes twice', checkStreams, 'doubled', (h) => h.streams.push({ ...h.streams[streamOf(h, 'n4')] })],
  ['a mark comes twice', checkStreams, 'doubled', (h) => h.streams.push({ ...h.streams[streamOf(h, 'n2', 'notification_read')] })],
  ['notifications come in the wrong order', checkStreams, 'outOfOrder', (h) => swap(h.streams, streamOf(h, 'n2'), streamOf(h, 'n3'))],
  ['a notification is shown that nobody stored', checkStreams, 'invented', (h) => h.streams.push({ ...h.streams[0], id: 'n9', seq: 9 })],
  ["a stream sees another user's", checkStreams, 'forbidden', (h) => (h.streams[1].to = 'eve')],
  ['a gap is told without need on a stream', checkStreams, 'illegalGap', (h) => h.streams.push({ c: 'e0', user: 'ada', k: 'gap' })],
  ['a stream sees nothing at all', checkStreams, 'notBack', (h) => (h.streams = h.streams.filter((r) => r.log === 'broadcasts'))],
  ['an acked notification is not stored', checkStreams, 'lostAcked', (h) => (h.archive = h.archive.filter((r) => r.id !== 'n4'))],
  ['a notification is stored twice', checkStreams, 'storedTwice', (h) => h.archive.push({ ...h.archive.find((r) => r.k === 'notice' && r.id === 'n4'), seq: 9 })],
  ['a notification is stored that nobody published', checkStreams, 'storedInvented', (h) => h.archive.push({ k: 'notification', id: 'n9', seq: 9, title: 'title 9' })],
  ['an acked mark is not stored', checkStreams, 'lostAcked', (h) => (h.archive = h.archive.filter((r) => r.type !== 'tern.notification.read'))],
];

for (const [what, check, fault, how] of breaks) {
  test(`refused: ${what}`, () => {
    const h = goodHistory();
    how(h);
    const found = check(h);
    assert.ok(found.has(fault), `found ${JSON.stringify(found.report())}`);
  });
}

test('a history of nothing is refused', () => {
  const nothing = { chat: [], sends: [], emits: [], streams: [], posts: [], archive: [] };
  for (const check of [checkChat, checkSends, checkStreams]) assert.ok(check(nothing).has('nothing'));
});

test('a plan is the same for the same seed, another for another, and gives no target two faults at a time', () => {
  const plan = (seed) => planFaults(new Random(seed), { ms: 600000, messaging: 3, notification: 2, writer: 2, kafka: 3 });
  assert.deepEqual(plan(1), plan(1));
  assert.notDeepEqual(plan(1), plan(2));
  for (let seed = 1; seed <= 50; seed++) {
    const busy = new Map();
    const faults = plan(seed);
    for (const f of faults) {
      for (const target of f.targets) {
        assert.ok((busy.get(target) ?? 0) <= f.at, `seed ${seed}: ${target} at ${f.at}`);
        busy.set(target, f.at + f.forMs);
      }
    }
    assert.ok(faults.length > 60);
    assert.ok(faults.every((f) => f.at + f.forMs <= 600000));
  }
});
