// The admin page beside 20,000 connections on two gateways: pages come soon, nobody else waits; and without tokens.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { request } from 'node:http';
import { createInterface } from 'node:readline';
import test from 'node:test';
import { chromium } from 'playwright-core';
import { adminGet, adminToken, fleetOf } from '../lib/admin.js';
import { binary } from '../../scripts/lib/paths.mjs';
import { askOk, connected, recordEvents, say } from '../lib/sockets.js';
import { atEnd, startStack } from '../lib/stack.js';
import { waitFor, within } from '../lib/wait.js';

const each = 10000;
const rooms = 500;
const stack = await startStack({
  messaging: 2,
  notification: 0,
  set: {
    TERN_OPEN_CONVERSATIONS: 'on',
    TERN_ADDRESS_CONNECTIONS_MAX: '0',
    TERN_ADDRESS_CONNECTS_PER_SECOND: '0',
    TERN_ADDRESS_EVENTS_PER_SECOND: '0',
    TERN_ADDRESS_JOINS_PER_SECOND: '0',
    TERN_ADDRESS_BYTES_PER_SECOND: '0',
  },
});
await fleetOf(stack, 'messaging/0', 2);

/** So many connections to a gateway, until the file ends. */
async function load(name) {
  const child = spawn(binary('bench-load'), ['--port', new URL(stack.urlOf(name)).port, '--secret', stack.facts().auth.hs256Secret, '--conns', String(each), '--rooms', String(rooms), '--secs', '0', '--hold'], { stdio: ['pipe', 'pipe', 'inherit'] });
  atEnd(() => child.stdin.end());
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const { value } = await within(240000, `${each} connections to ${name}`, lines.next());
  return JSON.parse(value);
}

test('20,000 connect', async () => {
  for (const name of ['messaging/0', 'messaging/1']) assert.equal((await load(name)).connections, each);
  await waitFor('the fleet counts them', async () => (await adminGet(stack, 'messaging/0', 'fleet')).gateways.reduce((n, g) => n + g.connections, 0) === 2 * each, 20000);
});

test('pages of connections and rooms are exact, come soon, and a chat beside them hardly notices', async () => {
  const [ada, bob] = [await connected(stack, 'messaging/0', 'zz-ada'), await connected(stack, 'messaging/1', 'zz-bob')];
  const heard = recordEvents(bob);
  for (const socket of [ada, bob]) await askOk(socket, 'join_conversation', 'zz-beside');
  let stop = false;
  const waits = [];
  const chat = (async () => {
    for (let i = 0; !stop; i++) {
      const began = performance.now();
      await say(ada, 'zz-beside', `message ${i}`);
      await waitFor('it arrives', () => heard.length > i);
      waits.push(performance.now() - began);
    }
  })();
  const seen = new Set();
  const took = [];
  let after = '';
  for (let i = 0; i < 30; i++) {
    const began = performance.now();
    const page = await adminGet(stack, i % 2 ? 'messaging/1' : 'messaging/0', 'connections', { limit: 100, ...(after && { after }) });
    took.push(performance.now() - began);
    assert.deepEqual(page.missing, []);
    assert.equal(page.rows.length, 100);
    for (const row of page.rows) seen.add(`${row.user} ${row.gateway}`);
    assert.ok(page.next > after);
    after = page.next;
  }
  assert.equal(seen.size, 3000, 'load-N stands on both gateways, and each once');
  let members = 0;
  for (after = ''; after !== null; ) {
    const page = await adminGet(stack, 'messaging/0', 'conversations', { limit: 100, prefix: 'bench-', ...(after && { after }) });
    for (const row of page.rows) {
      assert.equal(row.gateways, 2);
      members += row.members;
    }
    after = page.next;
  }
  assert.equal(members, 2 * each);
  stop = true;
  await chat;
  const middle = (values) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)];
  const at99 = (values) => values.toSorted((a, b) => a - b)[Math.floor(values.length * 0.99)];
  console.log(`a page: ${middle(took).toFixed(0)} ms, at most ${Math.max(...took).toFixed(0)} ms; a message beside them: ${middle(waits).toFixed(0)} ms, p99 ${at99(waits).toFixed(0)} ms of ${waits.length}`);
  assert.ok(middle(took) < 1000, `a page takes ${middle(took)} ms`);
  assert.ok(at99(waits) < 1000, `a message takes ${at99(waits)} ms`);
});

test('the page in the browser pages through them', async () => {
  const browser = await chromium.launch({ executablePath: process.env.TERN_CHROMIUM ?? '/usr/bin/chromium', args: ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage'] });
  atEnd(() => browser.close());
  const page = await browser.newPage();
  page.setDefaultTimeout(20000);
  await page.goto(`${stack.opsUrlOf('messaging/1')}/admin/#connections`);
  await page.locator('#token').fill(adminToken(stack));
  await page.locator('#token').press('Enter');
  await page.locator('#connections tbody tr').nth(49).waitFor();
  const name = () => page.locator('#connections tbody tr td').first().textContent();
  for (let i = 0; i < 5; i++) {
    const before = await name();
    await page.locator('#connections [data-go=next]').click();
    await waitFor('the next page', async () => (await name()) > before);
  }
  assert.equal(await page.locator('#connections tbody tr').count(), 50, 'a page, never all');
  await page.locator('#connections input[name=prefix]').fill('load-9999');
  await page.locator('#connections input[name=prefix]').press('Enter');
  await waitFor('the two that are called so', async () => (await page.locator('#connections tbody tr').count()) === 2);
});

test('without tokens the page is open on loopback, but not to a name that a foreign page had point here', async () => {
  const off = await startStack({ kafka: 'embedded', messaging: 1, notification: 0, writer: 0, set: { TERN_AUTH: 'off' } });
  const { port } = new URL(off.opsUrlOf('messaging/0'));
  const status = (host) => new Promise((done, fail) => {
    request({ host: '127.0.0.1', port, path: '/admin/api/fleet', headers: { Host: host } }, (answer) => { answer.resume(); done(answer.statusCode); }).on('error', fail).end();
  });
  for (const host of [`127.0.0.1:${port}`, `localhost:${port}`, `[::1]:${port}`, '127.0.0.1']) assert.equal(await status(host), 200, host);
  for (const host of [`evil.example:${port}`, '127.0.0.1.evil.example', 'localhost.evil.example', '127.evil', '10.0.0.1']) assert.equal(await status(host), 403, host);
});
