// The bar of the call one sits in: sound, mute, hold, keypad. It stays whatever else is shown.

import { part, post } from "./api.js";
import { button, h, notice, put } from "./dom.js";
import { tell } from "./dialogs.js";
import { t } from "./strings.js";

const KEYS = ["1", "2", "3", "4", "5", "6", "7", "8", "9", "*", "0", "#"];

/** The bar; `update` after anything changed, `levels` four times a second. */
export function talkBar(app) {
  const inside = h("div", { class: "talk-inside" });
  const meters = { microphone: meter(t("microphone")), line: meter(t("line_sound")) };
  const delay = h("span", { class: "under" });
  const element = h("section", { class: "talk-bar", "aria-label": t("your_call"), hidden: true }, inside,
    h("div", { class: "meters" }, h("span", { class: "under" }, t("microphone")), meters.microphone, h("span", { class: "under" }, t("line_sound")), meters.line, delay));

  function update() {
    const { talk } = app;
    element.hidden = talk === null;
    if (talk === null) return;
    const key = inside.contains(document.activeElement) ? document.activeElement.dataset.key : undefined;
    const voice = talk.mode !== "listen";
    put(inside, h("a", { href: `#call/${part(talk.callId)}` }, t("your_call")), h("span", { class: "badge with-human" }, t(`mode_${talk.mode}`)),
      talk.trouble && voice ? h("span", { class: "bad-text", role: "status" }, t(`trouble_${talk.trouble}`)) : null,
      talk.refusal ? h("span", { class: "bad-text", role: "status" }, talk.refusal) : null,
      voice && talk.microphone ? button(talk.muted ? t("unmute") : t("mute"), () => talk.mute(!talk.muted), { dataset: { key: "mute" }, "aria-pressed": String(talk.muted), "aria-keyshortcuts": "m" }) : null,
      talk.mode === "talk" ? button(talk.held ? t("resume") : t("hold"), () => talk.hold(!talk.held), { dataset: { key: "hold" }, "aria-pressed": String(talk.held), "aria-keyshortcuts": "o" }) : null,
      talk.mode === "talk" ? button(t("keypad"), keypad, { dataset: { key: "keypad" }, "aria-keyshortcuts": "k" }) : null,
      talk.mode === "talk" ? null : button(t("leave"), () => talk.leave(), { dataset: { key: "leave" } }));
    if (key !== undefined) inside.querySelector(`[data-key="${CSS.escape(key)}"]`)?.focus();
  }

  function levels(now) {
    meters.microphone.value = decibels(now.microphone);
    meters.line.value = decibels(now.line);
    delay.textContent = now.unsent ? t("unsent", { frames: now.unsent }) : t("buffered", { ms: now.delayMs });
  }

  function keypad() {
    const { talk } = app;
    if (talk === null) return;
    const shown = h("output", { class: "pressed", "aria-live": "polite" });
    const press = async (key) => {
      try {
        await post(`calls/${part(talk.callId)}/press`, { keys: key });
        shown.textContent = (shown.textContent + key).slice(-20);
      } catch (error) {
        notice(app.told(error), "bad");
      }
    };
    const dialog = tell(t("keypad"), shown, h("div", { class: "keypad" }, KEYS.map((key) => button(key, () => press(key)))));
    dialog.addEventListener("keydown", (event) => {
      if (KEYS.includes(event.key) && !event.ctrlKey && !event.metaKey) {
        event.preventDefault();
        press(event.key);
      }
    });
  }

  return { element, update, levels, keys: {
    m: () => app.talk?.microphone && app.talk.mute(!app.talk.muted),
    o: () => app.talk?.mode === "talk" && app.talk.hold(!app.talk.held),
    k: () => app.talk?.mode === "talk" && keypad(),
  } };
}

function meter(label) {
  return h("meter", { min: 0, max: 60, value: 0, "aria-label": label });
}

function decibels(peak) {
  return peak > 0.001 ? 60 + 20 * Math.log10(peak) : 0;
}
