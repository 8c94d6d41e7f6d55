// Runs on the audio thread: microphone -> 640-byte frames, 640-byte frames -> loudspeaker.

import { FRAME, JitterBuffer } from "./jitter.js";
import { Resampler } from "./resample.js";

const RATE = 16000;
const REPORT_EVERY = 12; // frames: levels about four times a second

class Line extends AudioWorkletProcessor {
  constructor() {
    super();
    this.down = new Resampler(sampleRate, RATE);
    this.up = new Resampler(RATE, sampleRate);
    this.jitter = new JitterBuffer();
    this.spoken = [];
    this.collected = new Float32Array(FRAME);
    this.filled = 0;
    this.sending = true;
    this.running = true;
    this.peaks = { microphone: 0, line: 0 };
    this.sent = 0;
    this.port.onmessage = ({ data }) => {
      if (data instanceof ArrayBuffer) this.jitter.put(floats(new Int16Array(data)));
      else if (data.type === "sending") this.sending = data.on;
      else if (data.type === "stop") this.running = false;
    };
  }

  process(inputs, outputs) {
    const heard = inputs[0]?.[0];
    if (heard !== undefined) this.collect(this.down.push(heard));
    this.play(outputs[0]);
    return this.running;
  }

  collect(samples) {
    for (const sample of samples) {
      this.collected[this.filled] = sample;
      this.filled += 1;
      if (this.filled === FRAME) {
        this.filled = 0;
        this.peaks.microphone = Math.max(this.peaks.microphone, peak(this.collected));
        if (this.sending) {
          const frame = integers(this.collected);
          this.port.postMessage(frame, [frame]);
        }
      }
    }
  }

  play(channels) {
    const wanted = channels[0].length;
    while (this.spoken.length < wanted) {
      const frame = this.jitter.take();
      this.peaks.line = Math.max(this.peaks.line, peak(frame));
      this.spoken.push(...this.up.push(frame));
      this.report();
    }
    const now = this.spoken.splice(0, wanted);
    for (const channel of channels) channel.set(now);
  }

  report() {
    this.sent += 1;
    if (this.sent % REPORT_EVERY) return;
    const { target, dropped, dry } = this.jitter;
    this.port.postMessage({ type: "levels", ...this.peaks, delayMs: target * 20, dropped, dry });
    this.peaks = { microphone: 0, line: 0 };
  }
}

function peak(samples) {
  let most = 0;
  for (const sample of samples) most = Math.max(most, Math.abs(sample));
  return most;
}

function floats(samples) {
  const made = new Float32Array(FRAME);
  for (let n = 0; n < Math.min(FRAME, samples.length); n += 1) made[n] = samples[n] / 32768;
  return made;
}

function integers(samples) {
  const frame = new ArrayBuffer(FRAME * 2);
  const view = new DataView(frame);
  for (let n = 0; n < FRAME; n += 1) {
    view.setInt16(n * 2, Math.round(Math.max(-1, Math.min(1, samples[n])) * 32767), true);
  }
  return frame;
}

registerProcessor("line", Line);
