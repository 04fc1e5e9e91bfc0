// What a splice costs: the same round trips to a session's owner, straight and through another gateway.
import { createHmac, randomBytes } from "node:crypto";
import fs from "node:fs";
import { Agent, request } from "node:http";
import net from "node:net";

const b64 = (value) => Buffer.from(value).toString("base64url");

export function tokenOf(secret, sub = "bench") {
  const now = Math.floor(Date.now() / 1000);
  const text = `${b64(JSON.stringify({ alg: "HS256", typ: "JWT" }))}.${b64(JSON.stringify({ sub, iss: "tern", aud: "tern", iat: now, exp: now + 3600 }))}`;
  return `${text}.${createHmac("sha256", secret).update(text).digest("base64url")}`;
}

function ask(port, agent, sid, body) {
  return new Promise((resolve, reject) => {
    const rq = request({ agent, host: "127.0.0.1", port, method: body === undefined ? "GET" : "POST", path: `/socket.io/?EIO=4&transport=polling${sid ? `&sid=${sid}` : ""}` }, (answer) => {
      let text = "";
      answer.setEncoding("utf8").on("data", (chunk) => (text += chunk)).on("end", () => (answer.statusCode === 200 ? resolve(text) : reject(new Error(`${answer.statusCode} ${text}`))));
    });
    rq.on("error", reject);
    rq.end(body);
  });
}

/** A session of the owner, connected to "/", by polling. */
export async function openSession(owner, secret) {
  const sid = JSON.parse((await ask(owner, false)).slice(1)).sid;
  await ask(owner, false, sid, `40{"token":"${tokenOf(secret)}"}`);
  await ask(owner, false, sid);
  return sid;
}

function frame(text) {
  const body = Buffer.from(text), mask = randomBytes(4);
  return Buffer.concat([Buffer.from([0x81, 0x80 | body.length]), mask, body.map((b, i) => b ^ mask[i % 4])]);
}

/** A WebSocket by hand, upgraded to by way of a gateway: call(text) gives the next frame that answers it. */
export async function upgrade(port, sid) {
  const socket = net.connect({ host: "127.0.0.1", port, noDelay: true });
  let have = Buffer.alloc(0), head = true, waiter = null;
  const take = () => {
    if (head) {
      const end = have.indexOf("\r\n\r\n");
      if (end < 0) return;
      if (!have.toString("latin1", 0, end).includes(" 101 ")) throw new Error(have.toString());
      have = have.subarray(end + 4);
      head = false;
      waiter?.("");
    }
    while (have.length >= 2 && have.length >= 2 + (have[1] & 127)) {
      const text = have.toString("utf8", 2, 2 + (have[1] & 127));
      have = have.subarray(2 + (have[1] & 127));
      if (text === "2") socket.write(frame("3"));
      else if (text.startsWith("3probe") || text.startsWith("43")) waiter?.(text);
    }
  };
  socket.on("data", (chunk) => {
    have = Buffer.concat([have, chunk]);
    take();
  });
  const next = () => new Promise((resolve) => (waiter = resolve));
  const call = (text) => {
    const answer = next();
    socket.write(frame(text));
    return answer;
  };
  const upgraded = next();
  socket.write(`GET /socket.io/?EIO=4&transport=websocket&sid=${sid} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n`);
  await upgraded;
  await call("2probe");
  socket.write(frame("5"));
  return { call, end: () => socket.destroy() };
}

const ticks = 100;
/** User and system time of processes so far, in us. */
export function cpuOf(pids) {
  let all = 0;
  for (const pid of pids) {
    const fields = fs.readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1].split(" ");
    all += ((Number(fields[11]) + Number(fields[12])) / ticks) * 1e6;
  }
  return all;
}

function summary(times) {
  times.sort((a, b) => a - b);
  const at = (q) => Number(times[Math.floor(q * (times.length - 1))].toFixed(3));
  return { p50: at(0.5), p99: at(0.99) };
}

/** The times of each way, in turns, so that all of them meet the same weather. */
async function timed(count, ...ways) {
  const times = ways.map(() => []);
  for (let n = 0; n < count; n++) {
    for (const [i, way] of ways.entries()) {
      const from = performance.now();
      await way(n);
      times[i].push(performance.now() - from);
    }
  }
  return times;
}

/** CPU us of the processes for each round trip. */
async function cpuFor(pids, trips, work) {
  const before = cpuOf(pids);
  await work();
  return Number(((cpuOf(pids) - before) / trips).toFixed(1));
}

/** An event that is refused at once: nothing but the way there and back, and JSON. */
const event = (n) => `420${n % 10}["send_message",{}]`;

/** Round trips of WebSockets straight and by another gateway: {p50, p99} in ms of one, CPU us of all gateways at 32. */
export async function measureWebSockets({ owner, other, pids, secret, count }) {
  const sockets = (by, n) => Promise.all(Array.from({ length: n }, async () => upgrade(by, await openSession(owner, secret))));
  const ends = [], found = [];
  const [[direct], [spliced]] = [await sockets(owner, 1), await sockets(other, 1)];
  const ways = [direct, spliced].map((ws) => (n) => ws.call(event(n)));
  await timed(500, ...ways);
  found.push(...(await timed(count, ...ways)).map(summary));
  ends.push(direct, spliced);
  for (const [i, by] of [owner, other].entries()) {
    const many = await sockets(by, 32);
    found[i].cpu_us = await cpuFor(pids, 32 * count, () => Promise.all(many.map((ws) => timed(count, (n) => ws.call(event(n))))));
    ends.push(...many);
  }
  for (const ws of ends) ws.end();
  return found;
}

/** The same of POSTs of polling sessions, one after the other: on a kept connection, on one each, and by another gateway. */
export async function measurePosts({ owner, other, pids, secret, count }) {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  const ways = [];
  for (const [by, how] of [[owner, agent], [owner, false], [other, false]]) {
    const sid = await openSession(owner, secret);
    ways.push(() => ask(by, how, sid, "6"));
  }
  await timed(200, ...ways);
  const found = (await timed(count, ...ways)).map(summary);
  for (const [i, way] of ways.entries()) found[i].cpu_us = await cpuFor(pids, count, () => timed(count, way));
  agent.destroy();
  return found;
}
