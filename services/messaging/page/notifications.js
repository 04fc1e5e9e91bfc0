// Notifications over the browser's own EventSource; the list and the marks over REST.
import { $, clock, make, show, toast } from "./dom.js";

export class Notifications {
  constructor({ user, token, url }) {
    this.user = user;
    this.token = token;
    this.url = url;
    this.items = new Map(); // id -> notification, newest first when shown
    $("sse-gateway").textContent = new URL(url).host;
    $("read-all").addEventListener("click", () => this.readAll());
    $("notify").addEventListener("submit", (event) => {
      event.preventDefault();
      this.publish($("notify-user").value.trim(), $("notify-title").value.trim());
    });
    $("notify-user").value = user;
  }

  address(path, query = {}) {
    const address = new URL(path, this.url);
    if (!this.token) address.searchParams.set("user", this.user);
    for (const [name, value] of Object.entries(query)) address.searchParams.set(name, value);
    return address;
  }

  async call(method, path, body) {
    const headers = { "content-type": "application/json" };
    if (this.token) headers.authorization = `Bearer ${this.token}`;
    const answer = await fetch(this.address(path), { method, headers, body: body && JSON.stringify(body) });
    const json = await answer.json();
    if (!answer.ok) throw new Error(json.error?.message ?? answer.statusText);
    return json;
  }

  // The list first, and the stream from the list's own cursor: nothing falls between them.
  async start() {
    let cursor = "";
    try {
      const page = await this.call("GET", "/notifications");
      for (const item of page.notifications.reverse()) this.items.set(item.id, item);
      cursor = page.cursor;
    } catch (error) {
      toast("Notifications", error.message);
    }
    this.render();
    const query = cursor ? { lastEventId: cursor } : {};
    if (this.token) query.token = this.token;
    const source = new EventSource(this.address(`/notifications/stream/${encodeURIComponent(this.user)}`, query));
    source.onopen = () => this.setState("on", "live");
    source.onerror = () => this.setState("off", source.readyState === EventSource.CLOSED ? "closed" : "coming back…");
    source.onmessage = (event) => this.receive(JSON.parse(event.data));
    source.addEventListener("notification_read", (event) => this.setRead(({ id }) => id === JSON.parse(event.data).id));
    source.addEventListener("notification_read_all", (event) => this.setRead(({ seq }) => seq <= JSON.parse(event.data).seq));
  }

  setState(state, text) {
    $("sse-dot").className = `dot ${state}`;
    $("sse-state").textContent = text;
    document.body.dataset.sse = state;
  }

  receive(item) {
    if (this.items.has(item.id)) return;
    this.items.set(item.id, { ...item, read: false });
    toast(item.title, item.body);
    this.render();
  }

  setRead(which) {
    for (const item of this.items.values()) if (which(item)) item.read = true;
    this.render();
  }

  async read(id) {
    await this.call("POST", `/notifications/${encodeURIComponent(id)}/read`).catch((error) => toast("Not marked", error.message));
  }

  async readAll() {
    await this.call("POST", "/notifications/read-all").catch((error) => toast("Not marked", error.message));
  }

  async publish(userId, title) {
    try {
      await this.call("POST", "/notifications", { userId, type: "demo", title, body: `from ${this.user}` });
      $("notify-title").value = "";
    } catch (error) {
      toast("Not sent", error.message);
    }
  }

  render() {
    const items = [...this.items.values()].reverse();
    const unread = items.filter((item) => !item.read && item.userId).length;
    for (const id of ["unread", "tab-unread"]) {
      $(id).textContent = String(unread);
      show($(id), unread > 0);
    }
    $("notifications").replaceChildren(...items.map((item) => this.item(item)));
  }

  item(item) {
    const element = make("li", item.read ? "" : "unread");
    element.dataset.id = item.id;
    element.append(make("b", "", item.title), make("span", "", item.body), make("time", "muted", clock(item.createdAt)));
    if (!item.read && item.userId) {
      const button = make("button", "link", "Mark read");
      button.type = "button";
      button.addEventListener("click", () => this.read(item.id));
      element.append(button);
    }
    return element;
  }
}
