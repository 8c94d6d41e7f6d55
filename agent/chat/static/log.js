// The conversation as it is shown. Everything that was said is inserted as text, never as markup.

import { t } from "/chat/static/strings.js";

const MOST = 300;
const MOST_KEPT = 60;

export class Log {
  constructor(list, name = "") {
    this._list = list;
    this._name = name;
    this._open = new Map();
    this._said = [];
    for (const [who, text] of this._restored()) this._line(who, text);
  }

  /** A caption of the server: what callers say replaces itself, sentences of the agent add up until all is heard. */
  caption({ speaker, text, final, turn }) {
    const who = speaker === "caller" ? "caller" : "agent";
    const key = `${who}-${turn}`;
    let item = this._open.get(key);
    if (item === undefined) {
      item = this._line(who, "");
      this._open.set(key, item);
    }
    const words = item.querySelector(".words");
    const before = words.textContent;
    words.textContent = final || who === "caller" ? text : before ? `${before} ${text}` : text;
    item.classList.toggle("open", !final);
    if (final) {
      this._open.delete(key);
      if (text) this._keep(who, text);
      else item.remove();
    }
    this._scroll();
  }

  /** A remark; returns its element, for one that passes. */
  note(text) {
    const item = this._line("note", text);
    this._scroll();
    return item;
  }

  card(element) {
    const item = this._item("card");
    item.append(element);
    for (const image of element.querySelectorAll("img")) image.addEventListener("load", () => this._scroll(), { once: true });
    this._scroll();
  }

  forget() {
    this._said = [];
    try {
      sessionStorage.removeItem(`said-${this._name}`);
    } catch { /* none */ }
  }

  clear() {
    this._list.replaceChildren();
    this._open.clear();
  }

  _line(who, text) {
    const item = this._item(who);
    if (who !== "note") {
      const name = document.createElement("span");
      name.className = "who";
      name.dataset.text = who === "caller" ? "you" : "agent";
      name.textContent = t(name.dataset.text);
      item.append(name);
    }
    const words = document.createElement("span");
    words.className = "words";
    words.textContent = text;
    item.append(words);
    return item;
  }

  _item(kind) {
    const item = document.createElement("li");
    item.className = kind;
    this._list.append(item);
    while (this._list.childElementCount > MOST) this._list.firstElementChild.remove();
    return item;
  }

  _scroll() {
    this._list.scrollTop = this._list.scrollHeight;
  }

  _keep(who, text) {
    if (!this._name) return;
    this._said.push([who, text]);
    if (this._said.length > MOST_KEPT) this._said.shift();
    try {
      sessionStorage.setItem(`said-${this._name}`, JSON.stringify(this._said));
    } catch { /* full: a reload shows less */ }
  }

  _restored() {
    try {
      const found = JSON.parse(sessionStorage.getItem(`said-${this._name}`));
      if (Array.isArray(found)) {
        this._said = found.filter((one) => Array.isArray(one) && one.length === 2).map(([who, text]) => [String(who) === "caller" ? "caller" : "agent", String(text)]);
      }
    } catch { /* none */ }
    return this._said;
  }
}
