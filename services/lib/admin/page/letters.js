// Dead letters: what they are, and redrive.
import { get, post, resultOf } from './api.js';
import { $, button, confirm, make, row, tag, time, toast } from './dom.js';
import { mend, textOf } from './mend.js';
import { pages } from './pages.js';

const limit = 50;

export function makeLetters(failed) {
  const chosen = new Set();
  let filters = {};

  function count() {
    $('redrive-chosen').disabled = chosen.size === 0;
    $('redrive-chosen').textContent = chosen.size ? `Redrive chosen (${chosen.size})` : 'Redrive chosen';
    const boxes = [...document.querySelectorAll('#letters tbody input')];
    $('choose-all').checked = boxes.length > 0 && boxes.every((b) => b.checked);
  }

  function pick(letter) {
    const box = make('input');
    box.type = 'checkbox';
    box.checked = chosen.has(letter.place);
    box.setAttribute('aria-label', `Choose ${letter.place}`);
    box.addEventListener('change', () => {
      if (box.checked) chosen.add(letter.place);
      else chosen.delete(letter.place);
      count();
    });
    return box;
  }

  async function show(place) {
    try {
      mend(resultOf(await get('letter', { place })), redriveOne);
    } catch (error) {
      failed(error);
    }
  }

  async function redriveOne(body) {
    try {
      await post('redrive', body);
      toast('The redrive runs; its progress stands under Replay.');
      location.hash = '#replay';
    } catch (error) {
      failed(error);
    }
  }

  const list = pages($('letters'), {
    failed,
    async load(asked, after) {
      filters = asked;
      const found = resultOf(await get('letters', { ...asked, after, limit }));
      const rows = found.slice(0, limit);
      return { rows, next: found.length > limit ? rows.at(-1).place : null };
    },
    shown() {
      chosen.clear();
      count();
    },
    rowOf: (l) => row([
      ['Choose', l.state === 'open' ? pick(l) : '', 'pick'],
      ['Place', button(l.place, 'link', () => show(l.place)), 'wide'],
      ['Reason', tag(textOf(l, 'reason'), 'bad')],
      ['What', textOf(l, 'message'), 'wide'],
      ['Key', textOf(l, 'key')],
      ['Died', l.died ? time(Date.parse(l.died)) : '', 'time'],
      ['State', tag(l.state, l.state === 'open' ? 'warn' : 'good')],
    ]),
  });

  async function redrive(body, title, text) {
    if ((await confirm({ title, text, yes: 'Redrive' })) !== null) await redriveOne(body);
  }

  $('choose-all').addEventListener('change', () => {
    const all = $('choose-all').checked;
    for (const box of document.querySelectorAll('#letters tbody input')) if (box.checked !== all) box.click();
  });
  $('redrive-chosen').addEventListener('click', () => {
    const places = [...chosen];
    redrive({ places }, `Redrive ${places.length} dead letter${places.length === 1 ? '' : 's'}?`, 'The writer judges them again and stores them under their old place, or they die again. No gateway shows them live.');
  });
  $('redrive-all').addEventListener('click', () => {
    const { topic, reason, key } = filters;
    const which = [topic && `of ${topic}`, reason && `with the reason ${reason}`, key && `with the key ${key}`].filter(Boolean).join(', ');
    const body = { all: true, ...(topic && { topic }), ...(reason && { reason }), ...(key && { key }) };
    redrive(body, 'Redrive all that fit?', `All open dead letters ${which || 'of every topic'}, on every page of this list.`);
  });
  return list;
}
