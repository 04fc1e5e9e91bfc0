// Records that cannot be handled: dead-lettered once with a reason, their neighbours stored, no gateway shows them.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import test from 'node:test';
import { waitStored } from '../lib/database.js';
import { cloudEvent, kafkajsProducer, kcatRead } from '../lib/records.js';
import { createConversation } from '../lib/rest.js';
import { askOk, assertIds, connected, recordEvents, say } from '../lib/sockets.js';
import { startStack } from '../lib/stack.js';
import { openStream } from '../lib/streams.js';
import { waitFor } from '../lib/wait.js';

const stack = await startStack();
const producer = await kafkajsProducer(stack);
const produce = (topic, key, { value, headers }) => producer.send({ topic, messages: [{ key, value, headers }] });

const message = (id, data, more) => cloudEvent({ id, type: 'tern.message.created', data, ...more });

/** A chat record for each way of being wrong: {what: record}. The values name their case, to be found again. */
function poisonOf(conversationId) {
  const data = { conversationId, senderId: 'backend', content: 'fine' };
  const id = () => randomUUID();
  return {
    'JSON that is none': { ...message(id(), data), value: '{"conversationId":' },
    'an array': { ...message(id(), data), value: '[1,2]' },
    'bad UTF-8': { ...message(id(), data), value: Buffer.from(`{"conversationId":"${conversationId}","senderId":"backend","content":"\xc3\x28"}`, 'latin1') },
    'an escaped NUL': { ...message(id(), data), value: `{"conversationId":"${conversationId}","senderId":"backend","content":"\\u0000"}` },
    'a lone surrogate': { ...message(id(), data), value: `{"conversationId":"${conversationId}","senderId":"backend","content":"\\ud800"}` },
    'a missing field': message(id(), { conversationId, senderId: 'backend' }),
    'a wrong type': message(id(), { ...data, content: 7 }),
    'content over the limit': message(id(), { ...data, content: 'x'.repeat(70000) }),
    'an unknown type': { ...cloudEvent({ id: id(), type: 'tern.message.teleported', data }) },
    'no type': { ...message(id(), data), headers: { ...message(id(), data).headers, ce_type: '' } },
    'a tombstone': { ...message(id(), data), value: null },
    'JSON that is too deep': { ...message(id(), data), value: `{"conversationId":"${conversationId}","senderId":"backend","content":"x","metadata":${'['.repeat(5000)}${']'.repeat(5000)}}` },
  };
}

test('poison in chat.events: each once in the dead letters, with its reason and place; the rest is stored', async () => {
  const conversationId = await createConversation(stack, { owner: 'ada', members: ['bob'] });
  const [ada, bob] = [await connected(stack, 'messaging/0', 'ada'), await connected(stack, 'messaging/0', 'bob')];
  const seen = recordEvents(bob);
  await askOk(bob, 'join_conversation', conversationId);
  const poison = poisonOf(conversationId);
  const good = [];
  for (const record of Object.values(poison)) {
    good.push((await say(ada, conversationId, `before it ${good.length}`)).id);
    await produce('chat.events', conversationId, record);
    const own = randomUUID();
    await produce('chat.events', conversationId, message(own, { conversationId, senderId: 'backend', content: 'from a backend' }));
    good.push(own);
  }
  assert.deepEqual(await waitStored(stack, conversationId, good.length), good);
  await waitFor('the last one', () => seen.some((m) => m.id === good.at(-1)));
  assertIds(seen, good);

  let letters = [];
  await waitFor(
    () => `a dead letter of ${Object.keys(poison).filter((what) => !letters.some((l) => l.headers.ce_id === poison[what].headers.ce_id))}`,
    async () => {
      letters = (await kcatRead(stack, 'chat.events.dlq')).filter((r) => r.key === conversationId);
      return letters.length >= Object.keys(poison).length;
    },
    20000,
  );
  assert.equal(letters.length, Object.keys(poison).length);
  for (const letter of letters) {
    const headers = Object.entries(letter.headers);
    assert.ok(headers.some(([name, value]) => /reason/.test(name) && value), JSON.stringify(letter.headers));
    for (const place of ['topic', 'partition', 'offset']) assert.ok(headers.some(([name]) => name.includes(place)), `${place}: ${JSON.stringify(letter.headers)}`);
  }
  assert.equal((await stack.metrics('writer/0'))('tern_dead_letters_total'), Object.keys(poison).length);
  assert.ok(stack.isAlive('writer/0') && stack.isAlive('messaging/0'));
});

test('a record under another conversation\'s key is not shown there; it comes under its own, once', async () => {
  const [conversationId, own] = await Promise.all([0, 1].map(() => createConversation(stack, { owner: 'ada', members: ['bob'] })));
  const [ada, bob] = [await connected(stack, 'messaging/0', 'ada'), await connected(stack, 'messaging/0', 'bob')];
  const seen = recordEvents(bob);
  for (const id of [conversationId, own]) await askOk(bob, 'join_conversation', id);
  const id = randomUUID();
  await produce('chat.events', conversationId, message(id, { conversationId: own, senderId: 'backend', content: 'astray' }));
  const { id: next } = await say(ada, conversationId, 'after it');
  assert.deepEqual(await waitStored(stack, own, 1), [id]);
  await waitFor('it is shown', () => seen.some((m) => m.id === id));
  assert.deepEqual(await waitStored(stack, conversationId, 1), [next]);
  assert.deepEqual(seen.filter((m) => m.conversationId === own).map((m) => m.id), [id]);
  assert.deepEqual(seen.filter((m) => m.conversationId === conversationId).map((m) => m.id), [next]);
});

test('a whole batch of poison does not stop the partition', async () => {
  const conversationId = await createConversation(stack, { owner: 'ada', members: ['bob'] });
  const ada = await connected(stack, 'messaging/0', 'ada');
  const messages = Array.from({ length: 500 }, (_, n) => ({ key: conversationId, ...message(randomUUID(), {}), value: `{broken ${n}` }));
  await producer.send({ topic: 'chat.events', messages });
  const { id } = await say(ada, conversationId, 'after it');
  assert.deepEqual(await waitStored(stack, conversationId, 1), [id]);
  await waitFor('all are dead letters', async () => (await kcatRead(stack, 'chat.events.dlq')).filter((r) => r.key === conversationId).length === messages.length, 20000);
});

test('poison in notifications', async () => {
  const user = `u-${randomUUID()}`;
  const stream = await openStream(stack, 'notification/0', user);
  const wrong = ['{', '[]', '"text"', '{"userId":"' + user + '"}', '{"userId":"' + user + '","type":"t","title":7,"body":"b"}'];
  for (const value of wrong) await produce('notifications', user, { value, headers: {} });
  await produce('notifications', user, { value: null, headers: {} });
  await produce('notifications', user, { value: JSON.stringify({ userId: user, type: 't', title: 'good', body: 'b' }), headers: {} });
  await waitFor('the good one', () => stream.messages.length === 1);
  assert.equal(stream.messages[0].title, 'good');
  await waitFor('the dead letters', async () => (await kcatRead(stack, 'notifications.dlq')).filter((r) => r.key === user).length === wrong.length + 1, 15000);
  assert.equal(stream.messages.length, 1);
});
