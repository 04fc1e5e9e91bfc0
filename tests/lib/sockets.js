// Stock Socket.IO clients, and a record of what they receive.
import assert from 'node:assert/strict';
import { io } from 'socket.io-client';
import { atEnd } from './stack.js';
import { once, waitFor } from './wait.js';

const answerMs = 15000;

/** A client of a gateway. options go to io(); `url` overrides the gateway's. It is closed with the file. */
export function client(stack, gateway, user, { url, token, ...options } = {}) {
  const auth = { token: token ?? stack.token(user) };
  const socket = io(url ?? stack.urlOf(gateway), { auth, forceNew: true, reconnectionDelay: 100, reconnectionDelayMax: 500, ...options });
  atEnd(() => socket.disconnect());
  return socket;
}

/** The same, connected. */
export async function connected(...args) {
  const socket = client(...args);
  if (!socket.connected) {
    const failed = new Promise((_, fail) => socket.once('connect_error', fail));
    await Promise.race([once(socket, 'connect'), failed]);
  }
  return socket;
}

/** Emits and returns the ack, whatever it says. */
export function ask(socket, event, ...args) {
  return socket.timeout(answerMs).emitWithAck(event, ...args);
}

/** Emits and returns the ack, which has to be ok. */
export async function askOk(socket, event, ...args) {
  const answer = await ask(socket, event, ...args);
  assert.equal(answer.ok, true, `${event} was answered ${JSON.stringify(answer)}`);
  return answer;
}

/** Emits something that has to be refused with this code. */
export async function askRefused(code, socket, event, ...args) {
  const answer = await ask(socket, event, ...args);
  assert.equal(answer.ok, false, `${event} was answered ${JSON.stringify(answer)}`);
  assert.equal(answer.error.code, code, `${event} was refused with ${JSON.stringify(answer.error)}`);
  assert.ok(answer.error.message.length > 0);
  return answer.error;
}

/** Sends a message and returns {id, seq, createdAt}. */
export async function say(socket, conversationId, content, more = {}) {
  return (await askOk(socket, 'send_message', { conversationId, content, ...more })).message;
}

/** Records an event's first arguments in their order of arrival. */
export function recordEvents(socket, event = 'new_message') {
  const events = [];
  socket.on(event, (data) => events.push(data));
  return events;
}

/** Waits until a record holds `count` entries. */
export function waitForCount(events, count, timeoutMs = 15000) {
  return waitFor(() => `${count} events, there are ${events.length}`, () => events.length >= count, timeoutMs);
}

/** Holds that messages were each seen once, ascending by seq in each conversation. */
export function assertInOrder(messages) {
  const last = new Map();
  for (const m of messages) {
    assert.ok(m.seq > (last.get(m.conversationId) ?? -1), `seq ${m.seq} of ${m.conversationId} comes after ${last.get(m.conversationId)}`);
    last.set(m.conversationId, m.seq);
  }
}

/** Holds that exactly these ids were seen, in this order. */
export function assertIds(messages, ids) {
  const seen = messages.map((m) => m.id);
  const missing = ids.filter((id) => !seen.includes(id));
  const extra = seen.filter((id, i) => !ids.includes(id) || seen.indexOf(id) !== i);
  assert.deepEqual({ missing, extra }, { missing: [], extra: [] });
  assert.deepEqual(seen, ids);
}
