// Asks a broker for the cluster's members: Kafka's Metadata request, version 1, without topics, by hand.
import { connect } from 'node:net';

const metadataKey = 3;
const version = 1;

function request() {
  const client = Buffer.from('stack');
  const body = Buffer.alloc(8 + 2 + client.length + 4);
  body.writeInt16BE(metadataKey, 0);
  body.writeInt16BE(version, 2);
  body.writeInt32BE(1, 4);
  body.writeInt16BE(client.length, 8);
  client.copy(body, 10);
  body.writeInt32BE(0, 10 + client.length); // an empty list of topics
  const size = Buffer.alloc(4);
  size.writeInt32BE(body.length);
  return Buffer.concat([size, body]);
}

/** Ids of the brokers that take part in the cluster, and whether it has a controller. */
function parse(answer) {
  let at = 4; // the correlation id
  const count = answer.readInt32BE(at);
  const brokers = [];
  at += 4;
  for (let i = 0; i < count; i++) {
    brokers.push(answer.readInt32BE(at));
    at += 4;
    at += 2 + answer.readInt16BE(at) + 4;
    at += 2 + Math.max(0, answer.readInt16BE(at));
  }
  return { brokers, controller: answer.readInt32BE(at) >= 0 };
}

/** {brokers: ids, controller}, or null if the broker does not answer. */
export function askKafka(port, timeoutMs = 1000) {
  return new Promise((done) => {
    let got = Buffer.alloc(0);
    const socket = connect({ port, host: '127.0.0.1' });
    const end = (result) => {
      socket.destroy();
      done(result);
    };
    socket.setTimeout(timeoutMs, () => end(null));
    socket.on('error', () => end(null));
    socket.on('close', () => end(null));
    socket.on('connect', () => socket.write(request()));
    socket.on('data', (chunk) => {
      got = Buffer.concat([got, chunk]);
      if (got.length < 4 || got.length < 4 + got.readInt32BE(0)) return;
      try {
        end(parse(got.subarray(4)));
      } catch {
        end(null);
      }
    });
  });
}
