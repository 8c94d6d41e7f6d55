// The transcript: what was said, what the caller heard of it, and words that are still coming.

import { feelingClass } from "./charts.js";
import { feeling, heardAndCut } from "./book.js";
import { h } from "./dom.js";
import { clockText, codeText, shareText } from "./format.js";
import { sync } from "./lists.js";
import { t } from "./strings.js";

/** The transcript as an element; `chosen(turn)` is called when "why" is asked of a turn (not asked where it is null).
    With `script.seek` set, each turn can be played from. */
export function transcriptOf(chosen) {
  const list = h("ol", { class: "turns" });
  const element = h("div", { class: "transcript", role: "log", "aria-label": t("transcript"), tabindex: 0 }, list);
  let [selected, marked] = [null, null];
  const script = { element, seek: null, show, mark };

  function show(detail) {
    const stuck = element.scrollHeight - element.scrollTop - element.clientHeight < 60;
    const shown = detail.turns.filter((turn) => turn.text || turn.interrupted).map((turn) => ({ ...turn,
      chosen: selected === keyOf(turn), playable: script.seek !== null && startOf(turn) !== null }));
    const interim = Object.entries(detail.interim).filter(([, one]) => one.text)
      .map(([speaker, one]) => ({ speaker, number: `interim-${speaker}`, text: one.text, interim: true }));
    sync(list, [...shown, ...interim], keyOf, (turn) => {
      const line = turnOf(turn, chosen === null ? null : () => {
        selected = selected === keyOf(turn) ? null : keyOf(turn);
        chosen(selected === null ? null : turn);
        show(detail);
      });
      if (turn.playable) {
        line.querySelector(".turn-head").append(h("button", { type: "button", class: "link", onclick: () => script.seek(turn) }, t("play_from_here")));
      }
      if (keyOf(turn) === marked) line.classList.add("playing");
      return line;
    });
    if (stuck) element.scrollTop = element.scrollHeight;
  }

  /** Show that the turn with this key sounds now; null for none. */
  function mark(key, scroll) {
    if (key === marked) return;
    marked = key;
    for (const line of list.children) {
      const now = line.syncKey === key;
      line.classList.toggle("playing", now);
      if (now) line.setAttribute("aria-current", "true");
      else line.removeAttribute("aria-current");
      if (now && scroll) element.scrollTop = Math.max(0, line.offsetTop - element.clientHeight / 3);
    }
  }
  return script;
}

/** Seconds into the call at which a turn began, or null. */
export function startOf(turn) {
  const at = turn.started_ms ?? turn.at_ms;
  return at === undefined || at === null ? null : at / 1000;
}

/** Which element shows a turn. */
export function keyOf(turn) {
  return `${turn.number}-${turn.speaker}`;
}

/** One turn. */
export function turnOf(turn, choose = null) {
  const { heard, cut } = heardAndCut(turn);
  const speaker = ["caller", "agent", "human"].includes(turn.speaker) ? turn.speaker : "other";
  const felt = turn.speaker === "caller" ? feeling(turn.emotion)?.label : null;
  const at = startOf(turn);
  const name = turn.speaker === "human" && (turn.who ?? turn.reasons?.who) ? turn.who ?? turn.reasons.who : codeText(turn.speaker, "speaker");
  const facts = [
    turn.intent ? h("span", { class: "chip" }, codeText(turn.intent),
      turn.confidence === undefined || turn.confidence === null ? "" : ` ${shareText(turn.confidence)}`) : null,
    felt ? h("span", { class: `chip feel ${feelingClass(felt)}` }, codeText(felt, "emotion")) : null,
    turn.interrupted ? h("span", { class: "chip cut-chip" }, t("interrupted")) : null,
  ];
  return h("li", { class: `turn of-${speaker}${turn.interim ? " interim" : ""}${turn.chosen ? " chosen" : ""}`,
    "aria-live": turn.interim ? "off" : null },
  h("div", { class: "turn-head" }, h("span", { class: "speaker" }, name),
    at === null ? null : h("time", {}, clockText(at)),
    turn.interim ? h("span", { class: "faint" }, t("still_speaking")) : null, facts,
    choose && turn.reasons ? h("button", { type: "button", class: "link", onclick: choose, dataset: { key: `why-${keyOf(turn)}` },
      "aria-pressed": turn.chosen ? "true" : "false" }, t("why")) : null),
  h("p", { class: "said" }, heard ? h("span", { class: turn.interrupted ? "heard" : "" }, heard) : null,
    cut ? h("del", { class: "cut", title: t("not_heard") }, h("span", { class: "unseen" }, t("not_heard"), " "), cut) : null));
}
