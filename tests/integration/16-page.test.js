// The demo page in a real browser: two windows on two gateways.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import test from 'node:test';
import { chromium } from 'playwright-core';
import { atEnd, startStack } from '../lib/stack.js';
import { waitFor } from '../lib/wait.js';

const stack = await startStack({ messaging: 2, notification: 2, set: { TERN_AUTH: 'off', TERN_OPEN_CONVERSATIONS: 'on' } });
const browser = await chromium.launch({ executablePath: process.env.TERN_CHROMIUM ?? '/usr/bin/chromium', args: ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage'] });
atEnd(() => browser.close());
const conversation = `room-${randomUUID()}`;
const faults = [];

/** A window of its own in which somebody has entered the conversation. */
async function enter(name, gateway, viewport = { width: 1200, height: 800 }) {
  const context = await browser.newContext({ viewport });
  const page = await context.newPage();
  page.setDefaultTimeout(15000);
  page.on('pageerror', (error) => faults.push(`${name}: ${error.message}`));
  const url = new URL(stack.urlOf('messaging/0'));
  url.searchParams.set('gateway', stack.urlOf(gateway));
  url.searchParams.set('room', conversation);
  url.searchParams.set('name', name);
  await page.goto(url.href);
  await page.locator('#enter button[type=submit]').click();
  await page.locator('body[data-chat=on][data-sse=on]').waitFor();
  return page;
}

const texts = (page) => page.locator('#messages li .bubble').allTextContents();

async function sees(page, text) {
  await page.locator('#messages li .bubble', { hasText: text }).first().waitFor();
}

async function write(page, text) {
  await page.locator('#text').fill(text);
  await page.locator('#text').press('Enter');
}

const ada = await enter('ada', 'messaging/0');
const bob = await enter('bob', 'messaging/1');

test('two windows on two gateways chat', async () => {
  assert.notEqual(await ada.locator('#chat-gateway').textContent(), await bob.locator('#chat-gateway').textContent());
  await write(ada, 'hello bob');
  await sees(bob, 'hello bob');
  await write(bob, 'hello <i>ada</i> & all');
  await sees(ada, 'hello <i>ada</i> & all');
  await sees(ada, 'hello bob');
  assert.equal(await ada.locator('#messages li.mine').count(), 1);
  assert.equal(await ada.locator('#messages i').count(), 0, 'text stays text');
});

test('typing is shown and ends', async () => {
  await ada.locator('#text').pressSequentially('I am wri');
  await waitFor('bob sees it', async () => /ada/.test((await bob.locator('#typing').textContent()) ?? ''));
  await ada.locator('#text').fill('');
  await write(ada, 'done');
  await sees(bob, 'done');
  await waitFor('it has ended', async () => !/ada/.test((await bob.locator('#typing').textContent()) ?? ''));
});

test('read marks are shown', async () => {
  await write(ada, 'have you read this?');
  await sees(bob, 'have you read this?');
  await waitFor('ada sees that bob has', async () => (await ada.locator('#messages .seen').count()) > 0);
});

test('a notification makes a toast and counts as unread until it is read', async () => {
  await ada.locator('#notify-user').fill('bob');
  await ada.locator('#notify-title').fill('Look here');
  await ada.locator('#notify-title').press('Enter');
  await bob.locator('.toast', { hasText: 'Look here' }).first().waitFor();
  await bob.locator('#notifications li.unread', { hasText: 'Look here' }).waitFor();
  await waitFor('one is unread', async () => (await bob.locator('#unread').textContent())?.trim() === '1');
  await bob.locator('#read-all').click();
  await waitFor('none is unread', async () => (await bob.locator('#notifications li.unread').count()) === 0);
});

test('the kill button shows the resume, and nothing is missed', async () => {
  await bob.locator('#kill').click();
  await write(ada, 'while bob was away');
  await bob.locator('#resume', { hasText: /resumed/ }).waitFor();
  await sees(bob, 'while bob was away');
  assert.equal((await texts(bob)).filter((t) => t.includes('while bob was away')).length, 1);
});

test('a killed gateway: its window comes back when the gateway does', async () => {
  const before = await texts(bob);
  await stack.kill('messaging/1');
  await write(ada, 'your gateway is dead');
  await stack.start('messaging/1');
  await bob.locator('body[data-chat=on]').waitFor();
  await sees(bob, 'your gateway is dead');
  const now = await texts(bob);
  assert.equal(now.length, before.length + 1);
});

test('on the width of a phone all of it fits, and history is there', async () => {
  const cy = await enter('cy', 'messaging/1', { width: 360, height: 740 });
  await sees(cy, 'hello bob');
  await sees(cy, 'your gateway is dead');
  const overflow = await cy.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  assert.ok(overflow <= 0, `${overflow} px too wide`);
  await write(cy, 'from a phone');
  await sees(ada, 'from a phone');
});

test('no window had an error', () => assert.deepEqual(faults, []));
