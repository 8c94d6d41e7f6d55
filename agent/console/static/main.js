// The page: sign-in, navigation, the feed, and the seat at a call.

import { accountsView, auditView } from "./admin.js";
import { ApiError, get, onSignedOut, post, setCsrf } from "./api.js";
import { apply, callOf, isOpen, newBook, refill, waits } from "./book.js";
import { callView } from "./call.js";
import { callbacksView } from "./callbacks.js";
import { ask, tell } from "./dialogs.js";
import { button, field, h, notice, put } from "./dom.js";
import { Feed } from "./feed.js";
import { codeText, languageText, tick } from "./format.js";
import { soon } from "./lists.js";
import { liveView } from "./live.js";
import { compareView, measuresView, qualityView, scoredCallView, trendsView } from "./quality.js";
import { accept, decline, queueView, ringing, ringsHere } from "./queue.js";
import { chooseLanguage, LANGUAGES, language, t } from "./strings.js";
import { Talk } from "./talk.js";
import { talkBar } from "./talkbar.js";

const RANK = { agent: 0, supervisor: 1, admin: 2 };
const VIEWS = [["live", "agent"], ["queue", "agent"], ["callbacks", "agent"], ["quality", "supervisor"], ["trends", "supervisor"], ["measures", "supervisor"],
  ["accounts", "admin"], ["audit", "admin"]];
const REFRESH_MS = 60_000;
const MOST_EARLY = 1000;
const ARRIVE_MS = 4000; // the seat is asked for by then, even if nobody said that the caller is here

const kept = {
  get(name, otherwise) {
    try {
      return localStorage.getItem(`console.${name}`) ?? otherwise;
    } catch {
      return otherwise;
    }
  },
  set(name, value) {
    try {
      localStorage.setItem(`console.${name}`, value);
    } catch {
      // Storage is switched off: the choice holds until the page is closed.
    }
  },
};

let shortcuts = kept.get("shortcuts", "on") === "on";

/** What all views share. */
const app = {
  me: null, book: newBook(), feed: null, talk: null, accepting: null, onDuty: false, link: "down",
  declined: new Set(), coming: new Set(), took: new Set(), released: new Set(), duty: null, view: null, bar: null, ring: null,

  may(role) {
    return (RANK[app.me?.role] ?? -1) >= RANK[role];
  },

  go(place) {
    location.hash = place;
  },

  /** What went wrong, in words. */
  told(error) {
    if (!(error instanceof ApiError)) return String(error?.message ?? error);
    if (error.status === 0) return t("no_connection");
    if (error.status === 403) return error.detail || t("not_allowed");
    if (error.status === 429) return t("too_often", { seconds: error.retryAfter ?? 10 });
    return error.detail || t("refused_with", { status: error.status });
  },

  /** The counts beside the views changed. */
  counted: showCounts,

  /** Something in the book changed. */
  changed(what) {
    app.view?.update(what);
    app.ring?.update();
    showCounts();
  },

  /** Whether one may sit down at call `id`; leaves another call only if that is confirmed. */
  async freeSeat(id) {
    if (app.talk === null || app.talk.callId === id) return true;
    if ((await ask(t("leave"), { text: t(app.talk.mode === "talk" ? "leave_talk" : "leave_other"), button: t("leave") })) === null) return false;
    app.talk?.leave();
    return true;
  },

  /** Sit down at a call: listen, whisper, talk or barge. */
  async sit(id, mode) {
    if (!(await app.freeSeat(id))) return;
    if (app.talk !== null && (app.talk.mode === mode || (app.talk.mode !== "talk" && mode !== "talk"))) {
      await app.talk.change(mode);
      return;
    }
    app.talk?.leave(); // speaking with the caller is a seat of its own
    const talk = new Talk(id, mode, {
      changed: showTalk, levels: (now) => app.bar.levels(now),
      ended(why) {
        if (app.talk === talk) app.talk = null;
        showTalk();
        if (!["left", "", "handed_back"].includes(why)) notice(t("seat_over", { why: why === "lost" ? t("line_lost") : codeText(why) }), why === "lost" ? "bad" : "");
      },
    });
    app.talk = talk;
    showTalk();
    try {
      await talk.start();
      if (talk.trouble && mode !== "listen") notice(t(`trouble_${talk.trouble}`), "bad");
    } catch (error) {
      if (app.talk === talk) app.talk = null;
      notice(t(`trouble_${error?.code ?? "no_audio"}`) + (error?.code && error.message !== error.code ? ` ${error.message}` : ""), "bad");
    }
    showTalk();
  },
};

