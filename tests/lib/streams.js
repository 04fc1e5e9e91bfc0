// Notification streams: the stock EventSource, and a bare reader for what EventSource hides.
import { request } from 'node:http';
import { EventSource } from 'eventsource';
import { atEnd } from './stack.js';
import { within } from './wait.js';

/** The address of a user's stream, with a token in the query as a browser has to do it. */
export function streamUrl(stack, gateway, user, { token, query = {}, url } = {}) {
  const address = new URL(`/notifications/stream/${encodeURIComponent(user)}`, url ?? stack.urlOf(gateway));
  address.searchParams.set('token', token ?? stack.token(user, { topics: query.topics?.replaceAll(',', ' ') }));
  for (const [name, value] of Object.entries(query)) address.searchParams.set(name, value);
  return address;
}

/**
 * An open EventSource that records: {source, messages: [parsed data], ids, named: [{event, data}], opens}.
 * `lastEventId` goes out as the header that a browser would send when it comes back.
 */
export async function openStream(stack, gateway, user, { lastEventId, ...options } = {}) {
  const address = streamUrl(stack, gateway, user, options);
  let first = lastEventId;
  const source = new EventSource(address, {
    fetch: (input, init) => {
      const headers = { ...init.headers, ...(first && { 'Last-Event-ID': first }) };
      first = undefined;
      return fetch(input, { ...init, headers });
    },
  });
  atEnd(() => source.close());
  const stream = { source, messages: [], ids: [], named: [], opens: 0 };
  source.onmessage = (event) => {
    stream.messages.push(JSON.parse(event.data));
    stream.ids.push(event.lastEventId);
  };
  for (const name of ['notification_read', 'notification_read_all', 'gap', 'token_expiring']) {
    source.addEventListener(name, (event) => stream.named.push({ event: name, data: JSON.parse(event.data), id: event.lastEventId }));
  }
  await within(10000, `the stream of ${user} is open`, new Promise((done, fail) => {
    source.onopen = () => {
      stream.opens++;
      done();
    };
    source.onerror = (event) => {
      if (stream.opens === 0) fail(new Error(`the stream is refused: ${event.code} ${event.message}`));
    };
  }));
  return stream;
}

/** The raw answer: {status, headers, text() so far, close()}. */
export function rawStream(url, headers = {}) {
  return within(10000, `an answer of ${url}`, new Promise((done, fail) => {
    const rq = request(url, { headers: { Accept: 'text/event-stream', ...headers }, agent: false }, (answer) => {
      let text = '';
      let ended = false;
      answer.setEncoding('utf8');
      answer.on('data', (chunk) => (text += chunk));
      answer.on('end', () => (ended = true));
      answer.on('error', () => (ended = true));
      const close = () => rq.destroy();
      atEnd(close);
      done({ status: answer.statusCode, headers: answer.headers, text: () => text, ended: () => ended, close });
    });
    rq.on('error', fail);
    rq.end();
  }));
}
