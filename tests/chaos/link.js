// A network that can be disturbed: TCP connections pass through a link, which holds them up, slows them, stops passing one
// direction or both, or cuts them.
//
// Bytes are passed by one loop for each direction, so they stay in order and a slow receiver holds its sender. What a fault
// holds up is passed on when it ends: to both ends that is a slow network. A cut is a reset, and a refusal of new connections.
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

const clear = { cut: false, silent: { up: false, down: false }, delayMs: 0, bytesPerSecond: 0 };

/** What is wrong with the network of one party. Owner of the waiting loops' wake-ups. */
export class Weather {
  constructor() {
    Object.assign(this, clear);
    this.connections = new Set();
    this.waiting = [];
  }

  /** Fields of `clear`. A cut ends what is open. */
  set(change) {
    Object.assign(this, clear, change);
    if (this.cut) this.reset();
    this.wake();
  }

  reset() {
    for (const c of this.connections) c.destroy();
  }

  wake() {
    for (const go of this.waiting.splice(0)) go();
  }

  /** Returns when `bytes` may be passed on in this direction ('up': to the server). */
  async pass(direction, bytes) {
    if (this.delayMs > 0) await sleep(this.delayMs);
    if (this.bytesPerSecond > 0) await sleep((bytes / this.bytesPerSecond) * 1000);
    while (this.silent[direction]) await new Promise((go) => this.waiting.push(go));
  }
}

class Connection {
  constructor(front, back, weather) {
    this.front = front;
    this.back = back;
    this.weather = weather;
    weather.connections.add(this);
    for (const socket of [front, back]) socket.on('close', () => this.destroy());
    this.pump(front, back, 'up');
    this.pump(back, front, 'down');
  }

  async pump(from, to, direction) {
    try {
      for await (const bytes of from) {
        await this.weather.pass(direction, bytes.length);
        if (to.destroyed) return;
        if (!to.write(bytes)) await Promise.race([once(to, 'drain'), once(to, 'close')]);
      }
      to.end();
    } catch {
      this.destroy();
    }
  }

  destroy() {
    this.weather.connections.delete(this);
    // A reset, not an end: so does a network that is gone.
    for (const socket of [this.front, this.back]) if (!socket.destroyed) socket.resetAndDestroy();
    this.weather.wake();
  }
}

/**
 * A listening end. `targets` are the servers' ports, tried in turn, so that one that is away is passed over; weatherOf(socket)
 * gives (or promises) the weather of whoever connects.
 */
export class Link {
  constructor(targets, weatherOf) {
    this.targets = targets;
    this.weatherOf = weatherOf;
    this.turn = 0;
    this.open = new Set();
    this.server = createServer({ noDelay: true }, (front) => this.arrived(front));
  }

  async listen(port = 0) {
    this.server.listen(port, '127.0.0.1');
    await once(this.server, 'listening');
    this.port = this.server.address().port;
    return this;
  }

  get url() {
    return `http://127.0.0.1:${this.port}`;
  }

  async arrived(front) {
    this.open.add(front);
    front.on('error', () => {});
    front.on('close', () => this.open.delete(front));
    front.pause();
    const weather = await this.weatherOf(front);
    if (weather.cut) front.resetAndDestroy();
    else this.forward(front, weather, this.targets.length);
  }

  forward(front, weather, tries) {
    if (tries <= 0 || front.destroyed) {
      front.destroy();
      return;
    }
    const back = connect({ host: '127.0.0.1', port: this.targets[this.turn++ % this.targets.length], noDelay: true });
    const next = () => this.forward(front, weather, tries - 1);
    back.once('error', next);
    back.once('connect', () => {
      back.off('error', next);
      back.on('error', () => {});
      if (weather.cut || front.destroyed) {
        back.destroy();
        front.destroy();
      } else {
        new Connection(front, back, weather);
      }
    });
  }

  close() {
    this.server.close();
    for (const front of this.open) front.destroy();
  }
}
