// Who may see it, and which view is shown.
import { Refused, hasToken, setToken } from './api.js';
import { $ } from './dom.js';
import { refreshFleet } from './gateways.js';
import { makeJobs } from './jobs.js';
import { refreshLag } from './lag.js';
import { makeLetters } from './letters.js';
import { makeLists } from './lists.js';

const fleetMs = 5000;

let timer = null;
let entered = false;
let cutOff = false; // the trouble that is shown ends when the gateway answers again

function failed(error) {
  if (!(error instanceof Refused)) throw error;
  if (error.status === 401 || error.status === 403) {
    ask(hasToken() ? error.message : null);
    return;
  }
  cutOff = error.status === 0;
  $('trouble').textContent = error.message;
  $('trouble').hidden = false;
}

const { connections, rooms } = makeLists(failed);
const letters = makeLetters(failed);
const jobs = makeJobs(failed);
const views = {
  gateways: () => {},
  connections: connections.show,
  rooms: rooms.show,
  lag: refreshLag,
  letters: letters.show,
  replay: jobs.refresh,
};

/** The form for the token; `why` is said if one was refused. */
function ask(why) {
  clearTimeout(timer);
  entered = false;
  setToken('');
  $('main').hidden = true;
  $('welcome').hidden = false;
  $('refused').textContent = why ?? '';
  $('refused').hidden = !why;
  $('token').value = '';
  $('token').focus();
  document.body.dataset.view = 'welcome';
}

async function watch() {
  clearTimeout(timer);
  try {
    const fleet = await refreshFleet();
    if (cutOff) $('trouble').hidden = true;
    cutOff = false;
    $('operator').textContent = fleet.operator;
    $('leave').hidden = !fleet.auth;
    timer = setTimeout(watch, fleetMs);
    return true;
  } catch (error) {
    failed(error);
    if (entered) timer = setTimeout(watch, fleetMs);
    return false;
  }
}

async function show() {
  const name = location.hash.slice(1) in views ? location.hash.slice(1) : 'gateways';
  for (const view of Object.keys(views)) $(view).hidden = view !== name;
  for (const link of $('tabs').children) {
    if (link.hash === `#${name}`) link.setAttribute('aria-current', 'page');
    else link.removeAttribute('aria-current');
  }
  $('tabs').querySelector('[aria-current]')?.scrollIntoView({ inline: 'nearest', block: 'nearest' });
  $('trouble').hidden = true;
  scrollTo(0, 0);
  document.title = `${$(`${name}-title`).textContent} · Tern admin`;
  document.body.dataset.view = name;
  try {
    await views[name]();
  } catch (error) {
    failed(error);
  }
}

async function enter() {
  entered = true;
  if (!(await watch())) {
    clearTimeout(timer);
    if (entered) timer = setTimeout(enter, fleetMs);
    return;
  }
  $('welcome').hidden = true;
  $('main').hidden = false;
  await show();
}

$('enter').addEventListener('submit', (event) => {
  event.preventDefault();
  setToken($('token').value.trim());
  enter();
});
$('leave').addEventListener('click', () => ask());
$('lag-again').addEventListener('click', () => refreshLag().catch(failed));
for (const button of document.querySelectorAll('[data-close]')) button.addEventListener('click', () => button.closest('dialog').close());
addEventListener('hashchange', () => entered && show());
enter();
