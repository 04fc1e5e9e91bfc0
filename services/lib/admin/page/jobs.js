// Replays and redrives: begun here, done by ternctl beside the gateway, watched until they end.
import { get, post } from './api.js';
import { $, button, bytes, confirm, make, number, row, span, tag, time, toast } from './dom.js';

const kinds = { done: 'good', partly: 'warn', stopping: 'warn', failed: 'bad' };
const watchMs = 1000;
const opened = new Set(); // details that stay open when the list is drawn again

function facts(pairs) {
  const list = make('dl');
  for (const [name, value] of pairs) {
    if (value !== undefined && value !== null) list.append(make('div', '', make('dt', '', name), make('dd', '', String(value))));
  }
  return list;
}

const wishes = { topic: 'topic', from: 'from', to: 'to', key: 'key', type: 'type', header: 'header', toTopic: 'to topic', toClients: 'to clients', rate: 'rate', reason: 'reason' };

function wishOf(what) {
  const words = Object.entries(wishes).filter(([name]) => what[name] !== undefined).map(([name, text]) => `${text} ${what[name]}`);
  if (what.toStore) words.push('to Postgres');
  if (what.all) words.push('all that fit');
  if (what.places) words.push(`${what.places.length} chosen`);
  if (what.place) words.push(what.mended ? `${what.place}, mended` : what.place);
  return words.join(', ');
}

function counts(result) {
  const body = make('tbody');
  const add = (what, name, n) => body.append(row([['By', what], ['', name], ['Records', n.records, 'num'], ['Bytes', n.bytes, 'num']]));
  for (const p of result.partitions) if (p.records) add('partition', String(p.partition), p);
  for (const t of result.types) add('type', t.type, t);
  for (const s of result.sizes) if (s.records) add('size', s.size, s);
  const head = make('tr', '', ...['By', '', 'Records', 'Bytes'].map((text) => make('th', '', text)));
  return make('table', 'rows', make('thead', '', head), body);
}

function outcome(job) {
  const { result, what } = job;
  if (what.dryRun && result?.partitions) {
    const details = make('details', '', make('summary', '', 'By partition, type and size'), counts(result));
    details.open = opened.has(job.id);
    details.addEventListener('toggle', () => (details.open ? opened.add(job.id) : opened.delete(job.id)));
    return [facts([['records', number(result.records)], ['bytes', `${number(result.bytes)} (${bytes(result.bytes)})`], ['looked at', number(result.read)]]), details];
  }
  if (!result || typeof result !== 'object') return [];
  const names = ['read', 'copied', 'bytes', 'skipped', 'refused', 'lost', 'redriven', 'dropped', 'letters', 'done'];
  return [facts(names.filter((n) => typeof result[n] === 'number').map((n) => [n, number(result[n])]))];
}

function progressOf(job) {
  const p = job.progress;
  if (!p || job.endedAt) return [];
  const bar = make('progress');
  bar.max = Math.max(1, p.of);
  bar.value = p.read;
  bar.setAttribute('aria-label', 'How far it is');
  return [bar, facts([['read', `${number(p.read)} of ${number(p.of)}`], [p.progress, number(p.done)], ['a second', number(p.perSecond)], ['left', span(p.secondsLeft * 1000)]])];
}

function item(job, stop) {
  const title = job.what.dryRun ? 'count' : job.kind;
  const line = make('div', 'line', make('b', '', title), tag(job.state, kinds[job.state]), make('span', 'muted', wishOf(job.what)));
  if (!job.endedAt) {
    const end = button('Stop', 'small', () => stop(job));
    end.disabled = job.state === 'stopping';
    line.append(end);
  }
  const took = (job.endedAt ?? Date.now()) - job.startedAt;
  const when = make('p', 'muted', 'begun ', time(job.startedAt), ` by ${job.operator}, ${job.endedAt ? 'took' : 'runs for'} ${span(took)}`);
  const li = make('li', 'job', line, ...progressOf(job), ...outcome(job), when);
  if (job.said) li.append(make('pre', '', job.said));
  li.dataset.state = job.state;
  li.dataset.kind = title;
  return li;
}

export function makeJobs(failed) {
  const form = $('replay-form');
  let timer = null;

  async function refresh() {
    clearTimeout(timer);
    const { jobs } = await get('jobs');
    $('no-jobs').hidden = jobs.length > 0;
    const focused = [...$('jobs').children].findIndex((li) => li.contains(document.activeElement));
    $('jobs').replaceChildren(...jobs.map((job) => item(job, stop)));
    if (focused >= 0) $('jobs').children[focused]?.querySelector('button, summary')?.focus();
    if (jobs.some((job) => !job.endedAt)) timer = setTimeout(() => refresh().catch(failed), watchMs);
  }

  async function stop(job) {
    try {
      await post('stop', { job: job.id });
      await refresh();
    } catch (error) {
      failed(error);
    }
  }

  function wish(dry) {
    const v = Object.fromEntries(new FormData(form));
    const body = { topic: v.topic.trim() };
    for (const name of ['from', 'to', 'key', 'type', 'header']) if (v[name]) body[name] = v[name];
    if (v.rate) body.rate = Number(v.rate);
    if (dry) return { ...body, dryRun: true };
    if (v.target === 'store') body.toStore = true;
    if (v.target === 'topic') body.toTopic = v.toTopic.trim();
    if (v.target === 'clients') body.toClients = v.toClients.trim();
    return body;
  }

  const targetOf = (body) => (body.toStore ? 'Postgres' : body.toTopic ? `the topic ${body.toTopic}` : `the live clients of ${body.toClients}`);

  form.addEventListener('change', () => {
    for (const label of form.querySelectorAll('[data-target]')) label.hidden = label.dataset.target !== form.elements.target.value;
  });
  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    const dry = event.submitter?.value === 'dry';
    const body = wish(dry);
    if (!dry && !body.toStore && !body.toTopic && !body.toClients) {
      toast('Name where to.');
      form.elements[form.elements.target.value === 'topic' ? 'toTopic' : 'toClients'].focus();
      return;
    }
    if (!dry && (await confirm({ title: `Replay ${body.topic}?`, text: `Writes what fits to ${targetOf(body)}. Count first if you are not sure how much that is.`, yes: 'Replay' })) === null) return;
    try {
      await post('replay', body);
      await refresh();
    } catch (error) {
      failed(error);
    }
  });
  return { refresh };
}
