// Tokens signed with a stack's literal HS256 key.
import { createHmac, randomBytes } from 'node:crypto';

const part = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');

/** auth = stack.json's `auth`; claims override the usual ones, `undefined` removes one. */
export function signToken(auth, claims, header = {}) {
  const now = Math.floor(Date.now() / 1000);
  const body = `${part({ alg: 'HS256', typ: 'JWT', ...header })}.${part({ iat: now, exp: now + 3600, iss: auth.issuer, aud: auth.audience, ...claims })}`;
  return `${body}.${createHmac('sha256', auth.hs256Secret).update(body).digest('base64url')}`;
}

export function newSecret() {
  return randomBytes(32).toString('hex');
}
