// Requests that are told again until they are answered well, as a careful client does.
import { request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';

const answerMs = 13000;
const patienceMs = 60000;

/** {status, body}, or null without an answer. */
function ask(method, url, token, body) {
  return new Promise((done) => {
    const text = body === undefined ? undefined : JSON.stringify(body);
    const headers = { Authorization: `Bearer ${token}`, ...(text !== undefined && { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(text) }) };
    const rq = request(url, { method, headers, agent: false, timeout: answerMs }, (answer) => {
      let got = '';
      answer.setEncoding('utf8');
      answer.on('data', (part) => (got += part));
      answer.on('error', () => done(null));
      answer.on('close', () => done(null)); // when it was complete that is too late to matter
      answer.on('end', () => done({ status: answer.statusCode, body: got }));
    });
    rq.on('timeout', () => rq.destroy());
    rq.on('error', () => done(null));
    rq.end(text);
  });
}

/** The first answer whose status is among `good`, or null when patience is at its end or `ended()` says so. */
export async function askUntil(good, method, url, { token, body, ended = () => false, patience = patienceMs }) {
  const until = Date.now() + patience;
  for (let pause = 200; Date.now() < until && !ended(); pause = Math.min(2 * pause, 2000)) {
    const answer = await ask(method, url, token, body);
    if (answer && good.includes(answer.status)) return answer;
    await sleep(pause);
  }
  return null;
}
