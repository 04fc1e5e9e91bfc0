// What the death of a gateway costs: 5,000 stock clients come back to another one; and how fast missed events are handed over, by tier.
import { fork } from "node:child_process";
import { createHmac } from "node:crypto";
import fs from "node:fs";
import { createRequire } from "node:module";

const { io } = createRequire(new URL("../package.json", import.meta.url))("socket.io-client");
const program = new URL("resume_clients.mjs", import.meta.url).pathname;
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
const b64 = (value) => Buffer.from(value).toString("base64url");

function tokenOf(secret, sub) {
  const now = Math.floor(Date.now() / 1000);
  const text = `${b64(JSON.stringify({ alg: "HS256", typ: "JWT" }))}.${b64(JSON.stringify({ sub, iss: "tern", aud: "tern", iat: now, exp: now + 7200 }))}`;
  return `${text}.${createHmac("sha256", secret).update(text).digest("base64url")}`;
}

async function metrics(process) {
  const text = await (await fetch(`${process.opsUrl}/metrics`)).text();
  return (name) => [...text.matchAll(new RegExp(`^${name}(?:\\{[^}]*\\})? (\\S+)$`, "gm"))].reduce((sum, m) => sum + Number(m[1]), 0);
}

const rss = (pid) => Number(/^VmRSS:\s+(\d+)/m.exec(fs.readFileSync(`/proc/${pid}/status`, "utf8"))[1]) / 1024;

/** Clients in processes of their own. */
class Crowd {
  constructor(processes) {
    this.children = Array.from({ length: processes }, () => fork(program, { stdio: ["ignore", "inherit", "inherit", "ipc"] }));
  }

  tell(message) {
    for (const child of this.children) child.send(message);
  }

  answers() {
    return Promise.all(this.children.map((child) => new Promise((done) => child.once("message", done))));
  }

  async open(url, secret, count, rooms) {
    const got = this.answers();
    this.children.forEach((child, k) => child.send({ open: { url, rooms, users: Array.from({ length: Math.floor(count / this.children.length) }, (_, i) => tokenOf(secret, `user-${k}-${i}`)) } }));
    return (await got).reduce((sum, a) => sum + a.ready, 0);
  }

  async ask(text) {
    const got = this.answers();
    this.tell({ ask: text });
    return (await got).reduce((sum, a) => Object.fromEntries(Object.entries(a).map(([k, v]) => [k, v + (sum[k] ?? 0)])), {});
  }

  end() {
    for (const child of this.children) child.kill("SIGKILL");
  }
}

/** A sender in all rooms, on a gateway that lives. */
async function talker(url, secret, rooms) {
  const socket = io(url, { auth: { token: tokenOf(secret, "talker") }, transports: ["websocket"], forceNew: true });
  await new Promise((done) => socket.once("connect", done));
  for (const room of rooms) await socket.emitWithAck("join_conversation", room);
  const say = async (room, content) => {
    const answer = await socket.emitWithAck("send_message", { conversationId: room, content });
    if (!answer.ok) throw new Error(JSON.stringify(answer));
  };
  return { say, sayAll: (content) => Promise.all(rooms.map((room) => say(room, content))), end: () => socket.disconnect() };
}

/** SIGKILL of the gateway that has all clients, under load. */
export async function measureDeath(st, kill, { conns = 5000, rooms = 100, rate = 50 } = {}) {
  const secret = st.json.auth.hs256Secret, names = Array.from({ length: rooms }, (_, i) => `room-${i}`);
  const [dying, other] = ["messaging/0", "messaging/1"].map((name) => st.json.processes[name]);
  const talk = await talker(other.url, secret, names);
  const crowd = new Crowd(2);
  try {
    const opened = await crowd.open(dying.url, secret, conns, names);
    let on = true, sent = 0;
    const talking = (async () => {
      for (; on; sent++) await Promise.all([talk.say(names[sent % rooms], `message ${sent}`), sleep(1000 / rate)]);
    })();
    await sleep(3000);
    const before = await metrics(other), memory = rss(other.pid);
    let peak = memory, backMs = 0;
    const began = performance.now();
    crowd.tell({ url: other.url });
    kill("messaging/0");
    for (let a; backMs === 0; ) {
      await sleep(50);
      peak = Math.max(peak, rss(other.pid));
      a = await crowd.ask("");
      if (a.recovered + a.anew >= opened && a.connected === opened) backMs = performance.now() - began;
      if (performance.now() - began > 120000) throw new Error(`not all are back: ${JSON.stringify(a)}`);
    }
    on = false;
    await talking;
    await talk.sayAll("the end");
    let last;
    do {
      await sleep(20);
      last = await crowd.ask("the end");
    } while (last.ended < opened && performance.now() - began < 120000);
    const caughtUpMs = performance.now() - began, after = await metrics(other);
    return { clients: opened, back_ms: Math.round(backMs), caught_up_ms: Math.round(caughtUpMs), recovered: last.recovered, anew: last.anew, ended: last.ended, events: last.events, sent: sent + rooms, postgres_reads: after("tern_store_query_seconds_count") - before("tern_store_query_seconds_count"), rss_mb: [Math.round(memory), Math.round(peak), Math.round(rss(other.pid))] };
  } finally {
    talk.end();
    crowd.end();
  }
}

/** `conns` clients of one room miss `missed` events each; events/s from the first connect until all have the last. */
export async function measureRate(st, { tier, conns = 100, missed = 5000 }, { kill, start, pause, cont }) {
  const secret = st.json.auth.hs256Secret, room = `rate-${tier}`;
  const read = () => JSON.parse(fs.readFileSync(`${st.at}/stack.json`)).processes;
  const talk = await talker(read()["messaging/1"].url, secret, [room]);
  const crowd = new Crowd(1);
  try {
    const url = read()["messaging/0"].url;
    await crowd.open(url, secret, conns, [room]);
    await talk.say(room, "first");
    while ((await crowd.ask("first")).ended < conns) await sleep(20);
    crowd.tell({ cut: true });
    while ((await crowd.ask("")).connected > 0) await sleep(20);
    if (tier === "kafka") pause("writer/0");
    for (let n = 0; n < missed; n += 250) await Promise.all(Array.from({ length: 250 }, (_, i) => talk.say(room, `message ${n + i} ${"x".repeat(150)}`)));
    await talk.say(room, "the end");
    if (tier !== "tail") {
      await sleep(6000); // the tail of a gateway that starts begins after it
      kill("messaging/0");
      start("messaging/0");
    }
    const p = read()["messaging/0"], memory = rss(p.pid);
    let peak = memory, a;
    const began = performance.now(), events = (await crowd.ask("")).events;
    crowd.tell({ back: true });
    do {
      await sleep(20);
      peak = Math.max(peak, rss(p.pid));
      a = await crowd.ask("the end");
    } while (a.ended < conns && performance.now() - began < 90000);
    const seconds = (performance.now() - began) / 1000;
    const text = await (await fetch(`${p.opsUrl}/metrics`)).text();
    const by = Number(new RegExp(`^tern_catchups_total\\{tier="${tier}"\\} (\\d+)`, "m").exec(text)[1]);
    return { tier, clients: conns, ended: a.ended, recovered: a.recovered, events: a.events - events, seconds: Number(seconds.toFixed(2)), events_per_s: Math.round((a.events - events) / seconds), catchups_of_the_tier: by, rss_mb: [Math.round(memory), Math.round(peak)] };
  } finally {
    if (tier === "kafka") cont("writer/0");
    talk.end();
    crowd.end();
  }
}
