// Records in Kafka as other backends write and read them: kcat and kafkajs.
import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { Kafka, logLevel } from 'kafkajs';
import { atEnd } from './stack.js';
import { waitFor } from './wait.js';

function kcat(args, input) {
  return new Promise((done, fail) => {
    const child = spawn('kcat', args, { stdio: ['pipe', 'pipe', 'pipe'] });
    let out = '';
    let err = '';
    child.stdout.on('data', (chunk) => (out += chunk));
    child.stderr.on('data', (chunk) => (err += chunk));
    child.on('error', fail);
    child.on('exit', (code) => (code === 0 ? done(out) : fail(new Error(`kcat ${args.join(' ')}: ${err}`))));
    child.stdin.on('error', () => {});
    child.stdin.end(input);
  });
}

/**
 * Writes one record with kcat. partitioner: kcat's own default is CRC32 ("consistent_random"), Java's is
 * "murmur2_random".
 */
export function kcatProduce(stack, topic, { key, value, headers = {}, partition, partitioner = 'murmur2_random' }) {
  const args = ['-P', '-b', stack.bootstrap, '-t', topic, '-X', `partitioner=${partitioner}`, '-D', '\u0001'];
  if (key !== undefined) args.push('-k', key);
  if (partition !== undefined) args.push('-p', String(partition));
  if (value === null) args.push('-Z');
  for (const [name, text] of Object.entries(headers)) args.push('-H', `${name}=${text}`);
  return kcat(args, value === null ? '' : value);
}

/** All records of a topic: [{key, partition, offset, headers, value}]. */
export async function kcatRead(stack, topic) {
  const out = await kcat(['-C', '-e', '-q', '-J', '-o', 'beginning', '-b', stack.bootstrap, '-t', topic], '');
  return out
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line))
    .map((r) => {
      const list = r.headers ?? [];
      const headers = {};
      for (let i = 0; i + 1 < list.length; i += 2) headers[list[i]] = list[i + 1];
      return { key: r.key, partition: r.partition, offset: r.offset, value: r.payload, headers };
    });
}

export async function topicNames(stack) {
  const listing = JSON.parse(await kcat(['-L', '-J', '-b', stack.bootstrap], ''));
  return listing.topics.map((t) => ({ name: t.topic, partitions: t.partitions.length }));
}

/** A connected kafkajs producer; it ends with the file. */
export async function kafkajsProducer(stack, options = {}) {
  const kafka = new Kafka({ clientId: 'backend', brokers: stack.bootstrap.split(','), logLevel: logLevel.NOTHING });
  const producer = kafka.producer({ allowAutoTopicCreation: false, ...options });
  await producer.connect();
  atEnd(() => producer.disconnect());
  return producer;
}

// murmur2 as Java's client computes it, to know where a key belongs.
export function javaPartition(key, partitions) {
  const data = Buffer.from(key);
  const m = 0x5bd1e995;
  let h = 0x9747b28c ^ data.length;
  let i = 0;
  for (; i + 4 <= data.length; i += 4) {
    let k = Math.imul(data.readInt32LE(i), m);
    k ^= k >>> 24;
    h = Math.imul(h, m) ^ Math.imul(k, m);
  }
  const left = data.length - i;
  if (left >= 3) h ^= data[i + 2] << 16;
  if (left >= 2) h ^= data[i + 1] << 8;
  if (left >= 1) h = Math.imul(h ^ data[i], m);
  h ^= h >>> 13;
  h = Math.imul(h, m);
  h ^= h >>> 15;
  return (h & 0x7fffffff) % partitions;
}

/** A copy of an event as a record of a chat topic, keyed as it should be. */
export function cloudEvent({ id, type, data, source = '/tests', ...more }) {
  return {
    headers: { ce_specversion: '1.0', ce_id: id, ce_type: type, ce_source: source, ce_time: new Date().toISOString(), 'content-type': 'application/json', ...more },
    value: JSON.stringify(data),
  };
}

/** A tern.emit record without its key: {headers, value}. */
export function emitRecord(data, id = randomUUID()) {
  return cloudEvent({ id, type: 'tern.emit', data });
}

/** A connected kafkajs admin client; it ends with the file. */
export async function kafkajsAdmin(stack) {
  const admin = new Kafka({ clientId: 'operator', brokers: stack.bootstrap.split(','), logLevel: logLevel.NOTHING }).admin();
  await admin.connect();
  atEnd(() => admin.disconnect());
  return admin;
}

/**
 * `count` committed records of a topic, bytes and all, in the order of each partition:
 * [{partition, offset, key, value, headers: [[name, value], ...]}] with Buffers or null.
 */
export async function readRecords(stack, topic, count, timeoutMs = 20000) {
  const kafka = new Kafka({ clientId: 'reader', brokers: stack.bootstrap.split(','), logLevel: logLevel.NOTHING });
  const consumer = kafka.consumer({ groupId: `reader-${randomUUID()}` });
  const records = [];
  await consumer.connect();
  await consumer.subscribe({ topic, fromBeginning: true });
  await consumer.run({
    eachMessage: async ({ partition, message }) => {
      const headers = Object.entries(message.headers ?? {}).flatMap(([name, value]) => [value].flat().map((v) => [name, v]));
      records.push({ partition, offset: Number(message.offset), key: message.key, value: message.value, headers });
    },
  });
  try {
    await waitFor(() => `${count} records of ${topic}, there are ${records.length}`, () => records.length >= count, timeoutMs);
  } finally {
    await consumer.disconnect();
  }
  return records.sort((a, b) => a.partition - b.partition || a.offset - b.offset);
}
