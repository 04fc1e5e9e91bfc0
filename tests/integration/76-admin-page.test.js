// The admin page in a real browser, with the keyboard, on a phone's width, under its strict policy.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import test from 'node:test';
import { chromium } from 'playwright-core';
import { adminGet, adminToken, fleetOf } from '../lib/admin.js';
import { cloudEvent, kafkajsProducer } from '../lib/records.js';
import { createConversation } from '../lib/rest.js';
import { askOk, connected, say } from '../lib/sockets.js';
import { atEnd, startStack } from '../lib/stack.js';
import { once, waitFor } from '../lib/wait.js';

const stack = await startStack({ messaging: 2, notification: 1, set: { TERN_ANNOUNCE_MS: '500' } });
const browser = await chromium.launch({ executablePath: process.env.TERN_CHROMIUM ?? '/usr/bin/chromium', args: ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage'] });
atEnd(() => browser.close());
const producer = await kafkajsProducer(stack, { idempotent: true });
const views = ['gateways', 'connections', 'rooms', 'lag', 'letters', 'replay'];
const faults = [];
const asked = [];

async function open(viewport = { width: 1280, height: 800 }) {
  const context = await browser.newContext({ viewport });
  const page = await context.newPage();
  page.setDefaultTimeout(20000);
  page.on('pageerror', (error) => faults.push(error.message));
  page.on('console', (message) => message.type() === 'error' && !/401|403/.test(message.text()) && faults.push(message.text()));
  page.on('request', (request) => asked.push(request.url()));
  await page.goto(`${stack.opsUrlOf('messaging/0')}/admin/`);
  await page.locator('body[data-view=welcome]').waitFor();
  return page;
}

async function enter(page, token = adminToken(stack)) {
  await page.locator('#token').fill(token);
  await page.locator('#token').press('Enter');
}

async function show(page, view) {
  await page.locator(`#tabs a[href="#${view}"]`).click();
  await page.locator(`body[data-view=${view}]`).waitFor();
}

const cells = (page, view, column) => page.locator(`#${view} tbody tr td:nth-child(${column})`).allTextContents();

await fleetOf(stack, 'messaging/0', 3);
const conversation = await createConversation(stack, { owner: 'ada', members: ['bob'] });
const ada = await connected(stack, 'messaging/0', 'ada');
const bob = await connected(stack, 'messaging/1', 'bob');
for (const socket of [ada, bob]) await askOk(socket, 'join_conversation', conversation);
const crowd = [];
for (let i = 0; i < 30; i++) crowd.push(await connected(stack, `messaging/${i % 2}`, `user-${String(i).padStart(2, '0')}`, { transports: ['websocket'] }));
for (let i = 0; i < 5; i++) await say(ada, conversation, `message ${i}`);
const wrong = Array.from({ length: 3 }, () => ({ key: conversation, ...cloudEvent({ id: randomUUID(), type: 'tern.message.created', data: { conversationId: conversation, senderId: 'backend', content: 42 } }) }));
await producer.send({ topic: 'chat.events', messages: wrong });

const page = await open();

test('only a token of scope admin gets in, and it stands in no address', async () => {
  await enter(page, 'nonsense');
  await page.locator('#refused').waitFor();
  await enter(page, stack.token('ada'));
  await page.locator('#refused', { hasText: 'scope admin' }).waitFor();
  await enter(page);
  await page.locator('#gateway-rows tr').nth(2).waitFor();
  assert.match(await page.locator('#operator').textContent(), /^root via /);
  assert.ok(!asked.some((url) => url.includes('eyJ') || url.includes('token')), asked.join('\n'));
  assert.ok(asked.every((url) => url.startsWith(stack.opsUrlOf('messaging/0'))), 'nothing is loaded from elsewhere');
});

test('the fleet is shown, and grows old with what happens', async () => {
  assert.deepEqual((await cells(page, 'gateways', 2)).sort(), ['messaging', 'messaging', 'notification']);
  await waitFor('32 connections', async () => (await page.locator('#totals b').nth(2).textContent()) === '32', 20000);
  await stack.kill('notification/0');
  await waitFor('two are left', async () => (await page.locator('#gateway-rows tr').count()) === 2, 20000);
  await stack.start('notification/0');
  await waitFor('it is back', async () => (await page.locator('#gateway-rows tr').count()) === 3, 30000);
});

test('connections come in pages, forth and back, and by the beginning of a name', async () => {
  await show(page, 'connections');
  await page.locator('#connections select[name=limit]').selectOption('25');
  await page.locator('#connections .filters button').click();
  await waitFor('a page of 25', async () => (await cells(page, 'connections', 1)).length === 25);
  const first = await cells(page, 'connections', 1);
  assert.deepEqual(first.slice(0, 3), ['ada', 'bob', 'user-00']);
  await page.locator('#connections [data-go=next]').click();
  await waitFor('the rest', async () => (await cells(page, 'connections', 1)).length === 7);
  assert.deepEqual([...first, ...(await cells(page, 'connections', 1))].sort(), ['ada', 'bob', ...Array.from({ length: 30 }, (_, i) => `user-${String(i).padStart(2, '0')}`)]);
  assert.equal(await page.locator('#connections [data-go=next]').isDisabled(), true);
  await page.locator('#connections [data-go=back]').click();
  await waitFor('the first page', async () => (await cells(page, 'connections', 1))[0] === 'ada');
  await page.locator('#connections input[name=prefix]').fill('user-2');
  await page.locator('#connections input[name=prefix]').press('Enter');
  await waitFor('ten of them', async () => (await cells(page, 'connections', 1)).length === 10);
});

test('rooms are those of the whole fleet', async () => {
  await show(page, 'rooms');
  await page.locator('#rooms tbody tr').waitFor();
  assert.deepEqual([await cells(page, 'rooms', 1), await cells(page, 'rooms', 2), await cells(page, 'rooms', 3)], [[conversation], ['2'], ['2']]);
});

test('a kick by the keyboard alone', async () => {
  await show(page, 'connections');
  await page.locator('#connections input[name=prefix]').fill('user-07');
  await page.locator('#connections input[name=prefix]').press('Enter');
  await waitFor('one row', async () => (await cells(page, 'connections', 1)).join() === 'user-07');
  const gone = once(crowd[7], 'disconnect');
  for (let i = 0; i < 20 && !(await page.evaluate(() => document.activeElement.textContent === 'Kick')); i++) await page.keyboard.press('Tab');
  await page.keyboard.press('Enter');
  await page.locator('#ask[open]').waitFor();
  await page.keyboard.press('Escape');
  await page.locator('#ask:not([open])').waitFor({ state: 'attached' });
  assert.equal(crowd[7].connected, true, 'Escape does nothing');
  await page.keyboard.press('Enter');
  await page.locator('#ask[open]').waitFor();
  await page.keyboard.type('moved');
  await page.keyboard.press('Tab');
  await page.keyboard.press('Tab');
  await page.keyboard.press('Enter');
  assert.equal((await gone)[0], 'io server disconnect');
});

test('lag opens to partitions', async () => {
  await show(page, 'lag');
  await page.locator('#lag-rows button', { hasText: 'chat.events' }).click();
  assert.equal(await page.locator('#lag-rows tr.part:visible').count(), 16);
});

test('a dead letter is looked at, mended and redriven', async () => {
  await waitFor('three letters', async () => (await adminGet(stack, 'messaging/0', 'letters')).result?.length === 3, 20000);
  await show(page, 'letters');
  await page.locator('#letters tbody tr').nth(2).waitFor();
  await page.locator('#letters tbody button.link').first().click();
  await page.locator('#letter[open]').waitFor();
  assert.match(await page.locator('#letter-why').textContent(), /invalid: content is not a string/);
  const value = page.locator('#letter textarea');
  await value.fill('{"content":');
  await page.locator('#letter-redrive').click();
  await page.locator('#letter-fault:visible').waitFor();
  await value.fill(JSON.stringify({ conversationId: conversation, senderId: 'backend', content: 'mended <b>by hand</b>' }));
  await page.locator('#letter-redrive').click();
  await page.locator('#jobs li[data-kind=redrive][data-state=done]').waitFor();
  await show(page, 'letters');
  await waitFor('two are left', async () => (await page.locator('#letters tbody tr').count()) === 2);
  await page.locator('#choose-all').check();
  await page.locator('#redrive-chosen', { hasText: '(2)' }).click();
  await page.locator('#ask-yes').click();
  await page.locator('#jobs li[data-kind=redrive][data-state=failed]').waitFor();
  assert.match(await page.locator('#jobs li').first().textContent(), /content/, 'it says why');
});

test('a replay is counted, run with its progress, stopped', async () => {
  await show(page, 'replay');
  await page.locator('#replay-form input[name=key]').fill(conversation);
  await page.locator('#replay-form button[value=dry]').click();
  const count = page.locator('#jobs li[data-kind=count][data-state=done]');
  await count.waitFor();
  await count.locator('summary').click();
  assert.match(await count.textContent(), /tern\.message\.created/);
  await page.locator('#replay-form button[value=run]').click();
  await page.locator('.toast', { hasText: 'where to' }).waitFor();
  await page.locator('#replay-form input[name=toTopic]').fill('copy.page');
  await page.locator('#replay-form input[name=rate]').fill('1');
  await page.locator('#replay-form button[value=run]').click();
  await page.locator('#ask-yes').click();
  const job = page.locator('#jobs li[data-kind=replay]');
  await job.locator('progress').waitFor();
  await waitFor('the bar moves', async () => Number(await job.locator('progress').getAttribute('value').catch(() => 0)) > 0, 20000);
  await job.locator('button', { hasText: 'Stop' }).click();
  await page.locator('#jobs li[data-kind=replay][data-state=partly]').waitFor();
});

test('on the width of a phone every view fits', async () => {
  const phone = await open({ width: 360, height: 740 });
  await enter(phone);
  await phone.locator('#gateway-rows tr').first().waitFor();
  for (const view of views) {
    await show(phone, view);
    await phone.locator(`#${view}:visible`).waitFor();
    if (view !== 'replay') await phone.locator(`#${view} tbody tr`).first().waitFor();
    const overflow = await phone.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    assert.ok(overflow <= 0, `${view} is ${overflow} px too wide`);
  }
  await phone.context().close();
});

test('who signs out is out, and the tab forgets the token', async () => {
  await page.locator('#leave').click();
  await page.locator('#welcome:visible').waitFor();
  assert.equal(await page.evaluate(() => sessionStorage.length + localStorage.length), 0);
  await page.reload();
  await page.locator('#welcome:visible').waitFor();
});

test('the page had no error, and its policy had nothing to stop', () => assert.deepEqual(faults, []));
