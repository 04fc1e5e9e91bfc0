// Runs the command blocks of a page of the manual, one after the other, in one shell's surroundings.
//
// A block is indented code fenced with ```sh. Lines after a line `# prints` are not run: each of them has to stand in what the block
// printed, where `…` stands for anything. A block before which `<!-- norun: reason -->` stands is left out. `<!-- fails: N -->` names
// the exit code that is expected.
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';

/** [{line, code, expected: [text], norun, exit}] */
export function readBlocks(file) {
  const blocks = [];
  let note = {};
  let block = null;
  for (const [i, line] of readFileSync(file, 'utf8').split('\n').entries()) {
    const mark = /^<!-- (norun|fails): (.*) -->$/.exec(line);
    if (mark) note[mark[1]] = mark[2];
    else if (!block && line.startsWith('```sh')) block = { line: i + 1, code: [], expected: [], printing: false, norun: note.norun, exit: Number(note.fails ?? 0) };
    else if (block && line === '```') {
      blocks.push({ ...block, code: block.code.join('\n') });
      block = null;
      note = {};
    } else if (block && line === '# prints') block.printing = true;
    else if (block) (block.printing ? block.expected : block.code).push(line);
    else if (line.trim()) note = {};
  }
  return blocks;
}

/** Runs one: {code, out}. stdout and stderr together, as people see them. */
export function runBlock({ code }, { cwd, env, timeoutMs = 60000 }) {
  return new Promise((done) => {
    const child = spawn('bash', ['-eo', 'pipefail', '-c', code], { cwd, env, stdio: ['ignore', 'pipe', 'pipe'], timeout: timeoutMs });
    let out = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (out += chunk));
    child.on('close', (exit) => done({ code: exit, out }));
  });
}

/** The expected lines that were not printed, in order. */
export function missingLines(expected, out) {
  const plain = (text) => text.replace(/\s+/g, ' ').trim();
  const lines = out.split('\n').map(plain);
  let at = 0;
  return expected.filter(Boolean).filter((want) => {
    const pattern = new RegExp(`^${plain(want).split('…').map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')).join('.*')}$`);
    const found = lines.findIndex((line, i) => i >= at && pattern.test(line));
    if (found >= 0) at = found + 1;
    return found < 0;
  });
}
