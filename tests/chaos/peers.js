// Which process is at the other end of a loopback connection: by the socket's number in /proc/net/tcp and the processes' descriptors.
//
// Looking is dear when thousands of closed connections still stand in the table, so all who ask within a moment share one look.
import { readdirSync, readlinkSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';

const momentMs = 100;
const loopback = '0100007F';
const hex = (port) => port.toString(16).toUpperCase().padStart(4, '0');

/** The socket's number (inode) at the client's end, or null. The table's columns: local, remote, state, ..., the tenth is the inode. */
function inodeOf(table, clientPort, serverPort) {
  const at = table.indexOf(`${loopback}:${hex(clientPort)} ${loopback}:${hex(serverPort)} `);
  if (at < 0) return null;
  return table.slice(at, table.indexOf('\n', at)).trim().split(/\s+/)[8];
}

function socketsOf(pid) {
  const found = [];
  try {
    for (const fd of readdirSync(`/proc/${pid}/fd`)) {
      try {
        const match = /^socket:\[(\d+)\]$/.exec(readlinkSync(`/proc/${pid}/fd/${fd}`));
        if (match) found.push(match[1]);
      } catch {
        // It was closed meanwhile.
      }
    }
  } catch {
    // The process has ended.
  }
  return found;
}

export class Peers {
  /** processes() = {name: {pid}} of those that are looked for. */
  constructor(processes) {
    this.processes = processes;
    this.looking = null;
  }

  async look() {
    await sleep(momentMs);
    this.looking = null; // who asks from now on may have come too late for this look
    const table = await readFile('/proc/net/tcp', 'latin1');
    const owners = new Map();
    for (const [name, { pid }] of Object.entries(this.processes())) for (const inode of socketsOf(pid)) owners.set(inode, name);
    return { table, owners };
  }

  /** The name of the process that has connected from this port to that; null if it is none of them. */
  async nameOf(clientPort, serverPort) {
    this.looking ??= this.look();
    const { table, owners } = await this.looking;
    return owners.get(inodeOf(table, clientPort, serverPort)) ?? null;
  }
}
