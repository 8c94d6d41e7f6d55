// One call: transcript, facts, and everything a person can do to it.

import { get, part, post } from "./api.js";
import { applyDetail, missed, newDetail } from "./book.js";
import { button, h, notice, put } from "./dom.js";
import { callerPanel, donePanel, emotionPanel, handoffPanel, historyPanel, knowledgePanel, notesPanel, picturesPanel,
  reasonsPanel, replyPanel, runnablePanel, slotsPanel } from "./facts.js";
import { Feed } from "./feed.js";
import { codeText, languageText, ticking, valueText } from "./format.js";
import { ask } from "./dialogs.js";
import { soon } from "./lists.js";
import { withBadge } from "./live.js";
import { playerOf } from "./player.js";
import { summaryOf } from "./queue.js";
import { t } from "./strings.js";
import { transcriptOf } from "./transcript.js";
import { wrapUpForm } from "./wrapup.js";

/** The view of one call, live or recorded. */
export function callView(app, id) {
  const base = `calls/${part(id)}`;
  let detail = null;
  let chosen = null;
  let [closed, settling] = [false, false];
  let asked = 0;
  let waiting = []; // messages that came while the whole call was being asked for
  let wrapUp = null;
  let player = null;

  const head = h("header", { class: "call-head" });
  const tools = h("div", { class: "toolbar", role: "toolbar", "aria-label": t("controls") });
  const script = transcriptOf((turn) => {
    chosen = turn;
    update();
  });
  const composer = composerOf(app, send);
  const [left, right, below] = [h("div", { class: "side" }), h("div", { class: "side" }), h("div", { class: "below" })];
  const element = h("div", { class: "view call" }, head, tools, h("div", { class: "columns" },
    left, h("div", { class: "middle" }, script.element, composer.element, below), right));

  async function load() {
    const mine = (asked += 1);
    const early = (waiting = []);
    try {
      const answer = await get(base);
      if (closed || mine !== asked) return;
      detail = newDetail(answer, performance.now());
      for (const message of early) applyDetail(detail, message, performance.now());
      [waiting, settling] = [null, false];
      show();
      if (detail.live && !detail.turns.length && asked < 4) setTimeout(load, 1000); // what was just said is still being written
    } catch (error) {
      settling = false;
      if (!closed) put(head, h("h1", {}, error.status === 404 ? t("no_such_call") : error.detail || error.message || t("no_connection")));
    }
  }

  const loadSoon = soon(() => !closed && load(), 1500);
  // asked for once the feed is open, so that nothing is missed in between; without the feed, once
  const feed = new Feed({ call: id, stale: load, refused: () => asked === 0 && load() });
  feed.listen((message) => {
    if (message.call !== id) return;
    if (waiting !== null && waiting.length < 1000) waiting.push(message);
    if (detail === null) return;
    if (missed(detail, message)) loadSoon();
    if (applyDetail(detail, message, performance.now())) update();
    if (message.type === "call_ended") {
      settling = true; // the wrap-up form is made of what was recorded
      load();
    }
  });

  const panels = new Map();
  function place(side, name, facts, make) {
    const text = JSON.stringify(facts);
    const known = panels.get(name);
    if (known?.text === text) return;
    const made = make() ?? h("div", { hidden: true });
    if (known === undefined) side.append(made);
    else if (known.element.contains(document.activeElement) && document.activeElement.matches("input, textarea, select")) return;
    else known.element.replaceWith(made);
    panels.set(name, { text, element: made });
  }

  function show() {
    if (detail === null || closed) return;
    const { state } = detail;
    put(head, h("div", {}, h("h1", {}, state.caller || t("unknown_caller")), h("p", { class: "under" },
      [state.gateway, state.language ? languageText(state.language) : null, state.intent ? codeText(state.intent) : null].filter(Boolean).join(" · "))),
    h("div", { class: "call-facts" }, detail.live ? withBadge(state)
      : h("span", { class: "badge" }, t("ended"), detail.ended?.outcome ? `: ${codeText(detail.ended.outcome, "outcome")}` : ""),
    detail.live && state.phase ? h("span", { class: "badge" }, codeText(state.phase, "phase")) : null,
    detail.live && state.paused?.length ? h("span", { class: "badge urgent" }, t("not_recorded")) : null,
    h("span", { class: "clock" }, ticking(state.duration_s, detail.live ? state.seenMs : null)),
    detail.live && state.with === "queue" ? h("span", { class: "badge urgent" }, t("waits"), " ", ticking(state.waiting_s ?? 0, state.waitsMs)) : null));
    showTools();
    script.show(detail);
    composer.show(detail);
    place(left, "caller", [state.caller, state.called, state.gateway, state.language, state.domain], () => callerPanel(state));
    place(left, "emotion", state.emotion, () => emotionPanel(state.emotion));
    place(left, "slots", state.slots, () => slotsPanel(state.slots));
    place(left, "history", detail.history, () => historyPanel(detail.history));
    place(left, "pictures", detail.pictures, () => picturesPanel(detail.pictures));
    place(left, "handoff", detail.handoffs, () => handoffPanel(detail.handoffs));
    place(right, "summary", state.summary ?? null, () => state.summary
      ? h("section", { class: "panel", "aria-label": t("summary") }, h("h2", {}, t("summary")), summaryOf(state.summary)) : null);
    place(right, "reply", !detail.live ? null : [state.reply ?? null, detail.live, state.human], () => !detail.live ? null : replyPanel(state.reply,
      detail.live && state.human === app.me.name ? () => act("say", { text: state.reply }) : null, () => composer.fill("say", state.reply)));
    const told = chosen ?? detail.turns.filter((turn) => turn.reasons && Object.keys(turn.reasons).length).at(-1) ?? null;
    place(right, "reasons", told, () => reasonsPanel(told));
    const sources = detail.turns.filter((turn) => turn.reasons?.knowledge);
    place(right, "knowledge", sources.map((turn) => [turn.number, turn.reasons.knowledge]), () => knowledgePanel(sources));
    place(right, "done", detail.actions, () => donePanel(detail.actions));
    if (detail.live) place(right, "run", [detail.runnable, state.slots], () => runnablePanel(detail.runnable, state.slots, runAction));
    else place(right, "run", null, () => null);
    place(right, "notes", detail.notes, () => notesPanel(detail.notes));
    showBelow();
  }

  function showBelow() {
    if (settling) return;
    if (!detail.live && player === null && detail.row.recording && app.may("supervisor")) {
      player = playerOf(id, detail, script);
      script.element.before(player.element);
    }
    const mine = app.took.has(id) || app.may("supervisor");
    if (wrapUp === null && mine && (!detail.live || app.released.has(id))) {
      wrapUp = wrapUpForm(app, id, detail, () => {
        app.took.delete(id);
        app.released.delete(id);
      });
      below.prepend(wrapUp);
    }
  }

  let toolsShown = "";
  function showTools() {
    const { state } = detail;
    const seat = app.talk?.callId === id ? app.talk : null;
    const paused = (state.paused ?? []).includes("person");
    const facts = JSON.stringify([detail.live, state.with, state.human, seat?.mode, state.gateway, paused]);
    if (facts === toolsShown) return;
    toolsShown = facts;
    const key = document.activeElement?.dataset?.key;
    const mine = state.with === "human" && state.human === app.me.name;
    const other = state.with === "human" && !mine;
    put(tools, !detail.live ? null : [
      !mine && !other && (app.may("supervisor") || state.with === "queue") ? button(t("take_over"), takeOver, { class: "good", dataset: { key: "take" }, "aria-keyshortcuts": "t" }) : null,
      mine && seat?.mode !== "talk" ? button(t("join_with_voice"), () => app.sit(id, "talk"), { class: "good", dataset: { key: "voice" } }) : null,
      mine ? button(t("hand_back"), handBack, { dataset: { key: "back" } }) : null,
      mine ? button(t("pause_recording"), () => act("pause", { on: !paused }), { dataset: { key: "pause" }, "aria-pressed": String(paused) }) : null,
      mine ? button(t("transfer"), transfer, { dataset: { key: "transfer" } }) : null,
      mine ? button(t("hang_up"), hangUp, { class: "danger", dataset: { key: "hang" } }) : null,
      app.may("supervisor") && !mine ? ["listen", "whisper", "barge"].filter((mode) => mode !== "whisper" || other).map((mode) =>
        button(t(`mode_${mode}`), () => app.sit(id, mode),
          { dataset: { key: mode }, "aria-pressed": seat?.mode === mode ? "true" : "false" })) : null,
      seat && seat.mode !== "talk" ? button(t("leave"), () => app.talk?.leave(), { dataset: { key: "leave" } }) : null,
    ]);
    if (key !== undefined) tools.querySelector(`[data-key="${CSS.escape(key)}"]`)?.focus();
  }

  async function act(what, body = {}) {
    try {
      return await post(`${base}/${what}`, body);
    } catch (error) {
      notice(app.told(error), "bad");
      return null;
    }
  }

  async function send(kind, text) {
    return (await act(kind, { text })) !== null;
  }

  async function takeOver() {
    if (!(await app.freeSeat(id))) return undefined;
    if (app.talk !== null) app.talk.leave();
    if ((await act("take-over")) === null) return load();
    app.took.add(id);
    detail.state.with = "human";
    detail.state.human = app.me.name;
    show();
    await app.sit(id, "talk");
    return undefined;
  }

  async function handBack() {
    const note = await ask(t("hand_back"), { label: t("hand_back_note"), hint: t("hand_back_hint"), button: t("hand_back"), rows: 3, max: 500 });
    if (note === null || (await act("hand-back", { note })) === null) return;
    app.released.add(id);
    if (app.talk?.callId === id) app.talk.leave();
    await load();
  }

  async function transfer() {
    const target = await ask(t("transfer"), { label: t("transfer_target"), hint: t("transfer_hint"), button: t("transfer"), max: 200, required: true });
    if (target) await act("transfer", { target });
  }

  async function hangUp() {
    if ((await ask(t("hang_up"), { text: t("hang_up_sure"), button: t("hang_up"), danger: true })) !== null) await act("hang-up");
  }

  async function runAction(name, given) {
    try {
      const answer = await post(`${base}/action`, { name, arguments: given });
      const result = answer.result ?? answer;
      return `${answer.ok === false ? t("failed") : t("worked")}: ${valueText(result)}`;
    } catch (error) {
      return `${t("failed")}: ${app.told(error)}`;
    }
  }

  const update = soon(show);
  return {
    element, title: t("call"), update, keys: {
      t: () => tools.querySelector('[data-key="take"]')?.click(),
      s: () => composer.choose("say"), w: () => composer.choose("instruct"), n: () => composer.choose("note"),
    },
    close() {
      closed = true;
      feed.close();
      player?.close();
    },
  };
}

