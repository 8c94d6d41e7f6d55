// The panels beside a call's transcript.

import { feeling } from "./book.js";
import { emotionStrip } from "./charts.js";
import { button, field, h, panel, safeSource } from "./dom.js";
import { clockText, codeText, languageText, NOTHING, numberText, shareText, timeText, valueText } from "./format.js";
import { t } from "./strings.js";

/** Values the caller gave, each verified or not. */
export function slotsPanel(slots) {
  const rows = Object.entries(slots ?? {}).map(([name, slot]) => {
    const given = slot !== null && typeof slot === "object" && "value" in slot ? slot : { value: slot };
    return h("tr", {}, h("th", { scope: "row" }, codeText(name)), h("td", { class: "value" }, valueText(given.value)),
      h("td", {}, h("span", { class: given.verified ? "flag yes" : "flag no" },
        given.verified ? `✓ ${t("verified")}` : `○ ${t("unverified")}`)));
  });
  return panel(t("slots"), {}, rows.length ? h("table", { class: "plain" }, h("tbody", {}, rows)) : nothing());
}

/** How the caller felt, turn by turn. */
export function emotionPanel(series) {
  const last = feeling((series ?? []).at(-1));
  return panel(t("emotion"), {}, emotionStrip(series, { wide: true }),
    last ? h("p", { class: "under" }, `${t("now")}: ${codeText(last.label, "emotion")}, ${t("anger")} ${shareText(last.anger)}`) : null);
}

/** Why the agent answered as it did in a turn. */
export function reasonsPanel(turn) {
  const reasons = turn?.reasons ?? {};
  const ranking = Array.isArray(reasons.ranking) ? reasons.ranking : [];
  const nearest = Array.isArray(reasons.nearest) ? reasons.nearest : [];
  const lines = [
    ["decision", reasons.decision], ["rule", reasons.rule],
    ["flow", reasons.flow ? `${codeText(reasons.flow)}${reasons.step === undefined || reasons.step === null ? "" : ` · ${Number(reasons.step) + 1}`}` : null],
    ["actions", Array.isArray(reasons.actions) ? reasons.actions.map((one) => codeText(one)).join(", ") : null],
    ["instructed", Array.isArray(reasons.instructed) ? reasons.instructed.map(followedText).join("; ") : null],
    ["stance", reasons.emotion?.stance ? codeText(reasons.emotion.stance) : null],
    ["tones", Array.isArray(reasons.tones) ? reasons.tones.map((one) => codeText(one)).join(", ") : null],
    ["turn_over", reasons.turn_over === undefined ? null : shareText(reasons.turn_over)],
    ["answered_in", turn?.latency?.total === undefined ? null : `${numberText(turn.latency.total, 0)} ms`],
  ].filter(([, value]) => value !== null && value !== undefined && value !== "");
  const anything = lines.length || ranking.length || nearest.length;
  return panel(t("reasons"), {}, turn && anything ? [
    h("p", { class: "under" }, `${t("turn")} ${turn.number} · ${codeText(turn.speaker, "speaker")}`),
    h("dl", { class: "facts" }, lines.map(([name, value]) => [h("dt", {}, t(name)), h("dd", {}, valueText(value))])),
    ranking.length ? [h("h3", {}, t("readings")), h("ul", { class: "readings" }, ranking.map(([name, chance]) =>
      h("li", {}, h("span", {}, codeText(name)), h("meter", { min: 0, max: 1, value: Number(chance) || 0,
        "aria-label": codeText(name) }), h("span", { class: "number" }, shareText(chance)))))] : null,
    nearest.length ? [h("h3", {}, t("nearest")), h("ul", { class: "small" }, nearest.slice(0, 4).map((one) =>
      h("li", {}, Array.isArray(one) ? one.map((part) => typeof part === "number" ? numberText(part, 2) : valueText(part)).join(" · ") : valueText(one))))] : null,
    h("details", {}, h("summary", {}, t("everything")), h("pre", {}, JSON.stringify(reasons, null, 1))),
  ] : nothing());
}

/** Whether an instruction from the console was followed, and why not. */
function followedText(one) {
  if (!one.followed) return `${t("not_followed")}: ${codeText(one.reason)}`;
  return one.by === "model" ? t("followed_by_model") : `${codeText(one.asked)}: ${t("followed_by_rule")}`;
}

/** Where answers came from, the latest first. */
export function knowledgePanel(turns) {
  const found = turns.filter((turn) => turn.reasons?.knowledge).map((turn) => ({ turn, source: turn.reasons.knowledge }))
    .reverse().slice(0, 5);
  return panel(t("knowledge"), {}, found.length ? h("ul", { class: "sources" }, found.map(({ turn, source }) => {
    const [file, heading] = String(source.source ?? source.section ?? "").split("#");
    return h("li", {}, h("span", { class: "source" }, heading ? codeText(heading.replaceAll("-", " ")) : file || NOTHING),
      h("span", { class: "under" }, [heading ? file : null, `${t("turn")} ${turn.number}`,
        source.score === undefined ? null : `${t("score")} ${numberText(source.score, 2)}`,
        source.answers === false ? t("does_not_answer") : null].filter(Boolean).join(" · ")),
      source.text ? h("q", {}, source.text) : null);
  })) : nothing());
}

