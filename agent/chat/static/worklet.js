// The audio thread of a call: resamples between the device's rate and 16 kHz, frames, buffers and marks.

const RATE = 16000;
const FRAME = 320;
const TAPS = 16;
const START_S = 0.06;
const MOST_S = 60;
const LEVEL_MS = 100;

/** Windowed-sinc resampling with state, any rate to any rate; below the lower rate's half nothing is lost but 10 %. */
export class Resampler {
  constructor(from, to) {
    this._step = from / to;
    this._cut = Math.min(1, to / from) * 0.92;
    this._half = Math.ceil(TAPS / this._cut);
    this._kept = new Float32Array(2 * this._half);
    this._at = this._half;
    this._same = from === to;
  }

  take(samples) {
    if (this._same) return samples;
    const all = new Float32Array(this._kept.length + samples.length);
    all.set(this._kept);
    all.set(samples, this._kept.length);
    const out = [];
    let at = this._at;
    while (at + this._half < all.length) {
      const middle = Math.floor(at);
      let sum = 0;
      let weight = 0;
      for (let n = middle - this._half + 1; n <= middle + this._half; n += 1) {
        const x = n - at;
        const window = 0.5 + 0.5 * Math.cos((Math.PI * x) / this._half);
        const phase = Math.PI * x * this._cut;
        const factor = (Math.abs(phase) < 1e-6 ? 1 : Math.sin(phase) / phase) * Math.max(0, window);
        sum += all[n] * factor;
        weight += factor;
      }
      out.push(weight ? sum / weight : 0);
      at += this._step;
    }
    const begin = Math.min(all.length, Math.max(0, Math.floor(at) - this._half));
    this._kept = all.slice(begin);
    this._at = at - begin;
    return Float32Array.from(out);
  }
}

/** What is to be played, with marks between; starts once 60 ms are there, and waits for as much after a gap. */
export class Queue {
  constructor(rate) {
    this._start = START_S * rate;
    this._most = MOST_S * rate;
    this._pieces = [];
    this._length = 0;
    this._running = false;
  }

  add(samples) {
    if (!samples.length) return;
    this._pieces.push({ samples, at: 0 });
    this._length += samples.length;
    while (this._length > this._most) {
      const first = this._pieces.shift();
      if (first.samples) this._length -= first.samples.length - first.at;
    }
  }

  mark(name) {
    this._pieces.push({ name });
  }

  clear() {
    this._pieces = [];
    this._length = 0;
    this._running = false;
  }

  /** Fill `out`; returns the names of marks that were reached. */
  fill(out) {
    const reached = [];
    if (!this._running && this._length < this._start && !this._pieces.some((piece) => piece.name !== undefined)) {
      out.fill(0);
      return reached;
    }
    this._running = true;
    let done = 0;
    while (this._pieces.length) {
      const piece = this._pieces[0];
      if (piece.name !== undefined) {
        reached.push(piece.name);
        this._pieces.shift();
        continue;
      }
      if (done === out.length) break;
      const count = Math.min(out.length - done, piece.samples.length - piece.at);
      out.set(piece.samples.subarray(piece.at, piece.at + count), done);
      done += count;
      piece.at += count;
      this._length -= count;
      if (piece.at === piece.samples.length) this._pieces.shift();
    }
    out.fill(0, done);
    if (!this._pieces.length) this._running = false;
    return reached;
  }
}

if (globalThis.AudioWorkletProcessor) {
  registerProcessor("telephone", class extends AudioWorkletProcessor {
    constructor() {
      super();
      this._in = new Resampler(sampleRate, RATE);
      this._out = new Resampler(RATE, sampleRate);
      this._queue = new Queue(sampleRate);
      this._frame = new Int16Array(FRAME);
      this._filled = 0;
      this._muted = false;
      this._levels = [0, 0];
      this._shown = 0;
      this.port.onmessage = ({ data }) => {
        if (data.play) {
          const pcm = new Int16Array(data.play);
          this._queue.add(this._out.take(Float32Array.from(pcm, (value) => value / 32768)));
        } else if (data.mark !== undefined) {
          this._queue.mark(data.mark);
        } else if (data.clear) {
          this._queue.clear();
        } else if (data.mute !== undefined) {
          this._muted = data.mute;
        }
      };
    }

    process(inputs, outputs) {
      const out = outputs[0][0];
      for (const name of this._queue.fill(out)) this.port.postMessage({ mark: name });
      const heard = inputs[0][0] ?? new Float32Array(out.length);
      for (const sample of this._in.take(heard)) {
        this._frame[this._filled] = this._muted ? 0 : Math.max(-32768, Math.min(32767, Math.round(sample * 32767)));
        this._filled += 1;
        if (this._filled === FRAME) {
          const frame = this._frame.buffer;
          this.port.postMessage({ frame }, [frame]);
          this._frame = new Int16Array(FRAME);
          this._filled = 0;
        }
      }
      this._level(this._muted ? null : heard, out);
      return true;
    }

    _level(yours, theirs) {
      const loud = (samples) => (samples === null ? 0 : samples.reduce((most, value) => Math.max(most, Math.abs(value)), 0));
      this._levels = [Math.max(this._levels[0], loud(yours)), Math.max(this._levels[1], loud(theirs))];
      if (currentTime * 1000 - this._shown >= LEVEL_MS) {
        this._shown = currentTime * 1000;
        this.port.postMessage({ level: this._levels });
        this._levels = [0, 0];
      }
    }
  });
}