function showTalk() {
  app.bar?.update();
  app.view?.update("talk");
  app.ring?.update();
}

// -- the feed

let early = null; // messages that came while everything was being asked for: they may be newer than the answer

async function refresh() {
  const mine = (early = []);
  try {
    const [{ calls, topics = [] }, { queue, people, callbacks }] = await Promise.all([get("calls"), get("queue")]);
    refill(app.book, { calls, queue, people, callbacks, topics: topics.length ? topics : null }, performance.now());
    for (const message of mine) apply(app.book, message, performance.now());
    app.changed("all");
    const given = app.book.queue.find((one) => one.id === app.accepting && one.human === app.me?.name);
    if (given !== undefined) welcome(callOf(given)); // the message that said so was missed
    for (const call of app.book.calls.values()) if (call.human === app.me?.name) arrive(call.call_id);
  } catch (error) {
    if (error.status !== 401) notice(app.told(error), "bad");
  } finally {
    if (early === mine) early = null;
  }
}

/** Whether a message says that somebody else has a call, or nobody any more: agents do not see it then. */
function leaves(message) {
  if (app.may("supervisor") || message.human === app.me.name || app.took.has(message.call)) return false;
  if (message.type === "state") return message.with !== undefined && message.with !== "queue";
  return message.type === "handoff" && !isOpen(message);
}

const refreshSoon = soon(refresh, 1000);

function take(message) {
  if (message.type === "error") {
    if (app.accepting !== null && (message.for === app.accepting || message.for === "accept")) app.accepting = null;
    notice(message.code === "too_late" ? t("too_late", { detail: message.detail ?? "" }) : message.detail ?? codeText(message.code), "bad");
    refreshSoon();
    return;
  }
  const before = new Set(app.book.queue.filter((one) => ringsHere(app, one)).map((one) => one.id));
  if (early !== null && early.length < MOST_EARLY) early.push(message);
  const what = apply(app.book, message, performance.now());
  if (what === "unknown") refreshSoon();
  else if (what !== null) app.changed(what);
  if (leaves(message) && app.book.calls.delete(message.call)) app.changed("calls");
  if (message.type === "handoff" && app.book.queue.some((one) => one.id === message.id && !before.has(one.id) && ringsHere(app, one))) chime();
  if (message.type === "handoff" && message.id === app.accepting && message.human === app.me.name) welcome(message.call);
  const mine = (message.type === "human" && message.event === "took_over" && message.who === app.me.name)
    || (message.type === "state" && message.with === "human" && message.human === app.me.name)
    || (message.type === "handoff" && message.state === "bridged" && message.human === app.me.name);
  if (mine) arrive(message.call);
  if (message.type === "state" && message.call === app.talk?.callId && message.with !== "human" && app.talk.mode === "whisper") {
    app.talk.change("listen"); // nobody is there who could hear it
    notice(t("whisper_over"));
  }
}

/** A caller was accepted: show the call while he is told that somebody comes. */
function welcome(id) {
  app.accepting = null;
  app.took.add(id);
  app.coming.add(id);
  app.go(`call/${encodeURIComponent(id)}`);
  setTimeout(() => arrive(id), ARRIVE_MS);
}

/** A caller that was accepted is here: speak with him. */
function arrive(id) {
  if (app.coming.delete(id) && app.me !== null) app.sit(id, "talk");
}

