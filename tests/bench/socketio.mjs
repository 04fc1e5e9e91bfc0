// Tern beside the Node Socket.IO server, alone and with node-rdkafka in front of the same Kafka: the same load, the same machine.
import path from "node:path";
import { measurePolling } from "./polling.mjs";
import { figure, gateway, here, idle, load, round, serve, smallRooms, stack, warm } from "./tools.mjs";

const p99Max = 100;

function node(secret, ...kafka) {
  return serve("node", [path.join(here, "node_server.mjs"), "0", secret, ...kafka], { BENCH_MODULES: here }).then((server) => ({ ...server, secret }));
}

/** The highest rate of one room of 2,000 at which the 99th percentile stays under 100 ms and nothing stays behind. */
function highest(target) {
  let best = { deliveries: 0, secs: 1 };
  for (const rate of [10, 20, 30, 40, 60, 80, 100, 120, 150, 200]) {
    const r = load(target, { conns: 2000, rooms: 1, rate, secs: 5, size: 200 });
    console.log("  at", rate, JSON.stringify(r));
    if (r.latency_ms.p99 >= p99Max || r.deliveries < 0.97 * 2000 * rate * 5) break;
    best = r;
  }
  return best;
}

const perSecond = (r) => Math.round(r.deliveries / r.secs);

function bigRoom(tern, alone) {
  const ours = highest(tern), theirs = highest(alone);
  figure("deliveries/s in one room of 2,000 with p99 under 100 ms, against Socket.IO alone", `${round(perSecond(ours) / perSecond(theirs))} (${perSecond(ours)}/s, ${perSecond(theirs)}/s)`, "more", perSecond(ours) > perSecond(theirs));
  const common = { conns: 2000, rooms: 1, rate: 20, secs: 10, size: 200 };
  const [a, b] = [load(tern, common), load(alone, common)];
  const ratio = b.cpu_us_per_delivery / a.cpu_us_per_delivery;
  figure("deliveries for each CPU second there at 40,000 deliveries/s, against Socket.IO alone", `${round(ratio)} times (${a.cpu_us_per_delivery} us, ${b.cpu_us_per_delivery} us)`, "at least 2 times", ratio >= 2);
}

// Node cannot take the whole rate: its CPU for each delivery is what is compared.
function smallRoomsBeside(tern, alone, withKafka) {
  const ours = load(tern, smallRooms), rate = { ...smallRooms, rate: 3000 };
  const [a, b] = [load(alone, rate), load(withKafka, rate)];
  console.log("  tern", JSON.stringify(ours), "\n  alone", JSON.stringify(a), "\n  with Kafka", JSON.stringify(b));
  const ratio = (r) => r.cpu_us_per_delivery / ours.cpu_us_per_delivery;
  figure("deliveries for each CPU second in 1,000 rooms of two, against Socket.IO with Kafka", `${round(ratio(b))} times (${ours.cpu_us_per_delivery} us, ${b.cpu_us_per_delivery} us)`, "at least 4 times", ratio(b) >= 4);
  figure("the same against Socket.IO alone, which keeps nothing", `${round(ratio(a))} times (${a.cpu_us_per_delivery} us)`, "more", ratio(a) > 1);
}

async function memory(tern, alone) {
  const ours = await idle(tern, 10000, 100), theirs = await idle(alone, 10000, 100);
  figure("memory of an idle connection, PSS, against Socket.IO alone", `${round(ours.own / theirs.own)} (${round(ours.own)} KB, ${round(theirs.own)} KB)`, "at most 0.1", ours.own <= 0.1 * theirs.own);
  figure("connects a second with token and join, 10,000", `${Math.round(1e7 / ours.connect_ms)}/s (Socket.IO alone, which checks the token and records nothing: ${Math.round(1e7 / theirs.connect_ms)}/s)`, "more", ours.connect_ms < theirs.connect_ms);
}

async function polling(tern, alone, withKafka) {
  const options = { conns: 500, rate: 250, secs: 10, size: 200 };
  const [ours, a, b] = [await measurePolling(tern, options), await measurePolling(alone, options), await measurePolling(withKafka, options)];
  console.log("  tern", JSON.stringify(ours), "\n  alone", JSON.stringify(a), "\n  with Kafka", JSON.stringify(b));
  const ratio = b.cpu_us_per_delivery / ours.cpu_us_per_delivery;
  figure("deliveries to 500 long-polling clients for each CPU second, against Socket.IO with Kafka", `${round(ratio)} times (${ours.cpu_us_per_delivery} us, ${b.cpu_us_per_delivery} us; alone ${a.cpu_us_per_delivery} us)`, "more", ratio > 1);
}

export async function socketio() {
  const st = stack({}, ["--messaging", "1", "--notification", "0", "--writer", "1"]), tern = gateway(st);
  const alone = await node(tern.secret), withKafka = await node(tern.secret, st.json.kafka.bootstrap, "client.events");
  await memory(tern, alone);
  warm(st);
  bigRoom(tern, alone);
  smallRoomsBeside(tern, alone, withKafka);
  await polling(tern, alone, withKafka);
  alone.stop();
  withKafka.stop();
  st.down();
}
