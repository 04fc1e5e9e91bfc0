// Retention has passed what an event stream missed. If Postgres has it, it comes from there; if nobody has it, the stream is told,
// in-band and at once, and goes on.
import assert from 'node:assert/strict';
import test from 'node:test';
import { startBalancer } from '../lib/balancer.js';
import { sql } from '../lib/database.js';
import { kafkajsAdmin } from '../lib/records.js';
import { restOk } from '../lib/rest.js';
import { startStack } from '../lib/stack.js';
import { openStream } from '../lib/streams.js';
import { sleep, waitFor } from '../lib/wait.js';

const tailMs = 1000;
const stack = await startStack({ messaging: 0, notification: 2, set: { TERN_TAIL_FILL_MS: String(tailMs), TERN_DEDUPE_WINDOW_MS: String(tailMs), TERN_RETRY_MS: '100', TERN_RETRY_JITTER_MS: '100' } });
const [one, two] = ['notification/0', 'notification/1'];
const publisher = stack.token('backend', { scope: 'notifications:publish' });
const admin = await kafkajsAdmin(stack);

async function publish(user, titles) {
  for (const title of titles) await restOk(201, 'POST', `${stack.urlOf(two)}/notifications`, { token: publisher, body: { userId: user, type: 't', title, body: 'b' } });
}

const stored = async (user) => Number((await sql(stack, 'SELECT count(*) AS n FROM notification WHERE user_id = $1', [user]))[0].n);

/** A stream whose gateway goes away for longer than the tail, while `missed` is published and leaves the log. */
async function comeBack(user, missed, { store }) {
  const front = await startBalancer([stack.urlOf(one)]);
  const stream = await openStream(stack, null, user, { url: front.url });
  await publish(user, ['before']);
  await waitFor('it comes', () => stream.messages.length === 1);
  await waitFor('it is stored', async () => (await stored(user)) === 1);
  if (!store) stack.pause('writer/0');
  try {
    front.servers = [];
    front.cut();
    await publish(user, missed);
    if (store) await waitFor('they are stored', async () => (await stored(user)) === 1 + missed.length);
    const ends = await admin.fetchTopicOffsets('notifications');
    await admin.deleteTopicRecords({ topic: 'notifications', partitions: ends.map(({ partition, high }) => ({ partition, offset: high })) });
    await stack.kill(one);
    await sleep(3 * tailMs); // this is the point: the new tail begins after it
    await stack.start(one);
    front.servers = [stack.urlOf(one)];
    await waitFor('it is back', async () => (await stack.metrics(one))('tern_catchups_total') > 0, 20000);
    await waitFor('what there is', () => stream.messages.length + stream.named.length > 1, 20000);
  } finally {
    if (!store) stack.cont('writer/0');
  }
  await publish(user, ['after']);
  await waitFor('it goes on', () => stream.messages.at(-1).title === 'after', 20000);
  return { titles: stream.messages.map((m) => m.title), named: stream.named.map((n) => n.event), count: async (tier) => (await stack.metrics(one))('tern_catchups_total', { tier }) };
}

test('what retention has passed and Postgres has comes from there, without a gap', async () => {
  const { titles, named, count } = await comeBack('kept', ['one', 'two', 'three'], { store: true });
  assert.deepEqual([titles, named], [['before', 'one', 'two', 'three', 'after'], []]);
  assert.ok((await count('postgres')) >= 1);
  assert.equal(await count('gap'), 0);
});

test('what retention has passed and nobody has is a gap that is told once, and the stream goes on', async () => {
  const { titles, named, count } = await comeBack('gone', ['one', 'two', 'three'], { store: false });
  assert.deepEqual([titles, named], [['before', 'after'], ['gap']]);
  assert.ok((await count('gap')) >= 1);
});
