// Quality: scored calls, one call's score with its evidence, calls side by side, trends and business measures.

import { get, part, post } from "./api.js";
import { barChart, lineChart } from "./charts.js";
import { newDetail } from "./book.js";
import { button, field, h, notice, put } from "./dom.js";
import { clockText, codeText, numberText, shareText, timeText } from "./format.js";
import { playerOf } from "./player.js";
import { language, t, word } from "./strings.js";
import { transcriptOf } from "./transcript.js";

/** Scored calls, searched and sorted by the server. */
export function qualityView(app) {
  const inputs = {
    text: h("input", { type: "search", maxlength: 200 }),
    intent: h("input", { type: "text", maxlength: 100 }),
    emotion: h("select", {}, h("option", { value: "" }, t("any")), ["neutral", "happy", "sad", "angry"].map((one) => h("option", { value: one }, codeText(one, "emotion")))),
    below: h("input", { type: "number", min: 1, max: 100 }),
    from: h("input", { type: "date" }), to: h("input", { type: "date" }),
  };
  const body = h("tbody");
  const told = h("p", { class: "empty", role: "status" });
  const compare = button(t("compare"), () => app.go(`compare/${[...chosen].map(encodeURIComponent).join(",")}`), { disabled: true });
  const chosen = new Set();
  const form = h("form", { class: "filters", role: "search", onsubmit: (event) => {
    event.preventDefault();
    load();
  } }, field(t("words"), inputs.text), field(t("intent"), inputs.intent), field(t("emotion"), inputs.emotion), field(t("score_below"), inputs.below),
  field(t("from"), inputs.from), field(t("to"), inputs.to), h("button", { type: "submit", class: "good" }, t("search")), compare);
  const element = h("div", { class: "view" }, h("header", { class: "view-head" }, h("h1", {}, t("nav_quality"))), form,
    h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": t("nav_quality") }, h("table", {}, h("thead", {}, h("tr", {},
      ["compare_it", "call", "score", "human_score", "intent", "emotion", "duration", "missed"].map((name) => h("th", { scope: "col", class: ["score", "human_score", "duration"].includes(name) ? "number" : null }, t(name))))), body)), told);

  async function load() {
    told.textContent = t("loading");
    try {
      const { calls = [], unscored = 0 } = await get("quality/calls", Object.fromEntries(Object.entries(inputs).map(([name, input]) => [name, input.value.trim()])));
      put(body, calls.map(row));
      told.textContent = [calls.length ? "" : t("no_calls_found"), unscored ? t("unscored", { count: unscored }) : ""].filter(Boolean).join(" ");
    } catch (error) {
      put(body);
      told.textContent = app.told(error);
    }
  }

  function row(call) {
    return h("tr", {}, h("td", {}, h("input", { type: "checkbox", "aria-label": t("compare_it"), checked: chosen.has(call.call_id), onchange: (event) => {
      if (event.target.checked) chosen.add(call.call_id);
      else chosen.delete(call.call_id);
      compare.disabled = chosen.size < 2 || chosen.size > 4;
    } })), h("td", {}, h("a", { href: `#quality/${part(call.call_id)}` }, timeText(call.opened_at, "seconds")), h("span", { class: "under" }, ` · ${codeText(call.outcome, "outcome")}`),
      (call.matches ?? []).map((found) => h("p", { class: "found" }, `${codeText(found.speaker, "speaker")}, ${t("turn")} ${found.turn}: ${found.text}`))), h("td", { class: "number" }, scoreBadge(call.score)),
    h("td", { class: "number" }, numberText(call.human_score, 0)), h("td", {}, codeText(call.intent)), h("td", {}, codeText(call.emotion, "emotion")),
    h("td", { class: "number" }, clockText(call.duration_s)), h("td", {}, (call.failed ?? []).map((one) => h("span", { class: "chip" }, codeText(one, "rubric")))));
  }

  load();
  return { element, title: t("nav_quality"), update() {}, close() {} };
}

function scoreBadge(score) {
  const kind = score === null || score === undefined ? "none" : score >= 80 ? "high" : score >= 60 ? "middle" : "low";
  return h("span", { class: `score s-${kind}` }, numberText(score, 0));
}

/** Whether an item of the rubric was met; null where it does not apply. */
function metFlag({ passed }) {
  const [kind, sign, word] = passed === true ? ["yes", "✓", "met"] : passed === false ? ["bad", "✗", "missed"] : ["none", "○", "does_not_apply"];
  return h("span", { class: `flag ${kind}`, title: t(word) }, sign, h("span", { class: "unseen" }, t(word)));
}

