// Earlier versions of the stock JavaScript client, over each transport.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import * as v3 from 'socket.io-client-v3';
import * as v40 from 'socket.io-client-v4.0';
import * as v44 from 'socket.io-client-v4.4';
import * as v46 from 'socket.io-client-v4.6';
import { sleep, startProgram } from './program.js';

let plain, recovering;
before(async () => {
  plain = await startProgram('conf-socketio');
  recovering = await startProgram('conf-client');
});
after(() => Promise.all([plain.stop(), recovering.stop()]));

const event = (s, name) => new Promise((resolve) => { s.once(name, (...args) => resolve(args)); });
const ask = (s, ...args) => new Promise((resolve) => { s.emit(...args, resolve); });
const versions = { '3.1': v3, '4.0': v40, '4.4': v44, '4.6': v46 };

for (const [version, module] of Object.entries(versions)) {
  const io = module.io ?? module.default.io ?? module.default;
  for (const transports of [['websocket'], ['polling'], ['polling', 'websocket']]) {
    test(`${version} over ${transports}`, async () => {
      const s = io(plain.url, { forceNew: true, reconnectionDelay: 20, transports, auth: { token: 'abc' } });
      assert.deepEqual(await event(s, 'auth'), [{ token: 'abc' }]);
      assert.equal(await ask(s, 'message-with-ack', 'one'), 'one');
      s.emit('message', { deep: [Buffer.from('x'), { b: Buffer.from([0, 255]) }] });
      assert.deepEqual(await event(s, 'message-back'), [{ deep: [Buffer.from('x'), { b: Buffer.from([0, 255]) }] }]);
      const custom = s.io.socket('/custom', { auth: { n: 2 } });
      custom.connect();
      assert.deepEqual(await event(custom, 'auth'), [{ n: 2 }]);
      const unknown = s.io.socket('/unknown');
      unknown.connect();
      assert.equal((await event(unknown, 'connect_error'))[0].message, 'Invalid namespace');
      let lost = 0;
      s.on('disconnect', () => lost++);
      await sleep(700); // two heartbeats
      assert.equal(lost, 0);
      assert.equal(s.io.engine.transport.name, transports.at(-1));
      s.io.engine.close();
      await event(s, 'connect');
      assert.equal(await ask(s, 'message-with-ack', 'again'), 'again');
      for (const one of [unknown, custom, s]) one.disconnect();
    });
  }

  test(`${version} of a server with recovery`, async () => {
    const s = io(recovering.url, { forceNew: true, reconnectionDelay: 20 });
    await event(s, 'connect');
    assert.equal(await ask(s, 'getId'), s.id);
    s.emit('hi');
    const [offset] = await event(s, 'hi');
    assert.equal(typeof offset, 'string');
    const first = s.id;
    s.io.engine.close();
    await event(s, 'connect');
    assert.equal(s.id === first, version === '4.6', 'who knows of recovery gets its session back');
    s.disconnect();
  });
}
