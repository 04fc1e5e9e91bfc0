// Long-polling clients: each holds a GET and POSTs what it says, on two kept connections. Works with any Socket.IO server that knows
// the bench's events.
import { Agent, request } from "node:http";
import { cpuOf, tokenOf } from "./splice.mjs";

const separator = "\x1e";

function ask(agent, port, sid, body) {
  return new Promise((resolve, reject) => {
    const path = `/socket.io/?EIO=4&transport=polling${sid ? `&sid=${sid}` : ""}`;
    const headers = body === undefined ? {} : { "Content-Type": "text/plain;charset=UTF-8", "Content-Length": Buffer.byteLength(body) };
    const rq = request({ agent, host: "127.0.0.1", port, method: body === undefined ? "GET" : "POST", path, headers }, (answer) => {
      let text = "";
      answer.setEncoding("utf8").on("data", (chunk) => (text += chunk)).on("end", () => (answer.statusCode === 200 ? resolve(text) : reject(new Error(`${answer.statusCode} ${text}`))));
    });
    rq.on("error", reject);
    rq.end(body);
  });
}

/** One client: on(packet) is called for each Socket.IO packet, without the Engine.IO type. */
async function open(port, token, on) {
  const agents = [0, 1].map(() => new Agent({ keepAlive: true, maxSockets: 1 }));
  const { sid } = JSON.parse((await ask(agents[0], port)).slice(1));
  const c = { live: true, failure: null, say: (text) => ask(agents[1], port, sid, text) };
  const poll = async () => {
    while (c.live) {
      for (const packet of (await ask(agents[0], port, sid)).split(separator)) {
        if (packet === "2") void c.say("3");
        else if (packet.startsWith("4")) on(packet.slice(1));
      }
    }
  };
  await c.say(`40{"token":"${token}"}`);
  poll().catch((error) => (c.failure = c.live ? error : null));
  c.end = () => {
    c.live = false;
    for (const agent of agents) agent.destroy();
  };
  return c;
}

const percentile = (times, q) => Number(times.sort((a, b) => a - b)[Math.floor(q * (times.length - 1))].toFixed(2));

/** Rooms of two, messages at a rate: deliveries, their latency in ms, the server's CPU us for each. */
export async function measurePolling({ port, pid, secret }, { conns, rate, secs, size }) {
  const clients = [], latency = [];
  let joined = 0, acked = 0, sent = 0, measuring = false;
  const began = performance.now();
  const packet = (text) => {
    const at = text.indexOf('"content":"T');
    if (text.startsWith("0{")) return "connected";
    if (text.startsWith("30")) joined++;
    else if (text.startsWith("3")) acked++;
    else if (at >= 0 && measuring) latency.push(performance.now() - parseFloat(text.slice(at + 12)));
    return "";
  };
  for (let n = 0; n < conns; n++) {
    const room = `bench-${Math.floor(n / 2)}`;
    const c = await open(port, tokenOf(secret, `poll-${n}`), (text) => packet(text) === "connected" && void c.say(`420["join_conversation","${room}"]`));
    clients.push({ ...c, room });
  }
  while (joined < conns) await new Promise((resolve) => setTimeout(resolve, 20));
  const connect_ms = performance.now() - began;
  const fill = "x".repeat(size - 20);
  const speak = async (forMs) => {
    const from = performance.now(), first = sent;
    for (let now = from; now - from < forMs; now = performance.now()) {
      while (sent - first < ((now - from) / 1000) * rate) {
        const c = clients[(++sent * 7919) % conns];
        void c.say(`42${sent}["send_message",{"conversationId":"${c.room}","content":"T${performance.now()}:${fill}"}]`);
      }
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  };
  await speak(2000);
  const cpu = cpuOf([pid]), before = sent;
  measuring = true;
  await speak(secs * 1000);
  const all = sent;
  for (const until = performance.now() + 3000; acked < all && performance.now() < until;) await new Promise((resolve) => setTimeout(resolve, 10));
  const used = cpuOf([pid]) - cpu;
  for (const c of clients) c.end();
  const failure = clients.find((c) => c.failure)?.failure;
  if (failure) throw failure;
  return { connections: conns, connect_ms: Math.round(connect_ms), sent: all - before, acked, of: all, deliveries: latency.length, cpu_us_per_delivery: Number((used / latency.length).toFixed(1)), latency_ms: { p50: percentile(latency, 0.5), p99: percentile(latency, 0.99) } };
}
