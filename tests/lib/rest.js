// Requests to the gateways' REST routes.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { Agent, request } from 'node:http';

const agent = new Agent({ keepAlive: false });

/** {status, headers, body (parsed if it is JSON)}. */
export function rest(method, url, { token, body, headers = {}, timeoutMs = 15000 } = {}) {
  const text = body === undefined ? undefined : typeof body === 'string' || Buffer.isBuffer(body) ? body : JSON.stringify(body);
  const all = { ...(token && { Authorization: `Bearer ${token}` }), ...(text !== undefined && { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(text) }), ...headers };
  return new Promise((done, fail) => {
    const rq = request(url, { method, headers: all, agent, timeout: timeoutMs }, (answer) => {
      const parts = [];
      answer.on('data', (chunk) => parts.push(chunk));
      answer.on('error', fail);
      answer.on('end', () => {
        const raw = Buffer.concat(parts).toString('utf8');
        const isJson = /json/.test(answer.headers['content-type'] ?? '');
        done({ status: answer.statusCode, headers: answer.headers, body: isJson ? JSON.parse(raw) : raw });
      });
    });
    rq.on('timeout', () => rq.destroy(new Error(`no answer to ${method} ${url} within ${timeoutMs} ms`)));
    rq.on('error', fail);
    rq.end(text);
  });
}

/** The body of an answer that has to have this status. */
export async function restOk(status, method, url, options) {
  const answer = await rest(method, url, options);
  assert.equal(answer.status, status, `${method} ${url} was answered ${answer.status} ${JSON.stringify(answer.body)}`);
  return answer.body;
}

/** Holds that a request is refused with this status and code. */
export async function restRefused(status, code, method, url, options) {
  const answer = await rest(method, url, options);
  assert.equal(answer.status, status, `${method} ${url} was answered ${answer.status} ${JSON.stringify(answer.body)}`);
  assert.equal(answer.body.error.code, code);
  assert.ok(answer.body.error.message.length > 0);
}

/** Creates a conversation through a gateway; returns its id. */
export async function createConversation(stack, { owner, members = [], id = `c-${randomUUID()}`, gateway = 'messaging/0', ...more }) {
  const body = { id, members, ...more };
  await restOk(201, 'POST', `${stack.urlOf(gateway)}/conversations`, { token: stack.token(owner), body });
  return id;
}
