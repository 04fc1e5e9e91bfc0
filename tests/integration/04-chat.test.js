// The decision record's client code over three gateways, and what else a room does.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import test from 'node:test';
import { io } from 'socket.io-client';
import { sql, waitStored } from '../lib/database.js';
import { createConversation, restOk, restRefused } from '../lib/rest.js';
import { askOk, askRefused, assertIds, assertInOrder, connected, recordEvents, say, waitForCount } from '../lib/sockets.js';
import { atEnd, startStack } from '../lib/stack.js';
import { once, waitFor } from '../lib/wait.js';

const gateways = ['messaging/0', 'messaging/1', 'messaging/2'];
const stack = await startStack({ messaging: 3, notification: 0, set: { TERN_OPEN_CONVERSATIONS: 'on' } });

test('the decision record\'s client code works over three gateways', async () => {
  const conversationId = `adr-${randomUUID()}`;
  const windows = [];
  for (const [i, gateway] of gateways.entries()) {
    const socket = io(stack.urlOf(gateway), { auth: { token: stack.token(`user-${i}`) }, forceNew: true });
    atEnd(() => socket.disconnect());
    const seen = [];
    socket.emit('join_conversation', conversationId);
    socket.on('new_message', (message) => seen.push(message));
    await once(socket, 'connect');
    windows.push({ socket, seen });
  }
  // The emits above had no ack; a join again tells when they are through.
  for (const { socket } of windows) await askOk(socket, 'join_conversation', conversationId);
  const sent = [];
  for (let round = 0; round < 10; round++) {
    for (const [i, { socket }] of windows.entries()) sent.push(await say(socket, conversationId, `round ${round} of user ${i}`));
  }
  for (const { seen } of windows) {
    await waitForCount(seen, sent.length);
    assertInOrder(seen);
    assertIds(seen, sent.map((m) => m.id));
  }
  const [first] = windows[0].seen;
  assert.deepEqual(
    { conversationId: first.conversationId, senderId: first.senderId, content: first.content, id: first.id, seq: first.seq, createdAt: first.createdAt },
    { conversationId, senderId: 'user-0', content: 'round 0 of user 0', id: sent[0].id, seq: sent[0].seq, createdAt: sent[0].createdAt },
  );
  assert.ok(Math.abs(Date.parse(first.createdAt) - Date.now()) < 60000);
  assert.deepEqual(await waitStored(stack, conversationId, sent.length), sent.map((m) => m.id));
});

test('messages sent at once from all gateways have one order for all', async () => {
  const id = await createConversation(stack, { owner: 'ada', members: ['bob', 'cy'] });
  const sockets = await Promise.all(gateways.map((g, i) => connected(stack, g, ['ada', 'bob', 'cy'][i])));
  const seen = sockets.map((s) => recordEvents(s));
  for (const s of sockets) await askOk(s, 'join_conversation', id);
  const acks = await Promise.all(sockets.flatMap((s, i) => Array.from({ length: 50 }, (_, n) => say(s, id, `${i}/${n}`))));
  const ids = acks.sort((a, b) => a.seq - b.seq).map((m) => m.id);
  for (const list of seen) {
    await waitForCount(list, ids.length);
    assertIds(list, ids);
    // One socket's events to one conversation are handled in order.
    for (let i = 0; i < sockets.length; i++) {
      const own = list.map((m) => m.content).filter((c) => c.startsWith(`${i}/`));
      assert.deepEqual(own, Array.from({ length: 50 }, (_, n) => `${i}/${n}`));
    }
  }
});

test('a message carries what it was sent with, and unknown fields are ignored', async () => {
  const id = await createConversation(stack, { owner: 'ada', members: ['bob'] });
  const [ada, bob] = [await connected(stack, 'messaging/0', 'ada'), await connected(stack, 'messaging/1', 'bob')];
  const seen = recordEvents(bob);
  await askOk(ada, 'join_conversation', { conversationId: id, flavour: 'sweet' });
  await askOk(bob, 'join_conversation', id);
  const first = await say(ada, id, 'first');
  const clientId = randomUUID();
  const metadata = { mood: 'good', list: [1, 2, { deep: null }] };
  const content = 'ümlaut, \u{1F426}, "quotes", \\ and\nlines';
  await say(ada, id, content, { clientId, contentType: 'text/markdown', replyTo: first.id, metadata, colour: 'blue' });
  await waitForCount(seen, 2);
  const m = seen[1];
  assert.deepEqual(
    { content: m.content, clientId: m.clientId, contentType: m.contentType, replyTo: m.replyTo, metadata: m.metadata, colour: m.colour },
    { content, clientId, contentType: 'text/markdown', replyTo: first.id, metadata, colour: undefined },
  );
});

test('a repeated clientId is one message with one ack', async () => {
  const id = await createConversation(stack, { owner: 'ada', members: ['bob'] });
  const [ada, also] = [await connected(stack, 'messaging/0', 'ada'), await connected(stack, 'messaging/1', 'ada')];
  const bob = await connected(stack, 'messaging/2', 'bob');
  const seen = recordEvents(bob);
  await askOk(bob, 'join_conversation', id);
  const clientId = randomUUID();
  // At the same time on two gateways, then once more.
  const acks = await Promise.all([say(ada, id, 'once', { clientId }), say(also, id, 'once', { clientId })]);
  acks.push(await say(also, id, 'once', { clientId }));
  const last = await say(ada, id, 'end');
  for (const m of acks) assert.deepEqual({ id: m.id, seq: m.seq }, { id: acks[0].id, seq: acks[0].seq });
  await waitFor('the last message is there', () => seen.some((m) => m.id === last.id));
  assertIds(seen, [acks[0].id, last.id]);
  assert.deepEqual(await waitStored(stack, id, 2), [acks[0].id, last.id]);
});

