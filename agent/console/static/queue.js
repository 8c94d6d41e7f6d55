// The queue: callers who wait for a person, and the people on duty.

import { button, h, notice, put } from "./dom.js";
import { callOf, waits } from "./book.js";
import { codeText, languageText, numberText, ticking } from "./format.js";
import { soon, sync } from "./lists.js";
import { t } from "./strings.js";

/** The view of the queue. */
export function queueView(app) {
  const list = h("ol", { class: "queue", "aria-label": t("nav_queue") });
  const empty = h("p", { class: "empty" }, t("queue_empty"));
  const people = h("tbody");
  const count = h("span", { class: "count" });
  const element = h("div", { class: "view" }, h("header", { class: "view-head" },
    h("h1", {}, t("nav_queue"), " ", count)), list, empty,
  h("h2", {}, t("people")), h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": t("people") },
    h("table", {}, h("thead", {}, h("tr", {}, ["name", "state", "skills", "languages", "busy"].map((name) =>
      h("th", { scope: "col" }, t(name))))), people)));

  function show() {
    const waiting = app.book.queue.filter(waits);
    count.textContent = String(waiting.length);
    empty.hidden = app.book.queue.length > 0;
    sync(list, app.book.queue, (one) => one.id, (one) => card(app, one));
    sync(people, app.book.people, (one) => one.who ?? one.name, person);
    if (!app.book.people.length) put(people, h("tr", {}, h("td", { colspan: 5, class: "faint" }, t("nobody_on_duty"))));
  }

  const update = soon(show);
  show();
  return { element, title: t("nav_queue"), update, close() {} };
}

/** What is told of one waiting caller, with the buttons to take him. */
export function card(app, one) {
  const who = one.caller || t("unknown_caller");
  const call = callOf(one);
  return h("li", { class: `offer p-${Math.floor(Math.min(3, Math.max(0, Number(one.priority) || 0)))}` },
    h("div", { class: "offer-head" }, h("strong", {}, who),
      h("span", { class: "badge" }, codeText(one.state, "handoff")),
      Number(one.priority) > 0 ? h("span", { class: "badge urgent" }, `${t("priority")} ${numberText(one.priority)}`) : null,
      h("span", { class: "offer-wait" }, t("waits"), " ", ticking(one.wait_s ?? one.waiting_s, one.seenMs))),
    h("p", { class: "offer-why" }, [one.position ? `${t("position")} ${one.position}` : null, codeText(one.reason),
      one.skill ? codeText(one.skill) : null, one.language ? languageText(one.language) : null].filter(Boolean).join(" · ")),
    summaryOf(one.summary),
    h("div", { class: "row" },
      waits(one) ? button(t("accept"), () => accept(app, one), { class: "good", dataset: { key: `accept-${one.id}` },
        "aria-label": `${t("accept")}: ${who}` }) : h("span", { class: "faint" }, one.human ? `${t("with_human")}: ${one.human}` : ""),
      waits(one) ? button(t("decline"), () => decline(app, one), { dataset: { key: `decline-${one.id}` },
        "aria-label": `${t("decline")}: ${who}` }) : null,
      call ? h("a", { href: `#call/${encodeURIComponent(call)}`, dataset: { key: `look-${one.id}` } }, t("look")) : null));
}

/** A summary: a text, or sentences with the turns they rest on. */
export function summaryOf(summary) {
  if (!summary) return null;
  if (typeof summary === "string") return h("p", { class: "summary" }, summary);
  const sentences = Array.isArray(summary) ? summary : summary.sentences ?? [];
  return h("p", { class: "summary" }, sentences.map((one) => typeof one === "string" ? `${one} `
    : [one.text ?? "", h("span", { class: "cites" }, ` [${(one.turns ?? one.cites ?? []).join(", ")}] `)]));
}

function person(one) {
  const busy = one.busy ?? one.calls;
  return h("tr", {}, h("th", { scope: "row" }, one.who ?? one.name), h("td", {}, codeText(one.state ?? (one.on === false ? "off" : "on"), "duty")),
    h("td", {}, (one.skills ?? []).map((skill) => codeText(skill)).join(", ") || "–"),
    h("td", {}, (one.languages ?? []).map(languageText).join(", ") || "–"),
    h("td", {}, `${Array.isArray(busy) ? busy.length : Number(busy) || 0} / ${one.capacity ?? 1}`));
}

/** Take a waiting caller; the server decides who was first. */
export function accept(app, one) {
  app.accepting = one.id;
  if (!app.feed.send({ type: "accept", handoff: one.id })) {
    app.accepting = null;
    notice(t("no_connection"), "bad");
  }
}

export function decline(app, one) {
  app.declined.add(one.id);
  if (!app.feed.send({ type: "decline", handoff: one.id })) notice(t("no_connection"), "bad");
  app.changed("queue");
}

/** Whether this caller should ring here. */
export function ringsHere(app, one) {
  if (!app.onDuty || !waits(one)) return false;
  if ("rings" in one) return [one.rings].flat().includes(app.me.name);
  return !app.declined.has(one.id);
}

/** The box in the corner that says who waits now. */
export function ringing(app) {
  const body = h("div", { class: "ring-body" });
  const box = h("aside", { class: "ring", role: "alertdialog", "aria-label": t("a_caller_waits"), hidden: true },
    h("h2", {}, t("a_caller_waits")), body);
  return { element: box, update() {
    const next = app.talk === null ? app.book.queue.find((one) => ringsHere(app, one)) : undefined;
    box.hidden = next === undefined;
    sync(body, next === undefined ? [] : [next], (one) => one.id, (one) => h("ul", { class: "queue" }, card(app, one)));
  } };
}
