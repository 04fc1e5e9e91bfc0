// Who gets in: tokens of every kind, at both gateways, over every way in.
import assert from 'node:assert/strict';
import { createSign, generateKeyPairSync, randomUUID, sign as signRaw } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { signToken } from '../../scripts/lib/tokens.mjs';
import { createConversation, rest, restOk, restRefused } from '../lib/rest.js';
import { askOk, client, connected, recordEvents, say, waitForCount } from '../lib/sockets.js';
import { scratchDir, startStack } from '../lib/stack.js';
import { openStream, rawStream, streamUrl } from '../lib/streams.js';
import { once, waitFor } from '../lib/wait.js';

// Key pairs of a token issuer, their public halves in a JWKS file.
const issuer = {
  RS256: generateKeyPairSync('rsa', { modulusLength: 2048 }),
  ES256: generateKeyPairSync('ec', { namedCurve: 'P-256' }),
  EdDSA: generateKeyPairSync('ed25519'),
};
const keyFile = join(scratchDir('keys'), 'jwks.json');
const keys = Object.entries(issuer).map(([alg, pair]) => ({ ...pair.publicKey.export({ format: 'jwk' }), kid: `key-${alg}`, alg, use: 'sig' }));
writeFileSync(keyFile, JSON.stringify({ keys }), { mode: 0o644 });

const stack = await startStack({ set: { TERN_AUTH_JWKS_FILE: keyFile, TERN_AUTH_LEEWAY_MS: '0' } });
const chat = stack.urlOf('messaging/0');
const notifications = stack.urlOf('notification/0');
const auth = stack.facts().auth;
const now = () => Math.floor(Date.now() / 1000);

const part = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');

function signWith(alg, claims, header = {}) {
  const body = `${part({ alg, typ: 'JWT', kid: `key-${alg}`, ...header })}.${part({ iat: now(), exp: now() + 600, iss: auth.issuer, aud: auth.audience, ...claims })}`;
  const key = issuer[alg].privateKey;
  const bytes = { RS256: () => createSign('sha256').update(body).sign(key), ES256: () => createSign('sha256').update(body).sign({ key, dsaEncoding: 'ieee-p1363' }), EdDSA: () => signRaw(null, Buffer.from(body), key) }[alg]();
  return `${body}.${bytes.toString('base64url')}`;
}

const publicPem = issuer.RS256.publicKey.export({ type: 'spki', format: 'pem' });
const good = stack.token('ada');
const refused = {
  'no token': '',
  'something that is no token': 'abc.def',
  'alg none': `${part({ alg: 'none', typ: 'JWT' })}.${part({ sub: 'ada', exp: now() + 600, iss: auth.issuer, aud: auth.audience })}.`,
  'a foreign key': signToken({ ...auth, hs256Secret: 'f'.repeat(64) }, { sub: 'ada' }),
  'an RSA public key used as HMAC secret': signToken({ ...auth, hs256Secret: publicPem }, { sub: 'ada' }, { kid: 'key-RS256' }),
  'RS256 with an unknown kid': signWith('RS256', { sub: 'ada' }, { kid: 'other' }),
  'a changed payload': `${good.split('.')[0]}.${part({ sub: 'bob', iat: now(), exp: now() + 600, iss: auth.issuer, aud: auth.audience })}.${good.split('.')[2]}`,
  'a token that ended': stack.token('ada', { exp: now() - 5 }),
  'no end': stack.token('ada', { exp: undefined }),
  'an endless end': `${good.split('.')[0]}.${Buffer.from(`{"sub":"ada","exp":1e400,"iss":"${auth.issuer}","aud":"${auth.audience}"}`).toString('base64url')}.AAAA`,
  'not yet': stack.token('ada', { nbf: now() + 60 }),
  'another issuer': stack.token('ada', { iss: 'other' }),
  'another audience': stack.token('ada', { aud: 'other' }),
  'no sub': stack.token(undefined),
  'a sub that is no user id': stack.token('a b/c'),
};

function refusal(token, options = {}) {
  const socket = client(stack, 'messaging/0', 'ada', { token, reconnection: false, ...options });
  return once(socket, 'connect_error').then(([error]) => error);
}

