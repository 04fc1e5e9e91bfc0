// A member is removed, and then gateways die under it one after the other, faster than any of them writes down that the room is
// mute. The last one has the claims of its session in its tail, but no longer the removal.
import assert from 'node:assert/strict';
import test from 'node:test';
import { waitStored } from '../lib/database.js';
import { createConversation, restOk } from '../lib/rest.js';
import { askOk, assertIds, connected, recordEvents, say, waitForCount } from '../lib/sockets.js';
import { startStack } from '../lib/stack.js';
import { once, sleep } from '../lib/wait.js';

const tailMs = 1000;
const stack = await startStack({ messaging: 4, notification: 0, set: { TERN_TAIL_FILL_MS: String(tailMs), TERN_DEDUPE_WINDOW_MS: String(tailMs) } });
const [one, two, three, home] = ['messaging/0', 'messaging/1', 'messaging/2', 'messaging/3'];

test('what was said after its removal is not shown to it by the third gateway', async () => {
  const id = await createConversation(stack, { owner: 'ada', members: ['bob'], gateway: home });
  const ada = await connected(stack, home, 'ada', { transports: ['websocket'] });
  const bob = await connected(stack, one, 'bob', { transports: ['websocket'] });
  let gateway = one;
  bob.io.on('reconnect_attempt', () => (bob.io.uri = stack.urlOf(gateway)));
  const seen = recordEvents(bob);
  for (const socket of [ada, bob]) await askOk(socket, 'join_conversation', id);
  const ids = [(await say(ada, id, 'before')).id];
  await waitForCount(seen, 1);
  await stack.kill(three);

  const removed = once(bob, 'member_removed');
  await restOk(200, 'DELETE', `${stack.urlOf(home)}/conversations/${id}/members/bob`, { token: stack.token('ada') });
  await removed;
  await stack.kill(one);
  for (let n = 0; n < 10; n++) await say(ada, id, `hidden ${n}`);
  await waitStored(stack, id, 11);
  await sleep(3 * tailMs); // this is the point: the removal is not in the tail of whoever starts now
  await stack.start(three);

  // The second gateway knows of the removal, claims the session, and dies before it has stated its rooms.
  const restored = once(bob, 'connect', 20000);
  gateway = two;
  await restored;
  assert.equal(bob.recovered, true);
  const again = once(bob, 'connect', 20000);
  gateway = three;
  await stack.kill(two);
  await again;
  assert.equal(bob.recovered, true);
  await say(ada, id, 'still hidden');
  await restOk(201, 'POST', `${stack.urlOf(home)}/conversations/${id}/members`, { token: stack.token('ada'), body: { userId: 'bob' } });
  ids.push((await say(ada, id, 'after')).id);
  await waitForCount(seen, ids.length);
  assertIds(seen, ids);
});