/** Two short notes for a caller who waits. */
function chime() {
  if (app.talk !== null) return;
  const context = new AudioContext();
  [660, 880].forEach((pitch, n) => {
    const [note, gain] = [context.createOscillator(), context.createGain()];
    note.frequency.value = pitch;
    gain.gain.setValueAtTime(0.08, context.currentTime + n * 0.18);
    gain.gain.linearRampToValueAtTime(0, context.currentTime + n * 0.18 + 0.16);
    note.connect(gain).connect(context.destination);
    note.start(context.currentTime + n * 0.18);
    note.stop(context.currentTime + n * 0.18 + 0.17);
  });
  setTimeout(() => context.close().catch(() => {}), 1000);
}

function sendDuty() {
  if (app.duty === null) return;
  app.feed.send({ type: "duty", on: app.onDuty, skills: app.duty.skills, languages: app.duty.languages });
}

// -- the frame of the page

const parts = {};

function frame() {
  const select = (name, chosen, options, act) => h("select", { "aria-label": t(name), onchange: (event) => act(event.target.value) },
    options.map(([value, label]) => h("option", { value, selected: value === chosen }, label)));
  parts.counts = h("span", { class: "count", "aria-live": "polite" });
  parts.callbacks = h("span", { class: "count" });
  parts.link = h("span", { class: "link-state", role: "status" });
  parts.duty = button("", setDuty, { class: "duty" });
  parts.nav = h("nav", { "aria-label": t("views") }, VIEWS.filter(([, role]) => app.may(role)).map(([name]) =>
    h("a", { href: `#${name}`, dataset: { view: name } }, t(`nav_${name}`), name === "queue" ? [" ", parts.counts] : name === "callbacks" ? [" ", parts.callbacks] : null)));
  parts.main = h("main", { id: "main", tabindex: -1 });
  app.bar = talkBar(app);
  app.ring = ringing(app);
  put(document.getElementById("app"), h("a", { class: "skip", href: "#main", onclick: (event) => {
    event.preventDefault();
    parts.main.focus();
  } }, t("skip")), h("header", { class: "top" }, h("span", { class: "brand" }, t("console")), parts.nav, h("div", { class: "tools" }, parts.link, parts.duty,
    select("language", language(), Object.entries(LANGUAGES), (chosen) => {
      chooseLanguage(chosen);
      kept.set("language", chosen);
      rebuild();
    }), select("theme", kept.get("theme", "auto"), ["auto", "light", "dark"].map((one) => [one, t(`theme_${one}`)]), (chosen) => {
      kept.set("theme", chosen);
      showTheme();
    }), button("?", help, { "aria-label": t("help"), "aria-keyshortcuts": "?" }),
    h("span", { class: "who" }, app.me.name, h("span", { class: "under" }, ` ${codeText(app.me.role, "role")}`)), button(t("sign_out"), signOut, { class: "quiet" }))),
  parts.main, app.ring.element, app.bar.element);
}

function rebuild() {
  frame();
  route();
  showLink();
  showDuty();
  showTalk();
  showCounts();
}

