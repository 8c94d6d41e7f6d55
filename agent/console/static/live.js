// The list of live calls.

import { emotionStrip } from "./charts.js";
import { button, h, put } from "./dom.js";
import { codeText, languageText, NOTHING, ticking } from "./format.js";
import { soon, sync } from "./lists.js";
import { t } from "./strings.js";

/** Who has the call, as a badge. */
export function withBadge(state) {
  const who = state.with ?? "agent";
  const text = who === "human" && state.human ? `${t("with_human")}: ${state.human}` : t(`with_${who}`, {}, codeText(who));
  return h("span", { class: `badge with-${["agent", "queue", "human"].includes(who) ? who : "agent"}` }, text);
}

/** The view of all live calls. */
export function liveView(app) {
  const body = h("tbody");
  const count = h("span", { class: "count" });
  const empty = h("p", { class: "empty" }, t("no_calls"));
  const table = h("table", { class: "calls" }, h("caption", { class: "unseen" }, t("nav_live")),
    h("thead", {}, h("tr", {}, ["caller", "with", "phase", "intent", "emotion", "duration", "waiting"].map((name) =>
      h("th", { scope: "col" }, t(name))))), body);
  const alerts = h("div", { class: "alerts", role: "status" });
  const place = h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": t("nav_live") }, table);
  const element = h("div", { class: "view" }, h("header", { class: "view-head" }, h("h1", {}, t("nav_live"), " ", count)),
    alerts, place, empty);
  body.addEventListener("click", (event) => {
    const row = event.target.closest("tr");
    if (row !== null && event.target.closest("a, button") === null) app.go(`call/${encodeURIComponent(row.syncKey)}`);
  });

  function show() {
    const calls = [...app.book.calls.values()].sort(byNeed);
    count.textContent = String(calls.length);
    empty.hidden = calls.length > 0;
    place.hidden = calls.length === 0;
    sync(body, calls, (call) => call.call_id, row);
    put(alerts, app.book.alerts.slice(0, 3).map((alert) => h("p", { class: "alert" },
      alert.text ?? alert.detail ?? `${codeText(alert.kind ?? "alert")} ${codeText(alert.topic ?? alert.intent)}`,
      button(t("dismiss"), () => {
        app.book.alerts = app.book.alerts.filter((one) => one !== alert);
        show();
      }, { class: "quiet" }))));
  }

  const update = soon(show);
  show();
  return { element, title: t("nav_live"), update, close() {} };
}

const NEED = { queue: 0, human: 1, agent: 2 };

function byNeed(one, other) {
  return (NEED[one.with] ?? 2) - (NEED[other.with] ?? 2) || String(one.started_at).localeCompare(String(other.started_at));
}

function row(call) {
  const waited = call.with === "queue" ? ticking(call.waiting_s ?? 0, call.waitsMs) : NOTHING;
  return h("tr", { class: call.with === "queue" ? "needs" : "" },
    h("td", {}, h("a", { href: `#call/${encodeURIComponent(call.call_id)}`, dataset: { key: call.call_id } },
      call.caller || t("unknown_caller")),
    h("span", { class: "under" }, [call.gateway, languageText(call.language)].filter((one) => one && one !== NOTHING).join(" · "))),
    h("td", {}, withBadge(call)), h("td", {}, codeText(call.phase, "phase")), h("td", {}, codeText(call.intent)),
    h("td", {}, emotionStrip(call.emotion)), h("td", { class: "number" }, ticking(call.duration_s, call.seenMs)),
    h("td", { class: "number" }, waited));
}
