// An HTTP proxy without any affinity: each request, also on a connection that is kept alive, goes to the next server.
// Connections to the servers are kept and shared by all clients, as proxies with a pool do.
import { Agent, createServer, request } from 'node:http';
import { connect } from 'node:net';
import { atEnd } from './stack.js';

/** {url, servers (may be changed at any time), upgrades (other servers for those, if set), counts: requests by server, cut()}. */
export async function startProxy(urls) {
  const proxy = { servers: [...urls], turn: 0, counts: new Map(), sockets: new Set() };
  const agent = new Agent({ keepAlive: true, maxFreeSockets: 64 });
  const server = createServer({ keepAliveTimeout: 60000 }, (rq, answer) => pass(proxy, agent, rq, answer));
  server.on('connection', (socket) => {
    proxy.sockets.add(socket);
    socket.on('close', () => proxy.sockets.delete(socket));
  });
  server.on('upgrade', (rq, socket, head) => passUpgrade(proxy, rq, socket, head, proxy.servers.length));
  await new Promise((done) => server.listen(0, '127.0.0.1', done));
  proxy.url = `http://127.0.0.1:${server.address().port}`;
  proxy.cut = () => {
    for (const socket of proxy.sockets) socket.destroy();
  };
  atEnd(() => {
    proxy.cut();
    agent.destroy();
    server.close();
  });
  return proxy;
}

function nextServer(proxy, servers = proxy.servers) {
  const url = servers[proxy.turn++ % servers.length];
  proxy.counts.set(url, (proxy.counts.get(url) ?? 0) + 1);
  return new URL(url);
}

/** The body is held until its end, so that a server that is not there can be passed over. */
function pass(proxy, agent, rq, answer) {
  const body = [];
  rq.on('data', (chunk) => body.push(chunk));
  rq.on('end', () => tryNext(proxy, agent, rq, answer, Buffer.concat(body), proxy.servers.length));
}

function tryNext(proxy, agent, rq, answer, body, tries) {
  if (tries <= 0 || proxy.servers.length === 0) {
    answer.writeHead(502).end();
    return;
  }
  const { hostname, port } = nextServer(proxy);
  const { connection: _connection, 'transfer-encoding': _chunked, ...headers } = rq.headers;
  const back = request({ agent, hostname, port, method: rq.method, path: rq.url, headers: { ...headers, ...(body.length > 0 && { 'content-length': body.length }) } });
  back.on('response', (from) => {
    const { connection: _close, 'keep-alive': _keep, ...rest } = from.headers;
    answer.writeHead(from.statusCode, rest);
    from.pipe(answer);
    from.on('error', () => answer.destroy());
  });
  back.on('error', (e) => {
    // A kept connection may have been closed before the request came: that one is tried again, as any proxy does.
    if (answer.headersSent) answer.destroy();
    else if (e.code === 'ECONNREFUSED' || back.reusedSocket) tryNext(proxy, agent, rq, answer, body, tries - 1);
    else answer.destroy();
  });
  answer.on('close', () => back.destroy());
  back.end(body);
}

function passUpgrade(proxy, rq, socket, head, tries) {
  socket.on('error', () => {});
  if (tries <= 0 || proxy.servers.length === 0) {
    socket.destroy();
    return;
  }
  const { hostname, port } = nextServer(proxy, proxy.upgrades ?? proxy.servers);
  const back = connect({ host: hostname, port: Number(port) });
  back.on('error', (e) => {
    if (e.code === 'ECONNREFUSED') passUpgrade(proxy, rq, socket, head, tries - 1);
    else socket.destroy();
  });
  back.once('connect', () => {
    const lines = [`${rq.method} ${rq.url} HTTP/1.1`];
    for (let i = 0; i < rq.rawHeaders.length; i += 2) lines.push(`${rq.rawHeaders[i]}: ${rq.rawHeaders[i + 1]}`);
    back.write(`${lines.join('\r\n')}\r\n\r\n`);
    if (head.length > 0) back.write(head);
    socket.pipe(back).pipe(socket);
    socket.on('close', () => back.destroy());
    back.on('close', () => socket.destroy());
  });
}
