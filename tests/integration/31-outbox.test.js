// The transactional outbox: what a backend inserts into tern_outbox is published once, however often writers die.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import test from 'node:test';
import pg from 'pg';
import { sql } from '../lib/database.js';
import { kcatRead } from '../lib/records.js';
import { createConversation } from '../lib/rest.js';
import { askOk, connected } from '../lib/sockets.js';
import { atEnd, startStack } from '../lib/stack.js';
import { openStream } from '../lib/streams.js';
import { sleep, waitFor } from '../lib/wait.js';

const stack = await startStack({ writer: 2, set: { TERN_RELAY_SILENT_MS: '3000' } });
const writers = ['writer/0', 'writer/1'];

/** A backend's own connection. */
async function backend() {
  const db = new pg.Client({ connectionString: stack.dsn });
  db.on('error', () => {});
  await db.connect();
  atEnd(() => db.end());
  return db;
}

const insert = (db, key, event, args, more = {}) => {
  const row = { key, event, args: args && JSON.stringify(args), ...more };
  const names = Object.keys(row).filter((name) => row[name] !== undefined);
  return db.query(`INSERT INTO tern_outbox (${names.map((n) => `"${n}"`)}) VALUES (${names.map((_, i) => `$${i + 1}`)}) RETURNING id`, names.map((n) => row[n])).then((r) => r.rows[0].id);
};

/** The first arguments of an event. */
function record(socket, event) {
  const seen = [];
  socket.on(event, (arg) => seen.push(arg));
  return seen;
}

async function room() {
  const id = await createConversation(stack, { owner: 'ada' });
  const ada = await connected(stack, 'messaging/0', 'ada', { transports: ['websocket'] });
  await askOk(ada, 'join_conversation', id);
  return { id, ada };
}

async function activeWriter() {
  return waitFor('a writer that relays', async () => {
    for (const name of writers.filter((w) => stack.isAlive(w))) {
      const metrics = await stack.metrics(name).catch(() => null);
      if (metrics?.('tern_relay_active') === 1) return name;
    }
    return null;
  }, 15000);
}

const db = await backend();

test('a plain INSERT is an event, as soon as it is committed', async () => {
  const { id, ada } = await room();
  const seen = record(ada, 'order_shipped');
  await db.query('BEGIN');
  await db.query('INSERT INTO tern_outbox (key, event, args) VALUES ($1, $2, $3)', [id, 'order_shipped', '[{"id":6}]']);
  await db.query('ROLLBACK');
  await db.query('BEGIN');
  await db.query('INSERT INTO tern_outbox (key, event, args) VALUES ($1, $2, $3)', [id, 'order_shipped', '[{"id":7}]']);
  await sql(stack, 'SELECT 1');
  assert.equal(seen.length, 0);
  await db.query('COMMIT');
  await waitFor('the event', () => seen.length === 1);
  assert.deepEqual(seen, [{ id: 7 }]);
  await waitFor('the row is gone', async () => (await sql(stack, 'SELECT 1 FROM tern_outbox')).length === 0);
});

test('every column counts: except, attachments, volatile, notifications, the record\'s headers', async () => {
  const { id, ada } = await room();
  const pictures = record(ada, 'picture');
  const volatiles = record(ada, 'volatile');
  const stream = await openStream(stack, 'notification/0', 'ada');
  const own = randomUUID();
  await insert(db, id, 'picture', ['not ada'], { except: '["ada"]' });
  await insert(db, id, 'picture', [{ png: { _placeholder: true, num: 0 } }], { attachments: '["AAEC/w=="]', id: own, source: '/shop', traceparent: '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01' });
  await insert(db, 'user:ada', 'volatile', [1], { topic: 'chat.signals' });
  await insert(db, 'ada', undefined, undefined, { topic: 'notifications', type: 'com.example.invoice', data: JSON.stringify({ title: 'Invoice 7', body: 'is ready' }) });
  await waitFor('all', () => pictures.length && volatiles.length && stream.messages.length);
  assert.deepEqual(pictures, [{ png: Buffer.from([0, 1, 2, 255]) }]);
  assert.deepEqual(volatiles, [1]);
  assert.equal(stream.messages[0].type, 'com.example.invoice');
  const [written] = (await kcatRead(stack, 'chat.events')).filter((r) => r.headers.ce_id === own);
  assert.equal(written.headers.ce_source, '/shop');
  assert.match(written.headers.traceparent, /^00-4bf9/);
  assert.match(written.headers.ce_time, /^\d{4}-.*Z$/);
});

test('a row that is no record keeps its reason and stops nobody; repaired, it goes out', async () => {
  const { id, ada } = await room();
  const seen = record(ada, 'after');
  const bad = {
    'a reserved name': { key: id, event: 'disconnect' },
    'a key that is no room': { key: 'no such room!', event: 'after' },
    'a placeholder of nothing': { key: id, event: 'after', args: '[{"_placeholder":true,"num":3}]', attachments: '["AA=="]' },
    'an unknown type': { key: id, type: 'tern.nonsense', data: '{}' },
    'a NUL': { key: id, event: 'after', args: '["\\u0000"]' },
  };
  const ids = [];
  for (const { key, event, args, ...more } of Object.values(bad)) ids.push(await insert(db, key, event, args && JSON.parse(args.replace('\\u0000', '')), { ...more, ...(args && { args }) }));
  await insert(db, id, 'after', ['all']);
  await waitFor('the good one', () => seen.length === 1);
  const errors = async () => (await sql(stack, 'SELECT error FROM tern_outbox WHERE id = ANY ($1)', [ids])).map((r) => r.error);
  await waitFor('the reasons', async () => (await errors()).filter(Boolean).length === ids.length);
  await sql(stack, "UPDATE tern_outbox SET event = 'after', args = '[\"repaired\"]', error = NULL WHERE id = $1", [ids[0]]);
  await sql(stack, 'DELETE FROM tern_outbox WHERE error IS NOT NULL');
  await waitFor('the repaired one', () => seen.length === 2);
  assert.deepEqual(seen, ['all', 'repaired']);
  for (const wrong of ["INSERT INTO tern_outbox (key) VALUES ('c')", "INSERT INTO tern_outbox (key, event, args) VALUES ('c', 'e', '{}')", "INSERT INTO tern_outbox (topic, key, event) VALUES ('audit', 'c', 'e')"]) {
    await assert.rejects(sql(stack, wrong), /violates check constraint/);
  }
});

