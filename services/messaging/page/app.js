// The demo page: chat over the stock Socket.IO client, notifications over the browser's EventSource.
import { Chat } from "./chat.js";
import { Notifications } from "./notifications.js";
import { $, colorOf, initials, show, toast } from "./dom.js";

const params = new URLSearchParams(location.search);

async function about(url) {
  const answer = await fetch(new URL("/about", url));
  return answer.json();
}

function fillGateways(list) {
  const choice = $("gateway");
  for (const url of list) {
    const option = document.createElement("option");
    option.value = url;
    option.textContent = url.replace(/^https?:\/\//, "");
    choice.append(option);
  }
  const asked = list.indexOf(params.get("gateway"));
  choice.selectedIndex = asked >= 0 ? asked : turn() % list.length;
}

// Two windows should land on two gateways without anybody choosing: the windows of one browser count. A window that is
// loaded again keeps its place.
function turn() {
  let mine = Number(sessionStorage.getItem("turn") ?? -1);
  if (mine < 0) {
    mine = Number(localStorage.getItem("turn") ?? 0);
    localStorage.setItem("turn", String((mine + 1) % 1e6));
    sessionStorage.setItem("turn", String(mine));
  }
  return mine;
}

// What a token says; the gateways are those that check it.
function claimsOf(token) {
  try {
    const bytes = Uint8Array.from(atob(token.split(".")[1].replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0));
    return JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    return {};
  }
}

function choosePanel(name) {
  for (const id of ["rooms", "chat", "bell"]) {
    $(id).classList.toggle("current", id === name);
    document.querySelector(`[data-panel="${id}"]`).setAttribute("aria-pressed", String(id === name));
  }
}

async function enter(here, form) {
  const token = here.auth ? form.get("token").trim() : "";
  const claims = token ? claimsOf(token) : {};
  const user = token ? claims.sub : form.get("name").trim();
  if (!user) {
    $("token").setCustomValidity("This is not a token: it names no user (sub).");
    $("token").reportValidity();
    return;
  }
  const gateway = form.get("gateway") || location.origin;
  const sse = here.notifications.split(",").filter(Boolean);
  show($("welcome"), false);
  show($("main"), true);
  $("me").textContent = user;
  $("avatar").textContent = initials(user);
  $("avatar").style.background = colorOf(user);
  document.title = `Tern: ${user}`;
  sessionStorage.setItem("name", user);

  const chat = new Chat({ user, token, url: gateway });
  // Behind an address may be another gateway each time.
  $("chat-gateway").textContent = new URL(gateway).host;
  chat.socket.on("connect", async () => {
    const there = await about(gateway);
    $("chat-gateway").textContent = `${there.instance} (${new URL(gateway).host})`;
  });
  chat.open(form.get("first").trim());

  if (sse.length > 0) {
    const pick = sse[$("gateway").selectedIndex % sse.length];
    show($("notify"), !token || String(claims.scope ?? "").split(" ").includes("notifications:publish"));
    new Notifications({ user, token, url: pick }).start();
  } else {
    $("sse-state").textContent = "no gateway is set (TERN_PAGE_NOTIFICATIONS)";
  }

  $("join").addEventListener("submit", (event) => {
    event.preventDefault();
    chat.open($("join-id").value.trim());
    $("join").reset();
    choosePanel("chat");
  });
  $("kill").addEventListener("click", () => chat.kill());
  for (const tab of document.querySelectorAll("[data-panel]")) {
    tab.addEventListener("click", () => choosePanel(tab.dataset.panel));
  }
  $("room-list").addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    chat.select(button.dataset.id);
    choosePanel("chat");
  });
}

async function main() {
  const here = await about(location.origin);
  const gateways = here.gateways.split(",").filter(Boolean);
  fillGateways(gateways.length > 0 ? gateways : [location.origin]);
  // With tokens, the token tells who one is.
  show($("token-row"), here.auth);
  show($("name-row"), !here.auth);
  $("token").required = here.auth;
  $("name").required = !here.auth;
  $("token").addEventListener("input", () => $("token").setCustomValidity(""));
  $("name").value = params.get("name") || sessionStorage.getItem("name") || "";
  if (params.get("room")) $("first").value = params.get("room");
  $("enter").addEventListener("submit", (event) => {
    event.preventDefault();
    enter(here, new FormData($("enter")));
  });
  show($("enter"), true);
  (here.auth ? $("token") : $("name")).focus();
}

main().catch((error) => toast("The gateway does not answer", String(error)));
