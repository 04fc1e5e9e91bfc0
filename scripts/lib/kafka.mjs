// Kafka for a stack: Apache's own broker (KRaft; one node or three), or the embedded one.
import { randomBytes } from 'node:crypto';
import { copyFileSync, existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Failure } from './failure.mjs';
import { askKafka } from './kafka_probe.mjs';
import { binary, kafkaDir } from './paths.mjs';
import { logTail, runToEnd } from './processes.mjs';

const libs = join(kafkaDir, 'libs');
// The features' initial levels. It is the same for every cluster of a Kafka version and takes a JVM to make.
const bootstrapRecords = join(kafkaDir, 'bootstrap.checkpoint');

const uuid = () => randomBytes(16).toString('base64url').replace(/^-/, 'A');

function java() {
  return { file: 'java', env: { PATH: process.env.PATH, HOME: process.env.HOME } };
}

// The heap is small because tests run several brokers beside the code they test; the first-tier compiler because
// a broker that lives for a minute never earns back what the second tier costs.
function jvmOptions(home) {
  const options = process.env.TERN_STACK_JAVA_OPTS ?? '-Xms160m -Xmx512m -XX:TieredStopAtLevel=1 -XX:+UseSerialGC';
  return [...options.split(/\s+/).filter(Boolean), '-Xshare:auto', '-Djava.awt.headless=true', `-Dlog4j2.configurationFile=${join(home, 'log4j2.xml')}`, '-cp', `${libs}/*`];
}

const log4j = `<Configuration status="ERROR">
  <Appenders><Console name="out"><PatternLayout pattern="%d{ISO8601} %p %c{1} %m%n"/></Console></Appenders>
  <Loggers>
    <Logger name="org.apache.kafka.common.config" level="WARN"/>
    <Logger name="kafka.log" level="WARN"/>
    <Logger name="org.apache.kafka.storage.internals.log" level="WARN"/>
    <Logger name="state.change.logger" level="WARN"/>
    <Root level="INFO"><AppenderRef ref="out"/></Root>
  </Loggers>
</Configuration>
`;

/** Clients that come by way of something else (a proxy) have a listener of their own, whose address is the proxy's. */
function listeners({ port, controllerPort, clientPort, advertisedPort }) {
  const clients = clientPort ? [['CLIENTS', clientPort, advertisedPort]] : [];
  const text = (list) => list.map(([name, at]) => `${name}://127.0.0.1:${at}`).join(',');
  return [
    `listeners=${text([['PLAINTEXT', port], ...clients, ['CONTROLLER', controllerPort]])}`,
    `advertised.listeners=${text([['PLAINTEXT', port], ...clients.map(([name, , at]) => [name, at])])}`,
    'listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CLIENTS:PLAINTEXT,CONTROLLER:PLAINTEXT',
  ];
}

function properties({ id, nodes, home }) {
  const replicas = nodes.length >= 3 ? 3 : 1;
  const inSync = replicas === 3 ? 2 : 1;
  const me = nodes[id];
  return [
    'process.roles=broker,controller',
    `node.id=${id + 1}`,
    `controller.quorum.voters=${nodes.map((n, i) => `${i + 1}@127.0.0.1:${n.controllerPort}`).join(',')}`,
    ...listeners(me),
    'controller.listener.names=CONTROLLER',
    'inter.broker.listener.name=PLAINTEXT',
    `log.dirs=${join(home, 'data')}`,
    'auto.create.topics.enable=false',
    'unclean.leader.election.enable=false',
    `default.replication.factor=${replicas}`,
    `min.insync.replicas=${inSync}`,
    `offsets.topic.replication.factor=${replicas}`,
    'offsets.topic.num.partitions=4',
    `transaction.state.log.replication.factor=${replicas}`,
    `transaction.state.log.min.isr=${inSync}`,
    'transaction.state.log.num.partitions=4',
    `share.coordinator.state.topic.replication.factor=${replicas}`,
    `share.coordinator.state.topic.min.isr=${inSync}`,
    'share.coordinator.state.topic.num.partitions=4',
    'group.initial.rebalance.delay.ms=0',
    'log.message.timestamp.type=LogAppendTime',
    'log.cleaner.threads=1',
    'log.cleaner.dedupe.buffer.size=8388608',
    'log.index.size.max.bytes=1048576',
    'num.network.threads=2',
    'num.io.threads=4',
    'num.recovery.threads.per.data.dir=2',
    // A broker that was killed may take its name again only when its old session has ended.
    'broker.session.timeout.ms=3000',
    'broker.heartbeat.interval.ms=500',
    'controlled.shutdown.enable=true',
    '',
  ].join('\n');
}

