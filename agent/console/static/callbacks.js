// Call-backs: callers whom nobody could take, and who were told that somebody calls.

import { get, part, post } from "./api.js";
import { questions } from "./dialogs.js";
import { button, h, notice } from "./dom.js";
import { codeText, languageText, numberText, timeText } from "./format.js";
import { soon, sync } from "./lists.js";
import { summaryOf } from "./queue.js";
import { t } from "./strings.js";

const LATE_MS = 30_000; // how often it is looked whether an agreed time has come, or a caller has hung up

/** The view of all call-backs. */
export function callbacksView(app) {
  const groups = ["mine", "due", "later", "taken"].map((name) => ({ name, list: h("ol", { class: "queue", "aria-labelledby": `callbacks-${name}` }),
    title: h("h2", { id: `callbacks-${name}` }, t(`callbacks_${name}`)) }));
  const count = h("span", { class: "count" });
  const told = h("p", { class: "empty", role: "status" }, t("loading"));
  const element = h("div", { class: "view" }, h("header", { class: "view-head" }, h("h1", {}, t("nav_callbacks"), " ", count)), told,
    groups.map(({ title, list }) => [title, list]));
  let rows = [];
  let asked = 0;
  let closed = false;

  async function load() {
    const mine = (asked += 1);
    try {
      const answer = await get("callbacks");
      if (closed || mine !== asked) return;
      rows = answer.callbacks ?? [];
      app.book.callbacks = rows.filter((one) => !one.by).length;
      show();
      app.counted();
    } catch (error) {
      if (!closed) told.textContent = app.told(error);
    }
  }

  function show() {
    const now = Date.now();
    count.textContent = String(rows.length);
    told.textContent = rows.length ? "" : t("callbacks_empty");
    for (const { name, list, title } of groups) {
      const shown = rows.filter((one) => groupOf(app, one, now) === name).map((one) => ({ ...one, overdue: one.due_at !== null && Date.parse(one.due_at) < now }));
      title.hidden = list.hidden = shown.length === 0;
      sync(list, shown, (one) => one.id, (one) => card(app, one, change));
    }
  }

  async function change(one, body) {
    try {
      const answer = await post(`callbacks/${part(one.id)}`, body);
      if (body.do === "take") app.took.add(one.call_id);
      if (answer.by !== undefined) rows = rows.map((row) => (row.id === one.id ? answer : row));
      show();
      notice(t(`callback_told_${body.do}`));
    } catch (error) {
      notice(app.told(error), "bad");
    }
    await load();
    element.querySelector(`[data-key^="${CSS.escape(`${one.id}:`)}"]`)?.focus({ preventScroll: true });
  }

  const loadSoon = soon(load, 1000);
  const timer = setInterval(() => (rows.some((one) => one.live) ? load() : show()), LATE_MS);
  load();
  return {
    element, title: t("nav_callbacks"), keys: { t: () => element.querySelector("button.take")?.click() },
    update(what) {
      const hungUp = what === "calls" && app.may("supervisor") && rows.some((one) => one.live && !app.book.calls.has(one.call_id));
      if (what === "callbacks" || what === "all" || hungUp) loadSoon();
    },
    close() {
      closed = true;
      clearInterval(timer);
    },
  };
}

function groupOf(app, one, now) {
  if (one.by) return one.by === app.me.name ? "mine" : "taken";
  return one.due_at !== null && Date.parse(one.due_at) > now ? "later" : "due";
}

function card(app, one, change) {
  const who = one.caller || t("unknown_caller");
  const mine = one.by === app.me.name;
  const act = (name, props, does) => button(t(`callback_${name}`), does, { ...props, dataset: { key: `${one.id}:${name}` }, "aria-label": `${t(`callback_${name}`)}: ${who}` });
  return h("li", { class: `offer p-${Math.floor(Math.min(3, Math.max(0, Number(one.priority) || 0)))}` },
    h("div", { class: "offer-head" }, h("strong", {}, who),
      h("span", { class: one.by ? "badge with-human" : "badge" }, one.by ? `${t("handoff.calling_back")}: ${one.by}` : t("handoff.callback")),
      one.live ? h("span", { class: "badge with-agent" }, t("callback_live")) : null,
      one.priority > 0 ? h("span", { class: "badge urgent" }, `${t("priority")} ${numberText(one.priority)}`) : null),
    one.caller ? null : h("p", { class: "bad-text" }, t("callback_no_number")),
    h("dl", { class: "facts" },
      h("dt", {}, t("callback_since")), h("dd", {}, timeText(one.created_at)),
      h("dt", {}, t("callback_due")), h("dd", { class: one.overdue ? "flag bad" : "" }, one.due_at ? timeText(one.due_at) : t("callback_soon"), one.overdue ? ` · ${t("callback_overdue")}` : ""),
      h("dt", {}, t("callback_tries")), h("dd", {}, numberText(one.tries, 0), one.tried_at ? ` · ${t("callback_last_try", { at: timeText(one.tried_at) })}` : "")),
    h("p", { class: "offer-why" }, [one.reason, one.intent ? codeText(one.intent) : null, one.language ? languageText(one.language) : null].filter(Boolean).join(" · ")),
    summaryOf(one.briefing),
    one.notes.length ? h("ul", { class: "notes" }, one.notes.map((note) => h("li", {}, h("span", { class: "under" }, `${note.who} · ${timeText(note.at)}`), h("p", {}, note.text)))) : null,
    h("div", { class: "row" },
      one.by ? null : act("take", { class: "good take", "aria-keyshortcuts": "t" }, () => change(one, { do: "take" })),
      mine ? [act("reached", { class: "good" }, () => end(one, change, "reached")), act("not_reached", {}, () => again(one, change)),
        act("not_needed", {}, () => end(one, change, "not_needed")), act("note", {}, () => noted(one, change))] : null,
      mine || (one.by && app.may("supervisor")) ? act("release", {}, () => change(one, { do: "release" })) : null,
      mine || app.may("supervisor") ? h("a", { href: `#call/${part(one.call_id)}`, dataset: { key: `${one.id}:look` } }, t("look")) : null));
}

const noteField = (required = false) => ({ name: "note", label: t("note"), rows: 3, max: 2000, required });

async function end(one, change, outcome) {
  const given = await questions(t(`callback_${outcome}`), [noteField()], t("save"));
  if (given !== null) await change(one, { do: outcome, note: given.note });
}

async function noted(one, change) {
  const given = await questions(t("callback_note"), [noteField(true)], t("save"));
  if (given?.note) await change(one, { do: "note", note: given.note });
}

async function again(one, change) {
  const given = await questions(t("callback_not_reached"), [
    { name: "at", type: "datetime-local", label: t("callback_again_at"), hint: t("callback_again_hint"), min: localTime(new Date()) },
    noteField()], t("save"));
  if (given === null) return;
  const body = { do: "not_reached", note: given.note };
  if (given.at) body.again_at = new Date(given.at).toISOString(); // typed in the time of this machine
  await change(one, body);
}

/** A time as such a field has it. */
function localTime(at) {
  return new Date(at.getTime() - at.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}
