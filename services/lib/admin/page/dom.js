// Small things that every view needs.

export const $ = (id) => document.getElementById(id);

/** An element with a class and children: texts or elements. */
export function make(tag, className, ...children) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.append(...children.filter((c) => c !== undefined && c !== null));
  return element;
}

/** A table's row; cells are [name, content, class]. The name is shown where the table's head is not. */
export function row(cells, className) {
  const tr = make('tr', className);
  for (const [name, content, kind] of cells) {
    const td = make('td', kind, typeof content === 'number' ? number(content) : content ?? '');
    td.dataset.name = name;
    tr.append(td);
  }
  return tr;
}

export function button(text, className, act) {
  const element = make('button', className, text);
  element.type = 'button';
  element.addEventListener('click', act);
  return element;
}

export const tag = (text, kind) => make('span', `tag ${kind ?? ''}`, text);

const format = new Intl.NumberFormat('en');
export const number = (n) => format.format(n);

export function bytes(n) {
  const units = ['B', 'KiB', 'MiB', 'GiB'];
  let unit = 0;
  for (; n >= 1024 && unit < units.length - 1; unit++) n /= 1024;
  return `${unit === 0 ? n : n.toFixed(1)} ${units[unit]}`;
}

/** "3 h 12 min": two units are enough. */
export function span(ms) {
  const s = Math.max(0, Math.floor(ms / 1000));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${s % 60} s`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ${Math.floor(s / 60) % 60} min`;
  return `${Math.floor(s / 86400)} d ${Math.floor(s / 3600) % 24} h`;
}

export function time(ms) {
  const at = new Date(ms);
  const element = make('time', '', at.toLocaleString([], { dateStyle: 'short', timeStyle: 'medium' }));
  element.dateTime = at.toISOString();
  element.title = at.toISOString();
  return element;
}

export function toast(text) {
  const element = make('div', 'toast', text);
  $('toasts').append(element);
  setTimeout(() => element.remove(), 6000);
}

/** Asks before something is done: the text of the input, or null. `label` null: nothing is to be typed. */
export function confirm({ title, text, yes, label = null }) {
  const dialog = $('ask');
  $('ask-title').textContent = title;
  $('ask-text').textContent = text;
  $('ask-yes').textContent = yes;
  $('ask-label').hidden = label === null;
  $('ask-label').firstChild.textContent = label ?? '';
  $('ask-input').value = '';
  dialog.returnValue = 'no';
  dialog.showModal();
  return new Promise((done) => {
    dialog.addEventListener('close', () => done(dialog.returnValue === 'yes' ? $('ask-input').value : null), { once: true });
  });
}