function makeBootstrapRecords(home) {
  const scratch = join(home, 'format');
  const node = { port: 1, controllerPort: 2 };
  mkdirSync(scratch, { recursive: true });
  writeFileSync(join(scratch, 'server.properties'), properties({ id: 0, nodes: [node], home: scratch }));
  const { file, env } = java();
  const args = [...jvmOptions(home), 'kafka.tools.StorageTool', 'format', '-t', uuid(), '-c', join(scratch, 'server.properties')];
  runToEnd({ what: 'formatting Kafka\'s log', file, args, env });
  const temporary = `${bootstrapRecords}.${process.pid}`;
  copyFileSync(join(scratch, 'data/bootstrap.checkpoint'), temporary);
  renameSync(temporary, bootstrapRecords);
  rmSync(scratch, { recursive: true });
}

/** A folder as `kafka-storage format` leaves it. */
function format({ id, home, clusterId }) {
  const data = join(home, 'data');
  mkdirSync(data, { recursive: true });
  writeFileSync(join(home, 'log4j2.xml'), log4j);
  if (!existsSync(bootstrapRecords)) makeBootstrapRecords(home);
  copyFileSync(bootstrapRecords, join(data, 'bootstrap.checkpoint'));
  writeFileSync(join(data, 'meta.properties'), `version=1\ncluster.id=${clusterId}\nnode.id=${id + 1}\ndirectory.id=${uuid()}\n`);
}

/** One plan for each node: {command, port, id, brokers}. */
export function prepareApache({ dir, nodes, logs }) {
  if (!existsSync(join(libs, 'kafka_2.13-4.1.0.jar'))) throw new Failure("Apache Kafka's jars are missing (scripts/setup --kafka=apache fetches them)");
  const clusterId = uuid();
  return nodes.map((node, id) => {
    const home = join(dir, 'kafka', String(id));
    mkdirSync(home, { recursive: true });
    format({ id, home, clusterId });
    const config = join(home, 'server.properties');
    writeFileSync(config, properties({ id, nodes, home }));
    const { file, env } = java();
    return { port: node.port, id: id + 1, brokers: nodes.length, command: { file, args: [...jvmOptions(home), 'kafka.Kafka', config], env, cwd: home, log: logs[id] } };
  });
}

/** Ready on the first start when the whole cluster is there; later when this broker is back in what there is of it. */
export function apacheReady({ port, id, brokers }, first) {
  return async () => {
    const answer = await askKafka(port);
    return answer !== null && answer.controller && (first ? answer.brokers.length >= brokers : answer.brokers.includes(id));
  };
}

export function prepareEmbedded({ dir, port, env, log }) {
  return { port, command: { file: binary('tern-devbroker'), args: [], env: { ...env, TERN_DEVBROKER_PORT: String(port) }, cwd: dir, log } };
}

/** `from` = the log's length before the start: the broker says `ready` in it. */
export function embeddedReady(log, from) {
  return () => /^ready bootstrap=/m.test(logTail(log, from));
}

export function removeKafka(dir) {
  rmSync(join(dir, 'kafka'), { recursive: true, force: true });
}
