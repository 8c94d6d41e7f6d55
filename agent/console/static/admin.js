// Accounts and the audit trail: for administrators.

import { get, post } from "./api.js";
import { button, field, h, notice, put } from "./dom.js";
import { ask } from "./dialogs.js";
import { codeText, timeText } from "./format.js";
import { t } from "./strings.js";

/** Accounts: add, disable, set a new password. */
export function accountsView(app) {
  const body = h("tbody");
  const name = h("input", { type: "text", required: true, maxlength: 64, autocomplete: "off", pattern: "[A-Za-z0-9._@\\-]+" });
  const role = h("select", {}, ["agent", "supervisor", "admin"].map((one) => h("option", { value: one }, codeText(one, "role"))));
  const password = h("input", { type: "password", required: true, minlength: 12, maxlength: 256, autocomplete: "new-password" });
  const form = h("form", { class: "filters", "aria-label": t("add_account"), onsubmit: async (event) => {
    event.preventDefault();
    if (await change({ action: "add", name: name.value.trim(), role: role.value, password: password.value })) form.reset();
  } }, field(t("name"), name), field(t("role"), role), field(`${t("password")} (${t("password_hint")})`, password), h("button", { type: "submit", class: "good" }, t("add_account")));
  const element = h("div", { class: "view" }, h("header", { class: "view-head" }, h("h1", {}, t("nav_accounts"))), form,
    h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": t("nav_accounts") }, h("table", {}, h("thead", {}, h("tr", {},
      ["name", "role", "state", "signed_in_at", "change"].map((one) => h("th", { scope: "col" }, t(one))))), body)));

  async function change(what) {
    try {
      await post("accounts", what);
      notice(t("saved"));
      await load();
      return true;
    } catch (error) {
      notice(app.told(error), "bad");
      return false;
    }
  }

  async function load() {
    try {
      const { accounts = [] } = await get("accounts");
      put(body, accounts.map((one) => h("tr", {}, h("th", { scope: "row" }, one.name), h("td", {}, codeText(one.role, "role")),
        h("td", {}, one.disabled ? t("disabled") : t("enabled")), h("td", {}, timeText(one.signed_in_at)), h("td", { class: "row" },
          one.name === app.me.name ? null : button(one.disabled ? t("enable") : t("disable"), () => change({ action: one.disabled ? "enable" : "disable", name: one.name })),
          button(t("new_password"), async () => {
            const given = await ask(t("new_password"), { label: `${t("password")}: ${one.name}`, hint: t("password_hint"), button: t("save"), max: 256, required: true, secret: true });
            if (given) await change({ action: "password", name: one.name, password: given });
          })))));
    } catch (error) {
      notice(app.told(error), "bad");
    }
  }

  load();
  return { element, title: t("nav_accounts"), update() {}, close() {} };
}

/** Who did what, and whether the trail is whole. */
export function auditView(app) {
  const place = h("div");
  const element = h("div", { class: "view" }, h("header", { class: "view-head" }, h("h1", {}, t("nav_audit"))), place);
  get("audit", { limit: 200, verify: true }).then(({ rows = [], broken = null, why = "" }) => put(place,
    h("p", { class: broken ? "bad-text" : "good-text", role: "status" }, broken ? `${t("audit_broken", { row: broken })} ${why ?? ""}` : t("audit_whole")),
    h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": t("nav_audit") }, h("table", {}, h("thead", {}, h("tr", {},
      ["at", "who", "what", "about", "details"].map((one) => h("th", { scope: "col" }, t(one))))), h("tbody", {}, rows.map((row) => h("tr", {},
      h("td", {}, timeText(row.at)), h("td", {}, row.who), h("td", {}, codeText(row.what)), h("td", {}, row.about ?? ""),
      h("td", { class: "under" }, row.data && Object.keys(row.data).length ? JSON.stringify(row.data) : ""))))))),
  (error) => put(place, h("p", { class: "bad-text" }, app.told(error))));
  return { element, title: t("nav_audit"), update() {}, close() {} };
}
