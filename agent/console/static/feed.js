// The feed: one websocket that comes back by itself. After every connection, and after "reset", what is shown is asked
// for again, because messages may have been missed.

const WAITS_MS = [250, 500, 1000, 2000, 4000, 8000];
const SIGNED_OUT = new Set([1008, 4401]);

export class Feed {
  #socket = null;
  #closed = false;
  #tries = 0;
  #timer = 0;
  #listeners = new Set();

  /** `call` limits it to one call. `stale` is called when everything has to be asked for again; `state` with "up",
      "down" or "out"; `refused` when a connection never opened, for whatever reason. */
  constructor({ call = null, stale, state = () => {}, refused = () => {} }) {
    this.path = call === null ? "/console/feed" : `/console/feed?call=${encodeURIComponent(call)}`;
    this.stale = stale;
    this.state = state;
    this.refused = refused;
    this.#open();
  }

  listen(act) {
    this.#listeners.add(act);
    return () => this.#listeners.delete(act);
  }

  /** Send a message; false where the connection is down, and then nothing is kept for later. */
  send(message) {
    if (this.#socket?.readyState !== WebSocket.OPEN) return false;
    this.#socket.send(JSON.stringify(message));
    return true;
  }

  close() {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#socket?.close();
  }

  #open() {
    const socket = new WebSocket(location.origin.replace(/^http/, "ws") + this.path);
    this.#socket = socket;
    let opened = false;
    socket.onopen = () => {
      opened = true;
      this.#tries = 0;
      this.state("up");
      this.stale();
    };
    socket.onmessage = (event) => this.#take(event.data);
    socket.onclose = (event) => {
      if (this.#closed) return;
      if (!opened) this.refused();
      this.state(SIGNED_OUT.has(event.code) ? "out" : "down");
      const wait = WAITS_MS[Math.min(this.#tries, WAITS_MS.length - 1)];
      this.#tries += 1;
      if (!SIGNED_OUT.has(event.code)) this.#timer = setTimeout(() => this.#open(), wait * (0.75 + Math.random() / 2));
    };
  }

  #take(data) {
    let message;
    try {
      message = JSON.parse(data);
    } catch {
      return;
    }
    if (message === null || typeof message !== "object") return;
    if (message.type === "reset") this.stale();
    for (const act of [...this.#listeners]) act(message);
  }
}
