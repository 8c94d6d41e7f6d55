// Questions in a dialog: the browser's own, which keeps the focus inside and closes with Escape.

import { field, h } from "./dom.js";
import { t } from "./strings.js";

/** Ask for a text, or for a yes where `label` is not given; null where it was given up. */
export function ask(title, { label, hint, text, button, rows = 1, max = 200, required = false, danger = false, secret = false }) {
  return new Promise((resolve) => {
    const input = label ? h(rows > 1 ? "textarea" : "input", { type: secret ? "password" : rows > 1 ? null : "text",
      autocomplete: secret ? "new-password" : "off", rows: rows > 1 ? rows : null, maxlength: max, required }) : null;
    const dialog = h("dialog", { "aria-label": title }, h("form", { method: "dialog", onsubmit: (event) => {
      event.preventDefault();
      dialog.close("yes");
    } }, h("h2", {}, title), text ? h("p", {}, text) : null, input ? field(label, input, hint) : null, h("div", { class: "row end" },
      h("button", { type: "button", onclick: () => dialog.close("") }, t("cancel")),
      h("button", { type: "submit", class: danger ? "danger" : "good" }, button))));
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(dialog.returnValue === "yes" ? ((secret ? input.value : input?.value.trim()) ?? "") : null);
    });
    show(dialog);
    input?.focus();
  });
}

/** Ask for several things at once; their texts by name, or null where it was given up.
    `fields`: name, label, hint, type, rows, max, min, required. */
export function questions(title, fields, button) {
  return new Promise((resolve) => {
    const inputs = fields.map(({ name, label, hint, type = "text", rows = 1, max = 200, min = null, required = false }) => [name, label, hint,
      h(rows > 1 ? "textarea" : "input", { type: rows > 1 ? null : type, rows: rows > 1 ? rows : null, maxlength: max, min, required, autocomplete: "off" })]);
    const dialog = h("dialog", { "aria-label": title }, h("form", { method: "dialog", onsubmit: (event) => {
      event.preventDefault();
      dialog.close("yes");
    } }, h("h2", {}, title), inputs.map(([, label, hint, input]) => field(label, input, hint)), h("div", { class: "row end" },
      h("button", { type: "button", onclick: () => dialog.close("") }, t("cancel")), h("button", { type: "submit", class: "good" }, button))));
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(dialog.returnValue === "yes" ? Object.fromEntries(inputs.map(([name, , , input]) => [name, input.value.trim()])) : null);
    });
    show(dialog);
    inputs[0]?.[3].focus();
  });
}

/** Show a dialog with `children`; closing removes it. */
export function tell(title, ...children) {
  const dialog = h("dialog", { "aria-label": title }, h("h2", {}, title), ...children, h("div", { class: "row end" },
    h("button", { type: "button", onclick: () => dialog.close() }, t("close"))));
  dialog.addEventListener("close", () => dialog.remove());
  show(dialog);
  return dialog;
}

function show(dialog) {
  document.body.append(dialog);
  dialog.showModal();
}
