// Small plots as SVG. Each has its figures in words for those who do not see it.

import { feeling } from "./book.js";
import { h, svg } from "./dom.js";
import { codeText } from "./format.js";
import { t } from "./strings.js";

const FEELINGS = new Set(["neutral", "happy", "sad", "angry"]);
const STRIP_MOST = 24;

/** The class that colours an emotion. */
export function feelingClass(label) {
  return FEELINGS.has(label) ? `e-${label}` : "e-other";
}

/** One bar a turn: colour and letter for the emotion, height for the anger. */
export function emotionStrip(series, { wide = false } = {}) {
  const shown = (series ?? []).map((one) => ({ turn: one.turn, ...feeling(one) })).filter((one) => one.label !== undefined)
    .slice(-(wide ? 4 * STRIP_MOST : STRIP_MOST));
  if (!shown.length) return h("span", { class: "faint" }, t("no_emotion"));
  const step = 9;
  const tall = wide ? 40 : 22;
  const width = Math.max(shown.length, wide ? 30 : 8) * step;
  const words = shown.map((one) => `${one.turn}: ${codeText(one.label, "emotion")} ${Math.round(100 * (one.anger ?? 0))}%`);
  return svg("svg", { class: wide ? "strip wide" : "strip", viewBox: `0 0 ${width} ${tall}`, role: "img",
    preserveAspectRatio: "xMinYMid meet", "aria-label": `${t("emotion_by_turn")} ${words.join(", ")}` },
  svg("line", { x1: 0, x2: width, y1: tall - 0.5, y2: tall - 0.5, class: "axis" }),
  shown.map((one, n) => {
    const high = 4 + Math.min(1, Math.max(0, Number(one.anger) || 0)) * (tall - 5);
    return svg("rect", { x: n * step, y: tall - high - 1, width: step - 2, height: high, rx: 1.5,
      class: feelingClass(one.label) }, svg("title", {}, words[n]));
  }));
}

/** Points over days as a line. `points`: [{label, value}], value null where unknown; `most` the top of the scale. */
export function lineChart(title, points, { most = 1, text = String } = {}) {
  const [width, tall, left, below] = [560, 170, 44, 22];
  const x = (n) => left + (points.length < 2 ? 0.5 : n / (points.length - 1)) * (width - left - 12);
  const y = (value) => 10 + (1 - Math.min(1, Math.max(0, value / most))) * (tall - below - 10);
  const known = points.map((point, n) => ({ ...point, n })).filter((point) => Number.isFinite(point.value));
  const path = known.map((point, n) => `${n ? "L" : "M"}${x(point.n).toFixed(1)} ${y(point.value).toFixed(1)}`).join("");
  const words = known.map((point) => `${point.label}: ${text(point.value)}`).join(", ");
  return h("figure", { class: "chart" }, h("figcaption", {}, title),
    known.length === 0 ? h("p", { class: "faint" }, t("nothing_yet"))
      : svg("svg", { viewBox: `0 0 ${width} ${tall}`, role: "img", "aria-label": `${title}. ${words}` },
        [0, 0.5, 1].map((part) => [
          svg("line", { x1: left, x2: width - 12, y1: y(part * most), y2: y(part * most), class: "grid" }),
          svg("text", { x: left - 6, y: y(part * most) + 4, class: "tick end" }, text(part * most)),
        ]),
        svg("path", { d: path, class: "line" }),
        known.map((point) => svg("circle", { cx: x(point.n), cy: y(point.value), r: 3, class: "dot" },
          svg("title", {}, `${point.label}: ${text(point.value)}`))),
        svg("text", { x: left, y: tall - 5, class: "tick" }, points[0].label),
        points.length > 1 ? svg("text", { x: width - 12, y: tall - 5, class: "tick end" }, points.at(-1).label) : null));
}

/** Bars beside their names: [{label, value}], value null where unknown. */
export function barChart(title, rows, { most = 1, text = String } = {}) {
  return h("figure", { class: "chart" }, h("figcaption", {}, title),
    rows.length === 0 ? h("p", { class: "faint" }, t("nothing_yet"))
      : h("div", { class: "bars" }, rows.map((row) => [
        h("span", { class: "bar-name" }, row.label),
        svg("svg", { class: "bar", viewBox: "0 0 100 10", preserveAspectRatio: "none", "aria-hidden": "true" },
          svg("rect", { x: 0, y: 0, width: 100, height: 10, class: "bar-back" }),
          svg("rect", { x: 0, y: 0, width: 100 * Math.min(1, Math.max(0, (row.value ?? 0) / (most || 1))), height: 10,
            class: "bar-fill" })),
        h("span", { class: "bar-value" }, row.value === null || row.value === undefined ? "–" : text(row.value, row)),
      ])));
}
