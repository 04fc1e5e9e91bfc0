// A process of its own that floods a gateway: node flood.js URL TOKEN CONVERSATION COUNT; its last line is what it was answered.
import { io } from 'socket.io-client';

const [url, token, conversationId, count] = process.argv.slice(2);
const socket = io(url, { auth: { token }, transports: ['websocket'], reconnection: false });
let limited = 0;
let answered = 0;
await new Promise((resolve) => { socket.once('connect', resolve); });
console.log('connected');
for (let sent = 0; sent < Number(count);) {
  for (let i = 0; i < 250; i++, sent++) {
    socket.emit('send_message', { conversationId, content: 'x' }, (a) => {
      answered++;
      limited += a.error?.code === 'rate_limited';
    });
  }
  await new Promise((resolve) => { setTimeout(resolve, 5); });
}
for (let left = 100; answered < Number(count) && left > 0; left--) await new Promise((resolve) => { setTimeout(resolve, 200); });
console.log(JSON.stringify({ answered, limited, connected: socket.connected }));
process.exit(0);