function showTheme() {
  const theme = kept.get("theme", "auto");
  if (theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
}

function showCounts() {
  if (!parts.counts) return;
  const count = app.book.queue.filter(waits).length;
  parts.counts.textContent = count ? String(count) : "";
  parts.counts.setAttribute("aria-label", count ? t("callers_waiting", { count }) : "");
  const { callbacks } = app.book;
  parts.callbacks.textContent = callbacks ? String(callbacks) : "";
  parts.callbacks.setAttribute("aria-label", callbacks ? t("callbacks_waiting", { count: callbacks }) : "");
  document.title = `${count ? `(${count}) ` : ""}${app.view?.title ?? ""} · ${t("console")}`;
}

function showLink() {
  parts.link.textContent = app.link === "up" ? t("connected") : t("reconnecting");
  parts.link.className = `link-state ${app.link}`;
}

function showDuty() {
  put(parts.duty, app.onDuty ? t("on_duty") : t("off_duty"));
  parts.duty.setAttribute("aria-pressed", String(app.onDuty));
}

async function setDuty() {
  if (app.onDuty) {
    app.onDuty = false;
    sendDuty();
    showDuty();
    app.ring.update();
    return;
  }
  const skills = h("input", { type: "text", value: (app.duty?.skills ?? app.me.skills ?? []).join(", "), maxlength: 300, autocomplete: "off" });
  const spoken = app.duty?.languages ?? app.me.languages ?? [app.me.language ?? "en"];
  const boxes = [...new Set(["en", "zh", ...spoken])].map((one) => h("label", { class: "check" },
    h("input", { type: "checkbox", value: one, checked: spoken.includes(one) }), ` ${languageText(one)}`));
  const dialog = tell(t("go_on_duty"), field(t("skills"), skills, t("skills_hint")), h("fieldset", {}, h("legend", {}, t("languages")), boxes, h("p", { class: "hint" }, t("languages_hint"))));
  dialog.querySelector(".row.end").append(button(t("go_on_duty"), () => {
    app.duty = { skills: skills.value.split(",").map((one) => one.trim()).filter(Boolean),
      languages: [...dialog.querySelectorAll("fieldset input:checked")].map((one) => one.value) };
    app.onDuty = true;
    sendDuty();
    dialog.close();
    showDuty();
    app.ring.update();
  }, { class: "good" }));
}

function help() {
  const keys = [[`1 – ${VIEWS.filter(([, role]) => app.may(role)).length}`, "key_views"], ["a", "key_accept"], ["d", "key_decline"], ["t", "key_take"], ["s", "key_say"], ["w", "key_whisper"], ["n", "key_note"],
    ["m", "key_mute"], ["o", "key_hold"], ["k", "key_keypad"], ["?", "key_help"]];
  tell(t("help"), h("dl", { class: "facts shortcuts" }, keys.map(([key, what]) => [h("dt", {}, h("kbd", {}, key)), h("dd", {}, t(what))])),
    h("label", { class: "check" }, h("input", { type: "checkbox", checked: shortcuts, onchange: (event) => {
      shortcuts = event.target.checked;
      kept.set("shortcuts", shortcuts ? "on" : "off");
    } }), ` ${t("shortcuts_on")}`));
}

function onKey(event) {
  if (!shortcuts || app.me === null || event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  if (event.target.closest("input, textarea, select, dialog, [contenteditable]") !== null) return;
  const first = app.book.queue.find((one) => ringsHere(app, one));
  const views = VIEWS.filter(([, role]) => app.may(role)).map(([name]) => name);
  const acts = { "?": help, a: first && app.talk === null ? () => accept(app, first) : undefined, d: first ? () => decline(app, first) : undefined,
    ...app.bar?.keys, ...app.view?.keys };
  const act = /^[1-9]$/.test(event.key) && views[event.key - 1] ? () => app.go(views[event.key - 1]) : acts[event.key];
  if (act === undefined || event.key === " ") return;
  event.preventDefault();
  act();
}

// -- which view

function route() {
  if (app.me === null) return;
  let [name, rest] = ["live", ""];
  try {
    const text = location.hash.slice(1);
    const cut = text.indexOf("/");
    [name, rest] = cut < 0 ? [text, ""] : [text.slice(0, cut), decodeURIComponent(text.slice(cut + 1))];
  } catch {
    name = "live";
  }
  const views = {
    live: ["agent", () => liveView(app)], queue: ["agent", () => queueView(app)], callbacks: ["agent", () => callbacksView(app)], call: ["agent", () => callView(app, rest)],
    quality: ["supervisor", () => (rest ? scoredCallView(app, rest) : qualityView(app))], trends: ["supervisor", () => trendsView(app)],
    compare: ["supervisor", () => compareView(app, rest.split(",").filter(Boolean).slice(0, 4))], measures: ["supervisor", () => measuresView(app)],
    accounts: ["admin", () => accountsView(app)], audit: ["admin", () => auditView(app)],
  };
  const known = Object.hasOwn(views, name) && app.may(views[name][0]) && !(name === "call" && !rest);
  const [, make] = views[known ? name : "live"];
  app.view?.close();
  app.view = make();
  put(parts.main, app.view.element);
  for (const link of parts.nav.querySelectorAll("a")) {
    if (link.dataset.view === (known ? name : "live")) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  showCounts();
}

// -- in and out

function signInView(told = "") {
  const name = h("input", { type: "text", autocomplete: "username", required: true, maxlength: 64, autocapitalize: "none" });
  const password = h("input", { type: "password", autocomplete: "current-password", required: true, maxlength: 256 });
  const problem = h("p", { class: "bad-text", role: "alert" }, told);
  const choice = h("select", { "aria-label": t("language"), onchange: (event) => {
    chooseLanguage(event.target.value);
    kept.set("language", event.target.value);
    signInView();
  } }, Object.entries(LANGUAGES).map(([code, label]) => h("option", { value: code, selected: code === language() }, label)));
  const form = h("form", { class: "panel sign-in", onsubmit: async (event) => {
    event.preventDefault();
    problem.textContent = "";
    try {
      await post("sign-in", { name: name.value.trim(), password: password.value });
      await begin();
    } catch (error) {
      password.value = "";
      problem.textContent = error.status === 401 ? t("wrong_password") : app.told(error);
      password.focus();
    }
  } }, h("h1", {}, t("console")), field(t("name"), name), field(t("password"), password), problem,
  h("div", { class: "row end" }, choice, h("button", { type: "submit", class: "good" }, t("sign_in"))));
  document.title = `${t("sign_in")} · ${t("console")}`;
  put(document.getElementById("app"), h("main", { class: "center" }, form));
  name.focus();
}

async function begin() {
  app.me = await get("me");
  setCsrf(app.me.csrf);
  if (kept.get("language", "") === "" && app.me.language in LANGUAGES) chooseLanguage(app.me.language);
  frame();
  app.feed = new Feed({ stale: () => {
    sendDuty();
    refresh();
  }, state: (link) => {
    app.link = link;
    showLink();
    if (link === "out") left();
  }, refused: async () => {
    try {
      await get("me");
    } catch (error) {
      if (error.status === 401) left();
    }
  } });
  app.feed.listen(take);
  app.onDuty = false;
  rebuild();
  refresh();
}

async function signOut() {
  try {
    await post("sign-out");
  } catch (error) {
    if (error.status !== 401) {
      notice(app.told(error), "bad");
      return;
    }
  }
  left("");
}

function left(told = t("signed_out")) {
  if (app.me === null) return;
  app.talk?.leave();
  app.view?.close();
  app.feed?.close();
  Object.assign(app, { me: null, view: null, feed: null, duty: null, onDuty: false, accepting: null, book: newBook() });
  for (const set of [app.declined, app.coming, app.took, app.released]) set.clear();
  setCsrf("");
  for (const dialog of document.querySelectorAll("dialog")) dialog.close();
  signInView(told);
}

async function start() {
  chooseLanguage(kept.get("language", "") || (navigator.language.startsWith("zh") ? "zh" : "en"));
  showTheme();
  onSignedOut(left);
  addEventListener("hashchange", route);
  addEventListener("keydown", onKey);
  addEventListener("beforeunload", (event) => {
    if (app.talk !== null && app.talk.mode === "talk") event.preventDefault();
  });
  setInterval(tick, 500);
  setInterval(() => app.me !== null && document.visibilityState === "visible" && refresh(), REFRESH_MS);
  try {
    await begin();
  } catch (error) {
    signInView(error.status === 401 ? "" : app.told(error));
  }
}

start();
