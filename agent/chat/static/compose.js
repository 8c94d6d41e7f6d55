// The box in which the visitor types, and the button beside it for pictures; on the chat's page and the call's.

import { problem } from "/chat/static/strings.js";
import { chooser, send } from "/chat/static/pictures.js";

const MOST = 2000;

/** `say(words)` passes a turn on and returns whether it went. */
export function composing(say) {
  const box = document.getElementById("box");
  const form = document.getElementById("compose");
  const grow = () => {
    box.rows = Math.min(5, Math.max(1, box.value.split("\n").length));
  };
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const words = box.value.trim().slice(0, MOST);
    if (words && say(words)) {
      box.value = "";
      grow();
    }
    box.focus();
  });
  box.addEventListener("input", grow);
  box.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      form.requestSubmit();
    }
  });
  return box;
}

/** The picture button of a visit; `about`: of /chat/about. */
export function picturing(visit, log, about, say) {
  const button = document.getElementById("picture");
  chooser(button, async (file) => {
    button.disabled = true;
    try {
      await send(file, await visit().picture(), log, { sure: about.sure, most: about.picture_bytes, say });
    } catch (error) {
      log.note(problem(error.code));
    }
    button.disabled = false;
  });
}
