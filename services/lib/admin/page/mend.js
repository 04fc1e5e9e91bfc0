// One dead letter: why it died, and what it would be redriven as.
import { $, make } from './dom.js';

export const textOf = (letter, name) => letter[name] ?? (letter[`${name}Base64`] ? `base64 ${letter[`${name}Base64`]}` : '');

function fact(name, value) {
  return make('div', '', make('dt', '', name), make('dd', '', String(value)));
}

/** Shows a letter; redrive({place, value?, type?, setKey?}) if it is to be. What was not changed is not sent. */
export function mend(letter, redrive) {
  const dialog = $('letter');
  const { type, key, value } = dialog.querySelector('form').elements;
  const record = letter.record ?? {};
  const before = {
    type: record.headers?.ce_type ?? '',
    key: record.key ?? '',
    value: typeof record.value === 'string' ? record.value : record.value === undefined ? '' : JSON.stringify(record.value, null, 2),
  };
  $('letter-title').textContent = letter.place;
  $('letter-why').textContent = `${textOf(letter, 'reason')}: ${textOf(letter, 'message')}`;
  $('letter-facts').replaceChildren(
    fact('state', letter.state), fact('id', textOf(letter, 'id')), fact('written', letter.time || '?'), fact('died', letter.died || '?'), fact('bytes', letter.bytes),
  );
  type.value = before.type;
  key.value = before.key;
  value.value = before.value;
  $('letter-fault').hidden = true;
  $('letter-redrive').hidden = letter.state !== 'open';
  $('letter-redrive').onclick = () => {
    const body = { place: letter.place };
    if (type.value !== before.type) body.type = type.value;
    if (key.value !== before.key) body.setKey = key.value;
    if (value.value !== before.value) {
      try {
        body.value = JSON.parse(value.value);
      } catch (error) {
        $('letter-fault').textContent = `The value is not JSON: ${error.message}`;
        $('letter-fault').hidden = false;
        value.focus();
        return;
      }
    }
    dialog.close();
    redrive(body);
  };
  dialog.showModal();
}
