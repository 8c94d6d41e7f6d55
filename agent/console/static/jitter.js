// The jitter buffer between the socket and the loudspeaker: frames of 20 ms in, frames of 20 ms out.
// It starts with 60 ms, goes up to 200 ms where frames come late, and down again where they do not.

export const FRAME = 320; // samples of 20 ms at 16 kHz
const LEAST = 3;
const MOST = 10;
const CALM = 250; // frames (5 s) without running dry before the delay shrinks by one

export class JitterBuffer {
  constructor() {
    this.frames = [];
    this.target = LEAST;
    this.filling = true;
    this.dropped = 0;
    this.dry = 0;
    this.lowest = MOST;
    this.calm = 0;
    this.last = null;
  }

  /** A frame came. The oldest goes where more than 200 ms wait. */
  put(frame) {
    this.frames.push(frame);
    while (this.frames.length > MOST) {
      this.frames.shift();
      this.dropped += 1;
    }
  }

  /** The frame to play now; silence, after a fading repetition, while there is none. */
  take() {
    if (this.filling && this.frames.length < this.target) return this.#nothing();
    this.filling = false;
    if (this.frames.length === 0) {
      this.dry += 1;
      this.filling = true;
      this.target = Math.min(this.target + 1, MOST - 2);
      this.calm = 0;
      return this.#nothing();
    }
    this.#settle();
    this.last = this.frames.shift();
    return this.last;
  }

  #settle() {
    this.lowest = Math.min(this.lowest, this.frames.length);
    this.calm += 1;
    if (this.calm < CALM) return;
    if (this.lowest > 1) {
      this.frames.shift(); // more waited all the time than was ever needed
      this.dropped += 1;
      this.target = Math.max(LEAST, this.target - 1);
    }
    this.calm = 0;
    this.lowest = MOST;
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
