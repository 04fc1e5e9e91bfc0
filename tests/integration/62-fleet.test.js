// Gateways say that they are there: on the topic control, to each other and to whoever reads it.
import assert from 'node:assert/strict';
import test from 'node:test';
import { kcatRead } from '../lib/records.js';
import { connected } from '../lib/sockets.js';
import { startStack } from '../lib/stack.js';
import { openStream } from '../lib/streams.js';
import { staysFalse, waitFor } from '../lib/wait.js';

const announceMs = 300;
const stack = await startStack({ messaging: 2, notification: 2, set: { TERN_ANNOUNCE_MS: String(announceMs) } });
const gateways = ['messaging/0', 'messaging/1', 'notification/0', 'notification/1'];

/** The newest announcement of each gateway, by its ops address. */
async function announced() {
  const records = (await kcatRead(stack, 'control')).filter((r) => r.headers.ce_type === 'tern.gateway');
  const newest = {};
  for (const { key, value } of records) {
    const data = JSON.parse(value);
    assert.equal(key, `instance:${data.instance}`);
    newest[`http://${data.ops}`] = data;
  }
  return newest;
}

const others = async (name, service) => (await stack.metrics(name))('tern_fleet_gateways', { service });

test('each gateway announces itself, with the address of its ops port and its connections, and hears all of them', async () => {
  for (let i = 0; i < 3; i++) await connected(stack, 'messaging/0', `user-${i}`, { transports: ['websocket'] });
  await openStream(stack, 'notification/1', 'ada');
  await waitFor('all are announced, with their connections', async () => {
    const all = await announced();
    return gateways.every((g) => all[stack.opsUrlOf(g)]?.service === g.split('/')[0]) && all[stack.opsUrlOf('messaging/0')].connections === 3 && all[stack.opsUrlOf('notification/1')].connections === 1;
  });
  for (const g of gateways) for (const service of ['messaging', 'notification']) await waitFor(`${g} hears two of ${service}`, async () => (await others(g, service)) === 2);
});

test('by default nobody is moved, however uneven they are', async () => {
  const shed = async (name) => (await stack.metrics(name))('tern_connections_closed_total', { reason: 'shed' });
  await staysFalse('somebody is moved', async () => (await shed('messaging/0')) + (await shed('notification/1')) > 0, 5 * announceMs);
  assert.equal((await stack.metrics('messaging/0'))('tern_connections'), 3);
});

test('who drains says so at once, and who is silent is forgotten', async () => {
  const url = stack.opsUrlOf('messaging/0');
  await stack.term('messaging/0');
  await waitFor('it leaves', async () => (await announced())[url].leaving === true);
  await stack.kill('messaging/0');
  await stack.kill('notification/0');
  for (const [name, service] of [['messaging/1', 'messaging'], ['notification/1', 'notification']]) {
    await waitFor(`${name} is alone`, async () => (await others(name, service)) === 1);
    await staysFalse(`${name} forgets itself`, async () => (await others(name, service)) !== 1, 3 * announceMs);
  }
  await stack.start('messaging/0');
  await waitFor('it is heard again', async () => (await others('messaging/1', 'messaging')) === 2);
});
