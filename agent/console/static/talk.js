// One seat at one call: microphone and loudspeaker over the audio socket.

const FRAME_BYTES = 640;
const MOST_WAITING = 10 * FRAME_BYTES; // 200 ms not yet taken by the network: what comes then is dropped

/** "no_microphone", "refused", "insecure", "no_audio" or "closed". */
export class TalkError extends Error {
  constructor(code, detail = "") {
    super(detail || code);
    this.code = code;
  }
}

export class Talk {
  #context = null;
  #node = null;
  #socket = null;
  #stream = null;

  /** `changed` is called after each change, `levels` with what the sound does, `ended` once with why it is over. */
  constructor(callId, mode, { changed = () => {}, levels = () => {}, ended = () => {} } = {}) {
    this.callId = callId;
    this.mode = mode;
    this.muted = false;
    this.held = false;
    this.microphone = false;
    this.trouble = null;
    this.over = false;
    this.dropped = 0;
    this.told = { changed, levels, ended };
  }

  /** Open everything. Without a microphone it still hears; `trouble` says why. Rejects where the socket is refused. */
  async start() {
    if (typeof AudioWorkletNode === "undefined") throw new TalkError(isSecureContext ? "no_audio" : "insecure");
    this.#context = new AudioContext({ latencyHint: "interactive" });
    try {
      await this.#context.audioWorklet.addModule("/console/static/worklet.js");
      this.#node = new AudioWorkletNode(this.#context, "line", { numberOfInputs: 1, numberOfOutputs: 1,
        outputChannelCount: [1] });
      this.#node.connect(this.#context.destination);
      this.#node.port.onmessage = ({ data }) => this.#fromLine(data);
      if (this.mode !== "listen") await this.#openMicrophone();
      await this.#connect();
      await this.#context.resume();
    } catch (error) {
      this.#release();
      throw error;
    }
    this.told.changed();
    return this;
  }

  async #openMicrophone() {
    if (this.#stream !== null) return;
    try {
      this.#stream = await navigator.mediaDevices.getUserMedia({
        audio: { echoCancellation: true, noiseSuppression: true, autoGainControl: true, channelCount: 1 } });
    } catch (error) {
      this.trouble = error?.name === "NotAllowedError" ? "refused" : "no_microphone";
      return;
    }
    if (this.over) {
      for (const track of this.#stream.getTracks()) track.stop();
      return;
    }
    this.trouble = null;
    this.microphone = true;
    this.#context.createMediaStreamSource(this.#stream).connect(this.#node);
    for (const track of this.#stream.getTracks()) {
      track.enabled = !this.muted;
      track.onended = () => {
        this.microphone = false;
        this.trouble = "no_microphone";
        this.told.changed();
      };
    }
  }

  #connect() {
    const base = location.origin.replace(/^http/, "ws");
    const socket = new WebSocket(`${base}/console/audio/${encodeURIComponent(this.callId)}?mode=${this.mode}`);
    socket.binaryType = "arraybuffer";
    this.#socket = socket;
    return new Promise((resolve, reject) => {
      socket.onopen = () => resolve();
      socket.onmessage = ({ data }) => {
        if (data instanceof ArrayBuffer && data.byteLength === FRAME_BYTES) this.#node?.port.postMessage(data, [data]);
        else if (typeof data === "string") this.#toldByServer(data);
      };
      socket.onclose = (event) => {
        reject(new TalkError("closed", event.reason));
        this.#end(event.reason || (event.code === 1000 ? "" : "lost"));
      };
    });
  }

  #toldByServer(data) {
    let message;
    try {
      message = JSON.parse(data);
    } catch {
      return;
    }
    if (message?.type === "mode" && typeof message.mode === "string") this.mode = message.mode;
    if (message?.type === "error") this.refusal = String(message.detail ?? message.code ?? "");
    this.told.changed();
  }

  #fromLine(data) {
    if (!(data instanceof ArrayBuffer)) {
      this.told.levels({ ...data, unsent: this.dropped });
      return;
    }
    if (this.#socket?.readyState !== WebSocket.OPEN || this.mode === "listen" || this.muted || this.held) return;
    if (this.#socket.bufferedAmount > MOST_WAITING) this.dropped += 1;
    else this.#socket.send(data);
  }

  /** The caller does not hear the human: nothing leaves this machine. */
  mute(on) {
    this.muted = on;
    for (const track of this.#stream?.getTracks() ?? []) track.enabled = !on;
    this.#tell({ type: "mute", on });
  }

  /** The caller waits; neither side hears the other. */
  hold(on) {
    this.held = on;
    this.#tell({ type: "hold", on });
  }

  /** listen, whisper, talk or barge. */
  async change(mode) {
    if (mode !== "listen") await this.#openMicrophone();
    if (this.over) return;
    this.mode = mode;
    this.#tell({ type: "mode", mode });
  }

  #tell(message) {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(message));
    this.told.changed();
  }

  /** Leave the call; it goes on without this seat. */
  leave() {
    this.#end("left");
  }

  #end(why) {
    if (this.over) return;
    this.#release();
    this.told.ended(why);
  }

  #release() {
    this.over = true;
    this.#node?.port.postMessage({ type: "stop" });
    this.#node?.disconnect();
    for (const track of this.#stream?.getTracks() ?? []) track.stop();
    if (this.#socket !== null && this.#socket.readyState < WebSocket.CLOSING) this.#socket.close(1000);
    if (this.#context !== null && this.#context.state !== "closed") this.#context.close().catch(() => {});
  }
}
