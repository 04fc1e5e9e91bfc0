// What happened, as files: one JSON object a line, in the order in which it was observed. The checkers read nothing else.
//
//   chat.ndjson      what each socket saw and was told: connect, break, ask (a join goes out), join (its ack), page, event, mark, gap
//   sends.ndjson     send (an attempt goes out), ack
//   emits.ndjson     emit (a row of tern_outbox is committed, or perhaps is)
//   streams.ndjson   what each event stream saw: event, gap
//   posts.ndjson     post, posted; read, marked
//   archive.ndjson   Postgres at the end: event, message, notice, notification, broadcast
//   faults.ndjson    what was done to whom, and when it was over
import { appendFileSync, existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const flushAt = 200;

export const parts = ['chat', 'sends', 'emits', 'streams', 'posts', 'archive', 'faults'];

export class History {
  constructor(dir) {
    mkdirSync(dir, { recursive: true });
    this.dir = dir;
    this.began = Date.now();
    this.lines = Object.fromEntries(parts.map((part) => [part, []]));
  }

  /** ms since the beginning. */
  now() {
    return Date.now() - this.began;
  }

  note(part, record) {
    const lines = this.lines[part];
    lines.push(JSON.stringify({ t: this.now(), ...record }));
    if (lines.length >= flushAt) this.flush(part);
  }

  flush(part) {
    const lines = this.lines[part];
    if (lines.length > 0) appendFileSync(join(this.dir, `${part}.ndjson`), `${lines.join('\n')}\n`);
    this.lines[part] = [];
  }

  close() {
    for (const part of parts) this.flush(part);
  }
}

/** {chat: [...], sends: [...], ...}. */
export function readHistory(dir) {
  const read = (part) => {
    const path = join(dir, `${part}.ndjson`);
    if (!existsSync(path)) return [];
    return readFileSync(path, 'utf8').split('\n').filter(Boolean).map((line) => JSON.parse(line));
  };
  return Object.fromEntries(parts.map((part) => [part, read(part)]));
}
