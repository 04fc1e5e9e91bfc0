// A hostile client in a process of its own, so that its work is not taken for the server's: node attacker.js KIND URL TOKEN COUNT CONVERSATION.
// It prints `ready` when all is open (or the flood begins), and JSON of what became of it at the end.
import net from 'node:net';
import { io } from 'socket.io-client';

const [kind, url, token, countText, conversationId] = process.argv.slice(2);
const count = Number(countText);
const { hostname, port } = new URL(url);
const masked = (text) => Buffer.concat([Buffer.from([0x81, 0x80 | text.length, 0, 0, 0, 0]), Buffer.from(text)]);
const upgrade = 'GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n';

const sockets = {
  heads: { greet: (i) => (i % 3 ? 'GET /socket.io/?EIO=4 HTTP/1.1\r\nHost: x\r\nX-' : 'GE'), dribbles: true },
  bodies: { greet: () => `POST /conversations HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${token}\r\nContent-Length: 1000\r\n\r\n{"` },
  frames: { greet: () => Buffer.concat([Buffer.from(upgrade), masked('4xxxxxx').subarray(0, 3)]), dribbles: true },
  // They answer pings, so that only the missing CONNECT can end them.
  unjoined: { greet: () => upgrade, pongs: true },
}[kind];

async function holdMany() {
  const all = [];
  let closed = 0;
  let told = 0;
  while (all.length < count) {
    const some = Array.from({ length: Math.min(200, count - all.length) }, (_, i) => {
      const s = net.connect({ host: hostname, port: Number(port) });
      s.on('error', () => {});
      s.on('close', () => closed++);
      s.on('data', (d) => {
        if (/^HTTP\/1\.1 (408|503)/.test(d.toString('latin1'))) told++;
        if (sockets.pongs && d.includes(Buffer.from([0x81, 1, 0x32]))) s.write(masked('3'));
      });
      s.write(sockets.greet(all.length + i));
      return s;
    });
    await Promise.all(some.map((s) => (s.connecting ? new Promise((resolve) => { s.once('connect', resolve).once('close', resolve); }) : null)));
    all.push(...some);
  }
  console.log('ready');
  const began = Date.now();
  const dribble = setInterval(() => { if (sockets.dribbles) for (const s of all) if (!s.destroyed) s.write('a'); }, 1500);
  while (closed < count && Date.now() - began < 90000) await new Promise((resolve) => { setTimeout(resolve, 50); });
  clearInterval(dribble);
  return { closed, told, ms: Date.now() - began };
}

async function flood() {
  const socket = io(url, { auth: { token }, transports: ['websocket'], reconnection: false });
  let limited = 0;
  let answered = 0;
  await new Promise((resolve) => { socket.once('connect', resolve); });
  console.log('ready');
  for (let sent = 0; sent < count;) {
    for (let i = 0; i < 250; i++, sent++) {
      socket.emit('send_message', { conversationId, content: 'x' }, (a) => {
        answered++;
        limited += a.error?.code === 'rate_limited';
      });
    }
    await new Promise((resolve) => { setTimeout(resolve, 5); });
  }
  for (let left = 200; answered < count && left > 0; left--) await new Promise((resolve) => { setTimeout(resolve, 200); });
  return { answered, limited, connected: socket.connected };
}

console.log(JSON.stringify(await (kind === 'flood' ? flood() : holdMany())));
process.exit(0);
