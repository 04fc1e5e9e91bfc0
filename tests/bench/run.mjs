// The benchmarks: each figure as a ratio against something measured in the same run. By hand: scripts/bench [NAME ...].
import path from "node:path";
import { socketio } from "./socketio.mjs";
import { measureDeath, measureRate } from "./resume.mjs";
import { measurePosts, measureWebSockets } from "./splice.mjs";
import { bin, build, dir, figure, gateway, here, idle, load, round, serve, settle, sh, smallRooms, stack, stackTool, warm } from "./tools.mjs";

const benches = {
  async memory() {
    const st = stack();
    const m = await idle(gateway(st), 10000, 100);
    figure("memory of an idle authenticated connection in a room, PSS", `${round(m.own)} KB`, "at most 2 KB", m.own <= 2);
    st.down();
    // What the kernel takes for both ends of a connection, whoever serves it.
    const bare = await serve(path.join(bin, "bench-bare"), ["0"]);
    const floor = await idle(bare, 10000, 100);
    bare.stop();
    figure("the same in all, fall of MemAvailable without the client's PSS", `${round(m.all)} KB (a bare epoll loop: ${round(floor.all)} KB, of these ${round(floor.own)} KB its own)`, "at most 6 KB", m.all <= 6);
  },

  async room() {
    const st = stack(), options = { conns: 2000, rooms: 1, rate: 50, secs: 10, size: 200 };
    const ours = load(gateway(st), options);
    st.down();
    const floor = await serve(path.join(bin, "bench-bare"), ["0"]);
    const bare = load(floor, options);
    floor.stop();
    console.log("tern", JSON.stringify(ours), "\nbare", JSON.stringify(bare));
    const ratio = ours.cpu_us_per_delivery / bare.cpu_us_per_delivery;
    figure("CPU for each delivery in one room of 2,000, against a bare epoll loop", `${round(ratio)} (${ours.cpu_us_per_delivery} us, ${bare.cpu_us_per_delivery} us)`, "at most 1.3", ratio <= 1.3);
  },

  async rooms() {
    const st = stack();
    warm(st);
    const ours = load(gateway(st), smallRooms);
    const node = await serve("node", [path.join(here, "node_server.mjs"), "0", st.json.auth.hs256Secret, st.json.kafka.bootstrap, "client.events"], { BENCH_MODULES: here });
    // Node cannot take the whole rate beside the broker: its CPU for each message is what is compared.
    const theirs = load({ ...node, secret: st.json.auth.hs256Secret }, { ...smallRooms, rate: 3000 });
    node.stop();
    st.down();
    console.log("tern", JSON.stringify(ours), "\nnode", JSON.stringify(theirs));
    const ratio = ours.cpu_us_per_message / theirs.cpu_us_per_message;
    figure("CPU for each acked message in 1,000 rooms of two, against Socket.IO with node-rdkafka", `${round(ratio)} (${ours.cpu_us_per_message} us, ${theirs.cpu_us_per_message} us)`, "at most 0.5", ratio <= 0.5);
    figure("messages acked of 10,000/s sent", `${round(ours.acked / ours.secs, 0)}/s`, "10000/s", ours.acked >= 0.98 * ours.sent && ours.sent >= 9500 * ours.secs);
  },

  async latency() {
    const st = stack();
    warm(st);
    const floor = JSON.parse(sh(path.join(bin, "bench-kafka-floor"), [st.json.kafka.bootstrap, "client.events", "16", "10000", "8"]));
    const ours = load(gateway(st), smallRooms);
    st.down();
    console.log("floor", JSON.stringify(floor), "\ntern", JSON.stringify(ours));
    const p50 = ours.latency_ms.p50 - floor.latency_ms.p50, p99 = ours.latency_ms.p99 - floor.latency_ms.p99;
    figure("median added to Kafka's produce-to-consume time at 20,000 deliveries/s", `${round(p50)} ms`, "at most 2 ms", p50 <= 2);
    figure("p99 above Kafka's", `${round(p99)} ms`, "at most 10 ms", p99 <= 10);
  },

  async connects() {
    const st = stack();
    const r = load(gateway(st), { conns: 5000, rooms: 50, secs: 0 });
    st.down();
    figure("5,000 connects with token and join", `${r.connect_ms} ms`, "under 1500 ms", r.connect_ms < 1500);
  },

  // The same round trips to a session's owner, straight and through another gateway; nothing of them goes to Kafka.
  async splice() {
    const st = stack({ TERN_PING_INTERVAL_MS: "60000", TERN_PING_TIMEOUT_MS: "60000" }, ["--messaging", "2", "--notification", "0", "--writer", "1"]);
    const [owner, other] = ["messaging/0", "messaging/1"].map((name) => new URL(st.json.processes[name].url).port);
    const common = { owner, other, secret: st.json.auth.hs256Secret, pids: ["messaging/0", "messaging/1"].map((name) => st.json.processes[name].pid), count: 4000 };
    const [direct, spliced] = await measureWebSockets(common);
    console.log("websocket direct", JSON.stringify(direct), "\nwebsocket spliced", JSON.stringify(spliced));
    const [kept, anew, posts] = await measurePosts(common);
    console.log("POST direct, kept alive", JSON.stringify(kept), "\nPOST direct, a connection each", JSON.stringify(anew), "\nPOST spliced", JSON.stringify(posts));
    st.down();
    figure("median that a splice adds to a WebSocket's round trip", `${round(spliced.p50 - direct.p50, 3)} ms (p99 ${round(spliced.p99 - direct.p99, 3)} ms), ${round(spliced.cpu_us - direct.cpu_us, 1)} us of CPU over ${direct.cpu_us} us`, "at most 0.2 ms", spliced.p50 - direct.p50 <= 0.2);
    figure("median that a splice adds to a POST on a connection of its own", `${round(posts.p50 - anew.p50, 3)} ms (p99 ${round(posts.p99 - anew.p99, 3)} ms), ${round(posts.cpu_us - anew.cpu_us, 1)} us of CPU over ${anew.cpu_us} us`, "at most 0.5 ms", posts.p50 - anew.p50 <= 0.5);
  },

  // 5,000 stock clients lose their gateway; then what was missed is handed over from each tier.
  async resume() {
    const counts = ["--messaging", "2", "--notification", "0", "--writer", "1"];
    const st = stack({}, counts);
    const kill = (name) => sh(stackTool, ["kill", st.at, name]);
    const death = await measureDeath(st, kill);
    st.down();
    console.log("death", JSON.stringify(death));
    figure("5,000 clients back and caught up after SIGKILL of their gateway", `${death.back_ms} ms, ${death.caught_up_ms} ms, ${death.recovered} recovered, ${death.postgres_reads} reads of Postgres, ${death.rss_mb[0]} MB before, ${death.rss_mb[1]} MB at most`, "60 s; 16 reads a second", death.ended === death.clients && death.anew === 0 && death.caught_up_ms < 60000 && death.postgres_reads <= (16 * death.caught_up_ms) / 1000);
    // A gateway that starts with a short tail has to go to Postgres, or to Kafka.
    const short = { TERN_TAIL_FILL_MS: "1000", TERN_DEDUPE_WINDOW_MS: "1000" };
    for (const [tier, sets] of [["tail", {}], ["postgres", short], ["kafka", short]]) {
      const own = stack(sets, counts);
      const act = Object.fromEntries(["kill", "start", "pause", "cont"].map((verb) => [verb, (name) => sh(stackTool, [verb, own.at, name])]));
      const rate = await measureRate(own, { tier }, act);
      own.down();
      console.log("rate", JSON.stringify(rate));
      figure(`events handed over from ${tier}`, `${rate.events_per_s}/s (${rate.events} events to ${rate.clients} clients, up to ${rate.rss_mb[1]} MB)`, "all that was missed, from that tier", rate.ended === rate.clients && rate.catchups_of_the_tier >= rate.clients);
    }
  },

  // The writer against COPY of the same rows into the same tables with the same indexes.
  async writer() {
    const st = stack({}, ["--messaging", "1", "--notification", "0", "--writer", "1"]);
    sh(stackTool, ["kill", st.at, "writer/0"]);
    const sent = load(gateway(st), { conns: 200, rooms: 100, rate: 8000, secs: 25, size: 200 });
    const psql = (sql) => sh("psql", [st.json.postgres.dsn, "-XAtqc", sql]).trim();
    const before = Number(psql("SELECT count(*) FROM message"));
    const total = sent.sent + 8000 - 500; // with the warm-up second
    const t0 = performance.now();
    sh(stackTool, ["start", st.at, "writer/0"]);
    let rows = before;
    let last = t0;
    for (let quiet = 0; quiet < 20 && performance.now() - t0 < 120000;) {
      await settle(100);
      const now = Number(psql("SELECT count(*) FROM message"));
      if (now !== rows) { rows = now; last = performance.now(); quiet = 0; } else if (rows > before) quiet++;
    }
    const rate = (rows - before) / ((last - t0) / 1000);
    psql("CREATE TABLE m2 (LIKE message INCLUDING ALL); CREATE TABLE e2 (LIKE chat_event INCLUDING ALL)");
    const file = path.join(dir, "rows");
    psql(`COPY message TO '${file}.m' (FORMAT binary)`);
    psql(`COPY (SELECT * FROM chat_event) TO '${file}.e' (FORMAT binary)`);
    const c0 = performance.now();
    psql(`BEGIN; COPY m2 FROM '${file}.m' (FORMAT binary); COPY e2 FROM '${file}.e' (FORMAT binary); COMMIT`);
    const copy = rows / ((performance.now() - c0) / 1000);
    st.down();
    const ratio = rate / copy;
    figure("writer against plain COPY into the same tables", `${round(ratio)} (${round(rate, 0)}/s, ${round(copy, 0)}/s, ${rows} of about ${total} rows)`, "at least 0.6", ratio >= 0.6);
  },

  socketio,
};

const asked = process.argv.slice(2);
build();
for (const [name, run] of Object.entries(benches)) {
  if (asked.length > 0 && !asked.includes(name)) continue;
  console.log(`== ${name}`);
  await run();
}
