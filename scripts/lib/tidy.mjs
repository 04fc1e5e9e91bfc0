// The rules that scripts/tidy checks. The table of who may include whom is read from services/README.md, so that what people
// read is what is enforced.
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { basename, join } from 'node:path';
import { Failure, report } from './failure.mjs';
import { root } from './paths.mjs';

const linesMax = 600;

// Which library a header belongs to, by the beginning of its path. What is in neither list is a fault: a new dependency gets
// a row here and a place in the table.
const thirdParty = [
  ['uv.h', 'libuv'],
  ['uv/', 'libuv'],
  ['wslay/', 'wslay'],
  ['civetweb.', 'civetweb'],
  ['openssl/', 'libcrypto'],
  ['rhonabwy.h', 'rhonabwy'],
  ['gnutls/', 'gnutls'],
  ['curl/', 'libcurl'],
  ['librdkafka/', 'librdkafka'],
  ['libpq-fe.h', 'libpq'],
  ['libpq/', 'libpq'],
  ['json-c/', 'json-c'],
  ['jq.h', 'libjq'],
];
const systemFolders = ['sys/', 'arpa/', 'netinet/', 'net/', 'linux/'];
const systemHeaders = new Set(
  (
    'assert ctype dirent endian errno fcntl getopt ifaddrs inttypes limits locale malloc math netdb poll pthread pwd sched semaphore setjmp ' +
    'signal spawn stdalign stdarg stdatomic stdbool stddef stdint stdio stdlib stdnoreturn string strings syslog termios time ' +
    'unistd wchar'
  )
    .split(' ')
    .map((name) => `${name}.h`),
);

/** The rows of the table, by the name that an include begins with: Map of 'wire' -> {folder, own: Set, libraries: Set}. */
function readTable() {
  const shelves = new Map();
  for (const line of readFileSync(join(root, 'services/README.md'), 'utf8').split('\n')) {
    const cells = line.split('|').map((cell) => cell.trim());
    const folder = cells[1]?.match(/^`([\w/]+)`$/)?.[1];
    if (!folder || cells.length < 6) continue;
    const name = basename(folder);
    const words = (cell, separator) => cell.split(separator).map((word) => word.trim()).filter((word) => word && word !== '-');
    shelves.set(name, {
      folder: folder === 'proto' ? 'proto' : `services/${folder}`,
      own: new Set([name, ...words(cells[3], /\s+/)]),
      libraries: new Set(words(cells[4], ',')),
    });
  }
  if (shelves.size < 5) throw new Failure('services/README.md has no table of who may include whom');
  return shelves;
}

/** All files below a folder whose names end like C. */
function sourcesOf(folder) {
  const found = [];
  for (const entry of readdirSync(join(root, folder), { withFileTypes: true })) {
    const path = `${folder}/${entry.name}`;
    if (entry.isDirectory() && entry.name !== 'node_modules') found.push(...sourcesOf(path));
    else if (entry.isFile() && /\.(c|h|def)$/.test(entry.name)) found.push(path);
  }
  return found.sort();
}

function includesOf(text) {
  const found = [];
  text.split('\n').forEach((line, index) => {
    const match = line.match(/^\s*#\s*include\s*([<"])([^>"]+)[>"]/);
    if (match) found.push({ line: index + 1, name: match[2], quoted: match[1] === '"' });
  });
  return found;
}

/** Why a shelf may not include this, or null. */
function forbidden(include, name, shelf, shelves) {
  const library = thirdParty.find(([prefix]) => include.name.startsWith(prefix))?.[1];
  if (library) {
    return shelf.libraries.has(library) ? null : `${include.name} belongs to ${library}, which the table does not give to ${name}`;
  }
  if (!include.quoted) {
    const system = systemHeaders.has(include.name) || systemFolders.some((prefix) => include.name.startsWith(prefix));
    return system ? null : `<${include.name}> is neither libc, nor POSIX, nor a library that scripts/lib/tidy.mjs knows`;
  }
  // Made at build time from .sql files, beside the sources that use them.
  if (/^\w+_sql\.h$/.test(include.name)) return null;
  const [first, rest] = include.name.split('/');
  if (!rest) return `"${include.name}" is written without its folder`;
  if (!shelves.has(first)) return `"${include.name}": ${first} stands in no row of services/README.md`;
  return shelf.own.has(first) ? null : `${name} may not include ${first} ("${include.name}")`;
}

/** A .c file that has a header of its own begins with it, or with its library's internal one, so that headers are proved to
 * stand by themselves. */
function ownHeaderFault(path, includes, folder, name) {
  if (!path.endsWith('.c') || !existsSync(join(root, path.slice(0, -2) + '.h'))) return null;
  const want = `${name}${path.slice(folder.length, -2)}.h`;
  const first = includes[0];
  if (first?.name === want || /^internal\.h$|_internal\.h$/.test(first?.name.slice(name.length + 1) ?? '')) return null;
  return { line: first?.line ?? 1, why: `"${want}" has to be its first include` };
}

function checkShelves(faults) {
  const shelves = readTable();
  const folders = readdirSync(join(root, 'services'), { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && entry.name !== 'lib')
    .map((entry) => `services/${entry.name}`);
  folders.push(...readdirSync(join(root, 'services/lib')).map((entry) => `services/lib/${entry}`), 'proto');
  const known = new Map([...shelves].map(([name, shelf]) => [shelf.folder, name]));
  for (const [name, shelf] of shelves) {
    if (!existsSync(join(root, shelf.folder))) faults.push(`services/README.md: ${name} has a row, but no folder ${shelf.folder}`);
  }
  let count = 0;
  for (const folder of folders) {
    const files = sourcesOf(folder);
    const name = known.get(folder);
    if (!name && files.length > 0) faults.push(`${folder}: stands in no row of services/README.md`);
    for (const path of name ? files : []) {
      count++;
      const includes = includesOf(readFileSync(join(root, path), 'utf8'));
      for (const include of includes) {
        const why = forbidden(include, name, shelves.get(name), shelves);
        if (why) faults.push(`${path}:${include.line}: ${why}`);
      }
      const own = ownHeaderFault(path, includes, folder, name);
      if (own) faults.push(`${path}:${own.line}: ${own.why}`);
    }
  }
  return count;
}

function remarksOn(path) {
  const lines = readFileSync(join(root, path), 'utf8').split('\n');
  const remarks = [];
  if (lines.length - 1 > linesMax) remarks.push(`${path}: ${lines.length - 1} lines, a noun may be missing`);
  lines.forEach((line, index) => {
    if (/\b(TODO|FIXME|XXX|HACK)\b/.test(line)) remarks.push(`${path}:${index + 1}: a mark of unfinished work`);
  });
  return remarks;
}

/** What is generated from proto's tables has to be what they say now. */
function checkGenerated(faults) {
  const r = spawnSync(process.execPath, [join(root, 'scripts/generate-proto.mjs'), '--check'], { encoding: 'utf8' });
  if (r.status !== 0) faults.push(...r.stderr.trim().split('\n').map((line) => `proto/${line}`));
}

try {
  const faults = [];
  const count = checkShelves(faults);
  checkGenerated(faults);
  for (const path of ['services', 'proto', 'tests'].filter((folder) => existsSync(join(root, folder))).flatMap(sourcesOf)) {
    for (const remark of remarksOn(path)) console.log(`remark: ${remark}`);
  }
  for (const fault of faults) console.log(fault);
  console.log(`${count} files, ${faults.length === 1 ? '1 fault' : `${faults.length} faults`}`);
  if (faults.length > 0) process.exitCode = 1;
} catch (error) {
  report('scripts/tidy', error);
}