test('typing and read marks reach the others; the read mark is there for who joins later', async () => {
  const id = await createConversation(stack, { owner: 'ada', members: ['bob'] });
  const [ada, bob] = [await connected(stack, 'messaging/0', 'ada'), await connected(stack, 'messaging/1', 'bob')];
  const [typing, read] = [recordEvents(ada, 'typing'), recordEvents(ada, 'message_read')];
  await askOk(ada, 'join_conversation', id);
  await askOk(bob, 'join_conversation', id);
  const { seq } = await say(ada, id, 'read me');
  bob.emit('typing', { conversationId: id, isTyping: true });
  await waitForCount(typing, 1);
  assert.deepEqual(typing[0], { conversationId: id, userId: 'bob', isTyping: true });
  await askOk(bob, 'mark_read', { conversationId: id, seq });
  await waitForCount(read, 1);
  assert.deepEqual(read[0], { conversationId: id, userId: 'bob', seq });
  const late = await connected(stack, 'messaging/2', 'ada');
  const joined = await askOk(late, 'join_conversation', id);
  const mark = joined.receipts.find((r) => r.userId === 'bob');
  assert.equal(mark?.seq, seq);
  assert.ok(joined.headSeq >= seq);
});

test('who left hears nothing more', async () => {
  const id = await createConversation(stack, { owner: 'ada', members: ['bob'] });
  const [ada, bob] = [await connected(stack, 'messaging/0', 'ada'), await connected(stack, 'messaging/1', 'bob')];
  const [seen, own] = [recordEvents(bob), recordEvents(ada)];
  for (const s of [ada, bob]) await askOk(s, 'join_conversation', id);
  await say(ada, id, 'one');
  await waitForCount(seen, 1);
  await askOk(bob, 'leave_conversation', id);
  await say(ada, id, 'two');
  await waitForCount(own, 2);
  // What comes over another room shows that the stream of events has passed the message.
  const other = await createConversation(stack, { owner: 'ada', members: ['bob'] });
  await askOk(bob, 'join_conversation', other);
  await say(ada, other, 'three');
  await waitFor('the other room', () => seen.some((m) => m.content === 'three'));
  assert.deepEqual(seen.map((m) => m.content), ['one', 'three']);
});

test('racing joins on several gateways make one conversation, all live within a second', async () => {
  for (let round = 0; round < 5; round++) {
    const id = `race-${randomUUID()}`;
    const users = ['ada', 'bob', 'cy', 'dee', 'eve', 'fay'];
    const sockets = await Promise.all(users.map((u, i) => connected(stack, gateways[i % 3], u)));
    const seen = sockets.map((s) => recordEvents(s));
    const began = Date.now();
    await Promise.all(sockets.map((s) => askOk(s, 'join_conversation', id)));
    assert.ok(Date.now() - began < 1000, `the joins took ${Date.now() - began} ms`);
    const { id: message } = await say(sockets[round], id, 'hello all');
    for (const list of seen) {
      await waitForCount(list, 1);
      assertIds(list, [message]);
    }
    await waitStored(stack, id, 1);
    assert.equal((await sql(stack, 'SELECT count(*)::int AS n FROM conversation WHERE id = $1', [id]))[0].n, 1);
    await waitFor('all are members', async () => (await sql(stack, 'SELECT count(*)::int AS n FROM member WHERE conversation_id = $1 AND removed_seq IS NULL', [id]))[0].n === users.length);
    for (const s of sockets) s.disconnect();
  }
});

test('conversations over REST: created on one gateway, there on the others at once', async () => {
  const id = `rest-${randomUUID()}`;
  const token = stack.token('ada');
  const [a, b, c] = gateways.map((g) => stack.urlOf(g));
  const made = await restOk(201, 'POST', `${a}/conversations`, { token, body: { id, title: 'On REST', members: ['bob'] } });
  assert.equal(made.id, id);
  const members = await restOk(200, 'GET', `${b}/conversations/${id}/members`, { token });
  assert.deepEqual(members.members.map((m) => m.userId).sort(), ['ada', 'bob']);
  await restOk(201, 'POST', `${c}/conversations/${id}/members`, { token, body: { userId: 'cy' } });
  const cy = await connected(stack, 'messaging/0', 'cy');
  await askOk(cy, 'join_conversation', id);
  const { id: message } = await say(cy, id, 'from a socket');
  const page = await restOk(200, 'GET', `${b}/conversations/${id}/messages`, { token: stack.token('bob') });
  assert.deepEqual(page.messages.map((m) => m.id), [message]);
  await restOk(200, 'DELETE', `${b}/conversations/${id}/members/cy`, { token });
  await restRefused(403, 'forbidden', 'GET', `${c}/conversations/${id}/messages`, { token: stack.token('cy') });
  await restRefused(404, 'not_found', 'GET', `${c}/conversations/none-${randomUUID()}/messages`, { token });
  await waitFor('the list has it', async () => {
    const list = await restOk(200, 'GET', `${c}/conversations`, { token });
    return list.conversations.some((x) => x.id === id && x.title === 'On REST');
  });
  await askRefused('invalid', cy, 'send_message', { conversationId: id });
});
