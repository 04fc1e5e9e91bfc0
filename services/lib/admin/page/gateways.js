// The fleet: every gateway says every few seconds that it is there.
import { get } from './api.js';
import { $, make, number, row, span, tag } from './dom.js';

function total(value, text) {
  return make('div', 'total', make('b', '', value), make('span', '', text));
}

function rowOf(g) {
  const meter = make('progress');
  meter.max = Math.max(1, g.connectionsMax);
  meter.value = g.connections;
  meter.setAttribute('aria-hidden', 'true');
  const state = g.leaving ? tag('leaving', 'warn') : g.heardMs > 12000 ? tag('silent', 'bad') : tag('here', 'good');
  const fill = make('span', 'fill', number(g.connections), meter);
  fill.title = `of ${number(g.connectionsMax)}`;
  return row([
    ['Gateway', make('span', '', g.instance, ' ', g.self ? tag('this one') : ''), ''],
    ['Service', g.service],
    ['State', state],
    ['Connections', fill, 'num'],
    ['Version', g.version],
    ['Up', g.startedAt ? span(Date.now() - g.startedAt) : '', 'time'],
    ['Ops address', make('code', '', g.ops)],
    ['Heard', `${span(g.heardMs)} ago`, 'time'],
  ]);
}

function fillSelects(gateways) {
  for (const select of document.querySelectorAll('select[data-gateways]')) {
    const names = gateways.map((g) => g.instance);
    if (select.dataset.gateways === names.join(' ')) continue;
    select.dataset.gateways = names.join(' ');
    const chosen = select.value;
    const all = make('option', '', 'all');
    all.value = '';
    select.replaceChildren(all, ...names.map((name) => make('option', '', name)));
    if (names.includes(chosen)) select.value = chosen;
  }
}

export async function refreshFleet() {
  const fleet = await get('fleet');
  const { gateways } = fleet;
  const of = (service) => gateways.filter((g) => g.service === service).length;
  const sum = gateways.reduce((n, g) => n + g.connections, 0);
  const most = gateways.reduce((n, g) => n + g.connectionsMax, 0);
  $('totals').replaceChildren(
    total(number(of('messaging')), 'chat gateways'),
    total(number(of('notification')), 'notification gateways'),
    total(number(sum), 'connections'),
    total(most ? `${(100 * sum / most).toFixed(1)} %` : '–', `of ${number(most)} possible`),
  );
  $('gateway-rows').replaceChildren(...gateways.map(rowOf));
  $('gateways-at').textContent = `as of ${new Date().toLocaleTimeString()}`;
  fillSelects(gateways);
  return fleet;
}
