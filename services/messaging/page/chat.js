// Conversations over the stock Socket.IO client.
import { io } from "./socket.io.esm.min.js";
import { $, avatar, clock, make, show, toast } from "./dom.js";

const PAGE = 50;

class Room {
  constructor(id) {
    this.id = id;
    this.messages = new Map(); // message id -> message, in the order of seq
    this.receipts = new Map(); // user -> seq
    this.typing = new Map(); // user -> timer
    this.unread = 0;
    this.lastSeq = 0;
    this.older = null; // cursor of the next page back, or null
  }

  add(message) {
    if (this.messages.has(message.id)) return false;
    this.messages.set(message.id, message);
    this.lastSeq = Math.max(this.lastSeq, message.seq);
    return true;
  }

  sorted() {
    return [...this.messages.values()].sort((a, b) => a.seq - b.seq);
  }
}

export class Chat {
  constructor({ user, token, url }) {
    this.user = user;
    this.rooms = new Map();
    this.current = null;
    this.sentTyping = false;
    this.missed = 0;
    this.socket = io(url, { auth: token ? { token } : { user } });
    this.listen();
    this.wireForm();
  }

  // ---- the connection ----

  listen() {
    const socket = this.socket;
    socket.on("connect", () => this.connected());
    socket.on("disconnect", (reason) => this.setState("off", `lost: ${reason}`));
    socket.on("connect_error", (error) => this.setState("off", error.message));
    socket.on("new_message", (message) => this.receive(message));
    socket.on("typing", (event) => this.showTyping(event));
    socket.on("message_read", ({ conversationId, userId, seq }) => this.setRead(conversationId, userId, seq));
    socket.on("gap", () => this.reloadAll());
    socket.on("notice", ({ text }) => toast("Notice", text));
  }

  connected() {
    const transport = () => this.socket.io.engine?.transport.name ?? "";
    this.setState("on", transport());
    this.socket.io.engine.once("upgrade", () => this.setState("on", transport()));
    if (this.killedAt) {
      const ms = Math.round(performance.now() - this.killedAt);
      this.killedAt = 0;
      $("resume").textContent = this.socket.recovered
        ? `back after ${ms} ms: session resumed, nothing missed`
        : `back after ${ms} ms: a new session`;
    }
    // A resumed session is still in its rooms; a new one joins them again.
    if (!this.socket.recovered) for (const room of this.rooms.values()) this.join(room);
  }

  setState(state, text) {
    $("chat-dot").className = `dot ${state}`;
    $("chat-state").textContent = text;
    document.body.dataset.chat = state;
  }

  kill() {
    this.killedAt = performance.now();
    $("resume").textContent = "killed; coming back…";
    this.socket.io.engine.close();
  }

  async ask(event, argument) {
    const answer = await this.socket.timeout(15000).emitWithAck(event, argument);
    if (!answer.ok) throw Object.assign(new Error(answer.error.message), answer.error);
    return answer;
  }

  // ---- rooms ----

  open(id) {
    if (!this.rooms.has(id)) {
      const room = new Room(id);
      this.rooms.set(id, room);
      if (this.socket.connected) this.join(room);
    }
    this.select(id);
  }

  async join(room) {
    try {
      const { headSeq, receipts } = await this.ask("join_conversation", room.id);
      for (const { userId, seq } of receipts) room.receipts.set(userId, seq);
      const page = await this.ask("fetch_messages", { conversationId: room.id, before: headSeq + 1, limit: PAGE });
      for (const message of page.messages) room.add(message);
      room.older = page.cursor;
      this.render();
      this.markRead(room);
    } catch (error) {
      toast(`#${room.id}`, error.message);
    }
  }

  reloadAll() {
    for (const room of this.rooms.values()) {
      room.messages.clear();
      this.join(room);
    }
  }

  async loadOlder() {
    const room = this.rooms.get(this.current);
    if (!room || room.older === null) return;
    const page = await this.ask("fetch_messages", { conversationId: room.id, before: room.older, limit: PAGE });
    for (const message of page.messages) room.add(message);
    room.older = page.cursor;
    this.render(false);
  }

  select(id) {
    this.current = id;
    const room = this.rooms.get(id);
    room.unread = 0;
    this.render();
    this.markRead(room);
    $("text").focus();
  }

  // ---- events ----

  receive(message) {
    const room = this.rooms.get(message.conversationId);
    if (!room || !room.add(message)) return;
    this.stopTyping(room, message.senderId);
    if (room.id !== this.current) {
      if (message.senderId !== this.user) room.unread++;
      this.renderRooms();
      return;
    }
    this.render();
    this.markRead(room);
  }

