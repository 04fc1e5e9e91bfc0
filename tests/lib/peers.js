// What gateways say to each other, written from its description (services/lib/peer): for tests that pretend to be one.
import { createHmac, randomBytes } from 'node:crypto';
import { connect } from 'node:net';
import { within } from './wait.js';

const mac = (key, purpose, data) => createHmac('sha256', key).update(Buffer.concat([Buffer.from(`${purpose}\0`), Buffer.from(data)])).digest();

/** The line in front of a spliced request. */
export function peerLine(key, { sid, address = '192.0.2.1', time = Date.now(), nonce = randomBytes(16) }) {
  const fields = `TERN1 ${sid} ${address} ${time} ${nonce.toString('base64url')}`;
  return `${fields} ${mac(key, 'line', fields).toString('base64url')}\n`;
}

/** A sid whose owner listens at an IPv4 address and port. owner: 15 bytes, or random ones. */
export function sealSid(key, address, port, owner = randomBytes(15)) {
  const place = Buffer.from([...address.split('.').map(Number), port >> 8, port & 255]);
  const seal = mac(key, 'place', Buffer.concat([owner, Buffer.from([4]), place])).subarray(0, 11);
  const mask = mac(key, 'place mask', owner);
  return Buffer.concat([owner, Buffer.from([4]), place.map((b, i) => b ^ mask[i]), seal]).toString('base64url');
}

/** Says it on a new connection, and returns all that comes until the other side ends it. */
export async function sayTo(port, text, timeoutMs = 5000) {
  const socket = connect({ host: '127.0.0.1', port });
  let answer = '';
  socket.setEncoding('utf8');
  socket.on('data', (chunk) => (answer += chunk));
  socket.on('error', () => {}); // a reset is an end as well
  const closed = new Promise((done) => socket.on('close', done));
  socket.write(text);
  try {
    await within(timeoutMs, 'the end of the connection', closed);
  } finally {
    socket.destroy();
  }
  return answer;
}
