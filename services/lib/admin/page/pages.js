// A table that shows one page of a list at a time: the server finds a page, nothing is pushed.
import { Refused } from './api.js';
import { button, make, number } from './dom.js';

/**
 * section: has form.filters, tbody, .empty, .pager. load(filters, after) gives {rows, next, missing?}; rowOf(item) makes its row.
 * Returns {show, again}: the first page for what the form says, the same page once more.
 */
export function pages(section, { load, rowOf, shown = () => {}, failed }) {
  const form = section.querySelector('.filters');
  const body = section.querySelector('tbody');
  const empty = section.querySelector('.empty');
  const pager = section.querySelector('.pager');
  const trouble = make('p', 'notice warn');
  trouble.hidden = true;
  form.after(trouble);
  let filters = {};
  let trail = ['']; // the cursors of the pages up to this one
  let turn = 0;

  async function go() {
    const mine = ++turn;
    section.setAttribute('aria-busy', 'true');
    try {
      const page = await load(filters, trail.at(-1));
      if (mine !== turn) return;
      body.replaceChildren(...page.rows.map(rowOf));
      empty.hidden = page.rows.length > 0;
      trouble.hidden = !page.missing?.length;
      trouble.textContent = `Not in this list, because they did not answer in time: ${page.missing?.join(', ')}`;
      draw(page);
      shown(page);
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      if (mine === turn) failed(error);
    } finally {
      if (mine === turn) section.removeAttribute('aria-busy');
    }
  }

  function draw(page) {
    const count = make('span', 'muted', `Page ${trail.length}, ${number(page.rows.length)} row${page.rows.length === 1 ? '' : 's'}`);
    const first = button('First', '', () => { trail = ['']; go(); });
    const back = button('Back', '', () => { trail.pop(); go(); });
    const next = button('Next', '', () => { trail.push(page.next); go(); });
    first.disabled = back.disabled = trail.length === 1;
    next.disabled = !page.next;
    first.dataset.go = 'first';
    back.dataset.go = 'back';
    next.dataset.go = 'next';
    const focused = pager.contains(document.activeElement) ? document.activeElement.dataset.go : null;
    pager.replaceChildren(count, first, back, next);
    const again = [...pager.children].find((b) => b.dataset.go === focused && !b.disabled);
    if (focused) (again ?? [...pager.querySelectorAll('button')].find((b) => !b.disabled))?.focus();
  }

  function show() {
    filters = Object.fromEntries(new FormData(form));
    trail = [''];
    return go();
  }
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    show();
  });
  return { show, again: go };
}
