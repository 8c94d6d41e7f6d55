// Microphone and loudspeaker of a call: 16 kHz PCM16 in 20 ms frames, both ways, through one AudioWorklet.

export const RATE = 16000;

/** Whether this browser can do it on this page: microphones need https, or an address of this machine. */
export function possible() {
  return Boolean(globalThis.AudioWorkletNode && navigator.mediaDevices?.getUserMedia);
}

export class Sound {
  /** `frame(buffer)`: 640 bytes of the visitor; `mark(name)`: all before it was played; `level(yours, theirs)`: 0 to 1. */
  constructor({ frame, mark, level }) {
    this._told = { frame, mark, level };
    this._context = null;
    this._stream = null;
    this._node = null;
  }

  async open() {
    const wanted = { echoCancellation: true, noiseSuppression: true, autoGainControl: true, channelCount: 1 };
    this._stream = await navigator.mediaDevices.getUserMedia({ audio: wanted });
    this._context = new AudioContext({ latencyHint: "interactive" });
    await this._context.audioWorklet.addModule("/chat/static/worklet.js");
    this._node = new AudioWorkletNode(this._context, "telephone", { outputChannelCount: [1] });
    this._node.port.onmessage = ({ data }) => {
      if (data.frame) this._told.frame(data.frame);
      else if (data.mark !== undefined) this._told.mark(data.mark);
      else if (data.level) this._told.level(...data.level);
    };
    this._context.createMediaStreamSource(this._stream).connect(this._node);
    this._node.connect(this._context.destination);
    await this._context.resume();
  }

  /** Samples of the agent. */
  play(buffer) {
    this._node?.port.postMessage({ play: buffer }, [buffer]);
  }

  mark(name) {
    this._node?.port.postMessage({ mark: name });
  }

  clear() {
    this._node?.port.postMessage({ clear: true });
  }

  mute(on) {
    this._node?.port.postMessage({ mute: on });
  }

  async close() {
    for (const track of this._stream?.getTracks() ?? []) track.stop();
    this._node?.disconnect();
    const context = this._context;
    this._stream = this._node = this._context = null;
    if (context && context.state !== "closed") await context.close();
  }
}
