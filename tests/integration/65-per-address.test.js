// TERN_PER_ADDRESS_MAX is about clients: it does not count what other gateways bring as theirs.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import test from 'node:test';
import { rest } from '../lib/rest.js';
import { peerLine } from '../lib/peers.js';
import { atEnd, startStack } from '../lib/stack.js';
import { waitFor } from '../lib/wait.js';

const most = 3;
const more = 5;
const stack = await startStack({ messaging: 1, notification: 0, writer: 0, set: { TERN_PER_ADDRESS_MAX: String(most), TERN_SPLICE_LINE_MS: '20000', TERN_HEAD_MS: '20000' } });
const gateway = 'messaging/0';
const { env } = stack.record(gateway).command;
const key = readFileSync(join(stack.state, 'splice.key'), 'utf8').trim();

/** Connections that have said so much and wait; {open: how many of them still are}. */
function hold(port, count, text) {
  const held = { open: 0 };
  for (let i = 0; i < count; i++) {
    const socket = connect({ host: '127.0.0.1', port: Number(port) }, () => {
      held.open++;
      socket.write(text(i));
    });
    socket.on('error', () => {});
    socket.on('close', () => held.open--);
    atEnd(() => socket.destroy());
  }
  return held;
}

const counted = async (name, labels) => (await stack.metrics(gateway))(name, labels);
const tooMany = () => counted('tern_intake_expired_total', { reason: 'per_address' });

test('as many connections as other gateways bring may wait for the rest of their heads', async () => {
  const hello = await rest('GET', `${stack.urlOf(gateway)}/socket.io/?EIO=4&transport=polling`);
  const { sid } = JSON.parse(String(hello.body).slice(1));
  const held = hold(env.TERN_SPLICE_PORT, most + more, (i) => `${peerLine(key, { sid, address: `192.0.2.${i}` })}GET /socket.io/`);
  await waitFor('all lines are taken', async () => (await counted('tern_splice_lines_total', { result: 'accepted' })) === most + more);
  await waitFor('all of them wait', async () => (await counted('tern_intake_waiting')) >= most + more);
  assert.equal(held.open, most + more);
  assert.equal(await tooMany(), 0);
});

test('one address may not', async () => {
  const held = hold(env.TERN_PORT, most + more, () => 'GET /socket.io/');
  await waitFor(`${more} are closed`, async () => (await tooMany()) >= more);
  await waitFor('their ends are seen', () => held.open === most);
});
