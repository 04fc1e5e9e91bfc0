// How far Postgres is behind Kafka.
import { get, resultOf } from './api.js';
import { $, button, row, tag } from './dom.js';

const open = new Set();

function topicRows(topic, parts) {
  const sum = (name) => parts.reduce((n, p) => n + p[name], 0);
  const lag = sum('lag');
  const children = parts.map((p) => {
    const one = row([['Topic', ''], ['Partition', `partition ${p.partition}`], ['End', p.end, 'num'], ['Stored', p.ingested, 'num'], ['Lag', p.lag, 'num']], 'part');
    one.hidden = !open.has(topic);
    return one;
  });
  const toggle = button(topic, 'link', () => {
    if (!open.delete(topic)) open.add(topic);
    toggle.setAttribute('aria-expanded', String(open.has(topic)));
    for (const child of children) child.hidden = !open.has(topic);
  });
  toggle.setAttribute('aria-expanded', String(open.has(topic)));
  const head = row([
    ['Topic', toggle],
    ['Partitions', parts.length, 'num'],
    ['End', sum('end'), 'num'],
    ['Stored', sum('ingested'), 'num'],
    ['Lag', tag(lag.toLocaleString('en'), lag === 0 ? 'good' : lag < 10000 ? 'warn' : 'bad'), 'num'],
  ]);
  return [head, ...children];
}

export async function refreshLag() {
  $('lag').setAttribute('aria-busy', 'true');
  try {
    const topics = byTopic(resultOf(await get('lag')));
    $('lag-rows').replaceChildren(...[...topics].flatMap(([topic, parts]) => topicRows(topic, parts)));
  } finally {
    $('lag').removeAttribute('aria-busy');
  }
}

function byTopic(parts) {
  const topics = new Map();
  for (const p of parts) topics.set(p.topic, [...(topics.get(p.topic) ?? []), p]);
  return topics;
}
