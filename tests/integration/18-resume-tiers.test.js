// Resumes from each tier by clients that roam: a client keeps its socket object and tries the gateways in turn. Gateways
// die in the middle of a replay, stand still, or are behind their clients; members leave and return; the writer or Kafka
// is away. What counts is always the same: each event once, in order, on the same session.
import assert from 'node:assert/strict';
import test from 'node:test';
import { waitStored } from '../lib/database.js';
import { createConversation, restOk } from '../lib/rest.js';
import { askOk, assertIds, assertInOrder, client, connected, recordEvents, say, waitForCount } from '../lib/sockets.js';
import { startStack } from '../lib/stack.js';
import { sleep, waitFor } from '../lib/wait.js';

// A gateway that starts holds only the last two seconds: what is older has to come from Postgres, or from Kafka.
const tailMs = 1000;
const stack = await startStack({ messaging: 3, notification: 0, set: { TERN_TAIL_FILL_MS: String(tailMs), TERN_DEDUPE_WINDOW_MS: String(tailMs) } });
const [one, two, three] = ['messaging/0', 'messaging/1', 'messaging/2'];
const websocket = { transports: ['websocket'] };

const tierCount = async (name, tier) => (await stack.metrics(name))('tern_catchups_total', { tier });

/** A client of the first gateway; gateways may be changed at any time, and cut() is a broken connection. */
async function roam(user, gateways) {
  const socket = await connected(stack, gateways[0], user, { ...websocket, timeout: 3000 });
  const r = { socket, gateways, sid: socket.id, seen: recordEvents(socket), gaps: recordEvents(socket, 'gap'), restored: 0, anew: 0 };
  let turn = 0;
  socket.io.on('reconnect_attempt', () => (socket.io.uri = stack.urlOf(r.gateways[turn++ % r.gateways.length])));
  socket.on('connect', () => (socket.recovered && socket.id === r.sid ? r.restored++ : r.anew++));
  r.cut = () => socket.io.engine.close();
  return r;
}

/** A conversation of ada, who talks on the third gateway, and roaming members in it. */
async function room({ readers = 2, gateways = [one] } = {}) {
  const id = await createConversation(stack, { owner: 'ada', members: ['bob'], gateway: three });
  const ada = await connected(stack, three, 'ada', websocket);
  await askOk(ada, 'join_conversation', id);
  const roamers = [];
  for (let n = 0; n < readers; n++) {
    const r = await roam('bob', gateways);
    await askOk(r.socket, 'join_conversation', id);
    roamers.push(r);
  }
  return { id, ada, roamers };
}

const byAge = (messages) => messages.sort((a, b) => a.seq - b.seq).map((m) => m.id);

async function sayMany(ada, id, count, atOnce = 250) {
  const all = [];
  while (all.length < count) all.push(...(await Promise.all(Array.from({ length: Math.min(atOnce, count - all.length) }, (_, n) => say(ada, id, `message ${n}`)))));
  return byAge(all);
}

async function assertExactly(roamers, ids) {
  for (const r of roamers) {
    await waitForCount(r.seen, ids.length, 20000);
    assertInOrder(r.seen);
    assertIds(r.seen, ids);
    assert.deepEqual(r.gaps, []);
    assert.equal(r.anew, 0, 'no new session');
  }
}

const away = (roamers) => waitFor('all are away', () => roamers.every((r) => !r.socket.connected));
const restored = (roamers, times) => waitFor('all are back', () => roamers.every((r) => r.socket.connected && r.restored + r.anew >= times), 20000);

function end(ada, roamers) {
  for (const socket of [ada, ...roamers.map((r) => r.socket)]) socket.disconnect();
}

/** The writer stands still while `work` runs. */
async function withoutWriter(work) {
  stack.pause('writer/0');
  try {
    return await work();
  } finally {
    stack.cont('writer/0');
  }
}

/** Waits until what a gateway that starts now would read is only what comes after now. */
const tailPassed = () => sleep(2 * tailMs + 500);

