// Changes the rate of a stream of samples: windowed sinc, the phases computed once. Used inside the audio worklet.

const PHASES = 256;
const LOBES = 10;

export class Resampler {
  #kernel;
  #half;
  #step;
  #history;
  #position;

  constructor(from, to) {
    if (!(from > 0) || !(to > 0)) throw new RangeError(`rates ${from} and ${to}: give positive ones`);
    this.same = from === to;
    this.#step = from / to;
    const cutoff = Math.min(1, to / from) * 0.97;
    this.#half = Math.ceil(LOBES / cutoff);
    this.#kernel = kernels(cutoff, this.#half);
    this.#history = new Float32Array(2 * this.#half);
    this.#position = this.#half;
  }

  /** The samples that follow from `input`; what is left over waits for the next call. */
  push(input) {
    if (this.same) return Float32Array.from(input);
    const half = this.#half;
    const known = new Float32Array(this.#history.length + input.length);
    known.set(this.#history);
    known.set(input, this.#history.length);
    const out = new Float32Array(Math.max(0, Math.ceil((known.length - half - this.#position) / this.#step)));
    let count = 0;
    while (this.#position < known.length - half && count < out.length) {
      const whole = Math.floor(this.#position);
      const taps = this.#kernel[Math.floor((this.#position - whole) * PHASES)];
      let sum = 0;
      for (let k = 0; k < taps.length; k += 1) sum += known[whole - half + 1 + k] * taps[k];
      out[count] = sum;
      count += 1;
      this.#position += this.#step;
    }
    const drop = Math.max(0, Math.floor(this.#position) - half);
    this.#history = known.slice(drop);
    this.#position -= drop;
    return out.subarray(0, count);
  }
}

function kernels(cutoff, half) {
  const made = [];
  for (let phase = 0; phase < PHASES; phase += 1) {
    const taps = new Float32Array(2 * half);
    let sum = 0;
    for (let k = 0; k < taps.length; k += 1) {
      const x = k - half + 1 - phase / PHASES;
      const window = Math.abs(x) < half ? 0.5 + 0.5 * Math.cos((Math.PI * x) / half) : 0;
      taps[k] = cutoff * (x === 0 ? 1 : Math.sin(Math.PI * x * cutoff) / (Math.PI * x * cutoff)) * window;
      sum += taps[k];
    }
    for (let k = 0; k < taps.length; k += 1) taps[k] /= sum;
    made.push(taps);
  }
  return made;
}