  async send(text) {
    const room = this.rooms.get(this.current);
    const clientId = crypto.randomUUID();
    const draft = { id: clientId, conversationId: room.id, seq: Number.MAX_SAFE_INTEGER, senderId: this.user, content: text, createdAt: new Date().toISOString(), state: "pending" };
    room.messages.set(clientId, draft);
    this.render();
    try {
      const { message } = await this.ask("send_message", { conversationId: room.id, content: text, clientId });
      room.messages.delete(clientId);
      room.add({ ...draft, ...message, state: "" });
    } catch (error) {
      draft.state = "failed";
      toast("Not sent", error.message);
    }
    this.render();
  }

  tellTyping(on) {
    if (on === this.sentTyping || !this.current) return;
    this.sentTyping = on;
    this.socket.volatile.emit("typing", { conversationId: this.current, isTyping: on });
  }

  showTyping({ conversationId, userId, isTyping }) {
    const room = this.rooms.get(conversationId);
    if (!room || userId === this.user) return;
    this.stopTyping(room, userId);
    if (isTyping) room.typing.set(userId, setTimeout(() => this.stopTyping(room, userId), 6000));
    this.renderTyping();
  }

  stopTyping(room, user) {
    clearTimeout(room.typing.get(user));
    room.typing.delete(user);
    this.renderTyping();
  }

  async markRead(room) {
    if (!room.lastSeq || document.hidden || (room.receipts.get(this.user) ?? 0) >= room.lastSeq) return;
    room.receipts.set(this.user, room.lastSeq);
    await this.ask("mark_read", { conversationId: room.id, seq: room.lastSeq }).catch(() => {});
  }

  setRead(id, user, seq) {
    const room = this.rooms.get(id);
    if (!room || (room.receipts.get(user) ?? 0) >= seq) return;
    room.receipts.set(user, seq);
    if (id === this.current) this.render(false);
  }

  // ---- the page ----

  wireForm() {
    let quiet;
    $("send").addEventListener("submit", (event) => {
      event.preventDefault();
      const text = $("text").value.trim();
      if (!text) return;
      $("send").reset();
      this.tellTyping(false);
      this.send(text);
    });
    $("text").addEventListener("input", () => {
      this.tellTyping(true);
      clearTimeout(quiet);
      quiet = setTimeout(() => this.tellTyping(false), 3000);
    });
    $("older").addEventListener("click", () => this.loadOlder());
    document.addEventListener("visibilitychange", () => {
      const room = this.rooms.get(this.current);
      if (room && !document.hidden) this.markRead(room);
    });
  }

  render(toEnd = true) {
    this.renderRooms();
    this.renderTyping();
    const room = this.rooms.get(this.current);
    $("room-title").textContent = room.id;
    show($("older"), room.older !== null);
    const list = room.sorted();
    $("messages").replaceChildren(...list.map((message) => this.messageItem(room, message)));
    const readers = [...room.receipts.keys()].filter((user) => user !== this.user);
    $("room-seen").textContent = readers.length ? `with ${readers.slice(0, 6).join(", ")}` : "";
    if (toEnd) $("scroll").scrollTop = $("scroll").scrollHeight;
  }

  messageItem(room, message) {
    const item = make("li", message.senderId === this.user ? "mine" : "");
    if (message.state) item.classList.add(message.state);
    item.dataset.id = message.id;
    item.dataset.seq = message.seq;
    const meta = make("div", "meta");
    meta.append(make("b", "from", message.senderId), make("time", "", clock(message.createdAt)));
    item.append(avatar(message.senderId), meta, make("div", "bubble", message.content));
    const seen = [...room.receipts].filter(([user, seq]) => user !== this.user && user !== message.senderId && seq === message.seq).map(([user]) => user);
    if (seen.length) item.append(make("span", "seen", `seen by ${seen.join(", ")}`));
    return item;
  }

  renderRooms() {
    $("room-list").replaceChildren(
      ...[...this.rooms.values()].map((room) => {
        const item = make("li");
        const button = make("button", "", `# ${room.id}`);
        button.type = "button";
        button.dataset.id = room.id;
        button.setAttribute("aria-current", String(room.id === this.current));
        if (room.unread) button.append(make("span", "badge", String(room.unread)));
        item.append(button);
        return item;
      }),
    );
  }

  renderTyping() {
    const users = [...(this.rooms.get(this.current)?.typing.keys() ?? [])];
    $("typing").textContent = users.length ? `${users.join(", ")} ${users.length > 1 ? "are" : "is"} typing…` : "";
  }
}