test('killed twice in the middle of a replay of thousands', async () => {
  const { id, ada, roamers } = await room({ readers: 3 });
  const ids = await sayMany(ada, id, 5);
  await assertExactly(roamers, ids);
  await stack.kill(one);
  await away(roamers);
  ids.push(...(await sayMany(ada, id, 5000)));
  for (const [gateway, next, from] of [[two, three, 200], [three, one, 1500]]) {
    for (const r of roamers) r.gateways = [gateway];
    await waitFor('the replay is under way', () => roamers.some((r) => r.seen.length > from), 20000);
    for (const r of roamers) r.gateways = [next];
    await stack.kill(gateway);
  }
  await Promise.all([stack.start(one), stack.start(two), stack.start(three)]);
  await assertExactly(roamers, ids);
  end(ada, roamers);
});

test('a session that never got an event, restored again and again', async () => {
  const { id, ada, roamers } = await room();
  for (const r of roamers) {
    r.gateways = [two];
    r.socket._lastOffset = undefined; // it may have got the cursor that idle clients get
  }
  await stack.kill(one);
  const ids = await sayMany(ada, id, 10);
  await assertExactly(roamers, ids);
  await stack.start(one);
  for (let n = 0; n < 8; n++) {
    const before = roamers.map((r) => r.restored);
    for (const r of roamers) {
      r.gateways = [n % 2 ? two : one];
      r.cut();
    }
    ids.push((await say(ada, id, `round ${n}`)).id);
    await waitFor('each is back', () => roamers.every((r, i) => r.socket.connected && r.restored > before[i]), 20000);
  }
  await assertExactly(roamers, ids);
  end(ada, roamers);
});

test('cut off in the moment of the connect, before the session had to be recorded', async () => {
  for (let n = 0; n < 10; n++) {
    const r = await roam('bob', [n % 2 ? two : one]);
    r.cut();
    await waitFor('it is back', () => r.socket.connected && r.restored + r.anew > 0, 20000);
    assert.deepEqual({ restored: r.restored, anew: r.anew }, { restored: 1, anew: 0 });
    r.socket.disconnect();
  }
});

test('one session on four connections at once has one owner', async () => {
  const { id, ada, roamers } = await room({ readers: 1 });
  const ids = await sayMany(ada, id, 3);
  await assertExactly(roamers, ids);
  const { socket, sid } = roamers[0];
  const { _pid: pid, _lastOffset: offset } = socket;
  socket.io.reconnection(false);
  roamers[0].cut();
  const copies = [one, two, three, one].map((gateway) => {
    const copy = client(stack, gateway, 'bob', { ...websocket, reconnection: false, auth: { token: stack.token('bob'), pid, offset } });
    const c = { copy, seen: recordEvents(copy), sids: [] };
    copy.on('connect', () => c.sids.push(copy.id));
    return c;
  });
  await waitFor('each was answered', () => copies.every((c) => c.sids.length > 0));
  const owners = () => copies.filter((c) => c.copy.connected && c.sids.at(-1) === sid);
  await waitFor('one is left', () => owners().length === 1);
  const message = await say(ada, id, 'to the owner');
  const [owner] = owners();
  await waitForCount(owner.seen, 1);
  assertIds(owner.seen, [message.id]);
  for (const c of copies) if (c !== owner && c.sids[0] === sid) assert.deepEqual(c.seen, []);
  for (const c of copies) c.copy.disconnect();
  end(ada, roamers);
});

test('a client that is ahead of its new gateway gets nothing twice', async () => {
  const { id, ada, roamers } = await room({ gateways: [one] });
  const ids = await sayMany(ada, id, 5);
  await assertExactly(roamers, ids);
  stack.pause(two);
  try {
    ids.push(...(await sayMany(ada, id, 1500)));
    await assertExactly(roamers, ids);
    for (const r of roamers) {
      r.gateways = [two];
      r.cut();
    }
    ids.push(...(await sayMany(ada, id, 20)));
  } finally {
    stack.cont(two);
  }
  await restored(roamers, 1);
  ids.push(...(await sayMany(ada, id, 20)));
  await assertExactly(roamers, ids);
  end(ada, roamers);
});

