// What a splice costs: the same round trips to a session's owner, straight and through another gateway.
import { createHmac, randomBytes } from "node:crypto";
import fs from "node:fs";
import { Agent, request } from "node:http";
import net from "node:net";

const b64 = (value) => Buffer.from(value).toString("base64url");

function tokenOf(secret) {
  const now = Math.floor(Date.now() / 1000);
  const text = `${b64(JSON.stringify({ alg: "HS256", typ: "JWT" }))}.${b64(JSON.stringify({ sub: "bench", iss: "tern", aud: "tern", iat: now, exp: now + 3600 }))}`;
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

async function timed(count, one) {
  const times = [];
  for (let n = 0; n < count; n++) {
    const from = performance.now();
    await one(n);
    times.push(performance.now() - from);
  }
  return times;
}

/** An event that is refused at once: nothing but the way there and back, and JSON. */
const event = (n) => `420${n % 10}["send_message",{}]`;

/** {p50, p99} of one WebSocket's round trips in ms, and CPU us of all gateways for each at 32 sockets. */
export async function measureWebSocket({ owner, by, pids, secret, count }) {
  const open = async () => upgrade(by, await openSession(owner, secret));
  const one = await open();
  await timed(500, (n) => one.call(event(n)));
  const alone = await timed(count, (n) => one.call(event(n)));
  one.end();
  const many = await Promise.all(Array.from({ length: 32 }, open));
  const before = cpuOf(pids);
  await Promise.all(many.map((ws) => timed(count / 4, (n) => ws.call(event(n)))));
  const cpu = (cpuOf(pids) - before) / ((32 * count) / 4);
  for (const ws of many) ws.end();
  return { ...summary(alone), cpu_us: Number(cpu.toFixed(1)) };
}

/** The same of POSTs of one polling session, one after the other. */
export async function measurePosts({ owner, by, pids, secret, count, keepAlive }) {
  const sid = await openSession(owner, secret);
  const agent = keepAlive ? new Agent({ keepAlive: true, maxSockets: 1 }) : false;
  const one = () => ask(by, agent, sid, "6");
  await timed(200, one);
  const before = cpuOf(pids);
  const times = await timed(count, one);
  const cpu = (cpuOf(pids) - before) / count;
  if (agent) agent.destroy();
  return { ...summary(times), cpu_us: Number(cpu.toFixed(1)) };
}
