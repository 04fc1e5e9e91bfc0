// Which fault comes when, and upon whom: drawn from a seed, before anything runs.

/**
 * Kinds by weight: [weight, kind, what it needs]. `forMs` is how long it lasts: a process that was killed or asked to end
 * is started again after that time, one that stands still goes on.
 */
const kinds = [
  [6, 'kill'],
  [3, 'term'],
  [4, 'pause'],
];

/** Who is struck how often: gateways most, because their clients are the promise. */
const groups = [
  [8, 'messaging'],
  [5, 'notification'],
  [4, 'writer'],
  [3, 'kafka'],
  [2, 'postgres'],
];

const names = (counts, group) => (group === 'postgres' ? ['postgres'] : Array.from({ length: counts[group] }, (_, i) => `${group}/${i}`));

/** How long a fault of this kind lasts. Some pauses outlast a session's timeout. */
function duration(random, kind, group) {
  if (kind === 'pause') return random.weighted([[5, random.between(200, 3000)], [3, random.between(4000, 9000)], [2, random.between(11000, 16000)]]);
  if (group === 'kafka') return random.between(500, 5000);
  return random.weighted([[5, random.between(100, 2000)], [2, random.between(2000, 8000)]]);
}

/** After this time a struck process may be struck again: it has to get back first. */
const rest = { messaging: 3000, notification: 3000, writer: 4000, kafka: 15000, postgres: 8000 };

/** [{at, kind, targets, forMs}] in the order of `at`; all is over within counts.ms. */
export function planFaults(random, counts) {
  const plan = [];
  const free = new Map(); // when a target may be struck again
  const quorum = [0, 0]; // until when how many brokers are away
  for (let at = 1000; ; at += random.between(300, 3500)) {
    const group = random.weighted(groups);
    const kind = random.weighted(kinds);
    const forMs = duration(random, kind, group);
    const all = names(counts, group);
    // Now and then all gateways of a kind die at once.
    const many = kind === 'kill' && ['messaging', 'notification'].includes(group) && random.next() < 0.08;
    const targets = many ? all : [random.pick(all)];
    if (at + forMs > counts.ms) {
      if (at > counts.ms) return plan;
      continue;
    }
    if (targets.some((t) => (free.get(t) ?? 0) > at)) continue;
    if (group === 'kafka') {
      // One broker away at a time, seldom two: with two away nothing can be written.
      const away = quorum.filter((until) => until > at).length;
      if (away >= 2 || (away === 1 && random.next() < 0.7)) continue;
      quorum[quorum[0] > at ? 1 : 0] = at + forMs + rest.kafka;
    }
    for (const t of targets) free.set(t, at + forMs + rest[group]);
    plan.push({ at, kind, targets, forMs });
  }
}
