// Waiting for a condition with a deadline. Nothing in the tests waits for a time alone.
import { setTimeout as sleep } from 'node:timers/promises';

/**
 * Asks `condition` (which may be async) until it gives something true, and returns that. After `timeoutMs` it fails
 * with `what`, which may be a function that says how far things got.
 */
export async function waitFor(what, condition, timeoutMs = 10000) {
  const deadline = Date.now() + timeoutMs;
  for (let pause = 5; ; pause = Math.min(pause * 1.5, 100)) {
    const result = await condition();
    if (result) return result;
    if (Date.now() > deadline) throw new Error(`after ${timeoutMs} ms still not: ${typeof what === 'function' ? what() : what}`);
    await sleep(pause);
  }
}

/** The promise's result, or a failure with `what` after the time. */
export async function within(timeoutMs, what, promise) {
  let timer;
  const late = new Promise((_, fail) => {
    timer = setTimeout(() => fail(new Error(`after ${timeoutMs} ms still not: ${what}`)), timeoutMs);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** The arguments of the next event of an emitter. */
export function once(emitter, event, timeoutMs = 10000) {
  return within(timeoutMs, `the event ${event}`, new Promise((done) => emitter.once(event, (...args) => done(args))));
}

/** Holds that `condition` stays false for a while: for what must not happen there is no event to wait for. */
export async function staysFalse(what, condition, forMs) {
  const until = Date.now() + forMs;
  while (Date.now() < until) {
    if (await condition()) throw new Error(`it happened: ${what}`);
    await sleep(20);
  }
}

export { sleep };