/** Where one types: to the caller, to the agent, or a note. */
function composerOf(app, send) {
  const kinds = ["say", "instruct", "note"];
  let kind = "note"; // until it is known whose call it is
  const text = h("textarea", { rows: 2, maxlength: 1000, "aria-label": t("compose_note"), onkeydown: (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      submit();
    }
  } });
  const radios = h("div", { class: "kinds", role: "radiogroup", "aria-label": t("compose") }, kinds.map((one) => h("label", { class: "kind" },
    h("input", { type: "radio", name: "compose", value: one, checked: one === kind, disabled: one !== kind, onchange: () => choose(one) }), h("span", {}, t(`compose_${one}`)))));
  const go = button(t("send"), submit, { class: "good" });
  const element = h("div", { class: "composer" }, radios, h("div", { class: "row" }, text, go), h("p", { class: "hint" }, t("compose_hint_note")));

  async function submit() {
    const said = text.value.trim();
    if (!said || text.readOnly) return;
    text.readOnly = true;
    if (await send(kind, said)) {
      text.value = "";
      notice(t(`sent_${kind}`));
    }
    text.readOnly = false;
    text.focus();
  }

  function choose(one, focus = true) {
    kind = one;
    radios.querySelector(`[value="${one}"]`).checked = true;
    text.setAttribute("aria-label", t(`compose_${one}`));
    element.querySelector(".hint").textContent = t(`compose_hint_${one}`);
    if (focus) text.focus();
  }

  let was = null;
  return { element, choose, fill(one, words) {
    choose(one);
    text.value = words;
  }, show(detail) {
    const mine = detail.state.with === "human" && detail.state.human === app.me.name;
    const now = !detail.live || !(mine || app.may("supervisor")) ? "note" : mine ? "say" : detail.state.with === "human" ? "note" : "instruct";
    if (now === was) return;
    was = now;
    for (const radio of radios.querySelectorAll("input")) {
      radio.disabled = radio.value !== "note" && radio.value !== now;
    }
    choose(now, false);
  } };
}