/** One call's score: each item with why and its evidence, beside the transcript and the recording. */
export function scoredCallView(app, id) {
  const head = h("header", { class: "view-head" }, h("h1", {}, t("score")));
  const items = h("div", { class: "side wide" });
  const middle = h("div", { class: "middle" });
  const element = h("div", { class: "view" }, head, h("div", { class: "columns two" }, items, middle));
  let player = null;
  let closed = false;

  async function load() {
    try {
      const [scored, whole] = await Promise.all([get(`quality/calls/${part(id)}`), get(`calls/${part(id)}`)]);
      if (closed) return;
      show(scored, newDetail(whole, performance.now()));
    } catch (error) {
      put(items, h("p", { class: "bad-text" }, app.told(error)));
    }
  }

  function show(scored, detail) {
    put(head, h("h1", {}, t("score"), " ", scoreBadge(scored.score)), h("span", { class: "under" }, timeText(detail.state.started_at)),
      h("a", { href: `#call/${part(id)}` }, t("whole_call")));
    const script = transcriptOf(null);
    put(middle, script.element);
    script.show(detail);
    player?.close();
    player = null;
    if (detail.row.recording) {
      player = playerOf(id, detail, script);
      middle.prepend(player.element);
    }
    put(items, (scored.items ?? []).map((item) => h("section", { class: `panel item ${item.passed === false ? "missed" : ""}`.trim() },
      h("h2", {}, metFlag(item), " ", itemText(item),
        h("span", { class: "weight" }, item.weight === undefined ? "" : `${numberText(item.score)} / ${numberText(item.weight)}`)),
      item.why ? h("p", {}, item.why) : null,
      (item.evidence ?? []).length ? h("p", { class: "under" }, t("evidence"), ": ", item.evidence.map((turn) => h("button", { type: "button", class: "link",
        onclick: () => point(turn) }, `${t("turn")} ${turn} `))) : null)), ratings(scored), ratingForm());
  }

  function point(number) {
    const found = [...middle.querySelectorAll(".transcript .turn")].find((line) => line.syncKey?.startsWith(`${number}-`));
    found?.scrollIntoView({ block: "center" });
    found?.classList.add("pointed");
    setTimeout(() => found?.classList.remove("pointed"), 2500);
  }

  function ratings(scored) {
    return h("section", { class: "panel" }, h("h2", {}, t("ratings")), (scored.ratings ?? []).length ? h("ul", { class: "notes" }, scored.ratings.map((one) => h("li", {},
      scoreBadge(one.score), " ", h("span", { class: "under" }, `${one.who ?? ""} · ${timeText(one.at)}`), one.note ? h("p", {}, one.note) : null)))
      : h("p", { class: "faint" }, t("nothing_yet")));
  }

  function ratingForm() {
    const score = h("input", { type: "number", min: 0, max: 100, required: true });
    const note = h("textarea", { rows: 2, maxlength: 1000 });
    return h("form", { class: "panel", "aria-label": t("rate_it"), onsubmit: async (event) => {
      event.preventDefault();
      try {
        await post(`quality/calls/${part(id)}/rating`, { score: Number(score.value), note: note.value.trim() });
        notice(t("saved"));
        await load();
      } catch (error) {
        notice(app.told(error), "bad");
      }
    } }, h("h2", {}, t("rate_it")), field(t("score_0_100"), score), field(t("note"), note), h("div", { class: "row end" }, h("button", { type: "submit", class: "good" }, t("save"))));
  }

  load();
  return { element, title: t("score"), update() {}, close() {
    closed = true;
    player?.close();
  } };
}

/** Two to four calls side by side. */
export function compareView(app, ids) {
  const place = h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": t("compare") });
  const element = h("div", { class: "view" }, h("header", { class: "view-head" }, h("h1", {}, t("compare")), h("a", { href: "#quality" }, t("nav_quality"))), place);
  Promise.all(ids.map((id) => get(`quality/calls/${part(id)}`))).then((calls) => {
    const names = [...new Map(calls.flatMap((call) => (call.items ?? []).map((item) => [item.name, itemText(item)]))).entries()];
    put(place, h("table", {}, h("thead", {}, h("tr", {}, h("th", { scope: "col" }, t("item")), calls.map((call, n) => h("th", { scope: "col" },
      h("a", { href: `#quality/${part(ids[n])}` }, call.opened_at ? timeText(call.opened_at) : ids[n]), " ", scoreBadge(call.score))))),
    h("tbody", {}, names.map(([name, title]) => h("tr", {}, h("th", { scope: "row" }, title), calls.map((call) => {
      const item = (call.items ?? []).find((one) => one.name === name);
      return h("td", {}, item ? [metFlag(item), " ", item.why ?? ""] : "–");
    }))))));
  }, (error) => put(place, h("p", { class: "bad-text" }, app.told(error))));
  return { element, title: t("compare"), update() {}, close() {} };
}

