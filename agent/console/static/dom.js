// Builds elements. Text only ever becomes a text node: nothing here parses markup.

const SVG = "http://www.w3.org/2000/svg";

/** An element: `props` are attributes, `onX` listeners, `class`, `dataset`, and properties such as `value`. */
export function h(tag, props, ...children) {
  return fill(document.createElement(tag), props, children);
}

/** An SVG element; attributes only. */
export function svg(tag, props, ...children) {
  return fill(document.createElementNS(SVG, tag), props, children);
}

const PROPERTIES = new Set(["value", "checked", "disabled", "selected", "hidden", "open", "required", "readOnly"]);

function fill(element, props, children) {
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === undefined || value === null) continue;
    if (PROPERTIES.has(name)) {
      element[name] = value;
      continue;
    }
    if (value === false) continue;
    if (name.startsWith("on")) {
      if (typeof value !== "function") throw new TypeError(`${name} is not a function`);
      element.addEventListener(name.slice(2).toLowerCase(), value);
    } else if (name === "class") element.setAttribute("class", value);
    else if (name === "dataset") Object.assign(element.dataset, value);
    else if (name === "href") element.setAttribute("href", safeLink(value));
    else if (name === "src") element.setAttribute("src", safeSource(value));
    else if (name === "style" || name === "srcdoc" || name === "action" || name === "formaction") {
      throw new TypeError(`${name} is not set from here`);
    } else element.setAttribute(name, value === true ? "" : String(value));
  }
  add(element, children);
  return element;
}

function add(element, children) {
  for (const child of children) {
    if (child === null || child === undefined || child === false) continue;
    if (Array.isArray(child)) add(element, child);
    else element.append(child instanceof Node ? child : String(child));
  }
}

/** Put `children` in place of what `element` had. */
export function put(element, ...children) {
  element.replaceChildren();
  add(element, children);
  return element;
}

/** A link inside this page or site; anything else leads nowhere. */
export function safeLink(value) {
  const text = String(value);
  return text.startsWith("#") || ownPath(text) ? text : "#";
}

/** A picture or sound of this server; anything else is nothing. */
export function safeSource(value) {
  return ownPath(String(value)) ? String(value) : "";
}

function ownPath(text) {
  if (!text.startsWith("/")) return false;
  try {
    const url = new URL(text, location.origin);
    return url.origin === location.origin && ["http:", "https:"].includes(url.protocol);
  } catch {
    return false;
  }
}

/** A button that cannot be pressed twice while what it started goes on. */
export function button(label, act, props = {}) {
  const made = h("button", { type: "button", ...props, onclick: async () => {
    if (made.getAttribute("aria-busy") === "true") return;
    made.setAttribute("aria-busy", "true");
    try {
      await act();
    } finally {
      made.removeAttribute("aria-busy");
    }
  } }, label);
  return made;
}

/** A labelled form field around `input`. */
export function field(label, input, hint) {
  return h("label", { class: "field" }, h("span", { class: "field-label" }, label), input,
    hint ? h("span", { class: "hint" }, hint) : null);
}

/** A panel with a heading. */
export function panel(title, props, ...children) {
  const id = `panel-${(panel.count = (panel.count ?? 0) + 1)}`;
  return h("section", { ...props, class: `panel ${props?.class ?? ""}`.trim(), "aria-labelledby": id },
    h("h2", { id }, title), ...children);
}

/** Tell something for some seconds, also to a screen reader. kind: "" or "bad". */
export function notice(text, kind = "") {
  const place = document.getElementById("notices");
  while (place.children.length >= 4) place.firstChild.remove();
  const shown = h("div", { class: `notice ${kind}`.trim() }, text);
  place.append(shown);
  setTimeout(() => shown.remove(), kind ? 9000 : 5000);
}
