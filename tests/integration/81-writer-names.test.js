// Writers are known to Kafka by their names. Two processes of one name cannot both write: one of them says so and ends,
// the other goes on; and a name that Kafka merely took for another's does not end its writer.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import test from 'node:test';
import { takePorts } from '../../scripts/lib/ports.mjs';
import { alive, launch } from '../../scripts/lib/processes.mjs';
import { waitStored } from '../lib/database.js';
import { createConversation } from '../lib/rest.js';
import { askOk, connected, say } from '../lib/sockets.js';
import { atEnd, startStack } from '../lib/stack.js';
import { waitFor } from '../lib/wait.js';

const stack = await startStack({ notification: 0 });

test('of two writers with one name one ends and says why, and the other stores what comes', async () => {
  const id = await createConversation(stack, { owner: 'ada' });
  const ada = await connected(stack, 'messaging/0', 'ada');
  await askOk(ada, 'join_conversation', id);
  const ids = [(await say(ada, id, 'before')).id];
  const { command } = stack.record('writer/0');
  const [opsPort] = await takePorts(1, stack.dir);
  const log = `${stack.logs}/twin-${randomUUID()}.log`;
  const twin = await launch({ ...command, log, env: { ...command.env, TERN_OPS_PORT: String(opsPort) }, tied: true });
  atEnd(() => alive(twin) && process.kill(twin.pid, 'SIGKILL'));
  const logs = [command.log, log];
  const running = () => [stack.record('writer/0'), twin].filter(alive);
  await waitFor('one has ended', () => running().length === 1, 60000);
  const said = (path, event) => readFileSync(path, 'utf8').includes(`"event":"${event}"`);
  assert.equal(logs.filter((path) => said(path, 'fenced_out')).length, 1, 'it says so');
  for (let n = 0; n < 20; n++) ids.push((await say(ada, id, `message ${n}`)).id);
  assert.deepEqual(await waitStored(stack, id, ids.length), ids);
  assert.equal(running().length, 1);
});