/** A view with a choice of days, filled by `load(days, place)`. */
function daysView(app, title, load) {
  const place = h("div", { class: "charts" });
  const days = h("select", { onchange: show }, [7, 30, 90].map((one) => h("option", { value: one, selected: one === 30 }, t("last_days", { days: one }))));
  const extra = h("span");
  const element = h("div", { class: "view" }, h("header", { class: "view-head" }, h("h1", {}, title), field(t("period"), days), extra), place);
  async function show() {
    put(place, h("p", { class: "faint" }, t("loading")));
    try {
      await load(Number(days.value), place, extra);
    } catch (error) {
      put(place, h("p", { class: "bad-text" }, app.told(error)));
    }
  }
  show();
  return { element, title, update() {}, close() {} };
}

const DAY = (row) => String(row.day ?? row.from ?? "").slice(5);

/** Scores over time, and which items of the rubric are met how often. */
export function trendsView(app) {
  return daysView(app, t("nav_trends"), async (days, place) => {
    const { days: rows = [], items = [] } = await get("quality/trends", { days });
    put(place, lineChart(t("mean_score"), rows.map((row) => ({ label: DAY(row), value: row.score })), { most: 100, text: (value) => numberText(value, 0) }),
      lineChart(t("calls_a_day"), rows.map((row) => ({ label: DAY(row), value: row.calls })), { most: even(Math.max(...rows.map((row) => row.calls ?? 0))), text: (value) => numberText(value, 0) }),
      lineChart(t("anger"), rows.map((row) => ({ label: DAY(row), value: row.anger })), { text: (value) => shareText(value) }),
      barChart(t("items_met"), items.map((item) => ({ label: itemText(item), value: item.passed, of: item.calls })), { text: (value, row) => t("share_of", { share: shareText(value), count: row.of }) }));
  });
}

/** The top of a scale of whole numbers: its middle is one too. */
function even(most) {
  return Math.max(2, 2 * Math.ceil(most / 2));
}

/** An item of the rubric: in the rubric's own words, or in the page's language where that is another. */
function itemText({ name, title }) {
  return (language() === "en" ? title : word(`rubric.${name}`)) ?? title ?? codeText(name, "rubric");
}

const share = (value) => shareText(value);
const COLUMNS = [["calls", (value) => numberText(value, 0)], ["contained", share], ["transferred", share],
  ["repeat_7d", (value, row) => value === null && Number.isFinite(row.repeat_so_far) ? t("so_far", { share: shareText(row.repeat_so_far) }) : shareText(value)],
  ["silence", share], ["cost", (value) => numberText(value, 2)], ["satisfaction", (value) => numberText(value, 1)], ["surveys", (value) => numberText(value, 0)]];

/** Why calls went to people: a rule's name, or the flow that ends so. */
function reasonText(reason) {
  const [kind, name] = String(reason ?? "").split(":");
  return name ? `${t(kind === "flow" ? "flow_alone" : "rule")}: ${codeText(name)}` : codeText(reason);
}

/** Business measures by intent, with plots and as CSV. */
export function measuresView(app) {
  return daysView(app, t("nav_measures"), async (days, place, extra) => {
    const { intents = [], reasons = [], days: rows = [], all = null, unscored = 0 } = await get("measures", { days });
    const shown = [...intents, ...(all?.calls && intents.length > 1 ? [{ ...all, intent: null }] : [])];
    put(extra, h("a", { href: `/console/api/measures.csv?days=${days}`, download: `measures-${days}.csv`, class: "button" }, t("as_csv")));
    const most = Math.max(1, ...reasons.map((row) => row.calls ?? 0));
    put(place, lineChart(t("contained"), rows.map((row) => ({ label: DAY(row), value: row.calls ? (row.contained <= 1 ? row.contained : row.contained / row.calls) : null })), { text: (value) => shareText(value) }),
      barChart(t("transfer_reasons"), reasons.map((row) => ({ label: reasonText(row.reason), value: row.calls })), { most, text: (value) => numberText(value, 0) }),
      h("div", { class: "scroll whole", tabindex: 0, role: "region", "aria-label": t("by_intent") }, h("table", {}, h("caption", {}, t("by_intent")), h("thead", {}, h("tr", {},
        h("th", { scope: "col" }, t("intent")), COLUMNS.map(([name]) => h("th", { scope: "col", class: "number" }, t(name))))),
      h("tbody", {}, shown.map((row) => h("tr", {}, h("th", { scope: "row" }, row.intent === null ? t("all_calls") : codeText(row.intent)),
        COLUMNS.map(([name, text]) => h("td", { class: "number" }, text(row[name], row)))))))),
      h("p", { class: "faint whole" }, [t("satisfaction_hint"), unscored ? t("unscored", { count: unscored }) : ""].filter(Boolean).join(" ")));
  });
}
