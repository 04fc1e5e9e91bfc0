// docs/clients.md from top to bottom; then its pages in a browser, and its JavaScript client while gateways die.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import test from 'node:test';
import { pathToFileURL } from 'node:url';
import { chromium } from 'playwright-core';
import { javaClientDir } from '../../scripts/lib/paths.mjs';
import { sql } from '../lib/database.js';
import { testPage } from '../lib/manual.js';
import { askOk, connected, say } from '../lib/sockets.js';
import { atEnd, startStack } from '../lib/stack.js';
import { waitFor } from '../lib/wait.js';

const stack = await startStack({ messaging: 1 });
const dir = testPage('docs/clients.md', { stack, links: { libs: javaClientDir }, timeoutMs: 120000 });

const browser = await chromium.launch({ executablePath: process.env.TERN_CHROMIUM ?? '/usr/bin/chromium', args: ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage'] });
atEnd(() => browser.close());

/** A file of the page in a window of its own. */
async function open(file, query) {
  const page = await browser.newPage();
  page.setDefaultTimeout(20000);
  const faults = [];
  page.on('pageerror', (error) => faults.push(error.message));
  await page.goto(`${pathToFileURL(join(dir, file))}?${new URLSearchParams(query)}`);
  return { page, faults };
}

test('notifications.html shows the list, then what comes, and counts', async () => {
  const stream = stack.token('ada', { aud: 'stream' });
  const { page, faults } = await open('notifications.html', { user: 'ada', token: stack.token('ada'), stream });
  await page.locator('li', { hasText: 'Invoice 7' }).waitFor();
  const token = stack.token('shop', { scope: 'notifications:publish' });
  const answer = await fetch(`${stack.urlOf('notification/0')}/notifications`, {
    method: 'POST',
    headers: { Authorization: `Bearer ${token}`, 'Content-Type': 'application/json' },
    body: JSON.stringify({ userId: 'ada', type: 'invoice', title: 'Invoice 8', body: 'is ready' }),
  });
  assert.equal(answer.status, 201);
  await page.locator('li', { hasText: 'Invoice 8' }).waitFor();
  await waitFor('two are unread', async () => (await page.locator('#unread').textContent()) === '2');
  assert.deepEqual(await page.locator('li').allTextContents(), ['Invoice 8', 'Invoice 7']);
  assert.deepEqual(faults, []);
});

test('the React hook shows the history and what comes, sends, and survives a killed gateway', async () => {
  const { page, faults } = await open('app.html', { token: stack.token('ada') });
  await page.locator('form[data-joined=true]').waitFor();
  await page.locator('li', { hasText: 'ada: hello' }).first().waitFor();
  await page.locator('input').fill('from React');
  await page.locator('input').press('Enter');
  await page.locator('li', { hasText: 'ada: from React' }).waitFor();
  await stack.kill('messaging/0');
  await stack.start('messaging/0');
  const ben = await connected(stack, 'messaging/0', 'ben');
  await askOk(ben, 'join_conversation', 'team-7');
  await say(ben, 'team-7', 'after the kill');
  await page.locator('li', { hasText: 'ben: after the kill' }).waitFor();
  const texts = await page.locator('li').allTextContents();
  assert.equal(new Set(texts).size, texts.length, `nothing stands there twice: ${texts}`);
  assert.deepEqual(faults, []);
});

test('chat.mjs sends through an outage, once, and gets what it missed, once', async () => {
  const { connect } = await import(pathToFileURL(join(dir, 'chat.mjs')).href);
  const url = stack.urlOf('messaging/0');
  const seen = [];
  const ben = connect(url, async () => stack.token('ben'), (message) => seen.push(message.content), () => {});
  const ada = connect(url, async () => stack.token('ada'), () => {}, () => {});
  atEnd(() => [ben, ada].forEach(({ socket }) => socket.disconnect()));
  await ben.join('team-7');
  await ada.join('team-7');
  await stack.kill('messaging/0');
  const sent = ada.send('team-7', 'into the outage');
  await stack.start('messaging/0');
  const { id } = await sent;
  await waitFor('ben has it', () => seen.includes('into the outage'));
  // A session that cannot be recovered: the same habits, by join and `after`.
  ben.socket.disconnect();
  await ada.send('team-7', 'while ben was away');
  ben.socket.connect();
  await waitFor('ben has that, too', () => seen.includes('while ben was away'));
  assert.deepEqual(seen, ['into the outage', 'while ben was away']);
  await waitFor('it is stored once', async () => (await sql(stack, 'SELECT 1 FROM message WHERE id = $1', [id])).length === 1);
  assert.equal((await sql(stack, "SELECT 1 FROM message WHERE content = 'into the outage'")).length, 1);
});