/** What the agent did in the call. */
export function donePanel(actions) {
  return panel(t("done"), {}, actions.length ? h("ul", { class: "done" }, actions.slice().reverse().map((one) => h("li", {},
    h("span", { class: one.ok ? "flag yes" : "flag bad" }, one.ok ? "✓" : "✗",
      h("span", { class: "unseen" }, one.ok ? t("worked") : t("failed"))), " ",
    h("strong", {}, codeText(one.name)), " ", h("span", { class: "under" }, pairs(one.arguments)),
    one.result && Object.keys(one.result).length ? h("details", {}, h("summary", {}, t("result")),
      h("pre", {}, JSON.stringify(one.result, null, 1))) : null))) : nothing());
}

function pairs(values) {
  return Object.entries(values ?? {}).map(([name, value]) => `${codeText(name)}: ${valueText(value)}`).join(", ");
}

/** Actions that a person can run, each with a form for its arguments; `run(name, arguments)` does it. */
export function runnablePanel(runnable, slots, run) {
  return panel(t("run_actions"), {}, runnable.length ? runnable.map((one) => {
    const inputs = Object.entries(one.arguments ?? {}).map(([name, wanted]) => {
      const known = wanted?.value ?? slots?.[name]?.value ?? "";
      const numeric = ["integer", "number"].includes(wanted?.type);
      return [name, wanted, h("input", { type: numeric ? "number" : "text", step: wanted?.type === "number" ? "any" : null,
        value: known === null ? "" : String(known), required: wanted?.required === true, maxlength: 500, autocomplete: "off" })];
    });
    const outcome = h("p", { class: "under", role: "status" });
    const form = h("form", { class: "action", onsubmit: async (event) => {
      event.preventDefault();
      if (form.getAttribute("aria-busy") === "true") return;
      form.setAttribute("aria-busy", "true");
      outcome.textContent = t("running");
      try {
        const given = Object.fromEntries(inputs.filter(([, , input]) => input.value !== "").map(([name, wanted, input]) =>
          [name, ["integer", "number"].includes(wanted?.type) ? Number(input.value)
            : wanted?.type === "boolean" ? ["true", "yes", "1", t("yes")].includes(input.value.toLowerCase()) : input.value]));
        outcome.textContent = await run(one.name, given);
      } finally {
        form.removeAttribute("aria-busy");
      }
    } }, inputs.map(([name, wanted, input]) => field(codeText(name) + (wanted?.required ? " *" : ""), input)),
    h("button", { type: "submit" }, t("run")), outcome);
    return h("details", { class: "runnable" }, h("summary", {}, codeText(one.name)),
      one.description ? h("p", { class: "under" }, one.description) : null, form);
  }) : nothing());
}

/** Notes of people about this call. */
export function notesPanel(notes) {
  return panel(t("notes"), {}, notes.length ? h("ul", { class: "notes" }, notes.slice().reverse().map((one) => h("li", {},
    h("span", { class: "under" }, `${one.who ?? ""} · ${timeText(one.at)}`), h("p", {}, one.text ?? ""),
    one.told ? h("p", { class: "under" }, one.told) : null))) : nothing());
}

/** Earlier calls of the same caller. */
export function historyPanel(history) {
  return panel(t("history"), {}, history.length ? h("ul", { class: "history" }, history.slice(0, 10).map((one) => h("li", {},
    h("a", { href: `#call/${encodeURIComponent(one.id ?? one.call_id)}` }, timeText(one.opened_at)), " ",
    h("span", {}, codeText(one.intent)), " ", h("span", { class: "under" }, codeText(one.outcome, "outcome")),
    one.summary ? h("p", { class: "under" }, one.summary) : null))) : nothing());
}

/** Pictures the caller sent and what was read in them. */
export function picturesPanel(pictures) {
  if (!pictures.length) return null;
  return panel(t("pictures"), {}, pictures.slice().reverse().map((one) => h("figure", { class: "picture" },
    one.url && safeSource(one.url) ? h("img", { src: one.url, alt: one.description ?? t("picture_of_caller"), loading: "lazy" }) : null,
    h("figcaption", {}, one.description ?? "", h("ul", { class: "small" }, (one.fields ?? []).map((found) =>
      h("li", {}, `${codeText(found.name)}: ${valueText(found.value)} `, h("span", { class: "under" }, shareText(found.confidence)))))))));
}

/** Who, from where, by which line. */
export function callerPanel(state) {
  const lines = [["caller", state.caller || t("unknown_caller")], ["called", state.called], ["line", state.gateway],
    ["language", state.language ? languageText(state.language) : null], ["domain", state.domain],
    ["began", state.started_at ? timeText(state.started_at) : null]];
  return panel(t("caller"), {}, h("dl", { class: "facts" }, lines.filter(([, value]) => value).map(([name, value]) =>
    [h("dt", {}, t(name)), h("dd", {}, value)])));
}

/** How the handoff of a call went. */
export function handoffPanel(handoffs) {
  if (!handoffs.length) return null;
  return panel(t("handoff"), {}, handoffs.map((one) => h("p", {}, codeText(one.state, "handoff"), " ", h("span", { class: "under" },
    [`· ${codeText(one.reason)}`, one.human ? `${t("with_human")}: ${one.human}` : null,
      one.wait_s === undefined || one.wait_s === null ? null : `${t("waits")} ${clockText(one.wait_s)}`].filter(Boolean).join(" · ")))));
}

/** A suggested reply that can be said as it is, or changed first. */
export function replyPanel(reply, say, edit) {
  return panel(t("suggestion"), { class: "suggestion" }, reply ? [h("p", {}, reply), say ? h("div", { class: "row" },
    button(t("say_it"), say, { dataset: { key: "say-it" } }), button(t("change_first"), edit, { dataset: { key: "change-first" } })) : null] : nothing());
}

function nothing() {
  return h("p", { class: "faint" }, t("nothing_yet"));
}
