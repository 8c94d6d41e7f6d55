// /pictures/TOKEN: one picture for a call by telephone, by a link.

import { Log } from "/chat/static/log.js";
import { chooser, send } from "/chat/static/pictures.js";
import { dress, problem, t } from "/chat/static/strings.js";
import { ask } from "/chat/static/wire.js";

const button = document.getElementById("picture");
const log = new Log(document.getElementById("log"));
let path = location.pathname;
dress("picture_title");

try {
  const about = await ask("/chat/about");
  chooser(button, async (file) => {
    button.disabled = true;
    path = await send(file, path, log, { sure: about.sure, most: about.picture_bytes, say: null });
    button.disabled = path === null;
    button.dataset.text = "picture_more";
    button.textContent = t("picture_more");
  });
} catch (error) {
  log.note(problem(error.code));
}
