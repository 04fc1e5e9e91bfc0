// The admin page's API, as the page uses it.
import { restOk } from './rest.js';
import { waitFor } from './wait.js';

export const adminUrl = (stack, name, path) => `${stack.opsUrlOf(name)}/admin/api/${path}`;
export const adminToken = (stack, user = 'root') => stack.token(user, { scope: 'admin' });

/** The body of an answer of a gateway; parameters go into the query. */
export function adminGet(stack, name, path, parameters = {}) {
  const query = new URLSearchParams(parameters);
  return restOk(200, 'GET', adminUrl(stack, name, `${path}?${query}`), { token: adminToken(stack), timeoutMs: 30000 });
}

export function adminPost(stack, name, path, body, status = 202) {
  return restOk(status, 'POST', adminUrl(stack, name, path), { token: adminToken(stack), body, timeoutMs: 30000 });
}

/** A job that has ended. */
export function jobEnd(stack, name, id, timeoutMs = 30000) {
  return waitFor(`the end of job ${id}`, async () => (await adminGet(stack, name, 'jobs')).jobs.find((j) => j.id === id && j.endedAt), timeoutMs);
}

/** All rows of a list, page by page; and how many pages that were. */
export async function adminPages(stack, name, list, parameters = {}) {
  const rows = [];
  let pages = 0;
  for (let after = ''; after !== null; pages++) {
    const page = await adminGet(stack, name, list, { ...parameters, ...(after && { after }) });
    if (page.missing.length) throw new Error(`${page.missing} did not answer`);
    rows.push(...page.rows);
    after = page.next;
  }
  return { rows, pages };
}

/** Waits until a gateway knows so many of the fleet. */
export function fleetOf(stack, name, count) {
  return waitFor(`${name} knows ${count} gateways`, async () => {
    const { gateways } = await adminGet(stack, name, 'fleet');
    return gateways.length === count && gateways;
  }, 30000);
}
