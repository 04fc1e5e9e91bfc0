// What the benchmarks share: stacks, servers of ours, the load generator, and how a figure is told.
import { execFileSync, spawn } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";

export const here = path.dirname(fileURLToPath(import.meta.url));
const root = path.join(here, "../..");
export const bin = path.join(root, "build/release/bin");
export const dir = fs.mkdtempSync(path.join(os.tmpdir(), "tern-bench-"));
export const stackTool = path.join(root, "scripts/stack");
const children = new Set();

export const sh = (file, args, options = {}) => execFileSync(file, args, { encoding: "utf8", stdio: ["ignore", "pipe", "inherit"], ...options });
export const figure = (name, value, target, met) => console.log(`${met ? "met   " : "MISSED"}  ${name}: ${value} (to reach: ${target})`);
export const round = (value, digits = 2) => Number(value.toFixed(digits));

export function build() {
  sh("cmake", ["--build", path.join(root, "build/release"), "--target", "bench"]);
  if (!fs.existsSync(path.join(here, "node_modules/node-rdkafka"))) {
    sh("npm", ["ci", "--no-audit", "--no-fund"], { cwd: here, env: { ...process.env, BUILD_LIBRDKAFKA: "0" } });
  }
}

// Kafka as its own start script runs it (tests take a small heap and the first compiler only).
process.env.TERN_STACK_JAVA_OPTS ??= "-Xms1g -Xmx1g -server -XX:+UseG1GC -XX:MaxGCPauseMillis=20 -XX:InitiatingHeapOccupancyPercent=35";

export function stack(sets = {}, counts = ["--messaging", "1", "--notification", "0", "--writer", "1"]) {
  const at = path.join(dir, `stack-${Date.now()}`);
  const set = Object.entries({ TERN_OPEN_CONVERSATIONS: "on", ...sets }).flatMap(([name, value]) => ["--set", `${name}=${value}`]);
  sh(stackTool, ["up", at, "--kafka=apache", ...counts, ...set]);
  const json = JSON.parse(fs.readFileSync(path.join(at, "stack.json")));
  return { at, json, down: () => sh(stackTool, ["down", at]) };
}

// A server of ours that prints its port.
export function serve(file, args, env = {}) {
  const child = spawn(file, args, { stdio: ["ignore", "pipe", "inherit"], env: { ...process.env, ...env } });
  children.add(child);
  return new Promise((resolve, reject) => {
    child.stdout.once("data", (text) => resolve({ port: String(parseInt(text)), pid: String(child.pid), stop: () => { children.delete(child); child.kill("SIGKILL"); } }));
    child.once("exit", (code) => reject(new Error(`${file} ended with ${code}`)));
  });
}

export const load = (target, options) =>
  JSON.parse(sh(path.join(bin, "bench-load"), ["--port", target.port, "--pid", target.pid, ...(target.secret ? ["--secret", target.secret] : []), ...Object.entries(options).flatMap(([name, value]) => [`--${name}`, String(value)])]));

export function gateway(st) {
  const p = st.json.processes["messaging/0"];
  return { port: new URL(p.url).port, pid: String(p.pid), secret: st.json.auth.hs256Secret };
}

// A minute of the same load first: the broker compiles its hot code only under load, beside what is to be measured.
export const smallRooms = { conns: 2000, rooms: 1000, rate: 10000, secs: 20, size: 200 };
export const warm = (st) => load(gateway(st), { ...smallRooms, secs: 50 });

export const pss = (pid) => Number(/^Pss:\s+(\d+)/m.exec(fs.readFileSync(`/proc/${pid}/smaps_rollup`, "utf8"))[1]);
export const available = () => Number(/^MemAvailable:\s+(\d+)/m.exec(fs.readFileSync("/proc/meminfo", "utf8"))[1]);
export const settle = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// Holds N idle connections and tells what they cost the server and the machine, in KB each.
export async function idle(target, conns, rooms) {
  await settle(2000);
  const pss0 = pss(target.pid), free0 = available();
  const child = spawn(path.join(bin, "bench-load"), ["--port", target.port, "--pid", target.pid, ...(target.secret ? ["--secret", target.secret] : []), "--conns", String(conns), "--rooms", String(rooms), "--secs", "0", "--hold"], { stdio: ["pipe", "pipe", "inherit"] });
  children.add(child);
  const line = await new Promise((resolve) => child.stdout.once("data", (text) => resolve(JSON.parse(text))));
  await settle(5000);
  const own = (pss(target.pid) - pss0) / conns, all = (free0 - available() - pss(child.pid)) / conns;
  child.stdin.end();
  await new Promise((resolve) => child.once("exit", resolve));
  children.delete(child);
  return { own, all, connect_ms: line.connect_ms };
}

process.on("exit", () => {
  for (const child of children) child.kill("SIGKILL");
  fs.rmSync(dir, { recursive: true, force: true });
});
