// Which fault comes when, and upon whom: drawn from a seed, before anything runs.

/**
 * What happens to a process, by weight. It is struck for `forMs`: one that was killed or asked to end is started again after
 * that time, one that stands still goes on.
 */
const ofProcesses = [
  [6, 'kill'],
  [3, 'term'],
  [4, 'pause'],
];

/** What happens to the network between two. A silence may end in a reset: then what it held up is lost. */
const ofNetworks = [
  [4, 'cut'],
  [5, 'silence'],
  [2, 'delay'],
  [2, 'slow'],
];

const ofPostgres = [
  [3, 'terminate'],
  [2, 'full'],
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

function networkFault(random, counts) {
  const kind = random.weighted(ofNetworks);
  const clients = random.next() < 0.3;
  const near = clients ? `clients/${random.between(0, 1)}` : random.pick(['messaging', 'notification', 'writer'].flatMap((group) => names(counts, group)));
  const far = clients ? random.pick(['messaging', 'notification']) : random.pick(['kafka', 'kafka', 'postgres']);
  const how = {
    cut: () => ({ forMs: random.between(50, 5000) }),
    silence: () => ({ forMs: random.weighted([[4, random.between(500, 4000)], [2, random.between(5000, 14000)]]), way: random.pick(['up', 'down', 'both']), reset: random.next() < 0.5 }),
    delay: () => ({ forMs: random.between(2000, 9000), delayMs: random.between(20, 300) }),
    slow: () => ({ forMs: random.between(2000, 9000), bytesPerSecond: random.between(20000, 400000) }),
  };
  return { kind, targets: [`${near}~${far}`], rest: 500, ...how[kind]() };
}

function postgresFault(random) {
  const kind = random.weighted(ofPostgres);
  return { kind, targets: ['postgres'], forMs: kind === 'full' ? random.between(500, 6000) : 0, rest: rest.postgres };
}

function processFault(random, counts) {
  const group = random.weighted(groups);
  const kind = random.weighted(ofProcesses);
  const all = names(counts, group);
  // Now and then all gateways of a kind die at once.
  const many = kind === 'kill' && ['messaging', 'notification'].includes(group) && random.next() < 0.08;
  return { kind, targets: many ? all : [random.pick(all)], forMs: duration(random, kind, group), rest: rest[group] };
}

/** Brokers are away one at a time, seldom two: with two away nothing can be written. */
class Quorum {
  constructor() {
    this.until = [0, 0];
  }

  allows(random, at) {
    const away = this.until.filter((until) => until > at).length;
    return away === 0 || (away === 1 && random.next() < 0.3);
  }

  take(at, until) {
    this.until[this.until[0] > at ? 1 : 0] = until;
  }
}

/**
 * [{at, kind, targets, forMs, ...}] in the order of `at`; all is over within counts.ms. A target is the name of a process, or
 * 'messaging/0~kafka', the network between two.
 */
export function planFaults(random, counts) {
  const plan = [];
  const free = new Map(); // when a target may be struck again
  const quorum = new Quorum();
  for (let at = 1000; at <= counts.ms; at += random.between(300, 3000)) {
    const make = random.weighted([[10, processFault], [6, networkFault], [1, postgresFault]]);
    const { rest: restMs, ...fault } = make(random, counts);
    const { targets, forMs } = fault;
    if (at + forMs > counts.ms || targets.some((t) => (free.get(t) ?? 0) > at)) continue;
    if (targets[0].startsWith('kafka/')) {
      if (!quorum.allows(random, at)) continue;
      quorum.take(at, at + forMs + restMs);
    }
    for (const t of targets) free.set(t, at + forMs + restMs);
    plan.push({ at, ...fault });
  }
  return plan;
}