for (const [what, token] of Object.entries(refused)) {
  test(`${what} is refused everywhere`, async () => {
    const error = await refusal(token, { auth: token ? { token } : {} });
    assert.equal(error.data?.code, 'forbidden', `${error.message} ${JSON.stringify(error.data)}`);
    await restRefused(401, 'forbidden', 'GET', `${chat}/conversations`, { token });
    await restRefused(401, 'forbidden', 'GET', `${notifications}/notifications`, { token });
    await restRefused(401, 'forbidden', 'GET', `${notifications}/notifications/stream/ada${token ? `?token=${token}` : ''}`);
  });
}

test('HS256, RS256, ES256 and EdDSA tokens get in', async () => {
  for (const token of [good, ...Object.keys(issuer).map((alg) => signWith(alg, { sub: 'ada' }))]) {
    const socket = await connected(stack, 'messaging/0', 'ada', { token });
    assert.ok(socket.connected);
    socket.disconnect();
    await restOk(200, 'GET', `${notifications}/notifications/unread-count`, { token });
  }
});

test('the token may come as a Bearer header', async () => {
  const socket = await connected(stack, 'messaging/0', 'ada', { auth: {}, extraHeaders: { Authorization: `Bearer ${good}` } });
  assert.ok(socket.connected);
});

test('a stream is for the token\'s own user', async () => {
  const url = streamUrl(stack, 'notification/0', 'bob', { token: good });
  await restRefused(403, 'forbidden', 'GET', url);
  const own = await rawStream(streamUrl(stack, 'notification/0', 'ada', { token: good }));
  assert.equal(own.status, 200);
  own.close();
});

test('a stream token opens streams and nothing else', async () => {
  const token = stack.token('ada', { aud: 'stream' });
  const stream = await openStream(stack, 'notification/0', 'ada', { token });
  stream.source.close();
  await restRefused(401, 'forbidden', 'GET', `${notifications}/notifications`, { token });
  assert.equal((await refusal(token)).data?.code, 'forbidden');
});

test('publishing needs its scope', async () => {
  const body = { userId: 'ada', type: 'note', title: 't', body: 'b' };
  await restRefused(403, 'forbidden', 'POST', `${notifications}/notifications`, { token: good, body });
  await restOk(201, 'POST', `${notifications}/notifications`, { token: stack.token('backend', { scope: 'x notifications:publish y' }), body });
});

test('a socket is closed when its token ends, and a stream too', async () => {
  const token = stack.token('ada', { exp: now() + 3 });
  const socket = await connected(stack, 'messaging/0', 'ada', { token, reconnection: false });
  const stream = await rawStream(streamUrl(stack, 'notification/0', 'ada', { token }));
  const began = Date.now();
  await once(socket, 'disconnect', 8000);
  assert.ok(Date.now() - began > 1000, 'not before its end');
  await waitFor('the stream has ended', () => stream.ended(), 8000);
  assert.match(stream.text(), /event: token_expiring/);
});

test('a member who was removed gets nothing more and may not send', async () => {
  const id = await createConversation(stack, { owner: 'ada', members: ['bob'] });
  const ada = await connected(stack, 'messaging/0', 'ada');
  const bob = await connected(stack, 'messaging/0', 'bob');
  const seen = recordEvents(bob);
  const removals = recordEvents(bob, 'member_removed');
  await askOk(ada, 'join_conversation', id);
  await askOk(bob, 'join_conversation', id);
  await say(ada, id, 'before');
  await waitForCount(seen, 1);
  await restOk(200, 'DELETE', `${chat}/conversations/${id}/members/bob`, { token: good });
  await waitForCount(removals, 1);
  await say(ada, id, 'after');
  const answer = await bob.timeout(5000).emitWithAck('send_message', { conversationId: id, content: 'still here' });
  assert.equal(answer.error?.code, 'forbidden');
  assert.deepEqual(seen.map((m) => m.content), ['before']);
});

test('a token never stands in a log', async () => {
  await rest('GET', streamUrl(stack, 'notification/0', `x-${randomUUID()}`, { token: good }));
  const { readFileSync, readdirSync } = await import('node:fs');
  for (const file of readdirSync(stack.logs)) assert.ok(!readFileSync(join(stack.logs, file), 'utf8').includes(good.split('.')[2]), file);
});
