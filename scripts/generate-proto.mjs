#!/usr/bin/env node
// Writes proto/schemas/*.json, proto/asyncapi.json and the golden index from the tables in proto/*.def.
// With --check it writes nothing and fails if what is there differs.
import fs from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";

const proto = path.join(path.dirname(fileURLToPath(import.meta.url)), "..", "proto");
const check = process.argv.includes("--check");

// Rows of NAME(a, b, "c", …) in a .def file; strings lose their quotes.
function rows(file, macro) {
  const text = fs.readFileSync(path.join(proto, file), "utf8").replace(/\/\*[\s\S]*?\*\//g, "");
  const found = [];
  for (const match of text.matchAll(new RegExp(`^${macro}\\(([^\\n]*)\\)$`, "gm"))) {
    found.push([...match[1].matchAll(/"((?:[^"\\]|\\.)*)"|([^,"\s][^,"]*)/g)].map((cell) => cell[1] ?? cell[2].trim()));
  }
  return found;
}

const limits = new Map(rows("limits.def", "LIMIT").map(([id, value, unit, text]) => [id, { value: Number(value), unit, text }]));
const events = rows("events.def", "EVENT").map(([id, topic, name, text]) => ({ id, topic, name, text }));
const fields = rows("fields.def", "FIELD").map(([event, name, member, kind, need, max]) => ({ event, name, member, kind, need, max }));
// A retention is a number of milliseconds, or a product with the .def's own units.
const units = { TOPIC_MINUTE: 60000, TOPIC_DAY: 86400000 };
const product = (text) => text.split("*").reduce((all, factor) => all * (units[factor.trim()] ?? Number(factor)), 1);
const topics = fs.existsSync(path.join(proto, "topics.def"))
  ? rows("topics.def", "TOPIC").map(([name, partitions, cleanup, retention, text]) => ({ name, partitions, cleanup, retention, text }))
  : [];

const seq = { type: "integer", minimum: 0, maximum: Number.MAX_SAFE_INTEGER };
const kinds = {
  TEXT: (max) => ({ type: "string", minLength: 1, "x-max-bytes": max }),
  TEXT0: (max) => ({ type: "string", "x-max-bytes": max }),
  CONVERSATION: (max) => ({ type: "string", pattern: "^[A-Za-z0-9._~-]+$", minLength: 1, maxLength: max }),
  USER: (max) => ({ type: "string", pattern: "^[A-Za-z0-9._~@:|-]+$", minLength: 1, maxLength: max }),
  AUDIENCE: (max) => ({ type: "string", pattern: "^(all|topic:[A-Za-z0-9._~-]+)$", maxLength: max }),
  SEQ: () => seq,
  TIME: () => ({ ...seq, description: "milliseconds since 1970" }),
  FLAG: () => ({ type: "boolean" }),
  OBJECT: (max) => ({ type: "object", "x-max-bytes": max }),
  ARRAY: (max) => ({ type: "array", "x-max-bytes": max }),
  ARGS: (max) => ({ type: "array", "x-max-bytes": max }),
};

function schema(event) {
  const own = fields.filter((field) => field.event === event.id);
  const properties = Object.fromEntries(own.map((field) => [field.name, kinds[field.kind](limits.get(field.max).value)]));
  return {
    $schema: "https://json-schema.org/draft/2020-12/schema",
    $id: `${event.name}.json`,
    title: event.name,
    description: event.text,
    type: "object",
    properties,
    required: own.filter((field) => field.need === "REQUIRED").map((field) => field.name),
    additionalProperties: true,
  };
}

function asyncapi() {
  const channels = {};
  for (const topic of topics) {
    const carried = events.filter((event) => event.topic === topic.name || (event.id === "EMIT" && topic.name === "chat.signals"));
    channels[topic.name] = {
      address: topic.name,
      description: topic.text,
      messages: Object.fromEntries(carried.map((event) => [event.name, { $ref: `#/components/messages/${event.name}` }])),
      bindings: { kafka: { topic: topic.name, partitions: Number(topic.partitions) || 16, topicConfiguration: { "cleanup.policy": [topic.cleanup], "retention.ms": product(topic.retention), "message.timestamp.type": "LogAppendTime" } } },
    };
  }
  return {
    asyncapi: "3.0.0",
    info: {
      title: "Tern's topics",
      version: "0.1.0",
      description: "Every record is a CloudEvent 1.0 in Kafka's binary mode: ce_id, ce_type, ce_source, ce_specversion, ce_time and content-type as headers, the data as compact JSON in the value. The partition is the Java client's: positive murmur2 of the key modulo the partition count. notifications and broadcasts also accept structured mode and a bare JSON object.",
    },
    channels,
    components: {
      messages: Object.fromEntries(events.map((event) => [event.name, {
        name: event.name,
        summary: event.text,
        contentType: "application/json",
        headers: {
          type: "object",
          properties: { ce_id: { type: "string", minLength: 1, "x-max-bytes": limits.get("ID_MAX").value }, ce_type: { const: event.name }, ce_source: { type: "string" }, ce_specversion: { const: "1.0" }, ce_time: { type: "string", format: "date-time" } },
          required: ["ce_id", "ce_type", "ce_source", "ce_specversion"],
        },
        payload: { $ref: `schemas/${event.name}.json` },
      }])),
    },
  };
}

let stale = 0;
function put(name, value) {
  const file = path.join(proto, name), text = `${JSON.stringify(value, null, 2)}\n`;
  const there = fs.existsSync(file) ? fs.readFileSync(file, "utf8") : "";
  if (there === text) return;
  stale++;
  if (check) return console.error(`${name} differs from the tables: run scripts/generate-proto.mjs`);
  fs.mkdirSync(path.dirname(file), { recursive: true });
  fs.writeFileSync(file, text);
}

for (const event of events) put(`schemas/${event.name}.json`, schema(event));
put("asyncapi.json", asyncapi());
process.exitCode = check && stale > 0 ? 1 : 0;
