// How values are written, in the language chosen.

import { language, t, word } from "./strings.js";
import { h } from "./dom.js";

export const NOTHING = "–";

/** Seconds as 4:07 or 1:04:07. */
export function clockText(seconds) {
  if (seconds === null || seconds === undefined || Number.isNaN(Number(seconds))) return NOTHING;
  const whole = Math.max(0, Math.floor(Number(seconds)));
  const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const two = (n) => String(n).padStart(2, "0");
  return hours ? `${hours}:${two(minutes)}:${two(rest)}` : `${minutes}:${two(rest)}`;
}

/** Time that goes on by itself: `tick` keeps every such element up. */
export function ticking(seconds, seenMs, props = {}) {
  if (seconds === null || seconds === undefined) return h("span", props, NOTHING);
  const now = seenMs ? Number(seconds) + (performance.now() - seenMs) / 1000 : seconds;
  return h("time", { ...props, dataset: seenMs ? { ticks: `${seconds}|${seenMs}` } : {} }, clockText(now));
}

/** Move all running times on. */
export function tick() {
  for (const element of document.querySelectorAll("[data-ticks]")) {
    const [seconds, seenMs] = element.dataset.ticks.split("|").map(Number);
    const text = clockText(seconds + (performance.now() - seenMs) / 1000);
    if (element.textContent !== text) element.textContent = text;
  }
}

/** A code such as order_status in words; translated where the strings know it. */
export function codeText(code, family = "code") {
  if (code === null || code === undefined || code === "") return NOTHING;
  const known = word(`${family}.${code}`);
  if (known !== null) return known;
  const text = String(code).replaceAll("_", " ").trim();
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** A point in time, to the minute or to the second. */
export function timeText(iso, exact = "minutes") {
  const at = new Date(iso ?? NaN);
  if (Number.isNaN(at.getTime())) return NOTHING;
  const options = { dateStyle: "medium", timeStyle: exact === "seconds" ? "medium" : "short" };
  return new Intl.DateTimeFormat(language(), options).format(at);
}

/** A share 0 to 1 as percent. */
export function shareText(share, digits = 0) {
  if (share === null || share === undefined || Number.isNaN(Number(share))) return NOTHING;
  return new Intl.NumberFormat(language(), { style: "percent", maximumFractionDigits: digits }).format(Number(share));
}

/** A number. */
export function numberText(value, digits = 1) {
  if (value === null || value === undefined || Number.isNaN(Number(value))) return NOTHING;
  return new Intl.NumberFormat(language(), { maximumFractionDigits: digits }).format(Number(value));
}

/** A value of a slot, an argument or a result: objects as JSON. */
export function valueText(value) {
  if (value === null || value === undefined || value === "") return NOTHING;
  if (value === true) return t("yes");
  if (value === false) return t("no");
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

/** Languages by their own names. */
export function languageText(code) {
  if (!code) return NOTHING;
  try {
    return new Intl.DisplayNames([language()], { type: "language" }).of(code) ?? code;
  } catch {
    return code;
  }
}
