// A plain TCP balancer: each connection goes to the next server that accepts it, no matter whose client it is.
import { connect, createServer } from 'node:net';
import { atEnd } from './stack.js';

/** {url, servers (may be changed at any time), cut()}: clients see one address however many servers die. */
export async function startBalancer(urls) {
  const balancer = { servers: [...urls], turn: 0, sockets: new Set() };
  const server = createServer((front) => {
    balancer.sockets.add(front);
    front.on('close', () => balancer.sockets.delete(front));
    front.on('error', () => {});
    forward(balancer, front, balancer.servers.length);
  });
  await new Promise((done) => server.listen(0, '127.0.0.1', done));
  balancer.url = `http://127.0.0.1:${server.address().port}`;
  balancer.cut = () => {
    for (const socket of balancer.sockets) socket.destroy();
  };
  atEnd(() => {
    balancer.cut();
    server.close();
  });
  return balancer;
}

function forward(balancer, front, tries) {
  if (tries <= 0 || balancer.servers.length === 0) {
    front.destroy();
    return;
  }
  const target = new URL(balancer.servers[balancer.turn++ % balancer.servers.length]);
  const back = connect({ host: target.hostname, port: Number(target.port) });
  back.once('error', () => {
    if (back.connecting || !back.wasConnected) forward(balancer, front, tries - 1);
    else front.destroy();
  });
  back.once('connect', () => {
    back.wasConnected = true;
    front.pipe(back).pipe(front);
    front.on('close', () => back.destroy());
    back.on('close', () => front.destroy());
  });
}