/** Removed and returned while away: all but what was said between. */
async function removedAndReturned(tier) {
  const { id, ada, roamers } = await room();
  const changes = roamers.map((r) => [recordEvents(r.socket, 'member_removed'), recordEvents(r.socket, 'member_added')]);
  const ids = await sayMany(ada, id, 3);
  await assertExactly(roamers, ids);
  await waitStored(stack, id, 3);
  const talk = async () => {
    await stack.kill(one);
    await away(roamers);
    ids.push(...(await sayMany(ada, id, 10)));
    const members = `${stack.urlOf(three)}/conversations/${id}/members`;
    const token = stack.token('ada');
    await restOk(200, 'DELETE', `${members}/bob`, { token });
    const hidden = await sayMany(ada, id, 10);
    await restOk(201, 'POST', members, { token, body: { userId: 'bob' } });
    ids.push(...(await sayMany(ada, id, 10)));
    if (tier === 'postgres') await waitStored(stack, id, ids.length + hidden.length);
    if (tier !== 'tail') await tailPassed();
    await stack.start(one);
    await restored(roamers, 1);
    ids.push(...(await sayMany(ada, id, 2)));
    await assertExactly(roamers, ids);
    for (const [removed, added] of changes) assert.deepEqual([removed.length, added.length], [1, 1]);
    assert.ok((await tierCount(one, tier)) >= roamers.length, `resumed from ${tier}`);
  };
  await (tier === 'kafka' ? withoutWriter(talk) : talk());
  end(ada, roamers);
}

test('removed and returned while away: from the tail', () => removedAndReturned('tail'));
test('removed and returned while away: from Postgres', () => removedAndReturned('postgres'));
test('removed and returned while away, the writer standing still: from Kafka', () => removedAndReturned('kafka'));

test('Kafka is away when a gateway dies: the session waits for it', async () => {
  const { id, ada, roamers } = await room({ gateways: [one] });
  const ids = await sayMany(ada, id, 5);
  await assertExactly(roamers, ids);
  for (const r of roamers) r.gateways = [two];
  const unavailable = async () => (await stack.metrics(two))('tern_resumes_total', { result: 'unavailable' });
  const before = await unavailable();
  await stack.kill('kafka');
  await stack.kill(one);
  await waitFor('each was put off', async () => (await unavailable()) >= before + roamers.length, 20000);
  assert.ok(roamers.every((r) => r.anew === 0));
  await Promise.all([stack.start('kafka'), stack.start(one)]);
  await restored(roamers, 1);
  ids.push(...(await sayMany(ada, id, 5)));
  await assertExactly(roamers, ids);
  end(ada, roamers);
});

test('clients that do not read while thousands pass lose nothing', async () => {
  const { id, ada, roamers } = await room({ gateways: [one] });
  const ids = await sayMany(ada, id, 3);
  await assertExactly(roamers, ids);
  const drops = async () => (await stack.metrics(one))('tern_outbox_drops_total');
  const before = await drops();
  for (const { socket } of roamers) socket.io.engine.transport.ws._socket.pause();
  for (let n = 0; n < 10; n++) {
    const pad = 'x'.repeat(1000);
    ids.push(...byAge(await Promise.all(Array.from({ length: 500 }, (_, k) => say(ada, id, `${k} ${pad}`)))));
  }
  await waitFor('outboxes were dropped', async () => (await drops()) >= before + roamers.length);
  for (const { socket } of roamers) socket.io.engine.transport.ws._socket.resume();
  await assertExactly(roamers, ids);
  assert.ok(roamers.every((r) => r.restored === 0), 'on the same connection');
  end(ada, roamers);
});
