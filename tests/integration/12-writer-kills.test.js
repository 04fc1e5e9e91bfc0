// Two writers that die and come back all the time: each acked message is in Postgres once, and nothing else is.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import test from 'node:test';
import { sql } from '../lib/database.js';
import { createConversation } from '../lib/rest.js';
import { ask, connected } from '../lib/sockets.js';
import { startStack } from '../lib/stack.js';
import { sleep, waitFor } from '../lib/wait.js';

const messages = 20000;
const killsMin = 10;
const rooms = 40;
const lanes = 100;

const stack = await startStack({ messaging: 2, notification: 0, writer: 2 });

/** Kills a writer, one after the other, waits a moment that grows, and brings it back; until told to stop. */
function assassin() {
  let going = true;
  let kills = 0;
  const work = (async () => {
    for (let n = 0; going || kills < killsMin; n++) {
      const name = `writer/${n % 2}`;
      await stack.kill(name);
      kills++;
      await sleep(100 + (n % 4) * 150);
      await stack.start(name);
      await sleep(300 + (n % 3) * 300);
    }
  })();
  return {
    async stop() {
      going = false;
      await work;
      return kills;
    },
  };
}

test('20,000 messages, writers killed at least ten times, each acked message stored exactly once', async () => {
  const ids = await Promise.all(Array.from({ length: rooms }, () => createConversation(stack, { owner: 'ada' })));
  const sockets = await Promise.all(Array.from({ length: 4 }, (_, i) => connected(stack, `messaging/${i % 2}`, 'ada', { transports: ['websocket'] })));
  const killer = assassin();
  const acked = new Map();
  const attempts = new Set();
  let next = 0;
  await Promise.all(
    Array.from({ length: lanes }, async (_, lane) => {
      while (next < messages) {
        const n = next++;
        const conversationId = ids[n % rooms];
        const content = `message ${n}`;
        attempts.add(content);
        const answer = await ask(sockets[lane % sockets.length], 'send_message', { conversationId, content, clientId: n % 2 ? randomUUID() : undefined });
        assert.equal(answer.ok, true, JSON.stringify(answer));
        acked.set(answer.message.id, { conversationId, seq: answer.message.seq, content });
      }
    }),
  );
  const kills = await killer.stop();
  assert.ok(kills >= killsMin, `${kills} kills`);
  assert.equal(acked.size, messages);

  let stored = 0;
  await waitFor(
    () => `${messages} rows, there are ${stored}`,
    async () => {
      stored = (await sql(stack, 'SELECT count(*)::int AS n FROM message'))[0].n;
      return stored >= messages;
    },
    40000,
  );
  const rows = await sql(stack, 'SELECT id, conversation_id, seq::text, content FROM message');
  assert.equal(rows.length, messages);
  for (const row of rows) {
    const m = acked.get(row.id);
    assert.ok(m, `a row that was not acked: ${JSON.stringify(row)}`);
    assert.deepEqual({ conversationId: row.conversation_id, seq: Number(row.seq), content: row.content }, m);
  }
  const [events] = await sql(stack, `SELECT count(*)::int AS n, count(DISTINCT id)::int AS ids FROM chat_event WHERE type = 'tern.message.created'`);
  assert.deepEqual(events, { n: messages, ids: messages });
  console.log(`${kills} kills`);
});

test('a killed writer\'s partitions are written again within ten seconds by the other', async () => {
  const conversations = await Promise.all(Array.from({ length: 32 }, () => createConversation(stack, { owner: 'ada' })));
  const ada = await connected(stack, 'messaging/0', 'ada');
  await waitFor('both writers own partitions', async () => {
    for (const name of ['writer/0', 'writer/1']) if ((await stack.metrics(name))('tern_writer_partitions') === 0) return false;
    return true;
  }, 20000);
  await stack.kill('writer/1');
  const began = Date.now();
  for (const conversationId of conversations) assert.ok((await ask(ada, 'send_message', { conversationId, content: 'after the death' })).ok);
  await waitFor('all are stored', async () => (await sql(stack, 'SELECT count(*)::int AS n FROM message WHERE conversation_id = ANY($1)', [conversations]))[0].n === conversations.length, 10000 - (Date.now() - began));
  await stack.start('writer/1');
});
