// Who may open a WebSocket from a browser, and what CORS says: with a list of origins, and with none.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openWebSocket, request, startProgram } from './program.js';

async function refusal(url, headers) {
  return openWebSocket(`${url.replace('http', 'ws')}/engine.io/?EIO=4&transport=websocket`, { headers })
    .then((c) => c.close().then(() => null), (e) => ({ status: e.status, body: e.body }));
}
const forbidden = { status: 403, body: '{"code":4,"message":"Forbidden"}' };

test('with a list, its origins, the same origin and no origin get in', async () => {
  const server = await startProgram('conf-engineio', '--origins', 'https://app.example,https://m.example');
  try {
    assert.equal(await refusal(server.url, {}), null);
    assert.equal(await refusal(server.url, { Origin: 'https://m.example' }), null);
    assert.equal(await refusal(server.url, { Origin: server.url }), null);
    for (const origin of ['https://evil.example', 'null', 'http://app.example', 'https://app.example.evil.example', 'https://app.example:8443'])
      assert.deepEqual(await refusal(server.url, { Origin: origin, Cookie: 'token=x' }), forbidden, origin);
    const r = await fetch(`${server.url}/engine.io/?EIO=4&transport=polling`, { headers: { Origin: 'https://app.example' } });
    assert.equal(r.headers.get('access-control-allow-origin'), 'https://app.example');
    assert.equal(r.headers.get('access-control-allow-credentials'), 'true');
    assert.equal(r.headers.get('vary'), 'Origin');
    const error = await fetch(`${server.url}/engine.io/?EIO=3&transport=polling`, { headers: { Origin: 'https://app.example' } });
    assert.equal(error.status, 400);
    assert.equal(error.headers.get('access-control-allow-origin'), 'https://app.example');
    const other = await fetch(`${server.url}/engine.io/?EIO=4&transport=polling`, { headers: { Origin: 'https://evil.example' } });
    assert.equal(other.headers.get('access-control-allow-origin'), null);
  } finally {
    await server.stop();
  }
});

test('without origins only the same origin gets in, and CORS is off', async () => {
  const server = await startProgram('conf-engineio', '--origins', '');
  try {
    assert.equal(await refusal(server.url, {}), null);
    assert.equal(await refusal(server.url, { Origin: server.url }), null);
    assert.deepEqual(await refusal(server.url, { Origin: 'https://app.example' }), forbidden);
    assert.deepEqual(await refusal(server.url, { Origin: 'null' }), forbidden);
    const r = await fetch(`${server.url}/engine.io/?EIO=4&transport=polling`);
    assert.equal(r.headers.get('access-control-allow-origin'), null);
    const preflight = await fetch(`${server.url}/engine.io/?EIO=4&transport=polling`, { method: 'OPTIONS' });
    assert.equal(preflight.status, 400);
    assert.equal(await preflight.text(), '{"code":2,"message":"Bad handshake method"}');
  } finally {
    await server.stop();
  }
});

test('with * every answer says so, the 101 too', async () => {
  const server = await startProgram('conf-engineio');
  try {
    assert.equal(await refusal(server.url, { Origin: 'https://any.example' }), null);
    const head = 'GET /engine.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: x\r\nOrigin: https://any.example\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: a, b\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n';
    const r = await request(server.port, head);
    assert.equal(r.status, 101);
    assert.equal(r.headers['access-control-allow-origin'], '*');
    assert.equal(r.headers['sec-websocket-protocol'], 'a');
    assert.equal(r.headers['sec-websocket-extensions'], undefined);
    assert.equal(r.headers['sec-websocket-accept'], 's3pPLMBiTxaQ9kYGzzhZRbK+xOo=');
  } finally {
    await server.stop();
  }
});
