// The fenced blocks of a page of the manual, and how one is run.
//
// A ```sh block is run as it stands. Lines after a line `# prints` are not run: each of them has to stand in what the block printed,
// where `…` stands for anything. A comment on a line of its own before the fence says what else a block is:
//   <!-- norun: reason -->  it is not run, and why
//   <!-- fails: N -->       it ends with this exit code
//   <!-- stays -->          it goes on running beside the later blocks, like a second terminal; what it prints is awaited
//   <!-- file: NAME -->     it is a file of the page's folder, of any language, for the blocks behind it
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';

const markLine = /^\s*<!-- (norun|fails|stays|file)(?:: (.*))? -->$/;
const fence = /^( *)```(\S*)/;

/** All fenced blocks: [{line, lang, code, expected: [text], norun, exit, stays, file}]. */
export function readBlocks(path) {
  const blocks = [];
  let marks = {};
  let block = null;
  for (const [i, line] of readFileSync(path, 'utf8').split('\n').entries()) {
    const mark = markLine.exec(line);
    const opening = fence.exec(line);
    if (block && line.trim() === '```') {
      blocks.push({ ...block, code: block.code.join('\n') });
      block = null;
      marks = {};
    } else if (block) {
      const text = line.startsWith(block.indent) ? line.slice(block.indent.length) : line.trimStart();
      if (text === '# prints' && !block.file) block.printing = true;
      else (block.printing ? block.expected : block.code).push(text);
    } else if (mark) {
      marks[mark[1]] = mark[2] ?? true;
    } else if (opening) {
      const { norun, file } = marks;
      block = { line: i + 1, indent: opening[1], lang: opening[2], code: [], expected: [], printing: false, norun, file, stays: marks.stays ?? false, exit: Number(marks.fails ?? 0) };
    } else if (line.trim()) {
      marks = {};
    }
  }
  if (block) throw new Error(`${path}: the block of line ${block.line} does not end`);
  return blocks;
}

/**
 * Starts one in a process group of its own: {out(), ended: promise of the exit code, end()}. stdout and stderr come together, as people
 * see them. What a block exports, the blocks after it have, if `state` names a file to keep it in.
 */
export function startBlock({ code, stays }, { cwd, env, state }) {
  const known = state ? `[ ! -e '${state}' ] || . '${state}'\n` : '';
  const keep = state && !stays ? `trap "export -p >'${state}'" EXIT\n` : '';
  const child = spawn('bash', ['-eo', 'pipefail', '-c', known + keep + code], { cwd, env, stdio: ['ignore', 'pipe', 'pipe'], detached: true });
  let out = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (out += chunk));
  const ended = new Promise((done) => child.on('close', (exit, signal) => done(exit ?? signal)));
  const end = (signal = 'SIGKILL') => {
    try {
      process.kill(-child.pid, signal);
    } catch {
      // It has ended by itself.
    }
    return ended;
  };
  return { out: () => out, ended, end };
}

/** Runs one to its end: {code, out}. */
export async function runBlock(block, { timeoutMs = 60000, ...surroundings }) {
  const run = startBlock(block, surroundings);
  const timer = setTimeout(() => run.end(), timeoutMs);
  const code = await run.ended;
  clearTimeout(timer);
  return { code, out: run.out() };
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
