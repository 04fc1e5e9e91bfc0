// What each of Tern's programs is started with.
import { request } from 'node:http';
import { binary } from './paths.mjs';

const programOf = { messaging: 'tern-messaging', notification: 'tern-notification', writer: 'tern-writer' };
export const kinds = Object.keys(programOf);

// A stack is for tests and for trying out: nothing that is there against strangers gets in the way.
const withoutRateLimits = {
  TERN_EVENTS_PER_SECOND: '0',
  TERN_PER_ADDRESS_MAX: '0',
  TERN_USER_CONNECTIONS_MAX: '0',
  TERN_USER_EVENTS_PER_SECOND: '0',
  TERN_USER_JOINS_PER_SECOND: '0',
  TERN_USER_BYTES_PER_SECOND: '0',
  TERN_ADDRESS_CONNECTIONS_MAX: '0',
  TERN_ADDRESS_CONNECTS_PER_SECOND: '0',
  TERN_ADDRESS_EVENTS_PER_SECOND: '0',
  TERN_ADDRESS_JOINS_PER_SECOND: '0',
  TERN_ADDRESS_BYTES_PER_SECOND: '0',
};
const known = {
  messaging: Object.keys(withoutRateLimits),
  notification: ['TERN_PER_ADDRESS_MAX', 'TERN_USER_CONNECTIONS_MAX', 'TERN_ADDRESS_CONNECTIONS_MAX'],
  writer: [],
};

/** The caller's environment without settings of Tern: what a stack runs with is what it was told. */
export function bareEnvironment() {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('TERN_')));
}

/** What every program needs, ternctl and the embedded broker included. */
export function commonEnvironment({ bootstrap, dsn, set }) {
  return { ...bareEnvironment(), TERN_KAFKA_BOOTSTRAP_SERVERS: bootstrap, TERN_POSTGRES_DSN: dsn, ...set };
}

/** auth = {secretFile, issuer, audience} or null, which is TERN_AUTH=off. */
function authEnvironment(auth) {
  if (!auth) return { TERN_AUTH: 'off' };
  return { TERN_AUTH: 'on', TERN_AUTH_HS256_SECRET_FILE: auth.secretFile, TERN_AUTH_ISSUER: auth.issuer, TERN_AUTH_AUDIENCE: auth.audience };
}

/** Each gateway has an internal port, to which the others bring requests of its sessions. */
function spliceEnvironment(port, { keyFile, min, max }) {
  return {
    TERN_SPLICE_KEY_FILE: keyFile,
    TERN_SPLICE_BIND: '127.0.0.1',
    TERN_SPLICE_PORT: String(port),
    TERN_SPLICE_PORT_MIN: String(min),
    TERN_SPLICE_PORT_MAX: String(max),
  };
}

/**
 * The command of one service. port 0 for a writer, which has no clients; pages = {gateways, notifications}: the
 * addresses that the demo page offers; splice = {keyFile, min, max}: the key and the range of the gateways' internal ports.
 */
export function serviceCommand({ kind, index, port, opsPort, splicePort, common, auth, pages, splice, set, dir, log }) {
  const env = { ...common, TERN_BIND: '127.0.0.1', TERN_OPS_BIND: '127.0.0.1' };
  if (kind !== 'writer') {
    Object.assign(env, authEnvironment(auth), { TERN_ORIGINS: '*' });
    for (const name of known[kind]) env[name] = withoutRateLimits[name];
  } else {
    // The name under which Kafka knows it: a writer that comes back takes its partitions again.
    env.TERN_INSTANCE = `writer-${index}`;
    delete env.TERN_BIND;
  }
  if (kind === 'messaging') {
    Object.assign(env, { TERN_PAGE_GATEWAYS: pages.gateways, TERN_PAGE_NOTIFICATIONS: pages.notifications });
    Object.assign(env, spliceEnvironment(splicePort, splice));
  }
  Object.assign(env, set, { TERN_OPS_PORT: String(opsPort) });
  if (kind !== 'writer') env.TERN_PORT = String(port);
  return { file: binary(programOf[kind]), args: [], env, cwd: dir, log };
}

/** GET; {status, body}, or null if nobody answers. */
export function get(url, timeoutMs = 2000) {
  return new Promise((done) => {
    const rq = request(url, { agent: false, timeout: timeoutMs }, (answer) => {
      let body = '';
      answer.setEncoding('utf8');
      answer.on('data', (chunk) => (body += chunk));
      answer.on('end', () => done({ status: answer.statusCode, body }));
      answer.on('error', () => done(null));
    });
    rq.on('timeout', () => rq.destroy());
    rq.on('error', () => done(null));
    rq.end();
  });
}

export function serviceReady(opsUrl) {
  return async () => (await get(`${opsUrl}/readyz`))?.status === 200;
}
