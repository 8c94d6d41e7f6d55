// Accounts and the audit trail: for administrators.

import { get, post } from "./api.js";
import { button, field, h, notice, put } from "./dom.js";
import { ask } from "./dialogs.js";
import { codeText, NOTHING, timeText, valueText } from "./format.js";
import { codesOf, t } from "./strings.js";

const PAGE = 100; // entries of the trail that are asked for at a time

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
        h("td", {}, one.disabled ? t("disabled") : t("enabled")), h("td", {}, timeText(one.signed_in_at)), h("td", {}, h("div", { class: "row" },
          one.name === app.me.name ? null : button(one.disabled ? t("enable") : t("disable"), () => change({ action: one.disabled ? "enable" : "disable", name: one.name })),
          button(t("new_password"), async () => {
            const given = await ask(t("new_password"), { label: `${t("password")}: ${one.name}`, hint: t("password_hint"), button: t("save"), max: 256, required: true, secret: true });
            if (given) await change({ action: "password", name: one.name, password: given });
          }))))));
    } catch (error) {
      notice(app.told(error), "bad");
    }
  }

  load();
  return { element, title: t("nav_accounts"), update() {}, close() {} };
}

/** Who did what, and whether the trail is whole: the latest first, sought by who, what or about what. */
export function auditView(app) {
  const sought = () => h("input", { type: "search", maxlength: 128, autocomplete: "off" });
  const what = h("select", {}, h("option", { value: "" }, t("any")), codesOf("audit").map((one) => h("option", { value: one }, codeText(one, "audit"))));
  const inputs = { who: sought(), what, about: sought() };
  const whole = h("p", { role: "status" });
  const body = h("tbody");
  const told = h("p", { class: "empty", role: "status" });
  const older = button(t("older"), () => load(last), { hidden: true });
  let last = null;
  const form = h("form", { class: "filters", role: "search", onsubmit: (event) => {
    event.preventDefault();
    load();
  } }, field(t("who"), inputs.who), field(t("what"), inputs.what), field(t("about"), inputs.about), h("button", { type: "submit", class: "good" }, t("search")));
  const element = h("div", { class: "view" }, h("header", { class: "view-head" }, h("h1", {}, t("nav_audit"))), whole, form,
    h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": t("nav_audit") }, h("table", {}, h("thead", {}, h("tr", {},
      ["at", "who", "what", "about", "details"].map((one) => h("th", { scope: "col" }, t(one))))), body)), told, h("div", { class: "row" }, older));

  async function load(before = null) {
    const given = Object.fromEntries(Object.entries(inputs).map(([name, input]) => [name, input.value.trim()]));
    try {
      const answer = await get("audit", { limit: PAGE, before, ...given });
      if (before === null) {
        put(body);
        showWhole(answer);
      }
      body.append(...answer.rows.map(entry));
      last = answer.rows.at(-1)?.sequence ?? last;
      older.hidden = answer.rows.length < PAGE;
      told.textContent = body.children.length ? "" : t("nothing_found");
    } catch (error) {
      told.textContent = app.told(error);
    }
  }

  function showWhole({ broken = null, why = "", verified = true }) {
    whole.className = broken ? "bad-text" : verified ? "good-text" : "";
    put(whole, broken ? `${t("audit_broken", { row: broken })} ${why ?? ""}` : verified ? t("audit_whole") : [`${t("audit_unchecked")} `, button(t("check_now"), async () => {
      try {
        showWhole(await get("audit", { limit: 1, verify: true }));
      } catch (error) {
        notice(app.told(error), "bad");
      }
    })]);
  }

  load();
  return { element, title: t("nav_audit"), update() {}, close() {} };
}

function entry(row) {
  return h("tr", {}, h("td", { class: "when" }, timeText(row.at, "seconds")), h("td", {}, row.who), h("td", { title: row.what }, codeText(row.what, "audit")), h("td", {}, row.about ?? ""),
    h("td", { class: "under" }, Object.entries(row.data ?? {}).map(([name, value]) => `${codeText(name, "detail")}: ${detail(value)}`).join(" · ")));
}

function detail(value) {
  return Array.isArray(value) ? value.map((one) => valueText(one)).join(", ") || NOTHING : valueText(value);
}
