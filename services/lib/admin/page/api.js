// Requests to this gateway. The token stands in this tab's memory and in sessionStorage, and goes out in a header.

const place = 'tern-admin-token';
let token = sessionStorage.getItem(place) ?? '';

export class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

export const hasToken = () => token !== '';

export function setToken(text) {
  token = text;
  if (text) sessionStorage.setItem(place, text);
  else sessionStorage.removeItem(place);
}

async function call(method, path, body) {
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
  if (body) headers['Content-Type'] = 'application/json';
  let response;
  try {
    response = await fetch(`api/${path}`, { method, headers, body: body && JSON.stringify(body) });
  } catch {
    throw new Refused(0, 'The gateway does not answer.');
  }
  const json = await response.json().catch(() => null);
  if (!response.ok || !json) throw new Refused(response.status, json?.error?.message ?? `The gateway answered ${response.status}.`);
  return json;
}

/** GET; empty parameters are left out. */
export function get(path, parameters = {}) {
  const query = new URLSearchParams(Object.entries(parameters).filter(([, v]) => v !== '' && v !== null && v !== undefined));
  return call('GET', query.size ? `${path}?${query}` : path);
}

export const post = (path, body) => call('POST', path, body);

/** The result of a command that ran to its end, or its last word as an error. */
export function resultOf(job) {
  if (job.state !== 'done') throw new Refused(200, job.said || `The command ended with ${job.exitCode}.`);
  return job.result;
}
