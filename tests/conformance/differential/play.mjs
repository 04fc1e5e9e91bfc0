// Plays a scenario at a server and writes down what came back.
//
// A scenario is {program, steps}. A step is one of
//   {http: 'GET', query, body?, headers?, path?}  one request on a connection of its own
//   {ws: 'open', query?}                          a WebSocket; {ws: 'text'|'binary'|'bytes', data}, {ws: 'close', code?}
//   {poll: payload}                               a POST on the polling session, then polls until its mark has come back
//   {drop: true}                                  the WebSocket's connection is cut
// `<sid>`, `<pid>` and `<offset>` in texts stand for what this server gave out last, `<offset 1>` for its first. After each message a mark is sent, to which both servers
// have to answer, so that everything before it has been answered too: no time is waited for.
import net from 'node:net';
import WebSocket from 'ws';

const quietMs = 3000;

class Player {
  constructor(port, program) {
    this.port = port;
    this.program = program;
    this.path = program === 'conf-engineio' ? '/engine.io/' : '/socket.io/';
    this.known = { sid: 'none', pid: 'none', offset: 'none' };
    this.names = new Map();
    this.lines = [];
    this.sockets = [];
    this.marks = 0;
  }

  fill(text) {
    if (typeof text !== 'string') return text;
    const first = (name) => [...this.names].find(([, n]) => n === name)?.[0] ?? 'none';
    return text.replace(/<\w+ \d+>/g, first).replace(/<(sid|pid|offset)>/g, (_, name) => this.known[name]);
  }

  // What differs between two runs of one server gets a name by its order of appearance.
  name(kind, value) {
    if (!this.names.has(value)) this.names.set(value, `<${kind} ${[...this.names.values()].filter((n) => n.startsWith(`<${kind} `)).length + 1}>`);
    return this.names.get(value);
  }

