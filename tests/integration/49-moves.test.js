// docs/moves.md from top to bottom, beside a client that stays from the first block to the last: an upgrade, a restore and a move to
// another Kafka cluster cost it nothing.
import assert from 'node:assert/strict';
import test from 'node:test';
import { sql } from '../lib/database.js';
import { testPage } from '../lib/manual.js';
import { kcatRead } from '../lib/records.js';
import { createConversation } from '../lib/rest.js';
import { askOk, connected } from '../lib/sockets.js';
import { startStack } from '../lib/stack.js';
import { waitFor } from '../lib/wait.js';

const stack = await startStack({ messaging: 2, notification: 0, set: { TERN_DRAIN_MS: '500' } });
// Another cluster on which Tern's topics are missing: its own have a prefix.
const other = await startStack({ messaging: 0, notification: 0, writer: 0, set: { TERN_TOPIC_PREFIX: 'other.' } });

await createConversation(stack, { id: 'team-7', owner: 'ben', members: ['ada', 'eve'] });
const ben = await connected(stack, 'messaging/0', 'ben', { transports: ['websocket'] });
await askOk(ben, 'join_conversation', 'team-7');
const id = ben.id;
const [seen, returns] = [[], []];
ben.on('new_message', (message) => seen.push(message));
ben.on('connect', () => returns.push(ben.recovered));

/** What an operator does who starts the services with another address. */
async function startOnOther() {
  for (const name of ['writer/0', 'messaging/0', 'messaging/1']) {
    const record = stack.record(name);
    await stack.save(name, { ...record, command: { ...record.command, env: { ...record.command.env, TERN_KAFKA_BOOTSTRAP_SERVERS: other.bootstrap } } });
    await stack.start(name);
  }
}

testPage('docs/moves.md', {
  stack,
  replace: [['/srv/tern-try', stack.dir], ['new-kafka:9092', other.bootstrap]],
  timeoutMs: 120000,
  after: ({ code }) => (code.startsWith('python3 copy-access.py') ? startOnOther() : undefined),
});

test('a client that was there all the time has it all, once, in order, in one session', async () => {
  await waitFor(() => `five messages, so far ${JSON.stringify(seen)}`, () => seen.length >= 5);
  assert.deepEqual(seen.map((m) => m.id), ['m-1', 'm-2', 'm-3', 'm-4', 'm-5']);
  assert.deepEqual([...seen].sort((a, b) => a.seq - b.seq).map((m) => m.id), seen.map((m) => m.id));
  assert.ok(returns.length >= 2, 'it was sent away by the upgrade and by the move');
  assert.deepEqual(returns.filter((recovered) => !recovered), []);
  assert.equal(ben.id, id);
});

test('the erasure went along, and what it blanked stays blank', async () => {
  assert.deepEqual(await sql(stack, "SELECT content FROM message WHERE sender_id = 'eve'"), [{ content: '[erased]' }]);
  const moved = await kcatRead(other, 'access');
  assert.deepEqual([...new Set(moved.filter((r) => r.headers.ce_type === 'tern.erased').map((r) => r.key))], ['erased:eve']);
});
