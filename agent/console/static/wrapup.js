// What is written down after a call: how it went, what it was about, and what the agent had wrong (labels).

import { part, post } from "./api.js";
import { field, h, notice } from "./dom.js";
import { codeText, valueText } from "./format.js";
import { t } from "./strings.js";

const DISPOSITIONS = ["resolved", "follow_up", "callback", "transferred", "spam", "other"];

/** The form; `done` is called once it was taken. */
export function wrapUpForm(app, id, detail, done) {
  const before = detail.wrap_up ?? {};
  const { state } = detail;
  const disposition = h("select", { required: true }, h("option", { value: "" }, t("choose")),
    (detail.dispositions ?? DISPOSITIONS).map((one) => h("option", { value: one, selected: before.disposition === one }, codeText(one, "disposition"))));
  const known = detail.intents?.length ? detail.intents : [state.intent, ...detail.turns.map((turn) => turn.intent)];
  const intents = [...new Set(known.filter(Boolean))];
  const intent = h("select", {}, h("option", { value: "" }, t("unchanged")), intents.map((one) =>
    h("option", { value: one, selected: before.intent === one }, codeText(one))));
  const said = h("select", {}, h("option", { value: "" }, t("whole_call")), detail.turns.filter((turn) => turn.speaker === "caller" && turn.text).map((turn) =>
    h("option", { value: turn.number }, `${turn.number}: ${turn.text.slice(0, 60)}`)));
  const slots = Object.entries(state.slots ?? {}).map(([name, slot]) => {
    const value = slot !== null && typeof slot === "object" && "value" in slot ? slot.value : slot;
    return [name, valueText(value), h("input", { type: "text", value: valueText(value), maxlength: 200, autocomplete: "off" })];
  });
  const stars = h("fieldset", { class: "stars" }, h("legend", {}, t("rating")), [1, 2, 3, 4, 5].map((one) => h("label", {},
    h("input", { type: "radio", name: `rating-${id}`, value: one, checked: before.rating === one }), h("span", {}, String(one)))));
  const note = h("textarea", { rows: 2, maxlength: 2000 }, before.note ?? "");
  const told = h("p", { class: "under", role: "status" }, detail.wrap_up ? t("wrapped_up") : "");
  const form = h("form", { class: "panel wrap-up", "aria-label": t("wrap_up"), onsubmit: async (event) => {
    event.preventDefault();
    const body = { disposition: disposition.value };
    if (intent.value) body.intent = intent.value;
    if (intent.value && said.value) body.turn = Number(said.value);
    const changed = slots.filter(([, was, input]) => input.value.trim() !== was);
    if (changed.length) body.slots = Object.fromEntries(changed.map(([name, , input]) => [name, input.value.trim()]));
    const rated = form.querySelector('input[type="radio"]:checked');
    if (rated) body.rating = Number(rated.value);
    if (note.value.trim()) body.note = note.value.trim();
    try {
      await post(`calls/${part(id)}/wrap-up`, body);
      told.textContent = t("wrapped_up");
      notice(t("wrapped_up"));
      done();
    } catch (error) {
      told.textContent = app.told(error);
    }
  } }, h("h2", {}, t("wrap_up")), h("div", { class: "grid" }, field(`${t("disposition")} *`, disposition), field(t("right_intent"), intent, t("right_intent_hint")), field(t("said_in"), said),
    slots.map(([name, , input]) => field(codeText(name), input))), stars, field(t("note"), note), h("div", { class: "row end" },
    told, h("button", { type: "submit", class: "good" }, t("save"))));
  return form;
}
