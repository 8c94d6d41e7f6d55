// The jitter buffer between the socket and the loudspeaker: frames of 20 ms in, frames of 20 ms out.
// It starts with 60 ms, goes up to 160 ms where frames come late, and down again where they do not. What waits beyond
// that, as after a stall or what came before one listened, is left out in silence, or a frame a second in speech.

export const FRAME = 320; // samples of 20 ms at 16 kHz
const LEAST = 3;
const MOST = 10;
const WINDOW = 50; // frames (1 s) in which what was never needed of what waits is found
const CALM = 5; // windows without running dry before the delay shrinks by one
const QUIET = 0.006; // amplitude, -44 dBFS, below which a frame counts as silence

export class JitterBuffer {
  constructor() {
    this.frames = [];
    this.target = LEAST;
    this.started = false;
    this.filling = true;
    this.dropped = 0;
    this.dry = 0;
    this.surplus = 0;
    this.last = null;
    this.#begin();
  }

  /** A frame came. Where more than 200 ms wait, the oldest go, down to what is needed. */
  put(frame) {
    this.frames.push(frame);
    if (this.frames.length > MOST) this.#drop(this.frames.length - this.target);
  }

  /** The frame to play now; silence, after a fading repetition, while there is none. */
  take() {
    if (this.filling) {
      if (this.frames.length < this.target) return this.#nothing();
      if (!this.started) this.#drop(this.frames.length - this.target); // said before one listened
      [this.started, this.filling] = [true, false];
      this.#begin();
      this.surplus = this.frames.length - this.target;
    }
    if (this.frames.length === 0) {
      this.dry += 1;
      this.filling = true;
      this.target = Math.min(this.target + 1, MOST - 2);
      return this.#nothing();
    }
    this.last = this.frames.shift();
    while (this.surplus > 0 && this.frames.length > 0 && this.last.every((sample) => Math.abs(sample) < QUIET)) {
      this.surplus -= 1;
      this.dropped += 1;
      this.last = this.frames.shift();
    }
    this.lowest = Math.min(this.lowest, this.frames.length);
    this.count += 1;
    if (this.count === WINDOW) this.#settle();
    return this.last;
  }

  #begin() {
    this.surplus = 0;
    this.count = 0;
    this.windows = 0;
    this.lowest = MOST;
    this.spare = MOST;
  }

  /** A window is over: what of it was never needed? */
  #settle() {
    if (this.surplus > 0 && this.frames.length > 1) {
      this.#drop(1); // nobody paused meanwhile
      this.lowest = Math.max(0, this.lowest - 1);
    }
    this.surplus = Math.max(0, this.lowest - (this.target - 1));
    this.spare = Math.min(this.spare, this.lowest);
    this.windows += 1;
    if (this.windows === CALM) {
      if (this.spare > 1) {
        this.target = Math.max(LEAST, this.target - 1);
        this.surplus = Math.max(this.surplus, 1); // one frame in hand is enough
      }
      this.windows = 0;
      this.spare = MOST;
    }
    this.lowest = MOST;
    this.count = 0;
  }

  #drop(count) {
    this.frames.splice(0, count);
    this.dropped += count;
  }

  #nothing() {
    const quiet = new Float32Array(FRAME);
    if (this.last !== null) {
      for (let n = 0; n < FRAME; n += 1) quiet[n] = this.last[n] * (1 - n / FRAME) * 0.5;
      this.last = null;
    }
    return quiet;
  }
}
