// What Tern is measured against: the Node Socket.IO server, as teams run it: bufferutil, no request kept,
// and with --kafka node-rdkafka in front of the same kind of topic: a message is produced, consumed again, and emitted to its room; the ack
// follows the delivery report.
import { createServer } from "node:http";
import { createHmac, timingSafeEqual } from "node:crypto";
import { createRequire } from "node:module";

const require = createRequire(process.env.BENCH_MODULES + "/");
const { Server } = require("socket.io");
const [, , portText, secret, bootstrap, topic] = process.argv;

const http = createServer();
const io = new Server(http, { perMessageDeflate: false });
io.engine.on("connection", (raw) => { raw.request = null; });

function verify(token) {
  const [head, body, signature] = token.split(".");
  const want = createHmac("sha256", secret).update(`${head}.${body}`).digest();
  if (!timingSafeEqual(want, Buffer.from(signature, "base64url"))) throw new Error("bad token");
  return JSON.parse(Buffer.from(body, "base64url"));
}

io.use((socket, next) => {
  try {
    socket.data.user = verify(socket.handshake.auth.token).sub;
    next();
  } catch (error) {
    next(error);
  }
});

let publish = (message, done) => {
  io.to(message.conversationId).emit("new_message", message);
  done();
};

if (bootstrap) {
  const Kafka = require("node-rdkafka");
  const producer = new Kafka.HighLevelProducer({ "metadata.broker.list": bootstrap, "enable.idempotence": true, "linger.ms": 0.5 });
  const consumer = new Kafka.KafkaConsumer({ "metadata.broker.list": bootstrap, "group.id": `bench-${process.pid}`, rebalance_cb: true, "enable.auto.commit": false, "fetch.wait.max.ms": 100 }, { "auto.offset.reset": "latest" });
  await new Promise((resolve) => producer.connect({}, resolve));
  await new Promise((resolve) => consumer.connect({}, resolve));
  publish = (message, done) => producer.produce(topic, null, Buffer.from(JSON.stringify(message)), message.conversationId, Date.now(), done);
  consumer.subscribe([topic]);
  consumer.consume();
  consumer.on("data", ({ value }) => {
    const message = JSON.parse(value);
    io.to(message.conversationId).emit("new_message", message);
  });
  await new Promise((resolve) => consumer.once("rebalance", resolve));
}

let seq = 0;
io.on("connection", (socket) => {
  socket.on("join_conversation", (id, ack) => {
    socket.join(id);
    ack({ ok: true });
  });
  socket.on("send_message", ({ conversationId, content }, ack) => {
    const message = { id: String(++seq), conversationId, seq, senderId: socket.data.user, content, createdAt: new Date().toISOString() };
    publish(message, () => ack?.({ ok: true, message: { id: message.id, seq: message.seq } }));
  });
});

http.listen(Number(portText), "127.0.0.1", () => console.log(http.address().port));
