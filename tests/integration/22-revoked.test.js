// Tokens that are taken back by a record in the topic `access`: on every gateway at once, on those that start later too, and while
// Postgres is away.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import test from 'node:test';
import { ctl, ctlJson, ctlOk } from '../lib/ctl.js';
import { cloudEvent, kcatProduce, kcatRead } from '../lib/records.js';
import { restOk, restRefused } from '../lib/rest.js';
import { client, connected } from '../lib/sockets.js';
import { startStack } from '../lib/stack.js';
import { openStream } from '../lib/streams.js';
import { once, waitFor } from '../lib/wait.js';

const stack = await startStack({ messaging: 2, notification: 2 });
const gateways = ['messaging/0', 'messaging/1'];
const streams = ['notification/0', 'notification/1'];
const seconds = (ms) => Math.floor(ms / 1000);
const tokenAt = (user, ms) => stack.token(user, { iat: seconds(ms), exp: seconds(ms) + 3600 });

const void_ = (userId, before) =>
  kcatProduce(stack, 'access', { key: userId, partition: 0, ...cloudEvent({ id: randomUUID(), type: 'tern.revoked', data: { userId, before } }) });

async function assertRefused(user, token) {
  for (const gateway of gateways) {
    const socket = client(stack, gateway, user, { token, reconnection: false });
    const [error] = await once(socket, 'connect_error');
    assert.equal(error.data?.code, 'forbidden', `${gateway}: ${error.message}`);
    await restRefused(401, 'forbidden', 'GET', `${stack.urlOf(gateway)}/conversations`, { token });
    socket.disconnect();
  }
  for (const gateway of streams) {
    await restRefused(401, 'forbidden', 'GET', `${stack.urlOf(gateway)}/notifications`, { token });
    await restRefused(401, 'forbidden', 'GET', `${stack.urlOf(gateway)}/notifications/stream/${user}?token=${token}`);
  }
}

async function assertIn(user, token) {
  for (const gateway of gateways) (await connected(stack, gateway, user, { token })).disconnect();
  for (const gateway of streams) await restOk(200, 'GET', `${stack.urlOf(gateway)}/notifications/unread-count`, { token });
}

const now = Date.now();
const old = tokenAt('mallory', now - 60000);
const later = tokenAt('mallory', now + 5000);
const others = tokenAt('ada', now - 60000);

test('open sockets and streams of the user end on all gateways, nobody else\'s', async () => {
  const sockets = [], ended = [];
  for (const gateway of gateways) {
    const socket = await connected(stack, gateway, 'mallory', { token: old, reconnection: false });
    socket.on('disconnect', (reason) => ended.push(reason));
    sockets.push(socket);
  }
  const bystander = await connected(stack, gateways[0], 'ada', { token: others });
  const open = [];
  for (const gateway of streams) {
    const stream = await openStream(stack, gateway, 'mallory', { token: old });
    stream.source.onerror = () => (stream.ended = true);
    open.push(stream);
  }
  await void_('mallory', now);
  await waitFor('all are out', () => ended.length === 2 && open.every((s) => s.ended));
  assert.ok(bystander.connected);
  await assertRefused('mallory', old);
  for (const s of [...sockets, bystander]) s.disconnect();
  for (const s of open) s.source.close();
});

test('a token that was issued later is good, and so is everybody else\'s', async () => {
  await assertIn('mallory', later);
  await assertIn('ada', others);
});

test('a gateway that starts afterwards knows it, with Postgres away as well', async () => {
  for (const gateway of [...gateways, ...streams]) await stack.kill(gateway);
  await Promise.all([...gateways, ...streams].map((gateway) => stack.start(gateway)));
  await assertRefused('mallory', old);
  await stack.kill('postgres');
  await stack.kill(gateways[1]);
  await stack.start(gateways[1]);
  await assertRefused('mallory', old);
  await stack.start('postgres');
  await waitFor('who has a good token is served', () => assertIn('mallory', later).then(() => true, () => false), 20000);
});

test('ternctl revokes, bans and lifts, and the audit tells', async () => {
  const token = tokenAt('eve', Date.now() - 5000);
  await assertIn('eve', token);
  await ctlOk(stack, ['revoke', '--user', 'eve'], { postgres: false });
  await waitFor('it is void', () => assertRefused('eve', token).then(() => true, () => false));
  const fresh = tokenAt('eve', Date.now() + 2000);
  await assertIn('eve', fresh);
  assert.equal((await ctlJson(stack, ['revoke', '--user', 'eve', '--ban'], { postgres: false })).before, Number.MAX_SAFE_INTEGER);
  await waitFor('she is banned', () => assertRefused('eve', fresh).then(() => true, () => false));
  await ctlOk(stack, ['revoke', '--user', 'eve', '--lift'], { postgres: false });
  await waitFor('it is lifted', () => assertIn('eve', token).then(() => true, () => false));
  assert.equal((await ctl(stack, ['revoke', '--user', 'eve', '--ban', '--lift'])).code, 2);
  assert.equal((await ctl(stack, ['revoke'])).code, 2);
  const audit = (await kcatRead(stack, 'audit')).map((r) => JSON.parse(r.value)).filter((r) => r.command === 'revoke');
  assert.deepEqual(audit.map((r) => [r.state, r.user]), Array.from({ length: 3 }, () => [['begun', 'eve'], ['done', 'eve']]).flat());
});

test('a ban is a time that has not come yet, and another user\'s key bans nobody', async () => {
  await void_('mallory', now + 86400000);
  await waitFor('the gateways have read it', async () => {
    const socket = client(stack, gateways[0], 'mallory', { token: later, reconnection: false });
    const refused = await Promise.race([once(socket, 'connect_error').then(() => true), once(socket, 'connect').then(() => false)]);
    socket.disconnect();
    return refused;
  });
  await waitFor('the others too', async () => (await assertRefused('mallory', later).then(() => true, () => false)));
  const forged = cloudEvent({ id: randomUUID(), type: 'tern.revoked', data: { userId: 'ada', before: now + 86400000 } });
  await kcatProduce(stack, 'access', { key: 'mallory', partition: 0, ...forged });
  await kcatProduce(stack, 'access', { key: 'carol', partition: 0, ...cloudEvent({ id: randomUUID(), type: 'tern.revoked', data: { userId: 'carol', before: now + 86400000 } }) });
  const carol = tokenAt('carol', now);
  await waitFor('the records behind it were read', async () => (await assertRefused('carol', carol).then(() => true, () => false)));
  await assertIn('ada', others);
});
