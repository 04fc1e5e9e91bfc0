// After a scale-up: gateways above the fleet's mean send clients elsewhere, at a pace, until all have about as many.
import assert from 'node:assert/strict';
import test from 'node:test';
import { Crowd, Listeners, mostInASecond, startReadyBalancer } from '../lib/fleet.js';
import { startStack } from '../lib/stack.js';
import { staysFalse, waitFor } from '../lib/wait.js';

const announceMs = 1000;
const perSecond = 20;
const chat = ['messaging/0', 'messaging/1', 'messaging/2'];
const streams = ['notification/0', 'notification/1', 'notification/2'];
const crowdSize = 60;
const listeners = 30;
// Streams come back sooner here than by default, else counting them would take many announcements.
const set = { TERN_SHED_PER_SECOND: String(perSecond), TERN_ANNOUNCE_MS: String(announceMs), TERN_RETRY_MS: '200', TERN_RETRY_JITTER_MS: '200' };
const stack = await startStack({ messaging: 3, notification: 3, set });

async function counts(names) {
  return Promise.all(names.map(async (n) => (await stack.metrics(n))('tern_connections')));
}

const shedBy = async (names) => (await Promise.all(names.map(async (n) => (await stack.metrics(n))('tern_connections_closed_total', { reason: 'shed' })))).reduce((a, b) => a + b);

const isEven = (all, sum) => all.reduce((a, b) => a + b) === sum && Math.max(...all) <= sum / all.length + 3;

const hears = async (n, count) => (await stack.metrics(n))('tern_fleet_gateways', { service: n.split('/')[0] }) === count;

/** Whether the condition holds for so long. */
const isQuiet = (condition, ms) => staysFalse('a change', async () => !(await condition()), ms).then(() => true, () => false);

/** Two of each with clients, and a third that starts then. */
async function scaleUp() {
  for (const name of ['messaging/2', 'notification/2']) await stack.kill(name);
  const balancers = { chat: await startReadyBalancer(stack, chat), streams: await startReadyBalancer(stack, streams) };
  const crowd = new Crowd(stack, balancers.chat);
  const audience = new Listeners(stack, balancers.streams);
  for (const n of ['messaging/0', 'messaging/1', 'notification/0', 'notification/1']) await waitFor(`${n} hears two of its kind`, () => hears(n, 2));
  await crowd.join(crowdSize, 15);
  await audience.open(listeners);
  crowd.talk(300);
  audience.talk(400);
  for (const name of ['messaging/2', 'notification/2']) await stack.start(name);
  for (const [b, names] of [[balancers.chat, chat], [balancers.streams, streams]]) await waitFor('all three are in the balancer', () => b.servers.length === names.length);
  for (const n of [...chat, ...streams]) await waitFor(`${n} hears three of its kind`, () => hears(n, 3));
  return { crowd, audience };
}

test('the full ones shed until all are even, and then stop; each client is recovered and misses nothing', async () => {
  const { crowd, audience } = await scaleUp();
  await waitFor('the chat gateways are even', async () => isEven(await counts(chat), crowdSize), 60000);
  await waitFor('the notification gateways are even', async () => isEven(await counts(streams), listeners), 60000);
  const shed = await shedBy([...chat, ...streams]);
  assert.ok(shed >= crowdSize / 3 + listeners / 3 - 6, `${shed} were shed`);
  let last = -1;
  await waitFor('they stop', async () => {
    const before = last;
    last = await shedBy([...chat, ...streams]);
    if (last !== before) return false;
    return isQuiet(async () => (await shedBy([...chat, ...streams])) === last, 5 * announceMs);
  }, 60000);
  await crowd.hush();
  await audience.hush();
  await crowd.check(5000);
  await audience.check(5000);
  const fastest = mostInASecond(crowd.departures);
  console.log(JSON.stringify({ shed, last, departures: crowd.departures.length, fastest, chat: await counts(chat), streams: await counts(streams) }));
  // Two gateways shed, each at the pace.
  assert.ok(fastest <= 2 * perSecond * 1.1 + 2, `${fastest} within a second`);
});