  tidy(text) {
    let t = text.replace(/("sid":")([^"]+)"/g, (_, before, sid) => {
      if (/^0\{/.test(text)) this.known.sid = sid;
      return `${before}${this.name('sid', sid)}"`;
    });
    t = t.replace(/("pid":")([^"]+)"/g, (_, before, pid) => {
      this.known.pid = pid;
      return `${before}${this.name('pid', pid)}"`;
    });
    if (this.program !== 'conf-client') return t;
    return t.replace(/^(4[25].*,")([\w.-]{6,20})"\]$/, (_, before, offset) => {
      this.known.offset = offset;
      return `${before}${this.name('offset', offset)}"]`;
    });
  }

  note(line) {
    this.lines.push(line);
  }

  mark() {
    const m = `mark-${++this.marks}`;
    return this.program === 'conf-engineio' ? { send: `4${m}`, back: `4${m}` } : { send: `40/${m},`, back: `44/${m},{"message":"Invalid namespace"}` };
  }

  // ---- HTTP ----

  async http({ http: method, query, body, headers = {}, path = this.path }) {
    const answer = await this.request(method, `${path}${query === undefined ? '' : `?${this.fill(query)}`}`, body, headers);
    const body1 = answer.body.split('\x1e').map((p) => this.tidy(p)).join('\x1e');
    const seen = ['content-type', 'access-control-allow-origin', 'set-cookie'].map((h) => `${h}: ${answer.headers[h] ?? '-'}`);
    this.note(`${answer.status} ${seen.join(' | ')} | ${JSON.stringify(body1)}`);
  }

  request(method, target, body, headers = {}) {
    return new Promise((resolve) => {
      const s = net.connect(this.port, '127.0.0.1');
      const bytes = body === undefined ? Buffer.alloc(0) : Buffer.from(body);
      const length = body === undefined || 'Transfer-Encoding' in headers ? '' : `Content-Length: ${bytes.length}\r\n`;
      const lines = Object.entries(headers).map(([k, v]) => `${k}: ${v}\r\n`).join('');
      s.write(`${method} ${target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n${length}${lines}\r\n`);
      s.write(bytes);
      let got = Buffer.alloc(0);
      s.setTimeout(quietMs, () => s.destroy(new Error('silence')));
      s.on('data', (d) => { got = Buffer.concat([got, d]); });
      s.on('error', () => {});
      s.on('close', () => resolve(parseAnswer(got)));
    });
  }

  // ---- polling ----

  async poll({ poll: payload }) {
    const query = `EIO=4&transport=polling&sid=${this.known.sid}`;
    const mark = this.mark();
    const post = await this.request('POST', `${this.path}?${query}`, `${this.fill(payload)}\x1e${mark.send}`, { 'Content-Type': 'text/plain;charset=UTF-8' });
    this.note(`post ${post.status} ${JSON.stringify(post.body)}`);
    for (let done = post.status !== 200; !done;) {
      const got = await this.request('GET', `${this.path}?${query}`);
      if (got.status !== 200) {
        this.note(`poll ${got.status} ${JSON.stringify(got.body)}`);
        return;
      }
      for (const packet of got.body.split('\x1e')) {
        if (packet === '2') await this.request('POST', `${this.path}?${query}`, '3');
        else if (packet === mark.back) done = true;
        else this.note(this.tidy(packet));
        done ||= packet === '1';
      }
    }
  }

  // ---- WebSocket ----

  async open({ query = 'EIO=4&transport=websocket' }) {
    const ws = new WebSocket(`ws://127.0.0.1:${this.port}${this.path}?${this.fill(query)}`, { perMessageDeflate: false });
    this.ws = ws;
    this.sockets.push(ws);
    this.waiting = null;
    this.over = false;
    ws.on('error', () => {});
    ws.on('message', (data, binary) => {
      const text = data.toString();
      if (ws !== this.ws && text !== '2') return; // one that another has followed
      if (!binary && text === '2') {
        if (ws.readyState === WebSocket.OPEN) ws.send('3');
      } else if (!binary && text === this.waiting?.back) {
        this.waiting.done();
      } else {
        this.note(binary ? `bytes ${data.toString('hex')}` : this.tidy(text));
        if (!binary && text.startsWith('0{')) this.waiting?.first?.();
      }
    });
    const closed = new Promise((resolve) => {
      ws.on('close', (code, reason) => {
        if (ws !== this.ws) return;
        if (!this.over) this.note(`closed ${code}${reason.length ? ` ${reason}` : ''}`);
        this.over = true;
        this.waiting?.done?.();
        this.waiting?.first?.();
        resolve();
      });
    });
    const refused = new Promise((resolve) => {
      ws.on('unexpected-response', (req, res) => {
        let body = '';
        res.on('data', (d) => { body += d; });
        res.on('end', () => {
          this.note(`refused ${res.statusCode} ${body}`);
          this.over = true;
          resolve();
        });
        res.on('error', resolve);
      });
    });
    const opened = new Promise((resolve) => { ws.on('open', resolve); });
    const handshake = /sid=/.test(query) ? opened : new Promise((resolve) => { this.waiting = { first: resolve, done: resolve }; });
    await Promise.race([handshake, closed, refused, timer()]);
    this.closed = closed;
  }

  async websocket(step) {
    if (step.ws === 'open') return this.open(step);
    if (!this.ws || this.over || this.ws.readyState !== WebSocket.OPEN) return undefined;
    if (step.ws === 'close') {
      this.ws.close(step.code);
      return Promise.race([this.closed, timer()]);
    }
    if (step.ws === 'text') this.ws.send(this.fill(step.data));
    else if (step.ws === 'binary') this.ws.send(Buffer.from(step.data));
    else this.ws._socket.write(Buffer.from(step.data));
    if (step.unmarked) return undefined;
    const mark = this.mark();
    const answered = new Promise((done) => { this.waiting = { back: mark.back, done }; });
    if (this.ws.readyState === WebSocket.OPEN) this.ws.send(mark.send);
    if (await Promise.race([answered.then(() => true), timer()])) return undefined;
    return this.note('silence');
  }

  async play(steps) {
    try {
      for (const step of steps) {
        const from = this.lines.length;
        if (step.http) await this.http(step);
        else if (step.poll !== undefined) await this.poll(step);
        else if (step.drop) await this.drop();
        else await this.websocket(step);
        if (this.lines.length === from) this.note('-');
        this.note('--');
      }
    } finally {
      this.over = true;
      for (const ws of this.sockets) ws.terminate();
    }
    return this.lines;
  }

  async drop() {
    this.over = true;
    this.ws.terminate();
    await this.closed;
    // The server has to notice before the client is back.
    await new Promise((resolve) => { setTimeout(resolve, 50); });
  }
}

function timer() {
  return new Promise((resolve) => { setTimeout(() => resolve(false), quietMs).unref(); });
}

function parseAnswer(got) {
  const at = got.indexOf('\r\n\r\n');
  if (at < 0) return { status: 0, headers: {}, body: '' };
  const lines = got.subarray(0, at).toString().split('\r\n');
  const headers = Object.fromEntries(lines.slice(1).map((l) => [l.slice(0, l.indexOf(':')).toLowerCase(), l.slice(l.indexOf(':') + 1).trim()]));
  let body = got.subarray(at + 4);
  if (headers['transfer-encoding'] === 'chunked') body = unchunk(body);
  return { status: Number(lines[0].split(' ')[1]), headers, body: body.toString() };
}

function unchunk(body) {
  const parts = [];
  for (let rest = body; rest.length;) {
    const at = rest.indexOf('\r\n');
    const n = parseInt(rest.subarray(0, at).toString(), 16);
    if (!n) break;
    parts.push(rest.subarray(at + 2, at + 2 + n));
    rest = rest.subarray(at + 4 + n);
  }
  return Buffer.concat(parts);
}

/** The transcript: what came back step by step, a line '--' after each. */
export function play(port, scenario) {
  return new Player(port, scenario.program).play(scenario.steps);
}
