// Connection state recovery on the wire and with the stock client: conf-client keeps its sessions in memory.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { io } from 'socket.io-client';
import { openWebSocket, startProgram } from './program.js';

let server, reference;
before(async () => {
  server = await startProgram('conf-client');
  reference = await startProgram('conf-client', '--replay-first');
});
after(() => Promise.all([server.stop(), reference.stop()]));

const event = (s, name) => new Promise((resolve) => { s.once(name, (...args) => resolve(args)); });

async function join(to, payload = '', nsp = '') {
  const c = await openWebSocket(`${to.url.replace('http', 'ws')}/socket.io/?EIO=4&transport=websocket`);
  assert.match(await c.next(), /^0\{/);
  c.send(`40${nsp}${payload}`);
  return c;
}
async function joined(to, nsp = '') {
  const c = await join(to, '', nsp);
  const answer = JSON.parse((await c.nextMessage()).slice(2 + nsp.length));
  assert.deepEqual(Object.keys(answer), ['sid', 'pid']);
  assert.notEqual(answer.sid, answer.pid);
  return Object.assign(c, answer);
}
const offsetOf = (packet) => JSON.parse(packet.slice(packet.indexOf('['))).at(-1);

for (const transports of [['websocket'], ['polling']]) {
  test(`the stock client over ${transports} gets its id back, and a new one before any event`, async () => {
    const s = io(server.url, { forceNew: true, reconnectionDelay: 10, transports });
    await event(s, 'connect');
    const first = s.id;
    s.io.engine.close();
    await event(s, 'connect');
    assert.notEqual(s.id, first);
    assert.equal(s.recovered, false);
    s.emit('hi');
    await event(s, 'hi');
    const second = s.id;
    s.io.engine.close();
    await event(s, 'connect');
    assert.equal(s.id, second);
    assert.equal(s.recovered, true);
    s.disconnect();
  });
}

test('events carry their offset, also binary ones; acks and what asks for one do not', async () => {
  const c = await joined(server);
  c.send('42["hi"]');
  assert.match(await c.nextMessage(), /^42\["hi","[0-9a-f]+"\]$/);
  c.send('42["doge"]');
  assert.match(await c.nextMessage(), /^451-\["doge",\{"_placeholder":true,"num":0\},"[0-9a-f]+"\]$/);
  assert.deepEqual(await c.nextMessage(), Buffer.from('asdfasdf'));
  c.send('42["ack"]');
  assert.match(await c.nextMessage(), /^42\d+\["ack"\]$/);
  c.send('427["echo",1]');
  assert.equal(await c.nextMessage(), '437[1]');
  await c.close();
});

for (const [order, to] of [['after', () => server], ['before', () => reference]]) {
  test(`what was missed comes once, in order, ${order} the CONNECT answer`, async () => {
    const c = await joined(to());
    c.send('42["getUtf8"]');
    const all = [];
    for (let i = 0; i < 5; i++) all.push(await c.nextMessage());
    await c.close();
    const back = await join(to(), JSON.stringify({ pid: c.pid, offset: offsetOf(all[1]) }));
    const got = [];
    for (let i = 0; i < 4; i++) got.push(await back.nextMessage());
    const answer = `40{"sid":"${c.sid}","pid":"${c.pid}"}`;
    assert.deepEqual(got, order === 'after' ? [answer, ...all.slice(2)] : [...all.slice(2), answer]);
    back.send('427["echo",1]');
    assert.equal(await back.nextMessage(), '437[1]');
    await back.close();
  });
}

test('an unknown pid or offset, a foreign namespace and a pid that was used mean a new session', async () => {
  const c = await joined(server);
  c.send('42["hi"]');
  const offset = offsetOf(await c.nextMessage());
  await c.close();
  const attempts = [
    { pid: 'nobody', offset }, { pid: c.pid, offset: 'junk' }, { pid: c.pid }, { pid: c.pid, offset: 7 }, { pid: { $ne: 1 }, offset },
  ];
  for (const payload of attempts) {
    const back = await join(server, JSON.stringify(payload));
    const answer = JSON.parse((await back.nextMessage()).slice(2));
    assert.ok(answer.sid !== c.sid && answer.pid !== c.pid, JSON.stringify(payload));
    await back.close();
  }
  const foreign = await join(server, JSON.stringify({ pid: c.pid, offset }), '/foo,');
  assert.notEqual(JSON.parse((await foreign.nextMessage()).slice(7)).sid, c.sid);
  await foreign.close();
  const right = JSON.stringify({ pid: c.pid, offset, token: 'x' });
  const first = await join(server, right);
  assert.equal(JSON.parse((await first.nextMessage()).slice(2)).sid, c.sid);
  const second = await join(server, right);
  assert.notEqual(JSON.parse((await second.nextMessage()).slice(2)).sid, c.sid, 'it is connected');
  await first.close();
  await second.close();
});

test('a namespace that was left, or a broken packet, is not come back to', async () => {
  for (const end of ['41', '42[]']) {
    const c = await joined(server);
    c.send('42["hi"]');
    const offset = offsetOf(await c.nextMessage());
    c.send(end);
    if (end === '41') c.ws.close();
    await c.closed;
    const back = await join(server, JSON.stringify({ pid: c.pid, offset }));
    assert.notEqual(JSON.parse((await back.nextMessage()).slice(2)).sid, c.sid);
    await back.close();
  }
});
