// Scenarios by chance, but the same for the same seed: packets from a grammar, bent here and there, and requests with odd queries.

export function generator(seed) {
  let state = BigInt(seed) * 2n + 1n;
  const next = () => {
    state = (state * 6364136223846793005n + 1442695040888963407n) & ((1n << 64n) - 1n);
    return Number(state >> 33n);
  };
  const below = (n) => next() % n;
  const one = (list) => list[below(list.length)];
  return { below, one, chance: (percent) => below(100) < percent };
}

function json({ below, one, chance }, depth = 0) {
  switch (below(depth > 3 ? 5 : 8)) {
    case 0: return one(['1', '0', '-1', '1.5', '1e3', '12345678901234567890', '-0', '1.0', '1E+2']);
    case 1: return one(['true', 'false', 'null']);
    case 2: return JSON.stringify(one(['', 'x', 'ä€😀', '\u2028', 'a"b\\c', '\u0000\u001f', '__proto__', 'connect', 'message']));
    case 3: return one(['"\\u0041"', '"\\ud83d\\ude00"', '"\\/"', '"\\t"']);
    case 4: return one(['{"_placeholder":true,"num":0}', '{"_placeholder":true,"num":1}', '{"_placeholder":false,"num":0}', '{"num":0}', '{"_placeholder":true,"num":99}']);
    case 5: return `[${Array.from({ length: below(4) }, () => json({ below, one, chance }, depth + 1)).join(one([',', ', ']))}]`;
    default: return `{${Array.from({ length: below(4) }, (_, i) => `"${one(['a', 'b', 'toString', `k${i}`])}"${one([':', ' : '])}${json({ below, one, chance }, depth + 1)}`).join(',')}}`;
  }
}

function bend(g, text) {
  const at = g.below(text.length + 1);
  switch (g.below(5)) {
    case 0: return text.slice(0, at);
    case 1: return text.slice(0, at) + g.one(['"', ',', '[', ']', '{', '}', '-', '/', '0', '9', ' ', '\\', 'x', '\u0001']) + text.slice(at);
    case 2: return text.slice(0, at) + text.slice(at + 1);
    case 3: return text + g.one([' ', 'x', ']', ',']);
    default: return text.slice(1);
  }
}

function packet(g) {
  const nsp = g.one(['', '', '', '', '/,', '/custom,', '/custom,', '/other,', '/custom', '/a?b=c,']);
  const id = g.one(['', '', '', '0', '1', '12', '007']);
  const args = Array.from({ length: g.below(4) }, () => json(g));
  const name = g.one(['"message"', '"message"', '"message"', '"message-with-ack"', '"message-with-ack"', '"other"', '5', '"disconnect"', '"m\\u0065ssage"', 'null']);
  const event = `[${[name, ...args].join(',')}]`;
  const text = g.one([`42${nsp}${id}${event}`, `42${nsp}${id}${event}`, `42${nsp}${id}${event}`, `40${nsp}${g.one(['', '{}', '{"a":1}', '[]'])}`, `41${nsp}`, `43${nsp}${id}[${args.join(',')}]`, `44${nsp}{"message":"x"}`]);
  return g.chance(20) ? bend(g, text) : text;
}

function binaryPackets(g) {
  const count = 1 + g.below(3);
  const args = Array.from({ length: count }, (_, i) => (g.chance(85) ? `{"_placeholder":true,"num":${i}}` : json(g)));
  const name = g.one(['"message"', '"message-with-ack"', '"other"']);
  const head = `45${g.chance(90) ? count : g.one([0, 11, 99])}-${g.one(['', '', '5'])}[${[name, ...args].join(',')}]`;
  return [
    { ws: 'text', data: g.chance(10) ? bend(g, head) : head, unmarked: true },
    ...Array.from({ length: count }, (_, i) => ({ ws: 'binary', data: [i, 255], unmarked: i < count - 1 })),
  ];
}

function socketio(g) {
  const steps = [{ ws: 'open' }];
  if (g.chance(85)) steps.push({ ws: 'text', data: '40' });
  if (g.chance(30)) steps.push({ ws: 'text', data: '40/custom,{"x":1}' });
  for (let i = 1 + g.below(5); i > 0; i--) {
    if (g.chance(20)) steps.push(...binaryPackets(g));
    else steps.push({ ws: 'text', data: packet(g) });
  }
  return { program: 'conf-socketio', steps };
}

function engineText(g) {
  const text = g.one(['4hello', '4', 'bAQID', 'bAQ', 'b', '3', '0', '5', '6', '4ä€😀', '2', '7', '4\u0000', `4${'x'.repeat(1 + g.below(70000))}`]);
  return g.chance(10) ? bend(g, text) : text;
}

function engineio(g) {
  if (g.chance(50)) return { program: 'conf-engineio', steps: [{ ws: 'open' }, ...Array.from({ length: 1 + g.below(5) }, () => (g.chance(25) ? { ws: 'binary', data: [g.below(256), 0] } : { ws: 'text', data: engineText(g) }))] };
  const steps = [{ http: 'GET', query: 'EIO=4&transport=polling' }];
  for (let i = 1 + g.below(3); i > 0; i--) steps.push({ poll: Array.from({ length: 1 + g.below(4) }, () => engineText(g)).join('\x1e') });
  return { program: 'conf-engineio', steps };
}

function requests(g) {
  const steps = g.chance(50) ? [{ http: 'GET', query: 'EIO=4&transport=polling' }] : [];
  for (let i = 1 + g.below(3); i > 0; i--) {
    const query = [
      g.one(['EIO=4', 'EIO=4', 'EIO=4', 'EIO=3', 'EIO=', 'EIO=5', '']),
      g.one(['transport=polling', 'transport=polling', 'transport=websocket', 'transport=', 'transport=xhr', 'transport=polling&transport=polling', '']),
      g.one(['', '', 'sid=<sid>', 'sid=x', 'sid=', 'sid=%00', 'sid=a&sid=b']),
      g.one(['', '', 't=abc', 'b64=1', 'x', '&&', 'a=%zz']),
    ].filter(Boolean).join('&');
    // A GET that would wait for something is another matter.
    const method = query.includes('<sid>') ? g.one(['POST', 'PUT', 'DELETE', 'PATCH']) : g.one(['GET', 'GET', 'POST', 'PUT', 'HEAD']);
    if (method === 'HEAD') continue;
    const body = method === 'GET' ? undefined : g.one(['4x', '', 'abc', '4a\x1e4b', 'bAQ']);
    steps.push({ http: method, query, body, headers: g.chance(20) ? { Origin: 'http://a.example' } : {} });
  }
  return { program: g.one(['conf-engineio', 'conf-socketio']), steps };
}

/** The scenario of a seed. */
export function randomScenario(seed) {
  const g = generator(seed);
  return g.one([socketio, socketio, engineio, requests])(g);
}
