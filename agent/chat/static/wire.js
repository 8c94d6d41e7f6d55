// A visit, and its connection that comes back when it breaks: the plain protocol (docs/protocol.md) from a page.

const BACK_MS = [300, 700, 1500, 3000, 4000, 4000];
const MOST_WAITING = 64_000;

export class Refused extends Error {
  constructor(code) {
    super(code);
    this.code = code;
  }
}

/** Ask one of our own addresses; throws Refused with the code of the answer. */
export async function ask(path, options = {}) {
  let answer;
  try {
    answer = await fetch(path, { credentials: "omit", cache: "no-store", ...options });
  } catch {
    throw new Refused("unreachable");
  }
  let value = {};
  try {
    value = await answer.json();
  } catch { /* an error without a body */ }
  if (!answer.ok) {
    const refused = new Refused(String(value.error ?? answer.status));
    refused.next = value.next;
    throw refused;
  }
  return value;
}

/** One visitor's conversation: its secret stays in this tab, so that a reloaded page finds it again. */
export class Visit {
  constructor(kind) {
    this.kind = kind;
    this._first = null;
    this._known = null;
    try {
      this._known = JSON.parse(sessionStorage.getItem(`visit-${kind}`));
    } catch { /* none */ }
  }

  get known() {
    return this._known !== null;
  }

  async begin(language) {
    const body = JSON.stringify({ kind: this.kind, language });
    const told = await ask("/chat/visits", { method: "POST", headers: { "Content-Type": "application/json" }, body });
    this._known = { visit: told.visit, secret: told.secret };
    this._first = told.path;
    try {
      sessionStorage.setItem(`visit-${this.kind}`, JSON.stringify(this._known));
    } catch { /* a reload will start anew */ }
  }

  forget() {
    this._known = null;
    try {
      sessionStorage.removeItem(`visit-${this.kind}`);
    } catch { /* none */ }
  }

  /** Where the next connection goes, once. */
  async path() {
    const first = this._first;
    this._first = null;
    return first ?? (await this._post("ticket")).path;
  }

  /** Where the next picture goes, once. */
  async picture() {
    return (await this._post("picture")).path;
  }

  _post(what) {
    const { visit, secret } = this._known;
    return ask(`/chat/visits/${encodeURIComponent(visit)}/${what}`, { method: "POST", headers: { "X-Visit-Secret": secret } });
  }
}

/**
 * A call. Events: "message" (detail: an object of the server), "sound" (detail: ArrayBuffer), "up", "down" (it is tried
 * again), "over" (detail: reason).
 */
export class Line extends EventTarget {
  constructor(visit, start) {
    super();
    this._visit = visit;
    this._start = { type: "start", version: 1, rate: 16000, ...start };
    this._socket = null;
    this._over = false;
    this._reason = "";
    this._tries = 0;
    this.dropped = 0;
  }

  async open() {
    const path = await this._visit.path();
    const socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}${path}`);
    this._socket = socket;
    socket.binaryType = "arraybuffer";
    socket.addEventListener("open", () => socket.send(JSON.stringify(this._start)));
    socket.addEventListener("message", ({ data }) => this._take(data));
    socket.addEventListener("close", ({ code }) => socket === this._socket && this._closed(code));
  }

  get up() {
    return this._socket !== null && this._socket.readyState === WebSocket.OPEN;
  }

  send(message) {
    if (!this.up) return false;
    this._socket.send(JSON.stringify(message));
    return true;
  }

  /** Sound for the agent; dropped while the network does not take what was sent before. */
  sound(buffer) {
    if (!this.up) return;
    if (this._socket.bufferedAmount > MOST_WAITING) this.dropped += 1;
    else this._socket.send(buffer);
  }

  hangUp() {
    if (this._over) return;
    this.send({ type: "stop", reason: "caller_left" });
    this._finish("caller_left");
    this._socket?.close(1000);
  }

  _take(data) {
    if (typeof data !== "string") {
      this.dispatchEvent(new CustomEvent("sound", { detail: data }));
      return;
    }
    let message;
    try {
      message = JSON.parse(data);
    } catch {
      return;
    }
    if (message.type === "started") {
      this._tries = 0;
      this.dispatchEvent(new CustomEvent("up"));
    } else if (message.type === "hangup") {
      this._reason = String(message.reason);
    }
    this.dispatchEvent(new CustomEvent("message", { detail: message }));
  }

  _closed(code) {
    if (this._over) return;
    if (this._reason || [1000, 1003, 1007, 1008, 1009].includes(code)) {
      this._finish(this._reason || `closed_${code}`);
      return;
    }
    this.dispatchEvent(new CustomEvent("down"));
    this._again();
  }

  _again() {
    if (this._tries >= BACK_MS.length) {
      this._finish("lost");
      return;
    }
    setTimeout(async () => {
      if (this._over) return;
      try {
        await this.open();
      } catch (error) {
        if (error.code === "unreachable" || error.code === "full") this._again();
        else this._finish("lost");
      }
    }, BACK_MS[this._tries++]);
  }

  _finish(reason) {
    if (this._over) return;
    this._over = true;
    this._visit.forget();
    this.dispatchEvent(new CustomEvent("over", { detail: reason }));
  }
}
