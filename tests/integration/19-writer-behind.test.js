// What clients ask for while the writer stands still and the gateways' tails begin after what it has stored: the rows, what
// Kafka has between them and the tail, and the tail make one answer.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import test from 'node:test';
import { sql, waitStored } from '../lib/database.js';
import { createConversation, restOk, restRefused } from '../lib/rest.js';
import { askOk, askRefused, connected, recordEvents, say, waitForCount } from '../lib/sockets.js';
import { startStack } from '../lib/stack.js';
import { sleep, waitFor } from '../lib/wait.js';

const tailMs = 1000;
const stack = await startStack({ messaging: 1, notification: 1, set: { TERN_TAIL_FILL_MS: String(tailMs), TERN_DEDUPE_WINDOW_MS: String(tailMs) } });
const websocket = { transports: ['websocket'] };
const publisher = stack.token('backend', { scope: 'notifications:publish' });
const url = stack.urlOf('notification/0');

const notes = (method, path, user) => restOk(200, method, `${url}${path}`, { token: stack.token(user) });
const publish = (userId, title) => restOk(201, 'POST', `${url}/notifications`, { token: publisher, body: { userId, type: 'note', title, body: 'b' } });

/** Gateways that start now hold nothing of what came before. */
async function restartWithoutPast(...gateways) {
  await sleep(2 * tailMs + 500); // the fill is a time before now: only time passes it
  for (const gateway of gateways) {
    await stack.kill(gateway);
    await stack.start(gateway);
  }
}

async function pagesOf(id, user, query) {
  const pages = [];
  for (let cursor = ''; cursor !== null;) {
    const more = cursor === '' ? '' : `&${query.direction}=${cursor}`;
    const first = cursor === '' && query.direction === 'after' ? '&after=0' : '';
    const answer = await restOk(200, 'GET', `${stack.urlOf('messaging/0')}/conversations/${id}/messages?limit=${query.limit}${first}${more}`, { token: stack.token(user) });
    pages.push(answer.messages.map((m) => m.content));
    cursor = answer.cursor;
  }
  return pages;
}

test('chat: history, membership and repeated sends are whole', async () => {
  const id = await createConversation(stack, { owner: 'ada', members: ['bob', 'gone'] });
  const ada = await connected(stack, 'messaging/0', 'ada', websocket);
  await askOk(ada, 'join_conversation', id);
  const stored = await say(ada, id, 'stored');
  assert.deepEqual(await waitStored(stack, id, 1), [stored.id]);
  stack.pause('writer/0');
  try {
    const clientId = randomUUID();
    const sentAt = Date.now();
    const once = await say(ada, id, 'between 0', { clientId, sentAt });
    for (let n = 1; n < 25; n++) await say(ada, id, `between ${n}`);
    const token = stack.token('ada');
    const members = `${stack.urlOf('messaging/0')}/conversations/${id}/members`;
    await restOk(201, 'POST', members, { token, body: { userId: 'eve' } });
    await restOk(200, 'DELETE', `${members}/gone`, { token });
    ada.disconnect();
    await restartWithoutPast('messaging/0');

    const again = await connected(stack, 'messaging/0', 'ada', websocket);
    const tail = ['live 0', 'live 1'];
    await askOk(again, 'join_conversation', id);
    const seen = recordEvents(again);
    for (const content of tail) await say(again, id, content);
    await waitForCount(seen, tail.length);

    const all = ['stored', ...Array.from({ length: 25 }, (_, n) => `between ${n}`), ...tail];
    const { messages } = await askOk(again, 'fetch_messages', { conversationId: id, limit: 200 });
    assert.deepEqual(messages.map((m) => m.content), all);
    assert.deepEqual((await pagesOf(id, 'ada', { direction: 'before', limit: 10 })).reverse().flat(), all);
    assert.deepEqual((await pagesOf(id, 'ada', { direction: 'after', limit: 10 })).flat(), all);

    // The id of before the window is found where it stands, and nothing is written again.
    const repeated = await say(again, id, 'between 0', { clientId, sentAt });
    assert.deepEqual({ id: repeated.id, seq: repeated.seq }, { id: once.id, seq: once.seq });

    const eve = await connected(stack, 'messaging/0', 'eve', websocket);
    await askOk(eve, 'join_conversation', id);
    const gone = await connected(stack, 'messaging/0', 'gone', websocket);
    await askRefused('forbidden', gone, 'join_conversation', id);
    await say(eve, id, 'last');
    await waitForCount(seen, tail.length + 1);
    assert.deepEqual(seen.map((m) => m.content), [...tail, 'last']);
    for (const socket of [again, eve, gone]) socket.disconnect();
  } finally {
    stack.cont('writer/0');
  }
});

test('notifications: list, count and marks are whole', async () => {
  const user = `u-${randomUUID()}`;
  const stored = [];
  for (let n = 0; n < 4; n++) stored.push((await publish(user, `stored ${n}`)).id);
  await waitFor('they are stored', async () => (await sql(stack, 'SELECT FROM notification WHERE user_id = $1', [user])).length === stored.length);
  stack.pause('writer/0');
  try {
    const between = [];
    for (let n = 0; n < 6; n++) between.push((await publish(user, `between ${n}`)).id);
    await notes('POST', `/notifications/${stored[0]}/read`, user);
    await notes('POST', `/notifications/${between[0]}/read`, user);
    await restartWithoutPast('notification/0');
    const live = (await publish(user, 'live')).id;

    const titles = (list) => list.map((n) => n.title);
    const expected = ['live', ...[5, 4, 3, 2, 1, 0].map((n) => `between ${n}`), ...[3, 2, 1, 0].map((n) => `stored ${n}`)];
    const { notifications } = await notes('GET', '/notifications?limit=50', user);
    assert.deepEqual(titles(notifications), expected);
    assert.deepEqual(titles(notifications.filter((n) => n.read)), ['between 0', 'stored 0']);
    assert.equal((await notes('GET', '/notifications/unread-count', user)).count, 9);

    await notes('POST', `/notifications/${between[1]}/read`, user);
    await notes('POST', `/notifications/${stored[1]}/read`, user);
    await notes('POST', `/notifications/${live}/read`, user);
    await restRefused(404, 'not_found', 'POST', `${url}/notifications/${randomUUID()}/read`, { token: stack.token(user) });
    assert.equal((await notes('GET', '/notifications/unread-count', user)).count, 6);
    const unread = await notes('GET', '/notifications?unread=true&limit=50', user);
    assert.deepEqual(titles(unread.notifications), ['between 5', 'between 4', 'between 3', 'between 2', 'stored 3', 'stored 2']);
  } finally {
    stack.cont('writer/0');
  }
});
