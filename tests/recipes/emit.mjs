// Emits from Node, with kafkajs. usage: emit.mjs BROKERS ROOM
import { randomUUID } from 'node:crypto';
import { Kafka } from 'kafkajs';

const [brokers, room] = process.argv.slice(2);
// kafkajs 2's default partitioner is Java's, which Tern's topics are written with.
const producer = new Kafka({ clientId: 'shop', brokers: brokers.split(',') }).producer({ idempotent: true });
await producer.connect();

function emit(topic, key, event, args, attachments = []) {
  const data = { event, args, ...(attachments.length && { attachments: attachments.map((bytes) => bytes.toString('base64')) }) };
  return producer.send({ topic, messages: [{ key, value: JSON.stringify(data), headers: { ce_type: 'tern.emit', ce_id: randomUUID() } }] });
}

// To everybody in the room, durable: who is away gets it when he comes back.
await emit('chat.events', room, 'order_shipped', [{ id: 7 }]);
// To all devices of a user, with bytes.
await emit('chat.events', 'user:ada', 'picture', [{ png: { _placeholder: true, num: 0 } }], [Buffer.from('\x89PNG\r\n\x1a\n', 'latin1')]);
// To who is there now, and to nobody later.
await emit('chat.signals', room, 'progress', [50]);
await producer.disconnect();
