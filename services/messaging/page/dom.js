// Small things that every part of the page needs.

export const $ = (id) => document.getElementById(id);

export function show(element, on) {
  element.hidden = !on;
}

export function make(tag, className, text) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text !== undefined) element.textContent = text;
  return element;
}

export function initials(name) {
  return name.slice(0, 2).toUpperCase();
}

// The same color for the same name, in every window.
export function colorOf(name) {
  let hash = 7;
  for (const char of name) hash = (hash * 31 + char.codePointAt(0)) % 360;
  return `hsl(${hash} 55% 42%)`;
}

export function avatar(name) {
  const element = make("span", "avatar", initials(name));
  element.style.background = colorOf(name);
  element.setAttribute("aria-hidden", "true");
  return element;
}

export function clock(iso) {
  return new Date(iso).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
}

export function toast(title, text) {
  const element = make("div", "toast");
  element.append(make("b", "", title), make("span", "muted", text || ""));
  $("toasts").append(element);
  setTimeout(() => element.remove(), 6000);
}