test('killed between the send and the delete: the record is found, and not sent again', async () => {
  const { id, ada } = await room();
  const seen = record(ada, 'once');
  // The relay's DELETE waits for the lock that the test holds.
  await db.query(`CREATE FUNCTION hold_delete() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_advisory_xact_lock_shared(4711); RETURN OLD; END $$`);
  await db.query('CREATE TRIGGER hold_delete BEFORE DELETE ON tern_outbox FOR EACH ROW EXECUTE FUNCTION hold_delete()');
  await db.query('SELECT pg_advisory_lock(4711)');
  const ids = [];
  for (let n = 0; n < 20; n++) ids.push(await insert(db, n % 2 ? id : 'user:ada', 'once', [n]));
  await waitFor('they were sent', () => seen.length >= 1);
  const name = await activeWriter();
  const other = writers.find((w) => w !== name);
  const before = (await stack.metrics(other))('tern_relay_found_total');
  await stack.kill(name);
  await db.query('SELECT pg_advisory_unlock(4711)');
  await db.query('DROP TRIGGER hold_delete ON tern_outbox');
  await waitFor('the table is empty', async () => (await sql(stack, 'SELECT 1 FROM tern_outbox')).length === 0, 20000);
  assert.ok((await stack.metrics(other))('tern_relay_found_total') > before, 'found in the log');
  await stack.start(name);
  await waitFor('all of them', () => seen.length >= 20);
  assert.deepEqual([...seen].sort((a, b) => a - b), Array.from({ length: 20 }, (_, n) => n));
  const written = (await kcatRead(stack, 'chat.events')).map((r) => r.headers.ce_id).filter((x) => ids.includes(x));
  assert.deepEqual(written.sort(), ids.sort());
});

test('a frozen writer loses the relay, and repeats nothing when it wakes', async () => {
  const { id, ada } = await room();
  const seen = record(ada, 'frozen');
  const name = await activeWriter();
  await stack.pause(name);
  try {
    for (let n = 0; n < 10; n++) await insert(db, id, 'frozen', [n]);
    await waitFor('the other one relays', () => seen.length === 10, 20000);
  } finally {
    await stack.cont(name);
  }
  await insert(db, id, 'frozen', ['end']);
  await waitFor('the end', () => seen.length >= 11);
  assert.deepEqual(seen, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 'end']);
});

test('writers killed again and again while backends insert: each row once in the log, in Postgres, and at the client', async () => {
  const { id, ada } = await room();
  const seen = record(ada, 'counted');
  const committed = [];
  let going = true;
  const inserting = [0, 1, 2].map(async (who) => {
    const own = await backend();
    for (let n = 0; going; n++) {
      await own.query('BEGIN');
      const pair = [await insert(own, id, 'counted', [`${who}-${n}-a`]), await insert(own, 'user:ada', 'counted', [`${who}-${n}-b`])];
      const keep = n % 5 !== 4;
      await own.query(keep ? 'COMMIT' : 'ROLLBACK');
      if (keep) committed.push({ name: `${who}-${n}-a`, id: pair[0] }, { name: `${who}-${n}-b`, id: pair[1] });
      await sleep(2);
    }
  });
  for (let kills = 0; kills < 6; kills++) {
    const count = seen.length;
    const name = await activeWriter();
    await waitFor('rows go out', () => seen.length > count + 20, 20000);
    await stack.kill(name);
    await stack.start(name);
  }
  going = false;
  await Promise.all(inserting);
  await waitFor(() => `${committed.length} events, there are ${seen.length}`, () => seen.length >= committed.length, 30000);
  assert.deepEqual([...seen].sort(), committed.map((c) => c.name).sort());
  // Each backend's events of one room came in the order of its inserts.
  for (const who of [0, 1, 2]) {
    for (const half of ['a', 'b']) {
      const numbers = seen.filter((s) => s.startsWith(`${who}-`) && s.endsWith(half)).map((s) => Number(s.split('-')[1]));
      assert.deepEqual(numbers, [...numbers].sort((a, b) => a - b));
    }
  }
  const ids = committed.map((c) => c.id).sort();
  const inLog = (await kcatRead(stack, 'chat.events')).map((r) => r.headers.ce_id).filter((x) => ids.includes(x));
  assert.deepEqual(inLog.sort(), ids);
  await waitFor('they are stored', async () => (await sql(stack, 'SELECT 1 FROM chat_event WHERE id = ANY ($1)', [ids])).length >= ids.length, 30000);
  assert.deepEqual((await sql(stack, 'SELECT id FROM chat_event WHERE id = ANY ($1)', [ids])).map((r) => r.id).sort(), ids);
  assert.equal((await sql(stack, 'SELECT 1 FROM tern_outbox')).length, 0);
});
