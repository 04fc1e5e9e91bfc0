// The recipes by which other backends emit, each run as it stands in tests/recipes/: a stock client gets what they say.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import test from 'node:test';
import { promisify } from 'node:util';
import { kafkaDir, pythonBinDir, root } from '../../scripts/lib/paths.mjs';
import { createConversation } from '../lib/rest.js';
import { askOk, connected } from '../lib/sockets.js';
import { startStack } from '../lib/stack.js';
import { once, waitFor } from '../lib/wait.js';

const run = promisify(execFile);
const stack = await startStack({ notification: 0 });
const recipe = (name) => join(root, 'tests/recipes', name);

const recipes = {
  kcat: (room) => [recipe('emit.sh'), [stack.bootstrap, room]],
  'Python, confluent-kafka': (room) => [join(pythonBinDir, 'python'), [recipe('emit.py'), stack.bootstrap, room]],
  'Java, Kafka\'s own client': (room) => ['java', ['-XX:TieredStopAtLevel=1', '-cp', ['kafka-clients-4.1.0.jar', 'slf4j-api-1.7.36.jar'].map((jar) => join(kafkaDir, 'libs', jar)).join(':'), recipe('Emit.java'), stack.bootstrap, room]],
  'Node, kafkajs': (room) => [process.execPath, [recipe('emit.mjs'), stack.bootstrap, room]],
  'SQL, tern_outbox': (room) => ['psql', ['-v', 'ON_ERROR_STOP=1', '-v', `room=${room}`, '-f', recipe('emit.sql'), stack.dsn]],
};

for (const [name, command] of Object.entries(recipes)) {
  test(`from ${name}`, async () => {
    const room = await createConversation(stack, { owner: 'ada', members: ['bob'] });
    const [ada, bob] = [await connected(stack, 'messaging/0', 'ada'), await connected(stack, 'messaging/0', 'bob')];
    const seen = [];
    for (const [user, socket] of [['ada', ada], ['bob', bob]]) {
      await askOk(socket, 'join_conversation', room);
      for (const event of ['order_shipped', 'picture', 'progress']) socket.on(event, (arg) => seen.push(JSON.stringify([user, event, arg])));
    }
    await run(...command(room), { timeout: 150000 });
    const png = Buffer.from('89504e470d0a1a0a', 'hex');
    const expected = [['ada', 'order_shipped', { id: 7 }], ['ada', 'picture', { png }], ['ada', 'progress', 50], ['bob', 'order_shipped', { id: 7 }], ['bob', 'progress', 50]].map((e) => JSON.stringify(e));
    await waitFor(() => `all three, so far ${seen}`, () => seen.length >= expected.length);
    assert.deepEqual([...seen].sort(), expected.sort());
    for (const socket of [ada, bob]) {
      socket.disconnect();
      if (socket.connected) await once(socket, 'disconnect');
    }
  });
}
