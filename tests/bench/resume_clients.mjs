// Many stock Socket.IO clients in one process, a child of resume.mjs, which tells it by messages what to do.
//
//   {open: {url, users: [token], rooms}}   connects one socket for each token, each in one room, and answers {ready: n}
//   {url}                                  where they go from now on when they come back
//   {cut: true}                            breaks all connections, and they stay away until {back: true}
//   {ask: text}                            answers {connected, recovered, anew, events, ended}: ended have seen a message that is `text`
import { createRequire } from "node:module";

const { io } = createRequire(new URL("../package.json", import.meta.url))("socket.io-client");
const parallel = 100;
const clients = [];
let url = null, events = 0;

function connect(token, room) {
  const c = { recovered: 0, anew: -1, last: null };
  const socket = io(url, { auth: { token }, forceNew: true, transports: ["websocket"] });
  c.socket = socket;
  clients.push(c);
  socket.io.on("reconnect_attempt", () => (socket.io.uri = url));
  socket.on("new_message", (m) => {
    events++;
    c.last = m.content;
  });
  socket.on("connect", () => (socket.recovered ? c.recovered++ : c.anew++));
  return new Promise((done) => socket.once("connect", () => socket.emit("join_conversation", room, done)));
}

async function open({ users, rooms }) {
  for (let i = 0; i < users.length; i += parallel) await Promise.all(users.slice(i, i + parallel).map((token, k) => connect(token, rooms[(i + k) % rooms.length])));
  process.send({ ready: clients.length });
}

const count = (fits) => clients.filter(fits).length;
const commands = {
  open,
  url: () => {},
  cut: () => {
    for (const { socket } of clients) {
      socket.io.reconnection(false);
      socket.io.engine.close();
    }
  },
  back: () => {
    for (const { socket } of clients) {
      socket.io.reconnection(true);
      socket.io.uri = url;
      socket.connect();
    }
  },
  ask: (text) =>
    process.send({
      connected: count((c) => c.socket.connected),
      recovered: count((c) => c.recovered > 0),
      anew: clients.reduce((sum, c) => sum + c.anew, 0),
      events,
      ended: count((c) => c.last === text),
    }),
};

process.on("message", (message) => {
  if (message.url) url = message.url;
  if (message.open) url = message.open.url;
  for (const [name, argument] of Object.entries(message)) commands[name](argument);
});
process.on("disconnect", () => process.exit());
