// All gateways are replaced one after the other, under load, and no stock client is any the worse for it.
import assert from 'node:assert/strict';
import test from 'node:test';
import { get } from '../../scripts/lib/services.mjs';
import { Crowd, Listeners, lastLogged, mostInASecond, replace, startReadyBalancer } from '../lib/fleet.js';
import { rest } from '../lib/rest.js';
import { startStack } from '../lib/stack.js';
import { rawStream, streamUrl } from '../lib/streams.js';
import { waitFor } from '../lib/wait.js';

const perSecond = 60;
const drainMs = 14000;
const waitMax = 5000;
const crowdSize = 105;
const roomSize = 15;
const listeners = 40;
// So many are gone in time at this pace; a gateway with other settings does not start.
const most = { TERN_CONNECTIONS_MAX: '300', TERN_SPLICES_MAX: '100' };
const stack = await startStack({ messaging: 3, notification: 2, set: { TERN_DRAIN_MS: String(drainMs), TERN_DRAIN_PER_SECOND: String(perSecond), ...most } });
const chat = ['messaging/0', 'messaging/1', 'messaging/2'];
const streams = ['notification/0', 'notification/1'];
const balancers = { chat: await startReadyBalancer(stack, chat), streams: await startReadyBalancer(stack, streams) };
const crowd = new Crowd(stack, balancers.chat);
const audience = new Listeners(stack, balancers.streams);
// Sent away are three quarters of the pace; a slice may fall on either side of a second's border.
const departuresMax = perSecond * 0.75 * 1.1 + 1;

/** Watches a gateway that drains: who comes now is not told anything that ends it for good, and its metrics show the pace. */
async function watchDrain(name) {
  const [pace, peak, drained] = ['tern_drain_per_second_max', 'tern_drain_per_second_peak', 'tern_connections_closed_total'];
  const seen = { peak: 0, drained: 0 };
  await waitFor(`${name} is not ready`, async () => (await get(`${stack.opsUrlOf(name)}/readyz`))?.status === 503);
  const newcomer = name.startsWith('messaging')
    ? rest('GET', `${stack.urlOf(name)}/socket.io/?EIO=4&transport=polling`).then((a) => assert.equal(a.status, 503))
    : rawStream(streamUrl(stack, name, 'late')).then(async (s) => {
        assert.equal(s.status, 200);
        await waitFor('it ends', s.ended);
        assert.match(s.text(), /^retry: \d+$/m);
      });
  await newcomer;
  while (stack.isAlive(name)) {
    const metrics = await stack.metrics(name).catch(() => null);
    if (!metrics) break;
    assert.equal(metrics(pace), perSecond);
    seen.peak = Math.max(seen.peak, metrics(peak));
    seen.drained = Math.max(seen.drained, metrics(drained, { reason: 'drain' }));
  }
  assert.ok(seen.peak <= departuresMax, `${seen.peak} in a second`);
  assert.ok(seen.drained > 0, 'its metrics told of it');
}

test('stock clients and streams talk through a round-robin proxy', async () => {
  await crowd.join(crowdSize, roomSize);
  crowd.talk(300);
  await audience.open(listeners);
  audience.talk(400);
  await waitFor('some talk', () => crowd.rooms.every((r) => r.said.length > 10) && audience.said.length > 5);
});

for (const [names, balancer] of [[chat, balancers.chat], [streams, balancers.streams]]) {
  test(`a rolling restart of ${names.join(', ')}`, async () => {
    for (const name of names) {
      const tookMs = await replace(stack, balancer, name, () => watchDrain(name));
      assert.ok(tookMs < drainMs, `${name} took ${tookMs} ms`);
      assert.equal(lastLogged(stack, name, 'drained').left, 0);
      assert.equal(lastLogged(stack, name, 'stopped').code, 0);
    }
  });
}

test('each client was recovered within 5 s, misses nothing, and they came back no faster than the pace', async () => {
  await crowd.hush();
  await audience.hush();
  const waits = (clients) => clients.flatMap((c) => c.waits).sort((a, b) => a - b);
  const spread = (all) => [0.5, 0.9, 0.99, 1].map((p) => all[Math.ceil(p * all.length) - 1]);
  const figures = { departures: mostInASecond(crowd.departures), returns: mostInASecond(crowd.returns), streams: mostInASecond(audience.returns), waits: spread(waits(crowd.clients)), streamWaits: spread(waits(audience.streams)) };
  console.log(JSON.stringify(figures));
  await crowd.check(waitMax);
  await audience.check(waitMax);
  assert.ok(crowd.returns.length >= crowdSize, `${crowd.returns.length} returns`);
  assert.ok(audience.returns.length >= listeners, `${audience.returns.length} returns`);
  assert.ok(figures.departures > perSecond / 3, `the pace was put to the test: ${JSON.stringify(figures)}`);
  assert.ok(figures.returns <= perSecond && figures.streams <= perSecond, JSON.stringify(figures));
});
