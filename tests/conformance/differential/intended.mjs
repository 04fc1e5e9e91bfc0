// Where Tern answers differently from the reference on purpose. Each difference that is found must fit one of these, and each of these must be
// found among the named scenarios, or it is out of date.
//
// A rule gets {scenario, step, reference, tern}: the step and what each server answered to it, as lines.

const sent = (step) => String(step.data ?? step.poll ?? step.body ?? '');
const status = (lines) => Number(/^(?:post |refused )?(\d{3})\b/.exec(lines[0] ?? '')?.[1] ?? 0);

/** Events of a list of lines as values: text through JSON.parse and JSON.stringify, attachments put where their placeholders stand. */
function values(lines) {
  const out = [];
  for (let i = 0; i < lines.length; i++) {
    const match = /^4([2356])(?:(\d+)-)?(\/[^,]*,)?(\d+)?(\[.*)$/s.exec(lines[i]);
    if (!match) {
      out.push(lines[i]);
      continue;
    }
    const count = Number(match[2] ?? 0);
    const attachments = lines.slice(i + 1, i + 1 + count);
    i += count;
    const kind = { 5: '2', 6: '3' }[match[1]] ?? match[1];
    const value = JSON.parse(match[5], (_, v) => (count && v?._placeholder === true ? attachments[v.num] : v));
    out.push(`${kind} ${match[3] ?? ''} ${match[4] ?? ''} ${JSON.stringify(value)}`);
  }
  return out;
}

function same(a, b) {
  try {
    return JSON.stringify(values(a)) === JSON.stringify(values(b));
  } catch {
    return false;
  }
}

function depth(text) {
  let now = 0;
  let most = 0;
  for (const c of text) {
    if (c === '[' || c === '{') most = Math.max(most, ++now);
    if (c === ']' || c === '}') now--;
  }
  return most;
}

const binaryHeader = /^4[56](\d+)-(\/[^,]*,)?\d*/;

/** The header of a binary packet to which this step's attachment belongs, or ''. */
function headerOf({ scenario, step }) {
  const before = scenario.steps.slice(0, scenario.steps.indexOf(step) + 1).map(sent);
  return before.reverse().find((text) => binaryHeader.test(text)) ?? '';
}

/** Placeholders that stand in the text but not in the value: a later member of the same name has taken their place. */
function hasReplaced(header) {
  const json = header.replace(binaryHeader, '');
  let left = 0;
  try {
    JSON.parse(json, (_, v) => { left += v?._placeholder === true ? 1 : 0; return v; });
  } catch {
    return false;
  }
  return json.match(/"_placeholder"\s*:\s*true/g)?.length > left;
}

const isClosed = (lines) => /^closed /.test(lines.at(-1) ?? '');

export const intended = [
  {
    name: 'a WebSocket that is refused is refused before the 101',
    reason: 'The reference sends the 101 and then an HTTP answer into the stream, which clients report as an invalid frame. A status says what is wrong.',
    fits: ({ step, reference, tern }) => step.ws === 'open' && /^closed 1006/.test(reference[0]) && status(tern) === 400,
  },
  {
    name: 'no JSONP',
    reason: 'No client of protocol 4 asks for it, and answers that are scripts are a risk of their own.',
    fits: ({ step, tern }) => step.http && /(^|&)j=/.test(step.query ?? '') && tern[0].includes('\\"code\\":3'),
  },
  {
    name: 'a method that no transport knows is a bad request',
    reason: 'The reference answers 500, as for a fault of its own.',
    fits: ({ step, reference, tern }) => step.http && status(reference) === 500 && status(tern) === 400,
  },
  {
    name: 'a body that holds something that is no packet is a bad request',
    reason: 'The reference says ok and closes the session; the session is closed here too, and the client is told.',
    fits: ({ step, reference, tern }) => (step.http === 'POST' || step.poll !== undefined) && status(reference) === 200 && status(tern) === 400,
  },
  {
    name: 'a parameter that is given twice has no valid value',
    reason: 'The reference takes the last, other readers the first: a balancer and a gateway would not see the same session.',
    fits: ({ step, tern }) => ['EIO', 'transport', 'sid'].some((name) => (step.query ?? '').split('&').filter((p) => p.startsWith(`${name}=`)).length > 1) && status(tern) === 400,
  },
  {
    name: 'a NUL in a request line is refused before anything else',
    reason: 'No text holds one; the answer is that of every malformed request.',
    fits: ({ step, reference, tern }) => /%00/.test(step.query ?? '') && status(reference) === 400 && status(tern) === 400,
  },
  {
    name: 'unknown paths are answered in JSON',
    reason: 'They are no part of the protocol: whoever mounts the server answers them.',
    fits: ({ reference, tern }) => status(reference) === 404 && status(tern) === 404,
  },
  {
    name: 'arguments are relayed as they came',
    reason: 'The reference parses and writes anew: 1.0 becomes 1, the last of two keys of one name stays, attachments are counted anew. The text, and the placeholders in it, are validated and passed on; they have the same value.',
    fits: ({ reference, tern }) => same(reference, tern),
  },
  {
    name: 'white space before the payload is white space',
    reason: 'The reference reads it as the ack id 0 and acknowledges, or sends an event that asks for an ack.',
    fits: ({ step }) => /^4\d(\d*-)?(\/[^,]*,)?\d*\s/.test(sent(step)),
  },
  {
    name: 'ids that are no exact number in JavaScript close the connection',
    reason: 'The reference rounds them and acknowledges another id.',
    fits: ({ step, tern }) => /^4\d[^[]*\d{16,}/.test(sent(step)) && isClosed(tern),
  },
  {
    name: 'JSON deeper than 64 closes the connection',
    reason: 'Who receives it may be no match for it; the reference has no bound but the stack.',
    fits: ({ step, tern }) => depth(sent(step)) > 64 && isClosed(tern),
  },
  {
    name: 'a placeholder is judged where it stands',
    reason: 'In the reference a member that a later one of the same name replaces is gone before its placeholder could be wrong. Here the text is passed on with both.',
    fits: (at) => hasReplaced(headerOf(at)) && isClosed(at.tern),
  },
  {
    name: 'a binary packet without payload closes the connection',
    reason: 'The reference waits for its attachments and then does nothing.',
    fits: (at) => /^4[56]\d+-(\/[^,]*,)?\d*$/.test(headerOf(at)) && isClosed(at.tern),
  },
  {
    name: 'names of namespaces are at most 256 bytes',
    reason: 'A name is echoed in its refusal: without a bound a client has a megabyte sent for nothing.',
    fits: ({ step, tern }) => /^40\/[^,]{257}/.test(sent(step)) && isClosed(tern),
  },
  {
    name: '40 before what was missed',
    reason: 'The stock client keeps events that precede the CONNECT answer in a buffer that survives a disconnect; a cut in mid-replay then delivers them twice.',
    fits: ({ step, reference, tern }) => /"pid"/.test(sent(step)) && /^40/.test(tern[0]) && [...reference].sort().join() === [...tern].sort().join(),
  },
  {
    name: 'one restore for each pid',
    reason: 'The reference never forgets a session that was restored, so that one pid makes two sockets with one id.',
    fits: ({ scenario, step, reference, tern }) => /"pid"/.test(sent(step)) && scenario.steps.filter((s) => /"pid"/.test(sent(s))).length > 1 && reference[0] !== tern[0],
  },
  {
    name: 'a connection that the server ends is closed without a 41',
    reason: 'A 41 tells the stock client not to come back; who is sent elsewhere has to come back.',
    fits: ({ step, reference, tern }) => /"server disconnect",true/.test(sent(step)) && /^41$/.test(reference[0]) && isClosed(tern),
  },
];

/** Steps of a transcript: the lines between its '--'. */
export function stepsOf(lines) {
  const out = [[]];
  for (const line of lines) {
    if (line === '--') out.push([]);
    else out.at(-1).push(line);
  }
  return out.slice(0, -1);
}

/** The first difference that no rule fits, or null; `used` gets the names of the rules that did. */
export function compare(scenario, referenceLines, ternLines, used = new Set()) {
  const [reference, tern] = [stepsOf(referenceLines), stepsOf(ternLines)];
  for (let i = 0; i < scenario.steps.length; i++) {
    const at = { scenario, step: scenario.steps[i], reference: reference[i] ?? [], tern: tern[i] ?? [] };
    if (JSON.stringify(at.reference) === JSON.stringify(at.tern)) continue;
    const rule = intended.find((r) => r.fits(at));
    if (!rule) return { index: i, ...at };
    used.add(rule.name);
    // One of them has closed, or opened, what the other has not: nothing that follows is comparable.
    if (isClosed(at.reference) !== isClosed(at.tern) || status(at.reference) !== status(at.tern)) return null;
  }
  return null;
}
