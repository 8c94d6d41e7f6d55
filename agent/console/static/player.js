// A recording: the waveform of both sides; the transcript goes in step with the sound.

import { get, part } from "./api.js";
import { button, h } from "./dom.js";
import { clockText } from "./format.js";
import { t } from "./strings.js";
import { keyOf, startOf } from "./transcript.js";

const SPEEDS = [1, 1.5, 2, 0.75];
const STEP_S = 5;

/** The player of call `id`; `detail` has its turns, `script` shows them and is kept in step. */
export function playerOf(id, detail, script) {
  const audio = h("audio", { src: `/console/api/recordings/${part(id)}.wav`, preload: "metadata" });
  const canvas = h("canvas", { class: "wave", width: 1200, height: 120, tabindex: 0, role: "slider",
    "aria-label": t("position_in_recording"), "aria-valuemin": 0, "aria-valuemax": 0, "aria-valuenow": 0 });
  const clock = h("span", { class: "clock" }, "0:00");
  const problem = h("p", { class: "bad-text", role: "status", hidden: true });
  const play = button(t("play"), toggle, { class: "good", "aria-keyshortcuts": "Space" });
  let speed = 0;
  const faster = button("1×", () => {
    speed = (speed + 1) % SPEEDS.length;
    audio.playbackRate = SPEEDS[speed];
    faster.textContent = `${SPEEDS[speed]}×`;
  }, { "aria-label": t("speed") });
  const turns = detail.turns.filter((turn) => turn.text && startOf(turn) !== null).slice()
    .sort((one, other) => startOf(one) - startOf(other));
  script.seek = (turn) => {
    audio.currentTime = startOf(turn);
    return start();
  };
  script.show(detail);
  const element = h("section", { class: "panel player", "aria-label": t("recording") }, h("h2", {}, t("recording")), audio, canvas,
    h("div", { class: "row" }, play, faster, clock, h("span", { class: "legend" }, h("span", { class: "key k-caller" }, t("speaker.caller")),
      h("span", { class: "key k-agent" }, t("speaker.agent")), h("span", { class: "key k-muted" }, t("muted_spans")))), problem);
  let peaks = { channels: [], muted: [], duration_s: 0 };
  let frame = 0;

  function length() {
    return Number.isFinite(audio.duration) ? audio.duration : Number(peaks.duration_s) || 0;
  }

  async function start() {
    try {
      await audio.play();
    } catch {
      fail();
    }
  }

  function toggle() {
    if (audio.paused) return start();
    audio.pause();
    return undefined;
  }

  function fail() {
    problem.hidden = false;
    problem.textContent = t("no_recording");
  }

  function draw() {
    const context = canvas.getContext("2d");
    const style = getComputedStyle(canvas);
    const color = (name) => style.getPropertyValue(name).trim();
    const { width, height } = canvas;
    context.clearRect(0, 0, width, height);
    const total = length() || 1;
    context.fillStyle = color("--muted-span");
    for (const [from, to] of peaks.muted ?? []) context.fillRect((from / total) * width, 0, ((to - from) / total) * width, height);
    (peaks.channels ?? []).slice(0, 2).forEach((channel, n) => {
      context.fillStyle = color(n ? "--agent" : "--caller");
      const middle = height * (n ? 0.75 : 0.25);
      const step = width / Math.max(1, channel.length);
      channel.forEach((peak, k) => {
        const high = Math.max(1, Math.min(1, Math.abs(peak)) * height * 0.46);
        context.fillRect(k * step, middle - high / 2, Math.max(1, step - 0.5), high);
      });
    });
    context.fillStyle = color("--ink");
    context.fillRect((audio.currentTime / total) * width - 1, 0, 2, height);
  }

  function follow() {
    clock.textContent = `${clockText(audio.currentTime)} / ${clockText(length())}`;
    canvas.setAttribute("aria-valuemax", String(Math.round(length())));
    canvas.setAttribute("aria-valuenow", String(Math.round(audio.currentTime)));
    canvas.setAttribute("aria-valuetext", clockText(audio.currentTime));
    const current = turns.filter((turn) => startOf(turn) <= audio.currentTime + 0.05).at(-1);
    script.mark(current === undefined ? null : keyOf(current), !audio.paused);
    draw();
  }

  function run() {
    follow();
    frame = audio.paused ? 0 : requestAnimationFrame(run);
  }

  function seek(seconds) {
    audio.currentTime = Math.max(0, Math.min(length(), seconds));
    follow();
  }

  audio.addEventListener("play", () => {
    play.textContent = t("pause");
    if (!frame) run();
  });
  audio.addEventListener("pause", () => {
    play.textContent = t("play");
  });
  audio.addEventListener("error", fail);
  for (const kind of ["loadedmetadata", "seeked", "timeupdate"]) audio.addEventListener(kind, follow);
  canvas.addEventListener("pointerdown", (event) => {
    const box = canvas.getBoundingClientRect();
    seek(((event.clientX - box.left) / box.width) * length());
  });
  canvas.addEventListener("keydown", (event) => {
    const moves = { ArrowLeft: -STEP_S, ArrowRight: STEP_S, PageDown: -30, PageUp: 30 };
    if (event.key in moves) seek(audio.currentTime + moves[event.key]);
    else if (event.key === "Home") seek(0);
    else if (event.key === "End") seek(length());
    else if (event.key === " ") toggle();
    else return;
    event.preventDefault();
  });
  get(`recordings/${part(id)}/peaks`).then((found) => {
    peaks = found;
    follow();
  }, fail);
  return { element, seek, close() {
    cancelAnimationFrame(frame);
    audio.pause();
    audio.removeAttribute("src");
    audio.load();
  } };
}
